"""A list from the operator's own database: a query, which column holds what, and rows that go to the API as CSV.

It runs where the person or the timer runs, so the database's password never reaches the product's servers. The one thing to know: rows pass
through one by one, so three million need no memory, and a query that fails halfway sends half a body, which the API drops.
"""

import contextlib
import csv
import io
import tomllib
from collections.abc import Generator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from ringfence.base.errors import OperatorError, PeerError
from ringfence.runtime.foreign import PORTION, open_foreign, stream
from ringfence.runtime.keys import read_key

QUERY_SECONDS = 600
MAX_FILE_BYTES = 64 * 1024


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file that describes where a list comes from. `columns`: our column -> the query's; without it, the query names ours."""

    url_file: str
    query: str
    columns: dict[str, str] = {}


def read_source(file: Path, known: Sequence[str]) -> Source:
    """The description; OperatorError when it cannot be read, or maps a column that the list does not have."""
    try:
        with file.open("rb") as opened:
            source = msgspec.convert(tomllib.loads(opened.read(MAX_FILE_BYTES).decode()), Source)
    except OSError as error:
        raise OperatorError(f"{file} cannot be read ({error.strerror})", reason="unreadable") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise OperatorError(f"{file}: {error}; it holds url_file, query and [columns]", reason="bad_source") from None
    if strange := sorted(source.columns.keys() - set(known)):
        raise OperatorError(f"{file}: there is no column {', '.join(strange)}; possible are {', '.join(known)}", reason="column_map")
    return source


def csv_of(source: Source, folder: Path, known: Sequence[str]) -> Generator[bytes, None, None]:
    """The query's rows as CSV with a header row. `folder`: where a relative `url_file` lies.

    OperatorError when the query lacks a column that the mapping names, PeerError when the database cannot be asked.
    """
    engine = open_foreign(read_key(folder / source.url_file), what=source.url_file, read_seconds=QUERY_SECONDS)
    with contextlib.ExitStack() as stack:
        stack.callback(engine.dispose)
        rows = stack.enter_context(contextlib.closing(stream(engine, source.query.strip().rstrip(";"))))
        names = [str(name) for name in next(rows)]
        columns = _columns(source, names, known)
        places = [names.index(theirs) for theirs in columns.values()]
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(columns)
        for number, row in enumerate(rows, start=1):
            writer.writerow([_cell(row[place], names[place]) for place in places])
            if number % PORTION == 0:
                yield _taken(text)
        yield _taken(text)


def _columns(source: Source, names: Sequence[str], known: Sequence[str]) -> Mapping[str, str]:
    """Our column -> the query's."""
    if not source.columns:
        return {name: name for name in names if name in known}
    if missing := sorted(set(source.columns.values()) - set(names)):
        raise OperatorError(f"the query has no column {', '.join(missing)}; it has {', '.join(names)}", reason="column_map")
    return source.columns


def _cell(value: Any, column: str) -> str:
    """A value as the CSV formats write it: nothing is empty, times are ISO 8601."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str() | int() | Decimal():
            return str(value)
        case date():  # A datetime is one too.
            return value.isoformat()
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                pass
    raise PeerError(f"column {column} of the query holds {type(value).__name__}, not text, numbers or times; cast it", reason="bad_type")


def _taken(text: io.StringIO) -> bytes:
    taken = text.getvalue().encode("utf-8", "surrogatepass")
    text.seek(0)
    text.truncate()
    return taken
