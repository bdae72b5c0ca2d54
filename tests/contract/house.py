"""The repository as the tests of its own rules read it; and how they plant what breaks one."""

import ast
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = ("libs", "services", "sandboxes", "cli", "tests", "bench")

Rule = Callable[[Path], Iterator[str]]


def tracked(root: Path) -> list[Path]:
    """The files of a repository as git knows them; of a folder without git, all."""
    if not (root / ".git").exists():
        return sorted(path for path in root.rglob("*") if path.is_file())
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z"], capture_output=True, check=True, timeout=60
    )
    paths = [root / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def code(root: Path) -> Iterator[tuple[str, ast.Module, list[str]]]:
    """Every Python file of ours: its path in the repository, its tree, its lines."""
    for path in tracked(root):
        name = path.relative_to(root).as_posix()
        if path.suffix == ".py" and name.split("/")[0] in CODE:
            text = path.read_text(encoding="utf-8")
            yield name, ast.parse(text), text.splitlines()


def texts(root: Path) -> Iterator[tuple[str, int, str]]:
    """Every line of every text file."""
    for path in tracked(root):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        name = path.relative_to(root).as_posix()
        for number, line in enumerate(text.splitlines(), 1):
            yield name, number, line


def services(root: Path) -> Iterator[tuple[str, Path]]:
    """Each service by name, and its package."""
    for path in sorted(root.glob("services/*/pyproject.toml")):
        service = path.parent.name
        yield service, path.parent / "src" / service


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Each module imported; `from a import b` counts as `a.b`, for b may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def plant(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
