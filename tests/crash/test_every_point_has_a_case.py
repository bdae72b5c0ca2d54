"""The points as the source has them, against the table of cases: none is left out, none is made up.

Every use of a port is looked for in the syntax trees of the runtime and of the services: whoever
writes a new one has to say here which story crashes in it.
"""

import ast
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from crash_run import CASES, POINTS
from crash_table import ROWS, cases
from waybill.simulation.labels import LABELS
from waybill.simulation.system import compose_here

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = ROOT / "libs/runtime/src/waybill_runtime"
SERVICES = tuple(path.name for path in sorted((ROOT / "services").iterdir()) if path.is_dir())
ELSEWHERE = ("adapters", "testing")
"""Rooms behind the ports, and those of tests."""
RUNS_FOR_OTHERS = ("transact", "idempotency")
COMMANDS = ("post", "put", "patch", "delete")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules(folder: Path) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(folder.rglob("*.py")):
        if not set(path.relative_to(folder).parts) & set(ELSEWHERE):
            yield path.stem, ast.parse(path.read_text())


def functions(tree: ast.AST) -> Iterator[Function]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def own(function: Function) -> Iterator[ast.AST]:
    """What stands in a function, functions within it left to themselves."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        yield node
        waiting += ast.iter_child_nodes(node)


def is_named(node: ast.AST, *names: str) -> bool:
    return isinstance(node, ast.Name) and node.id in names


def port_methods() -> frozenset[str]:
    """The methods of store and bus that have points around them, as the watchers say themselves."""
    tree = ast.parse((RUNTIME / "testing/points.py").read_text())
    return frozenset(
        function.name
        for function in functions(tree)
        if any(
            isinstance(node, ast.Call) and is_named(node.func, "_site") for node in own(function)
        )
    )


METHODS = port_methods()


def transacts(tree: ast.Module) -> frozenset[str]:
    """What a module calls `transact`."""
    return frozenset(
        name.asname or name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "waybill_runtime.transact"
        for name in node.names
    )


def uses(folder: Path, *, foreign: Collection[str] = ()) -> set[str]:
    """Where ports of the store and of the bus are used, as `<module>.<function>`.

    By the method, called or bound for later, whatever its port is called. `foreign` are methods
    that are of other ports here.
    """
    methods = (METHODS | {"transact"}) - set(foreign)

    def is_use(node: ast.AST, called: Collection[str]) -> bool:
        match node:
            case ast.Call(func=ast.Name(id="partial"), args=[bound, *_]):
                return is_use(ast.Call(func=bound, args=[], keywords=[]), called)
            case ast.Call(func=ast.Attribute(attr=method)):
                return method in methods
            case ast.Call(func=ast.Name(id=name)):
                return name in called
            case _:
                return False

    return {
        f"{module}.{function.name.lstrip('_')}"
        for module, tree in modules(folder)
        if module not in RUNS_FOR_OTHERS
        for called in [transacts(tree)]
        for function in functions(tree)
        if any(is_use(node, called) for node in own(function))
    }


def uses_of(service: str) -> set[str]:
    """A service's uses. It has no producer or consumer, so their names are its own ports'."""
    folder = ROOT / "services" / service / "src"
    return uses(folder, foreign=effects(folder) & {"send", "commit"})


def commands(folder: Path) -> set[str]:
    """Endpoints whose answer is kept with what they did, as `api.<function>`."""
    found: set[str] = set()
    for module, tree in modules(folder):
        if module != "api":
            continue
        calls = {
            function.name: {
                node.func.id
                for node in ast.walk(function)
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            }
            for function in functions(tree)
        }
        answering = {"answered_once"}
        while more := {n for n, called in calls.items() if called & answering} - answering:
            answering |= more
        found |= {
            f"api.{function.name}"
            for function in functions(tree)
            if function.name in answering and any(map(is_command, function.decorator_list))
        }
    return found


def is_command(decorator: ast.expr) -> bool:
    match decorator:
        case ast.Call(func=ast.Attribute(attr=method)):
            return method in COMMANDS
        case _:
            return False


def effects(folder: Path) -> set[str]:
    """Methods of the ports to the outside."""
    return {
        function.name
        for module, tree in modules(folder)
        if module in ("ports", "recipients")
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and "Protocol" in ast.dump(ast.Tuple(node.bases))
        for function in node.body
        if isinstance(function, ast.AsyncFunctionDef) and function.name != "close"
    }


def test_each_use_of_a_port_in_the_runtime_has_a_case() -> None:
    assert uses(RUNTIME) - {row.site for row in ROWS} == set()


@pytest.mark.parametrize("service", SERVICES)
def test_each_use_of_a_port_in_a_service_has_a_case(service: str) -> None:
    folder = ROOT / "services" / service / "src"
    sites = {row.site for row in ROWS if row.service == service}
    assert (uses_of(service) | commands(folder)) - sites == set()
    assert effects(folder) - {site.rpartition(".")[2] for site in sites} == set()


def test_the_simulator_strikes_at_the_same_points() -> None:
    """All but what takes an operator's tool, and what a day never or hardly ever comes to."""
    reached = {row.label for row in ROWS if row.reach != "tool"}
    hardly = {label for label in reached if "put_off" in label or label.endswith("recipients.read")}
    hardly |= {f"fulfillment/jobs.{deed} fulfillment.label" for deed in ("claim", "record")}
    assert set(LABELS) == reached - hardly


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_sends_or_polls_by_itself(service: str) -> None:
    asked = {
        node.attr
        for _, tree in modules(ROOT / "services" / service / "src")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
    }
    assert asked & {"producer", "consumer"} == set()


