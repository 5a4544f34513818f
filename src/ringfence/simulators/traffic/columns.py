"""Calls and registrations as columns: what the generators make and a writer turns into files.

Numbers are int64 without sign (below one million: as dialled), addresses uint32, User-Agents places in a list of texts, times Unix
milliseconds with 0 for what did not happen. The one thing to know: `case` is the label, and a writer keeps it out of the calls.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]

OUT, IN, FORWARDED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class _Columns:
    @property
    def length(self) -> int:
        """Rows."""
        return len(getattr(self, fields(self)[0].name))

    def take(self, places: npt.NDArray[np.int64] | npt.NDArray[np.bool_] | slice) -> Self:
        """The rows at `places`."""
        return type(self)(*(getattr(self, field.name)[places] for field in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """All rows of several pieces, in their order."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


@dataclass(frozen=True, slots=True)
class Calls(_Columns):
    """Calls. `account` is the account's number (its name is those digits); 0 where no account is known."""

    call_id: npt.NDArray[np.uint64]
    account: npt.NDArray[np.int64]
    caller: npt.NDArray[np.int64]
    callee: npt.NDArray[np.int64]
    source: npt.NDArray[np.uint32]
    user_agent: npt.NDArray[np.int16]
    edge: npt.NDArray[np.int8]
    started_ms: npt.NDArray[np.int64]
    ring_ms: npt.NDArray[np.int32]
    """From the start to the answer, or to the end of a call that was not answered."""
    talk_ms: npt.NDArray[np.int32]
    """-1 for a call that was not answered."""
    status: npt.NDArray[np.int16]
    direction: npt.NDArray[np.int8]
    forwarded_by: npt.NDArray[np.int64]
    authenticated: npt.NDArray[np.bool_]
    case: npt.NDArray[np.int32]
    """Place of the case in the list of cases, -1 for ordinary life."""

    def sorted(self) -> Self:
        """By start; calls of one millisecond by Call-ID."""
        return self.take(np.lexsort((self.call_id, self.started_ms)))

    @classmethod
    def merged(cls, parts: Sequence[Self]) -> Self:
        """All rows of several pieces, sorted, a column at a time: a day of a large operator is in memory twice, not three times."""
        identity = np.concatenate([part.call_id for part in parts])
        order = np.lexsort((identity, np.concatenate([part.started_ms for part in parts])))
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts])[order] for field in fields(cls)))


@dataclass(frozen=True, slots=True)
class Registrations(_Columns):
    """REGISTERs with credentials and their verdict."""

    at_ms: npt.NDArray[np.int64]
    account: npt.NDArray[np.int64]
    source: npt.NDArray[np.uint32]
    user_agent: npt.NDArray[np.int16]
    contact_host: npt.NDArray[np.uint32]
    contact_port: npt.NDArray[np.uint16]
    expires: npt.NDArray[np.int32]
    status: npt.NDArray[np.int16]

    def sorted(self) -> Self:
        """By time; those of one millisecond by account."""
        return self.take(np.lexsort((self.account, self.at_ms)))
