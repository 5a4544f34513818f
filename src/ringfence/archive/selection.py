"""Rows of the archive that fulfil conditions, as columns and in pieces: what a preview of a rule is counted from.

DuckDB filters while it reads, with a memory cap and a time limit; every value is a parameter, every column one of ours. The one thing to
know: pieces come in any order, because merged days are sorted by account; `Selected.log` and `refs` say where in which log each row stood.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ringfence.archive import layout
from ringfence.archive.batches import TextColumn
from ringfence.archive.calls import MAX_QUESTION_DAYS
from ringfence.archive.database import open_database
from ringfence.archive.layout import CALLS, FileName
from ringfence.base.clock import monotonic_seconds
from ringfence.base.errors import OperatorError, UnavailableError
from ringfence.telephony.columns import MAX_ROWS, NUMERIC, TEXT, RowBatch
from ringfence.telephony.model import DestinationClass, Kind

PIECE_ROWS: Final = 131_072
MAX_KEYS: Final = 200_000
"""Accounts of one question about money."""
SILENT_CALL_MS: Final = 4 * 3_600_000
"""A call without an end costs this long at the most: ingest ends silent dialogs then."""
VIEW: Final = "account"

Test = Literal["in", "not_in", "starts_with", "contains", "between", "any_bit", "no_bit"]
Folder = Literal["calls", "registrations"]

_TYPES: Final = {column.name: column.dtype for column in NUMERIC}
_UPPER, _LOWER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"


class Condition(NamedTuple):
    """Something a row must fulfil: any of `values`, or `low` to `high`. `folded`: without the case of ASCII letters.

    Values are folded already. A few rows more may come than fulfil a folded condition, never fewer.
    """

    column: str
    test: Test
    values: tuple[str | int, ...] = ()
    low: int = 0
    high: int = 0
    folded: bool = False


class Selected(NamedTuple):
    """Rows of one piece. The batch has the columns that were asked for and no others."""

    lane: int
    log: int
    """Which log of the lane: one that was made anew counts its messages from 1 again. Later logs have higher numbers."""
    refs: NDArray[np.int64]
    batch: RowBatch


class Spent(NamedTuple):
    """C2+ cost of an account in micro-euro: all of the span, and of calls that began after a time."""

    all_micro: int
    after_micro: int


class RowSelection:
    """The questions. Each may take `seconds`, all together `memory_bytes`. Safe to share between threads."""

    def __init__(self, folder: Path, *, memory_bytes: int = 512 * 1024 * 1024, seconds: float = 25.0, threads: int = 2) -> None:
        self._folder = folder.resolve()
        self._seconds = seconds
        self._database = open_database(self._folder, memory_bytes=memory_bytes, threads=threads)

    def close(self) -> None:
        """Let go of memory and files."""
        self._database.close()

    def rows(
        self,
        folder: Folder,
        conditions: Sequence[Condition],
        *,
        numeric: Sequence[str],
        text: Sequence[str] = (),
        from_ms: int,
        to_ms: int,
        refs: Sequence[int] | None = None,
    ) -> Iterator[Selected]:
        """Rows of the span that fulfil all conditions (and stand at `refs`). UnavailableError: too slow, too much, or unreadable."""
        _check_span(from_ms, to_ms)
        deadline = monotonic_seconds() + self._seconds
        where, values = _where(conditions)
        if refs is not None:
            where.append(f"sequence * {MAX_ROWS} + row IN (SELECT unnest($refs))")
            values["refs"] = list(refs)
        columns = ", ".join(_known(name) for name in (*numeric, *text))
        question = f"SELECT sequence * {MAX_ROWS} + row AS ref, {columns} FROM read_parquet($files) WHERE {' AND '.join(where)}"  # noqa: S608 - ours
        values |= {"from_ms": from_ms, "to_ms": to_ms}
        for lane, log, files in self._logs(folder, from_ms=from_ms, to_ms=to_ms):
            for piece in self._pieces(question, values | {"files": files}, deadline):
                yield _selected(piece, lane, log, numeric, text)

    def accounts(self, *, from_ms: int, to_ms: int) -> int:
        """Accounts that called in the span."""
        _check_span(from_ms, to_ms)
        found = self._one(
            f"SELECT count(DISTINCT account_key) AS n FROM read_parquet($files)"  # noqa: S608 - ours
            f" WHERE kind IN ({int(Kind.ATTEMPT)}, {int(Kind.CALL)}) AND at_ms BETWEEN $from_ms AND $to_ms",
            from_ms=from_ms,
            to_ms=to_ms,
        )
        return int(found[0]["n"]) if found else 0

    def spent(self, after_ms: Mapping[int, int], *, from_ms: int, to_ms: int) -> dict[int, Spent]:
        """What accounts (by key) spent on calls to C2 and above that began in the span; after each one's own time, and in all."""
        _check_span(from_ms, to_ms)
        if len(after_ms) > MAX_KEYS:
            raise OperatorError(f"Ask for the money of at most {MAX_KEYS:,} accounts.", reason="too_many_accounts")
        if not after_ms:
            return {}
        found = self._one(
            f"""
            WITH asked AS (SELECT unnest($keys) AS account_key, unnest($times) AS after_ms),
            calls AS (
                SELECT account_key, min(CASE WHEN started_ms > 0 THEN started_ms ELSE at_ms END) AS started,
                       max(answered_ms) AS answered, max(ended_ms) AS ended, max(rate) AS rate, max(connect_micro) AS connect
                FROM read_parquet($files) SEMI JOIN asked USING (account_key)
                WHERE at_ms BETWEEN $from_ms AND $to_ms AND destination_class >= {int(DestinationClass.C2)}
                  AND kind BETWEEN {int(Kind.ATTEMPT)} AND {int(Kind.CALL)}
                GROUP BY account_key, call_key HAVING max(answered_ms) > 0
            ),
            priced AS (
                SELECT account_key, started, connect + rate * greatest(0,
                    (CASE WHEN ended > 0 THEN ended ELSE least($to_ms, answered + {SILENT_CALL_MS}) END) - answered) // 60000 AS micro
                FROM calls
            )
            SELECT account_key, sum(micro)::BIGINT AS whole, coalesce(sum(micro) FILTER (started > after_ms), 0)::BIGINT AS later
            FROM priced JOIN asked USING (account_key) GROUP BY account_key""",  # noqa: S608 - ours
            keys=list(after_ms),
            times=list(after_ms.values()),
            from_ms=from_ms,
            to_ms=to_ms,
        )
        return {int(row["account_key"]): Spent(int(row["whole"]), int(row["later"])) for row in found}

    # Inside

    def _logs(self, folder: str, *, from_ms: int, to_ms: int) -> list[tuple[int, int, list[str]]]:
        """Files of the span by lane and log."""
        named = [
            (name, path)
            for path in layout.files(self._folder, folder, from_ms=from_ms, to_ms=to_ms)
            if (name := layout.parse_name(path.name))
        ]
        found: list[tuple[int, int, list[str]]] = []
        before: FileName | None = None
        for name, path in sorted(named, key=lambda pair: (pair[0].lane, pair[0].at_ms)):
            if name.view != VIEW:
                continue
            if before is None or name.lane != before.lane:
                found.append((name.lane, 0, []))
            elif name.first <= before.last:
                found.append((name.lane, found[-1][1] + 1, []))
            found[-1][2].append(str(path))
            before = name
        return found

    def _one(self, question: str, *, from_ms: int, to_ms: int, **values: Any) -> list[dict[str, Any]]:
        """A question over the calls of all lanes whose answer is small."""
        files = [path for _, _, paths in self._logs(CALLS, from_ms=from_ms, to_ms=to_ms) for path in paths]
        if not files:
            return []
        values |= {"files": files, "from_ms": from_ms, "to_ms": to_ms}
        deadline = monotonic_seconds() + self._seconds
        return [row for piece in self._pieces(question, values, deadline) for row in piece.to_pylist()]

    def _pieces(self, question: str, values: Mapping[str, Any], deadline: float) -> Iterator[pa.RecordBatch]:
        cursor = self._database.cursor()
        limit = threading.Timer(max(deadline - monotonic_seconds(), 0.001), cursor.interrupt)
        limit.start()
        try:
            for piece in cursor.sql(question, params=values).to_arrow_reader(PIECE_ROWS):
                yield piece
                if monotonic_seconds() > deadline:
                    raise _slow()
        except duckdb.InterruptException:
            raise _slow() from None
        except duckdb.OutOfMemoryException:
            raise UnavailableError("The answer needs too much memory; ask for fewer days.", reason="archive_memory") from None
        except (duckdb.IOException, duckdb.InvalidInputException) as refused:
            raise UnavailableError(
                f"The archive cannot be read, or was merged just now; ask again: {str(refused)[:200]}", reason="archive_unreadable"
            ) from None
        finally:
            limit.cancel()
            cursor.close()