@pytest.mark.parametrize("service", SERVICES)
def test_each_kind_of_job_dies_when_it_is_claimed_and_when_it_is_recorded(service: str) -> None:
    blueprint = compose_here(service)
    for site in ("jobs.claim", "jobs.record"):
        kinds = {
            row.label.rpartition(" ")[2]
            for row in ROWS
            if row.label.startswith(f"{service}/{site} ")
        }
        assert kinds == {*blueprint.timers, *blueprint.effects}


@pytest.mark.parametrize("service", ["fulfillment", "notification"])
def test_who_asks_the_vault_dies_while_asking(service: str) -> None:
    assert effects(RUNTIME) == {"read"}
    assert f"{service}/recipients.read" in {row.label for row in ROWS}


def test_no_case_is_of_a_call_that_is_not_in_the_source() -> None:
    known = uses(RUNTIME)
    for service in SERVICES:
        folder = ROOT / "services" / service / "src"
        known |= {f"{service}/{use}" for use in uses_of(service) | commands(folder)}
    outside = ("gateway", "carrier", "recipients", "email", "sms")
    made_up = [
        row.label
        for row in ROWS
        if row.site not in known
        and f"{row.service}/{row.site}" not in known
        and row.site.partition(".")[0] not in outside
    ]
    assert made_up == []


def test_there_are_as_many_points_and_cases_as_are_asked_for() -> None:
    labels = [row.label for row in ROWS]
    assert len(set(labels)) == len(labels) >= POINTS
    found = [case.id for case in cases()]
    assert len(set(found)) == len(found) == 8 * len(labels) >= CASES


def test_the_methods_looked_for_are_those_that_have_points() -> None:
    assert {"transaction", "marking", "leadership", "cut", "send", "commit"} == METHODS


@pytest.mark.parametrize(
    "use",
    [
        "async with self._store.transaction() as t:\n        pass",
        "async with stores[name].marking():\n        pass",
        "await stack.enter_async_context(a.b.leadership('relay'))",
        "await self._producer.send([])",
        "await (await bus.producer()).send([])",
        "await told.commit({})",
        "await self._on.bus.cut({})",
        "begin = partial(self._anything.transaction)",
        "later(lambda: self._lines.send([]))",
        "await run(store, ids, body)",
        "await transact.transact(store, ids, body)",
    ],
)
def test_a_new_use_of_a_port_is_found_whatever_the_port_is_called(tmp_path: Path, use: str) -> None:
    (tmp_path / "novel.py").write_text(
        "from waybill_runtime.transact import transact as run\n"
        f"async def _store(self):\n    {use}\n"
        "async def reads(self):\n    async with self._store.reading() as r:\n        pass\n"
    )
    assert uses(tmp_path) == {"novel.store"}


def test_a_command_of_an_api_is_found(tmp_path: Path) -> None:
    (tmp_path / "api.py").write_text(
        "def router():\n"
        "    async def once(x):\n        return await answered_once(x)\n"
        "    @router.post('/x')\n    async def make(x):\n        return await once(x)\n"
        "    @router.get('/x')\n    async def read(x):\n        return x\n"
    )
    assert commands(tmp_path) == {"api.make"}
