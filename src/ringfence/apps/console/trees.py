"""A device's parameters as a tree that folds: objects open, values inside. Pure.

Instances of one object (`Hosts.Host.1.`, `.2.`) keep the order of their numbers, not of their letters.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ringfence.fleet.model import Reported


@dataclass(slots=True, kw_only=True)
class Branch:
    """An object: its own parameters, the objects below, and how many parameters there are in all."""

    name: str
    leaves: list[Reported] = field(default_factory=list)
    branches: list["Branch"] = field(default_factory=list)
    count: int = 0


def tree_of(reported: Sequence[Reported], text: str = "") -> list[Branch]:
    """The roots, of parameters whose name or value has `text` in it."""
    wanted = text.casefold()
    top = Branch(name="")
    known: dict[str, Branch] = {"": top}
    chosen = [each for each in reported if wanted in each.name.casefold() or wanted in each.value.casefold()]
    for each in sorted(chosen, key=_order):
        path, _, _ = each.name.rpartition(".")
        _branch(known, path).leaves.append(each)
    _count(top)
    return top.branches or ([top] if top.leaves else [])


def _branch(known: dict[str, Branch], path: str) -> Branch:
    if path not in known:
        above, _, name = path.rpartition(".")
        known[path] = Branch(name=name)
        _branch(known, above).branches.append(known[path])
    return known[path]


def _count(branch: Branch) -> int:
    branch.count = len(branch.leaves) + sum(_count(each) for each in branch.branches)
    return branch.count


def _order(each: Reported) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() and len(part) < 10 else (-1, part) for part in each.name.split(".")]
