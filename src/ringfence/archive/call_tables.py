"""Call records in Parquet as columns: millions of whole calls without a Python object for each.

Every number, account, sender and User-Agent is looked at once and its fields are spread over the rows by code. What comes out says the same
as `row_of_call` of each record (a test compares them). The one thing to know: nothing is checked row by row here; a file with rows that
cannot be is refused whole, and `call_files.read_calls` says which rows and why.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ringfence.base.errors import OperatorError
from ringfence.base.ids import SLOTS, keyed_hash
from ringfence.telephony.call_records import EARLIEST_MS, LATEST_MS, LONGEST_CALL_MS, MAX_FIELD_CHARS
from ringfence.telephony.columns import NUMERIC, TEXT, RowBatch, Taken
from ringfence.telephony.model import Direction, Flag, Kind, account_key_of, call_key_of
from ringfence.telephony.pricing import Priced, Pricing
from ringfence.telephony.senders import Sender, Senders

_Asked = TypeVar("_Asked")
_Found = TypeVar("_Found")

pc: Any = pyarrow.compute
"""Its stubs know no column whose kind is found out at run time."""

ROWS: Final = 100_000
"""Rows of one piece at the most."""
REMEMBERED: Final = 500_000
"""Different texts of a kind whose meaning is remembered from piece to piece; beyond, the memory starts anew."""

_TEXTS: Final = (
    "call_id",
    "account",
    "caller",
    "callee",
    "source_ip",
    "user_agent",
    "edge",
    "direction",
    "forwarded_by",
    "trunk",
    "carrier",
)
_PLAIN: Final = ("call_id", "account", "source_ip", "user_agent", "edge", "trunk", "carrier", "forwarded_by")
_TIMES: Final = ("started_at", "answered_at", "ended_at")
_LIMITS: Final = (("status_code", 699), ("ring_seconds", 86_400))
_REQUIRED: Final = frozenset(("call_id", "account", "caller", "callee", "started_at"))
_WANTED: Final = frozenset((*_TEXTS, "started_at", "answered_at", "ended_at", "status_code", "authenticated", "ring_seconds"))
_DIRECTIONS: Final = {"out": Direction.OUT, "in": Direction.IN, "forwarded": Direction.FORWARDED}


class _Coded:
    """A text column as its different values and a code for each row."""

    __slots__ = ("codes", "values")

    def __init__(self, column: Any) -> None:
        coded = column.combine_chunks().dictionary_encode()
        self.values: list[str] = coded.dictionary.to_pylist()
        self.codes: NDArray[np.int32] = coded.indices.to_numpy().astype(np.int32)

    def spread(self, of: Callable[[str], int], dtype: str) -> NDArray[Any]:
        """A number of each value, on every row."""
        return np.array([of(value) for value in self.values], dtype)[self.codes]

    def texts(self, of: Callable[[str], str] | None = None) -> Taken:
        """The texts, or what `of` makes of them."""
        return Taken(self.values if of is None else [of(value) for value in self.values], self.codes)


class Span(NamedTuple):
    """What a file holds, by its rows' starts (Unix milliseconds, 0 without rows)."""

    rows: int
    charged: int
    """Rows that become calls of somebody."""
    first_ms: int
    last_ms: int
    ascending: bool


def span_of(path: Path) -> Span:
    """Look a file through without making rows. OperatorError when `call_tables` would refuse it."""
    rows = charged = first = last = 0
    ascending = True
    for table, read in _tables(path):
        rows, charged = rows + read, charged + table.num_rows
        if not table.num_rows:
            continue
        starts = table.column("started_at").to_numpy()
        ascending = ascending and bool(np.all(starts[1:] >= starts[:-1])) and int(starts[0]) >= last
        first, last = min(first or int(starts.min()), int(starts.min())), max(last, int(starts.max()))
    return Span(rows, charged, first, last, ascending)


class _Memory:
    """What texts of earlier pieces meant."""

    def __init__(self, pricing: Pricing, senders: Senders, key: bytes) -> None:
        def account_key(name: str) -> int:
            return account_key_of(key, name, keyed=True)

        def sender(pair: tuple[str, str]) -> Sender:
            return senders.of(*pair, keyed=True)

        self.account_key = _remembered(account_key)
        self.priced = _remembered(pricing.price)
        self.number = _remembered(pricing.number)
        self.sender = _remembered(sender)
        self.key = key


def _remembered(find: Callable[[_Asked], _Found]) -> Callable[[_Asked], _Found]:
    known: dict[_Asked, _Found] = {}

    def remembered(asked: _Asked) -> _Found:
        found = known.get(asked)
        if found is None:
            if len(known) >= REMEMBERED:
                known.clear()
            found = known[asked] = find(asked)
        return found

    return remembered


