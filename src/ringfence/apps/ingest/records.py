"""What every source of finished call records and registrations has in common: portions, a position on disk, the turn.

A source remembers how far it got in a file of its own, written only after its rows are in the log, so a restart repeats a portion at the
most and skips nothing; the repetition is dropped by Call-ID, because ingest reads back from the log what it had written. A record that
cannot be read is counted by reason and logged with its place, the rest goes on. A source that is away is tried again at its next turn.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import msgspec

from ringfence.archive.durable import make_folder, write_durably
from ringfence.base.errors import OperatorError, PeerError, UnavailableError
from ringfence.runtime.log import get_logger
from ringfence.telephony.call_records import CallRecord, RegistrationRecord

PORTION = 500
"""Records that are read in one go."""
LOGGED = 10
"""Refused records of one reason that are logged with their place; all are counted."""

Record = CallRecord | RegistrationRecord
Place = TypeVar("Place")

_log = get_logger(__name__)


class Source(Protocol):
    """Where records come from. `fetch` gives what is new, in portions; `commit` remembers that they were handed over."""

    name: str
    refused: Counter[str]

    def fetch(self) -> Iterator[Sequence[Record]]:
        """New records. Blocking; called in a thread. PeerError when the source cannot be read."""
        ...

    def commit(self) -> None:
        """Remember the position of the last portion. UnavailableError when the disk refuses."""
        ...


class Position(Generic[Place]):
    """How far a source was read, in one file that is replaced as a whole. OperatorError when it is damaged."""

    def __init__(self, path: Path, start: Place) -> None:
        self._path = path
        self.value = start
        if not path.exists():
            return
        try:
            self.value = msgspec.json.decode(path.read_bytes(), type=type(start))
        except (OSError, msgspec.DecodeError) as error:
            raise OperatorError(f"{path} cannot be read ({error}); remove it to read all records again.", reason="position") from error

    def save(self) -> None:
        """Write and sync it, so that a crash leaves the old or the new one."""
        make_folder(self._path.parent)
        encoded = msgspec.json.encode(self.value)
        write_durably(self._path, lambda file: _put(file.write, encoded))


def refuse(source: Source, reason: str, message: str, **place: object) -> None:
    """Count a record that cannot be read, and log the first ones of each reason."""
    source.refused[reason] += 1
    if source.refused[reason] <= LOGGED:
        _log.warning("call_record_refused", source=source.name, reason=reason, message=message, **place)


async def follow(
    source: Source,
    take: Callable[[Sequence[Record]], None],
    *,
    settle: Callable[[], Awaitable[None]],
    poll_seconds: float,
    trouble: Callable[[str], None],
) -> None:
    """Hand on what is new, for ever. `settle` waits until what was handed on is in the log: only then is the position kept."""
    while True:
        portions = source.fetch()
        unkept = ""
        try:
            while (portion := await asyncio.to_thread(partial(next, portions, None))) is not None:
                take(portion)
                await settle()
                try:
                    await asyncio.to_thread(source.commit)
                    unkept = ""
                except UnavailableError as error:  # Reading goes on; a restart would repeat what ingest then knows from its log.
                    unkept = f"The position of {source.name} cannot be kept: {error}"
            trouble(unkept)
        except (PeerError, OSError) as error:
            trouble(f"Records of {source.name} cannot be read: {error}")
        await asyncio.sleep(poll_seconds)


def _put(write: Callable[[bytes], int], encoded: bytes) -> None:
    write(encoded)
