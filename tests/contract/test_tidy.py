"""House rules that no other tool checks. Each rule is seen to catch a planted violation."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from house import ROOT, Rule, code, imports, plant, texts

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
BANNED_MODULES = {"utils", "util", "common", "helpers", "helper", "manager", "base"}
RULES_MAY_IMPORT = {"dataclasses", "collections.abc", "datetime", "itertools", "typing"}
PURE_ROOMS = ("decider", "addresses")
LOOSE_TASKS_ALLOWED = ("libs/runtime/", "cli/src/waybill/simulation/")
"""The shells that own tasks, and the simulator, which kills what it starts."""
MAY_NOT_WAIT_FOR_THE_DISK = {("relay.py", "_mark"), ("jobs.py", "_claim")}
FORBIDDEN_NAMES = {
    "BaseHTTPMiddleware": "it breaks streaming and cancellation; write plain ASGI",
    "BackgroundTasks": "lost when the process dies; use a job",
    "BackgroundTask": "lost when the process dies; use a job",
    "transactional_id": "our exactly-once is the inbox's, not Kafka's",
}
MARKERS = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b(?!\s*\(?#\d+)")
MACHINE_PATHS = re.compile(r"(?<![\w.~-])/(work|root)/")
REGISTRIES = re.compile(
    r"\b(pypi\.(org|python)|files\.pythonhosted|registry\.npmjs|repo1?\.maven\.(org|apache)"
    r"|registry-1\.docker|proxy\.golang|static\.crates)\b"
)


def files_are_short(root: Path) -> Iterator[str]:
    for name, _, lines in code(root):
        if len(lines) > FILE_LINES_MAX:
            yield f"{name}: {len(lines)} lines, more than {FILE_LINES_MAX}"


def functions_are_short(root: Path) -> Iterator[str]:
    for name, tree, _ in code(root):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    yield f"{name}:{node.lineno}: {node.name} has {length} lines"


def modules_are_named_for_what_they_hold(root: Path) -> Iterator[str]:
    for name, _, _ in code(root):
        for part in name.removesuffix(".py").split("/"):
            if part in BANNED_MODULES:
                yield f"{name}: no module is called {part}"


def rules_import_only_what_is_pure(root: Path) -> Iterator[str]:
    for name, tree, _ in code(root):
        found = re.match(r"services/(\w+)/src/\1/decider", name)
        if not found:
            continue
        own = [f"{found[1]}.{room}" for room in PURE_ROOMS]
        allowed = (*RULES_MAY_IMPORT, "waybill_events", *own)
        for line, module in imports(tree):
            if not any(module == each or module.startswith(f"{each}.") for each in allowed):
                yield f"{name}:{line}: a rule may not import {module}"


def reminders_have_an_issue(root: Path) -> Iterator[str]:
    for name, number, line in texts(root):
        if MARKERS.search(line):
            yield f"{name}:{number}: a reminder without the number of its issue"


def no_path_of_one_machine(root: Path) -> Iterator[str]:
    for name, number, line in texts(root):
        if MACHINE_PATHS.search(line):
            yield f"{name}:{number}: a path of one machine"


def no_registry_is_named(root: Path) -> Iterator[str]:
    for name, number, line in texts(root):
        if REGISTRIES.search(line):
            yield f"{name}:{number}: the host of a package registry"


def decisions_have_a_number_and_a_sentence(root: Path) -> Iterator[str]:
    numbers: set[str] = set()
    for path in sorted((root / "docs/decisions").glob("*.md")):
        number = path.name[:4]
        if not re.fullmatch(r"\d{4}(-[a-z0-9]+){3,}\.md", path.name):
            yield f"{path.name} is not named NNNN-a-sentence.md"
        if number in numbers:
            yield f"{path.name}: another decision has the number {number}"
        numbers.add(number)
        title = path.read_text(encoding="utf-8").split("\n", 1)[0]
        if not re.fullmatch(rf"# {number}[.:]? \S+( \S+){{2,}}", title):
            yield f"{path.name}: its first line is not `# {number}. A sentence`"


def whoever_catches_everything_says_why(root: Path) -> Iterator[str]:
    """On the line or the one before; unless it raises again, for then it swallows nothing."""
    for name, tree, lines in code(root):
        for node in ast.walk(tree):
            if not isinstance(node, ast.ExceptHandler) or _raises_again(node):
                continue
            above = lines[node.lineno - 2].strip() if node.lineno > 1 else ""
            said = lines[node.lineno - 1].partition("#")[2] + above * above.startswith("#")
            why = re.sub(r"noqa(: [A-Z0-9, ]+)?", "", said)
            if _catches_everything(node) and not re.search(r"\w{3}", why):
                yield f"{name}:{node.lineno}: catches everything and does not say why"


def _raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _catches_everything(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    caught = {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}
    return bool(caught & {"Exception", "BaseException"})


def marks_and_leases_alone_do_not_wait_for_the_disk(root: Path) -> Iterator[str]:
    for name, tree, _ in code(root):
        if "/src/" not in name or "/testing/" in name:
            continue
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)]
        for function in functions:
            called = {n.attr for n in ast.walk(function) if isinstance(n, ast.Attribute)}
            place = (Path(name).name, function.name)
            if "marking" in called and place not in MAY_NOT_WAIT_FOR_THE_DISK:
                yield f"{name}: {function.name} may lose what it writes; use a transaction"


def nothing_forbidden_is_used(root: Path) -> Iterator[str]:
    for name, tree, _ in code(root):
        for node in ast.walk(tree):
            for used in _names(node):
                if used in FORBIDDEN_NAMES:
                    yield f"{name}: {used}: {FORBIDDEN_NAMES[used]}"
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for decorator in node.decorator_list:
                    called = decorator.func if isinstance(decorator, ast.Call) else decorator
                    if isinstance(called, ast.Attribute) and called.attr == "middleware":
                        yield f"{name}:{node.lineno}: a middleware by decorator; write plain ASGI"


def _names(node: ast.AST) -> tuple[str, ...]:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
            return (name,)
        case ast.alias(name=name):
            return (name.rpartition(".")[2],)
    return ()


def no_task_runs_loose(root: Path) -> Iterator[str]:
    """A task group waits for its tasks; a loose one may be collected, its error unseen."""
    for name, tree, _ in code(root):
        if name.startswith(LOOSE_TASKS_ALLOWED) or "tests/" in name:
            continue
        for node in ast.walk(tree):
            match node:
                case ast.Attribute(value=ast.Name(id="asyncio" | "loop"), attr="create_task"):
                    yield f"{name}:{node.lineno}: a loose task; use a task group"
                case ast.Attribute(value=ast.Call(), attr="create_task"):
                    yield f"{name}:{node.lineno}: a loose task; use a task group"
                case ast.Attribute(attr="ensure_future"):
                    yield f"{name}:{node.lineno}: a loose task; use a task group"
                case ast.ImportFrom(module="asyncio", names=names) if {a.name for a in names} & {
                    "create_task",
                    "ensure_future",
                }:
                    yield f"{name}:{node.lineno}: a loose task; use a task group"


def ids_are_derived_in_one_place(root: Path) -> Iterator[str]:
    """Whoever cuts an id by hand decides anew what the ids of one order share."""
    for name, tree, _ in code(root):
        if not re.match(r"services/\w+/src/", name):
            continue
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="locale"))):
                    continue  # a language and its country
                case ast.Call(
                    func=ast.Attribute(attr="partition" | "rpartition" | "split" | "rsplit"),
                    args=[ast.Constant(value="_" | "-"), *_],
                ):
                    yield f"{name}:{node.lineno}: an id is cut; use waybill_events.identity"


RULES: tuple[Rule, ...] = (
    files_are_short,
    functions_are_short,
    modules_are_named_for_what_they_hold,
    rules_import_only_what_is_pure,
    reminders_have_an_issue,
    no_path_of_one_machine,
    no_registry_is_named,
    decisions_have_a_number_and_a_sentence,
    whoever_catches_everything_says_why,
    marks_and_leases_alone_do_not_wait_for_the_disk,
    nothing_forbidden_is_used,
    no_task_runs_loose,
    ids_are_derived_in_one_place,
)
CAPTURE = "services/capture/src/capture"
DECIDER = f"{CAPTURE}/decider.py"
ADR = "docs/decisions/0001-decisions-are-recorded.md"
CATCH_ALL = "try:\n    x = 1\nexcept Exception:{}\n    x = 2\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small repository in which every rule is kept."""
    plant(
        tmp_path, DECIDER, "from capture.decider import state\nfrom waybill_events import capture\n"
    )
    plant(tmp_path, ADR, "# 0001. Decisions are recorded\n")
    plant(tmp_path, "cli/x.py", CATCH_ALL.format("  # whatever a plug-in throws"))
    plant(tmp_path, "cli/z.py", CATCH_ALL.format("") + "    raise\n")
    plant(tmp_path, "cli/y.py", "async def f(group):\n    group.create_task(g())\n")
    plant(tmp_path, "notes.md", "TO" + "DO (#12): see ~/work/ and /workspace/\n")
    return tmp_path


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_repository_keeps_the_rule(rule: Rule) -> None:
    assert list(rule(ROOT)) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_tidy_tree_keeps_the_rule(rule: Rule, tree: Path) -> None:
    assert list(rule(tree)) == []


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (files_are_short, "bench/x.py", "x = 1\n" * 401),
        (functions_are_short, "cli/x.py", "def f():\n" + "    x = 1\n" * 70),
        (functions_are_short, "cli/x.py", "async def f():\n" + "    x = 1\n" * 70),
        (modules_are_named_for_what_they_hold, "libs/x/utils.py", ""),
        (modules_are_named_for_what_they_hold, "libs/common/x.py", ""),
        (rules_import_only_what_is_pure, DECIDER, "import os\n"),
        (rules_import_only_what_is_pure, DECIDER, "from waybill_runtime.decider import Intent\n"),
        (rules_import_only_what_is_pure, DECIDER, "from capture import service\n"),
        (rules_import_only_what_is_pure, f"{CAPTURE}/decider/x.py", "import random\n"),
        (reminders_have_an_issue, "notes.md", "FIX" + "ME soon\n"),
        (no_path_of_one_machine, "notes.md", "see /ro" + "ot/notes\n"),
        (no_registry_is_named, "notes.md", "https://py" + "pi.org/simple\n"),
        (decisions_have_a_number_and_a_sentence, "docs/decisions/kafka.md", "# Kafka\n"),
        (decisions_have_a_number_and_a_sentence, ADR, "# Recorded\n"),
        (decisions_have_a_number_and_a_sentence, ADR.replace("are", "were"), "# 0001. A b c\n"),
        (whoever_catches_everything_says_why, "cli/x.py", CATCH_ALL.format("")),
        (whoever_catches_everything_says_why, "cli/x.py", CATCH_ALL.format("  # noqa: BLE001")),
        (whoever_catches_everything_says_why, "cli/x.py", "try:\n    f()\nexcept:\n    f()\n"),
        (
            marks_and_leases_alone_do_not_wait_for_the_disk,
            f"{CAPTURE}/x.py",
            "async def f(store):\n    async with store.marking():\n        pass\n",
        ),
        (nothing_forbidden_is_used, "cli/x.py", "from a.b import BaseHTTPMiddleware\n"),
        (nothing_forbidden_is_used, "cli/x.py", '@app.middleware("http")\ndef f(): ...\n'),
        (nothing_forbidden_is_used, "cli/x.py", "def f(later: fastapi.BackgroundTasks): ...\n"),
        (nothing_forbidden_is_used, "cli/x.py", 'Producer(transactional_id="x")\n'),
        (no_task_runs_loose, "cli/x.py", "import asyncio\nasyncio.create_task(f())\n"),
        (no_task_runs_loose, "cli/x.py", "asyncio.get_running_loop().create_task(f())\n"),
        (no_task_runs_loose, "cli/x.py", "asyncio.ensure_future(f())\n"),
        (no_task_runs_loose, "cli/x.py", "from asyncio import create_task\n"),
        (ids_are_derived_in_one_place, f"{CAPTURE}/x.py", "y = f'pay_{z.partition(\"_\")[2]}'\n"),
        (ids_are_derived_in_one_place, f"{CAPTURE}/x.py", "y = x.refund_id.rpartition('-')[2]\n"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_planted_violation_is_caught(rule: Rule, name: str, text: str, tree: Path) -> None:
    plant(tree, name, text)
    assert len(list(rule(tree))) > 0


def test_every_rule_has_a_planted_violation() -> None:
    marks = test_a_planted_violation_is_caught.pytestmark  # type: ignore[attr-defined]
    assert {case[0] for case in marks[0].args[1]} == set(RULES)


def test_make_help_tells_of_every_target_that_has_a_text() -> None:
    written = re.findall(r"^([^\s:#]+):.*?## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    help_ = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert [line.split()[0] for line in help_.stdout.splitlines()] == written