def call_tables(paths: Sequence[Path], *, pricing: Pricing, senders: Senders, key: bytes) -> Iterator[RowBatch]:
    """Whole calls (kinds CALL and INBOUND) in the order of the files, in pieces. OperatorError for a file that cannot be."""
    memory = _Memory(pricing, senders, key)
    for path in paths:
        for table, _ in _tables(path):
            if table.num_rows:
                yield _rows(table, memory)


def _tables(path: Path) -> Iterator[tuple[pa.Table, int]]:
    """The calls of a file that are somebody's, in pieces, and how many rows each piece was made of."""
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if missing := _REQUIRED - set(names):
                raise OperatorError(f"{path.name} has no column {', '.join(sorted(missing))}.", reason="no_column")
            _check_types(file.schema_arrow, path)
            for piece in file.iter_batches(ROWS, columns=[name for name in names if name in _WANTED]):
                yield _charged(pa.Table.from_batches([piece]), path), piece.num_rows
    except (pa.ArrowException, OSError) as refused:
        raise OperatorError(f"{path.name} cannot be read: {str(refused)[:200]}", reason="not_parquet") from None


def text_columns(path: Path, names: Sequence[str]) -> list[list[str]]:
    """Columns of texts of a small Parquet file. OperatorError when it cannot be read."""
    try:
        table: Any = pq.read_table(path, columns=list(names))
    except (pa.ArrowException, OSError, KeyError) as refused:
        raise OperatorError(f"{path.name} cannot be read: {str(refused)[:200]}", reason="not_parquet") from None
    found: list[list[str]] = [table.column(name).cast(pa.string()).to_pylist() for name in names]
    return found


def _check_types(schema: pa.Schema, path: Path) -> None:
    """Values of other types mean something, but not what a cast makes of them: seconds as numbers, truth as words."""
    wanted: dict[str, Callable[[Any], bool]] = dict.fromkeys(_TIMES, pa.types.is_timestamp) | {"authenticated": pa.types.is_boolean}
    for name, right in wanted.items():
        if name in schema.names and not (right(schema.field(name).type) or pa.types.is_null(schema.field(name).type)):
            raise OperatorError(f"{path.name} holds {schema.field(name).type} in {name}.", reason="bad_type")


def _charged(table: Any, path: Path) -> pa.Table:
    """The calls that are somebody's, with every column there, the payer as account and times in milliseconds."""
    length = table.num_rows
    columns: dict[str, Any] = {name: _text(table, name) for name in _TEXTS}
    for name in _TIMES:
        given = table.column(name) if name in table.column_names else pa.nulls(length, pa.timestamp("ms", tz="UTC"))
        columns[name] = given.cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()).fill_null(0)
    for name in ("status_code", "ring_seconds"):
        columns[name] = table.column(name).cast(pa.int64()).fill_null(0) if name in table.column_names else pa.array(np.zeros(length, "i8"))
    columns["direction"] = pc.if_else(pc.equal(columns["direction"], ""), "out", columns["direction"])
    if not pc.all(pc.is_in(columns["direction"], pa.array(list(_DIRECTIONS)))).as_py():
        raise OperatorError(f"{path.name} has a direction other than out, in and forwarded.", reason="bad_row")
    forwarded = pc.equal(columns["direction"], "forwarded")
    payer = pc.if_else(pc.and_(forwarded, pc.not_equal(columns["forwarded_by"], "")), columns["forwarded_by"], columns["account"])
    columns["account"], columns["forwarded_by"] = payer, pc.if_else(forwarded, payer, "")
    known = (
        table.column("authenticated").cast(pa.bool_()).fill_null(True)
        if "authenticated" in table.column_names
        else pa.array(np.ones(length, bool))
    )
    wanted = pc.and_(pc.not_equal(payer, ""), pc.or_(known, pc.equal(columns["direction"], "in")))
    started, answered, ended = columns["started_at"], columns["answered_at"], columns["ended_at"]
    possible = [
        pc.not_equal(columns["call_id"], ""),
        pc.not_equal(columns["callee"], ""),
        pc.greater_equal(started, EARLIEST_MS),
        *(pc.less_equal(time, LATEST_MS) for time in (started, answered, ended)),
        *(pc.and_(pc.greater_equal(columns[name], 0), pc.less_equal(columns[name], limit)) for name, limit in _LIMITS),
        *(pc.less_equal(pc.utf8_length(columns[name]), MAX_FIELD_CHARS) for name in _TEXTS),
        pc.or_(pc.equal(answered, 0), pc.greater_equal(answered, started)),
        pc.or_(pc.equal(ended, 0), pc.and_(pc.greater_equal(ended, started), pc.greater_equal(ended, answered))),
        pc.less_equal(pc.subtract(ended, started), LONGEST_CALL_MS),
    ]
    if not all(pc.all(each).as_py() is not False for each in possible):
        raise OperatorError(f"{path.name} has a row without identity or with times that cannot be.", reason="bad_row")
    return pa.table(columns).filter(wanted)


