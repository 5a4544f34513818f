"""A session as a conversation: who said what, what it listed, and where it went wrong. Pure.

The lines were written and redacted when the session ended (`device: …`, `acs: …`, what belongs to a message indented); here they are only
put together again. A line of another shape stands as a remark, so nothing that was written is lost.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_SAID = re.compile(r"(device|acs): (.*)", re.DOTALL).fullmatch
_FAULT = re.compile(r"Fault \d|.*: fault \d|The session ended before its time", re.DOTALL).match


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message, or a remark when `who` is empty. `fault`: it says that something did not work."""

    who: str
    head: str
    listed: tuple[str, ...]
    fault: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """A session."""

    session_id: str
    ended_ms: int
    turns: tuple[Turn, ...]

    @property
    def faults(self) -> int:
        """How many of its turns went wrong."""
        return sum(turn.fault for turn in self.turns)


def talk(session_id: str, ended_ms: int, lines: Sequence[str]) -> Talk:
    """The turns of a session's lines."""
    turns: list[tuple[str, str, list[str]]] = []
    for line in lines:
        if line.startswith("  ") and turns:
            turns[-1][2].append(line.strip())
        elif (said := _SAID(line)) is not None:
            turns.append((said[1], said[2], []))
        else:
            turns.append(("", line.strip(), []))
    made = tuple(Turn(who=who, head=head, listed=tuple(listed), fault=_FAULT(head) is not None) for who, head, listed in turns)
    return Talk(session_id=session_id, ended_ms=ended_ms, turns=made)
