"""Whatever an oracle can say, a lie makes it say: with any one sentence taken out, a lie passes.

The oracles are the proof of everything else; this is the proof of theirs (mutation testing, after
DeMillo, Lipton and Sayward, 1978).
"""

import importlib
import inspect
import re
from collections.abc import Iterator, Sequence
from types import ModuleType

import pytest

from waybill.audit import oracles
from waybill.testing import lies, lies_log, lies_money, lies_orders

SAYS = re.compile(r"finding\.violations(\.append\(| \+= )")
LEAST = 60
"""Sentences that all oracles have together; fewer found is a search that went wrong."""


def _modules() -> Sequence[ModuleType]:
    names = sorted({oracle.__module__ for oracle in oracles.ORACLES})
    return [importlib.import_module(name) for name in names]


def _sentences() -> Iterator[tuple[ModuleType, int]]:
    for module in _modules():
        for found in SAYS.finditer(inspect.getsource(module)):
            yield module, found.start()


def _silenced(module: ModuleType, at: int) -> ModuleType:
    """The module with the sentence at this place computed and not said."""
    source = inspect.getsource(module)
    said = SAYS.match(source, at)
    assert said is not None
    silent = "[].append(" if "append" in said[1] else "_ = "
    found = ModuleType(module.__name__)
    exec(source[:at] + silent + source[said.end() :], found.__dict__)  # noqa: S102  our own source
    return found


def _caught(lie: lies.Lie, module: ModuleType, oracle: oracles.Oracle) -> bool:
    own = getattr(module, oracle.__name__)
    return any(lie.names in said for said in own(lie.tell()).said)


SENTENCES = list(_sentences())


def test_every_sentence_is_found() -> None:
    assert len(SENTENCES) >= LEAST
    told = {lie.tell.__module__ for lie in lies.TOLD}
    assert told == {module.__name__ for module in (lies_log, lies_money, lies_orders)}


@pytest.mark.parametrize(
    ("module", "at"), SENTENCES, ids=lambda part: getattr(part, "__name__", None)
)
def test_a_lie_passes_when_this_sentence_is_not_said(module: ModuleType, at: int) -> None:
    silenced = _silenced(module, at)
    own = {o.__name__.partition("_")[0].upper(): o for o in oracles.ORACLES}
    told = [lie for lie in lies.TOLD if own[lie.guarantee].__module__ == module.__name__]
    passed = []
    for lie in told:
        try:
            caught = _caught(lie, silenced, own[lie.guarantee])
        except (LookupError, TypeError, ValueError, AttributeError):
            caught = True  # nonsense is told of by judge, whatever the oracle says
        passed += [] if caught else [lie.name]
    assert passed != []