def _text(table: Any, name: str) -> Any:
    if name not in table.column_names:
        return pa.array([""] * table.num_rows, pa.string())
    return pc.utf8_trim_whitespace(table.column(name).cast(pa.string()).fill_null(""))


def _rows(table: pa.Table, memory: _Memory) -> RowBatch:
    length = table.num_rows
    coded = {name: _Coded(table.column(name)) for name in _TEXTS}
    started, answered, ended, ring, status = (
        table.column(name).to_numpy() for name in ("started_at", "answered_at", "ended_at", "ring_seconds", "status_code")
    )
    direction = coded["direction"].spread(lambda name: int(_DIRECTIONS[name]), "u1")
    inbound = direction == Direction.IN
    ended = np.where(ended > 0, ended, np.where(answered > 0, answered, started))
    numeric: dict[str, NDArray[Any]] = {
        "kind": np.where(inbound, int(Kind.INBOUND), int(Kind.CALL)),
        "at_ms": started,
        "received_ms": started,
        "account_key": coded["account"].spread(memory.account_key, "i8"),
        "call_key": _call_keys(coded["call_id"], inbound, memory.key),
        "started_ms": started,
        "answered_ms": answered,
        "ended_ms": ended,
        "status_code": status,
        "ring_seconds": np.where((ring == 0) & inbound, (np.where(answered > 0, answered, ended) - started) // 1000, ring),
        "direction": direction,
    }
    numeric["slot"] = numeric["account_key"] & (SLOTS - 1)
    callee, caller = coded["callee"], coded["caller"]
    places, priced = _destinations(caller, callee, inbound, memory)
    for name in ("range_key", "number_tail", "country", "destination_class", "rate", "connect_micro"):
        numeric[name] = np.array([getattr(each, name) for each in priced], "i8")[places]
    network, sender_flags = _senders(coded["source_ip"], coded["user_agent"], memory, numeric)
    forwarded = np.where(direction == Direction.FORWARDED, int(Flag.FORWARDED), 0)
    numeric["flags"] = np.array([each.flags for each in priced], "i8")[places] | sender_flags | forwarded | int(Flag.CDR)
    called = [memory.number(value) for value in callee.values] if inbound.any() else [""] * len(callee.values)
    shown = [*(each.callee for each in priced), *called]
    text: dict[str, Sequence[str]] = {name: coded[name].texts() for name in _PLAIN} | {
        "caller": caller.texts(memory.number),
        "callee": Taken(shown, np.where(inbound, len(priced) + callee.codes, places)),
        "network": network,
    }
    nothing = Taken([""], np.zeros(length, np.int32))
    return RowBatch(
        length,
        {name: np.ascontiguousarray(numeric.get(name, np.zeros(length)).astype(dtype)) for name, dtype in NUMERIC},
        {name: text.get(name, nothing) for name in TEXT},
    )


def _call_keys(call_ids: _Coded, inbound: NDArray[np.bool_], key: bytes) -> NDArray[np.int64]:
    keys = call_ids.spread(lambda call_id: call_key_of(key, call_id), "i8")
    if inbound.any():
        keys[inbound] = call_ids.spread(lambda call_id: keyed_hash(key, call_id, "inbound"), "i8")[inbound]
    return keys


def _destinations(caller: _Coded, callee: _Coded, inbound: NDArray[np.bool_], memory: _Memory) -> tuple[NDArray[np.int64], list[Priced]]:
    """What the called number is, of an inbound call what the caller's would be: place on each row, and the different ones."""
    priced = [memory.priced(value) for value in callee.values]
    if not inbound.any():
        return callee.codes.astype(np.int64), priced
    back = [memory.priced(value) for value in caller.values]
    priced += [each if each.callee.startswith("+") else each._replace(range_key=0, number_tail=0) for each in back]
    return np.where(inbound, len(callee.values) + caller.codes, callee.codes).astype(np.int64), priced


def _senders(address: _Coded, agent: _Coded, memory: _Memory, numeric: dict[str, NDArray[Any]]) -> tuple[Sequence[str], NDArray[np.int64]]:
    """Fill in the columns about the source; the networks' names and the flags."""
    pairs, places = np.unique(address.codes.astype(np.int64) * len(agent.values) + agent.codes, return_inverse=True)
    found = [memory.sender((address.values[pair // len(agent.values)], agent.values[pair % len(agent.values)])) for pair in pairs.tolist()]
    for name in ("source_key", "network_key", "network_kind", "source_country", "family_key"):
        numeric[name] = np.array([getattr(each, name) for each in found], "i8")[places]
    return Taken([each.network for each in found], places), np.array([each.flags for each in found], "i8")[places]
