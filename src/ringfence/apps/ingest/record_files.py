"""Files of call records and registrations, found by a pattern: CSV and `Master.csv` as they grow, Parquet and JSON documents when whole.

Of a file that grows, the place, the line and a sum over the bytes before the place are remembered: a file with other bytes there is
another file and read from its start, and a file that was rotated under another name that the pattern matches is gone on with. What a row
means is decided in `telephony.call_records`, how CSV and Parquet are read in `archive.call_files`.
"""

import glob
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal
from zoneinfo import ZoneInfo

import msgspec

from ringfence.apps.ingest.records import PORTION, Position, Record, refuse
from ringfence.archive.call_files import MAX_ROW_CHARS, MAX_ROW_LINES, FileFormat, cells_of, parquet_records
from ringfence.base.clock import Clock
from ringfence.base.errors import OperatorError, PeerError
from ringfence.telephony.call_records import CallRecord, RegistrationRecord, read_asterisk, read_freeswitch

MAX_FILES = 10_000
MAX_REMEMBERED_FILES = 100_000
SETTLED_MS = 60_000
"""A Parquet file without an end that nobody has written to for so long is broken, not unfinished."""
UNFINISHED_MS = 10_000
"""How long a document, or a quoted text with line ends, may stay unfinished after its file was written to."""
SUM_BYTES = 256
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")

Kind = Literal["csv", "parquet", "asterisk", "freeswitch"]
Content = FileFormat[CallRecord] | FileFormat[RegistrationRecord]


class FilePlace(msgspec.Struct):
    """How far a file was read: bytes and lines of a text, rows of a Parquet file. `mark` tells whether it is still that file."""

    at: int = 0
    line: int = 0
    mark: int = 0
    inode: int = 0


class _Places(msgspec.Struct):
    files: dict[str, FilePlace] = {}