def _slow() -> UnavailableError:
    return UnavailableError("The archive took too long; ask for fewer days or a narrower rule.", reason="archive_slow")


def _check_span(from_ms: int, to_ms: int) -> None:
    if not 0 <= from_ms <= to_ms or to_ms - from_ms > MAX_QUESTION_DAYS * layout.DAY_MS:
        raise OperatorError(f"Ask for a span of at most {MAX_QUESTION_DAYS} days whose start is before its end.", reason="bad_span")


def _known(name: str) -> str:
    """A column's name, which becomes part of the question: only ever one of ours."""
    if name not in _TYPES and name not in TEXT:
        raise ValueError(f"{name} is no column of the archive")
    return name


def _where(conditions: Sequence[Condition]) -> tuple[list[str], dict[str, Any]]:
    """SQL of the conditions, and their values as parameters."""
    found, values = ["at_ms BETWEEN $from_ms AND $to_ms"], dict[str, Any]()
    for place, condition in enumerate(conditions):
        column, name = _known(condition.column), f"v{place}"
        given = f"(SELECT unnest(${name}) AS v)"
        if condition.folded:
            column = _folded(column, condition)
        match condition.test:
            case "in":
                found.append(f"{column} IN {given}")
            case "not_in":
                found.append(f"{column} NOT IN {given}")
            case "starts_with" | "contains":
                some = {f"{name}_{number}": value for number, value in enumerate(condition.values)}
                found.append("(" + " OR ".join(f"{condition.test}({column}, ${one})" for one in some) + ")")
                values |= some
                continue
            case "between":
                found.append(f"{column} BETWEEN ${name}_low AND ${name}_high")
                values |= {f"{name}_low": condition.low, f"{name}_high": condition.high}
                continue
            case "any_bit" | "no_bit":
                found.append(f"({column} & ${name}) {'<>' if condition.test == 'any_bit' else '='} 0")
                values[name] = condition.low
                continue
        values[name] = list(condition.values)
    return found, values


def _folded(column: str, condition: Condition) -> str:
    """Without the case of ASCII letters. `lower` is ten times as fast; it also folds other letters, which can only add rows here."""
    if condition.test != "not_in" and all(str(value).isascii() for value in condition.values):
        return f"lower({column})"
    return f"translate({column}, '{_UPPER}', '{_LOWER}')"


def _selected(piece: pa.RecordBatch, lane: int, log: int, numeric: Sequence[str], text: Sequence[str]) -> Selected:
    numbers = {name: piece.column(name).to_numpy(zero_copy_only=False).astype(_TYPES[name], copy=False) for name in numeric}
    texts = {name: TextColumn(piece.column(name)) for name in text}
    refs = piece.column("ref").to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    return Selected(lane, log, refs, RowBatch(piece.num_rows, numbers, texts))