class FileSource:
    """Files that match a pattern. `content` says what the rows of CSV and Parquet files are."""

    def __init__(self, name: str, kind: Kind, pattern: str, position: Path, *, content: Content, zone: ZoneInfo, clock: Clock) -> None:
        if not pattern:
            raise OperatorError(f"Call record source {name} needs path, a file or a pattern such as /var/cdr/*.csv", reason="no_path")
        self.name = name
        self.refused: Counter[str] = Counter()
        self._kind = kind
        self._pattern = pattern
        self._content: FileFormat[Any] = content
        self._zone = zone
        self._clock = clock
        self._position = Position(position, _Places())
        self._before: dict[str, FilePlace] = {}

    @property
    def _places(self) -> dict[str, FilePlace]:
        return self._position.value.files

    def fetch(self) -> Iterator[Sequence[Record]]:
        """New records of every file, in the order of their names."""
        read: Callable[[str], Iterator[Sequence[Record]]] = {
            "csv": self._lines, "asterisk": self._lines, "freeswitch": self._document, "parquet": self._parquet
        }[self._kind]  # fmt: skip
        paths = sorted(path for path in glob.glob(self._pattern) if not path.endswith(COMPRESSED))[:MAX_FILES]  # noqa: PTH207 - the operator's pattern
        self._before = dict(self._places)
        for path in paths:
            try:
                yield from read(path)
            except FileNotFoundError:
                continue  # Rotated away between the look and the reading.
            except OSError as error:
                self._refuse("file_unreadable", path, 0, error.strerror or str(error))

    def commit(self) -> None:
        """Write the positions."""
        if len(self._places) > MAX_REMEMBERED_FILES:
            self._position.value.files = {path: place for path, place in self._places.items() if Path(path).exists()}
        self._position.save()

    # Texts that grow

    def _lines(self, path: str) -> Iterator[Sequence[Record]]:
        with Path(path).open("rb") as file:
            place = self._place(path, file)
            names: list[str] | None = None
            if self._kind == "csv":
                file.seek(0)
                header = self._next_row(file)
                if header is None:
                    return
                names = self._header(path, header)
                if names is None:
                    return
                if not place.at:
                    place.at, place.line = len(header), header.count(b"\n")
            file.seek(place.at)
            while True:
                records: list[Record] = []
                count = 0
                while count < PORTION and (row := self._next_row(file)) is not None:
                    count += 1
                    taken = self._row(path, place.line + 1, row, names)
                    if isinstance(taken, PeerError):
                        # A quote that is never closed costs its own line, not those behind it.
                        first = row.partition(b"\n")
                        row = first[0] + first[1]
                        file.seek(place.at + len(row))
                        self._refuse(taken.reason, path, place.line + 1, str(taken))
                    elif taken is not None:
                        records.append(taken)
                    place.at += len(row)
                    place.line += row.count(b"\n")
                if not count:
                    return
                place.mark = _sum_before(file, place.at)
                file.seek(place.at)
                self._places[path] = place
                yield records

    def _row(self, path: str, line: int, row: bytes, names: list[str] | None) -> Record | PeerError | None:
        """The record, None for an empty line or one that is refused for its content, PeerError for one that is no CSV."""
        cells = cells_of(row.decode("utf-8", "surrogateescape"))
        if not cells:
            return None
        if isinstance(cells, PeerError):
            return cells
        try:
            if names is None:
                return read_asterisk(cells, edge=self.name, zone=self._zone)
            if len(cells) != len(names):
                raise PeerError(f"The row has {len(cells)} cells instead of {len(names)}.", reason="bad_width")
            record: Record = self._content.parse(dict(zip(names, cells, strict=True)))
        except PeerError as error:
            self._refuse(error.reason, path, line, str(error))
            return None
        return record

    def _next_row(self, file: BinaryIO) -> bytes | None:
        """The next row with its line ends, None when there is none or it is still being written."""
        row = b""
        while row.count(b"\n") < MAX_ROW_LINES and len(row) < MAX_ROW_CHARS:
            line = file.readline(MAX_ROW_CHARS)
            if not line.endswith(b"\n") and len(line) < MAX_ROW_CHARS:
                # Lines that stay behind an open quote are no row that is still being written.
                written_ms = os.fstat(file.fileno()).st_mtime_ns // 1_000_000
                return row if row and self._clock() - written_ms > UNFINISHED_MS else None
            row += line
            if row.count(b'"') % 2 == 0:
                break
        return row

    def _place(self, path: str, file: BinaryIO) -> FilePlace:
        """Where reading goes on: where this file was left, under this name or before it was rotated; else its start."""
        inode = os.fstat(file.fileno()).st_ino
        known = self._places
        left = [known[path]] if path in known else []
        left += [place for name, place in self._before.items() if place.inode == inode and name != path]
        for place in left:
            if place.at and _sum_before(file, place.at) == place.mark:
                return msgspec.structs.replace(place, inode=inode)
        return FilePlace(inode=inode)

    def _header(self, path: str, header: bytes) -> list[str] | None:
        cells = cells_of(header.decode("utf-8-sig", "replace"))
        names = [name.strip().lower() for name in cells] if isinstance(cells, list) else []
        missing = [name for name in self._content.required if name not in names]
        if missing:
            self._once(path, zlib.crc32(header), "bad_header", f"the columns {', '.join(missing)} are missing")
            return None
        return names

    # Files that are read when they are whole

    def _document(self, path: str) -> Iterator[Sequence[Record]]:
        if path in self._places:
            return
        payload, written_ms = Path(path).read_bytes(), Path(path).stat().st_mtime_ns // 1_000_000
        records: list[Record] = []
        try:
            records.append(read_freeswitch(payload, edge=self.name))
        except PeerError as error:
            if error.reason == "bad_json" and self._clock() - written_ms < UNFINISHED_MS:
                return
            self._refuse(error.reason, path, 1, str(error))
        self._places[path] = FilePlace(at=1)
        yield records

    def _parquet(self, path: str) -> Iterator[Sequence[Record]]:
        state = Path(path).stat()
        mark = zlib.crc32(f"{state.st_ino} {state.st_size} {state.st_mtime_ns}".encode())
        place = self._places.get(path)
        if place is None or place.mark != mark:
            place = FilePlace(mark=mark, inode=state.st_ino)
        elif place.line < 0:
            return  # It was read to its end, or refused as a whole.
        try:
            rows = parquet_records(Path(path), self._content, skip=place.at)
            while portion := list(islice(rows, PORTION)):
                records: list[Record] = []
                for number, record in portion:
                    if isinstance(record, PeerError):
                        self._refuse(record.reason, path, number, str(record))
                    else:
                        records.append(record)
                place.at = portion[-1][0]
                self._places[path] = place
                yield records
        except OperatorError as error:
            if error.reason == "bad_parquet" and self._clock() - state.st_mtime_ns // 1_000_000 < SETTLED_MS:
                return  # Still being written, or just replaced.
            self._refuse(error.reason, path, place.at + 1, str(error))
        self._places[path] = msgspec.structs.replace(place, line=-1)
        yield []

    def _once(self, path: str, mark: int, reason: str, message: str) -> None:
        """Refuse a whole file, and not again at each turn."""
        place = self._places.get(path)
        if place is None or place.at or place.mark != mark:
            self._places[path] = FilePlace(mark=mark)
            self._refuse(reason, path, 1, message)

    def _refuse(self, reason: str, path: str, line: int, message: str) -> None:
        refuse(self, reason, message, path=path, line=line)


def _sum_before(file: BinaryIO, at: int) -> int:
    """A sum over the bytes before a place, so that another file of the same name is told from one that grew; -1 when it is shorter."""
    start = max(0, at - SUM_BYTES)
    file.seek(start)
    before = file.read(at - start)
    return zlib.crc32(before) if len(before) == at - start else -1
