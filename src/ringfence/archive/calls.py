"""Questions to the archive: whole calls folded from their rows, registrations, and what a block would have refused.

DuckDB answers them over the Parquet files of the days in question, with a memory cap and a time limit, and with no reach beyond the
archive folder. What a person typed is only ever a parameter. Connections are for one thread at a time; each question uses its own.
"""

import threading
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import msgspec

from ringfence.archive import layout
from ringfence.archive.database import open_database
from ringfence.archive.layout import CALLS, REGISTRATIONS
from ringfence.base.errors import OperatorError, UnavailableError
from ringfence.telephony.model import DestinationClass, Kind
from ringfence.telephony.suspicion import Measure

MAX_CALLS = 10_000
"""Calls or registrations of one answer at the most."""
MAX_CALL_IDS = 1_000
MAX_QUESTION_DAYS = 400
FILES_TRIES = 3
"""How often a question is asked anew because files were merged meanwhile."""

_ATTEMPTS = (int(Kind.ATTEMPT), int(Kind.CALL))
_NOT_OUTGOING = (0, int(Kind.INBOUND))
"""An inbound call costs its account nothing, and its number fields are those of the caller."""


class ArchivedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A whole call. Times are Unix milliseconds, 0 when it did not happen or is not known; money is micro-euro.

    `cost_micro` is the price of connection plus rate times duration, rounded down to a micro-euro; a call without an end costs up to
    the end of the asked span.
    """

    call_id: str
    account: str
    caller: str
    callee: str
    attempted_ms: int
    answered_ms: int
    ended_ms: int
    status_code: int
    country: int
    destination_class: int
    rate: int
    connect_micro: int
    cost_micro: int
    flags: int
    blocked: bool
    source_ip: str
    user_agent: str
    edge: str
    trunk: str
    carrier: str

    @property
    def duration_ms(self) -> int:
        """From answer to end; 0 when there was no answer or the end is not known."""
        return max(0, self.ended_ms - self.answered_ms) if self.answered_ms and self.ended_ms else 0


class ArchivedRegistration(msgspec.Struct, frozen=True, kw_only=True):
    """A registration that changed, or credentials that were refused (`refused`)."""

    at_ms: int
    account: str
    refused: bool
    source_ip: str
    user_agent: str
    contact: str
    expires: int
    status_code: int
    edge: str


class Refusals(NamedTuple):
    """What a block would have refused: attempts, and the accounts that made them."""

    calls: int
    accounts: int


def cost_of(rate: int, connect_micro: int, answered_ms: int, ended_ms: int) -> int:
    """Micro-euro of an answered call: whole micro-euro, rounded down once, never by minute."""
    return connect_micro + rate * max(0, ended_ms - answered_ms) // 60_000


class CallArchive:
    """The questions. Safe to share between threads; each question may take `seconds` and all together `memory_bytes`."""

    def __init__(self, folder: Path, *, memory_bytes: int = 512 * 1024 * 1024, seconds: float = 20.0, threads: int = 2) -> None:
        self._folder = folder.resolve()
        self._seconds = seconds
        self._database = open_database(self._folder, memory_bytes=memory_bytes, threads=threads)

    def close(self) -> None:
        """Let go of memory and files."""
        self._database.close()

    def calls(
        self,
        *,
        from_ms: int,
        to_ms: int,
        account: str | None = None,
        number: str | None = None,
        call_ids: Sequence[str] | None = None,
        limit: int = 1_000,
    ) -> list[ArchivedCall]:
        """Calls attempted in the span, newest first; of an account, with a caller or callee, or by Call-ID."""
        condition, values = _call_condition(account, number, call_ids)
        span: dict[str, Any] = {"from_ms": from_ms, "to_ms": to_ms, "limit": min(limit, MAX_CALLS)}
        rows = self._ask(
            f"""
            SELECT any_value(call_id), account, arg_min(caller, at_ms), arg_min(callee, at_ms),
                   min(CASE WHEN started_ms > 0 THEN started_ms ELSE at_ms END) AS attempted_ms, max(answered_ms), max(ended_ms),
                   coalesce(arg_max(status_code, at_ms) FILTER (status_code > 0), 0), max(country), max(destination_class),
                   max(rate), max(connect_micro), bit_or(flags), bool_or(kind = {int(Kind.BLOCKED)}), arg_min(source_ip, at_ms),
                   arg_min(user_agent, at_ms), arg_min(edge, at_ms), max(trunk), max(carrier)
            FROM read_parquet($files) WHERE {condition}
            GROUP BY account, call_key HAVING attempted_ms BETWEEN $from_ms AND $to_ms
            ORDER BY attempted_ms DESC, account, call_key LIMIT $limit""",  # noqa: S608 - the condition is ours, values are parameters
            CALLS,
            span | values,
        )
        return [_call(row, to_ms) for row in rows]

    def registrations(self, account: str, *, from_ms: int, to_ms: int, limit: int = 1_000) -> list[ArchivedRegistration]:
        """Registrations and refused credentials of an account, newest first."""
        rows = self._ask(
            f"""
            SELECT at_ms, account, kind = {int(Kind.AUTH_FAILURE)}, source_ip, user_agent, contact, expires, status_code, edge
            FROM read_parquet($files) WHERE account = $account AND at_ms BETWEEN $from_ms AND $to_ms
            ORDER BY at_ms DESC, sequence DESC, row DESC LIMIT $limit""",  # noqa: S608 - the kind is ours, values are parameters
            REGISTRATIONS,
            {"account": account, "from_ms": from_ms, "to_ms": to_ms, "limit": min(limit, MAX_CALLS)},
        )
        names = ArchivedRegistration.__struct_fields__
        return [ArchivedRegistration(**dict(zip(names, row, strict=True))) for row in rows]

    def would_refuse(self, measure: Measure, *, from_ms: int, to_ms: int) -> Refusals:
        """Attempts of the span that a block by this measure would have refused. Emergency calls (class C0) are never among them."""
        condition, values = self._measure_condition(measure, from_ms=from_ms, to_ms=to_ms)
        rows = self._ask(
            f"""
            SELECT count(DISTINCT (account, call_key)), count(DISTINCT account) FROM read_parquet($files)
            WHERE kind IN {_ATTEMPTS} AND at_ms BETWEEN $from_ms AND $to_ms
              AND destination_class > {int(DestinationClass.C0)} AND {condition}""",  # noqa: S608 - the condition is ours
            CALLS,
            {"from_ms": from_ms, "to_ms": to_ms} | values,
        )
        return Refusals(*rows[0]) if rows else Refusals(0, 0)

    def _measure_condition(self, measure: Measure, *, from_ms: int, to_ms: int) -> tuple[str, dict[str, Any]]:
        value = measure.value
        match measure.scope:
            case "number":
                return "callee = $number", {"number": f"+{value}"}
            case "range":
                return "starts_with(callee, $range)", {"range": f"+{value}"}
            case "class":
                return "account = $account AND destination_class >= $class", {"account": value, "class": measure.destination_class}
            case "account":
                return "account = $account", {"account": value}
            case "source":
                sources = self._sources_in(_network(value), from_ms=from_ms, to_ms=to_ms)
                return "source_ip IN (SELECT unnest($sources))", {"sources": sources}
            case "call":
                return "call_id = $call_id", {"call_id": value}

    def _sources_in(self, network: IPv4Network | IPv6Network, *, from_ms: int, to_ms: int) -> list[str]:
        """Addresses of a network that called in the span: DuckDB has no address type here, so they are told apart in Python."""
        if network.num_addresses == 1:
            return [str(network.network_address)]
        rows = self._ask(
            "SELECT DISTINCT source_ip FROM read_parquet($files) WHERE at_ms BETWEEN $from_ms AND $to_ms AND contains(source_ip, $mark)",
            CALLS,
            {"from_ms": from_ms, "to_ms": to_ms, "mark": ":" if network.version == 6 else "."},
        )
        return [source for (source,) in rows if _is_in(source, network)]

    def _ask(self, question: str, kind: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run one question over the files of its span. UnavailableError when it takes too long or too much memory."""
        from_ms, to_ms = values["from_ms"], values["to_ms"]
        if not 0 <= from_ms <= to_ms or to_ms - from_ms > MAX_QUESTION_DAYS * layout.DAY_MS:
            raise OperatorError(f"Ask for a span of at most {MAX_QUESTION_DAYS} days whose start is before its end.", reason="bad_span")
        # DuckDB refuses values that a question does not name, so only those it names are handed over.
        named = {name: value for name, value in values.items() if f"${name}" in question}
        for _ in range(FILES_TRIES):
            files = [str(path) for path in layout.files(self._folder, kind, from_ms=from_ms, to_ms=to_ms)]
            if not files:
                return []
            try:
                return self._answer(question, {"files": files} | named)
            except (duckdb.IOException, duckdb.InvalidInputException) as refused:
                error = str(refused)[:200]
                if all(Path(file).exists() for file in files):
                    break  # Not that minutes were merged or a day was removed in the middle: a file is damaged.
        raise UnavailableError(f"The archive cannot be read: {error}", reason="archive_unreadable")

    def _answer(self, question: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        cursor = self._database.cursor()
        limit = threading.Timer(self._seconds, cursor.interrupt)
        limit.start()
        try:
            return cursor.execute(question, values).fetchall()
        except duckdb.InterruptException:
            raise UnavailableError("The archive took too long; ask for a shorter span.", reason="archive_slow") from None
        except duckdb.OutOfMemoryException:
            raise UnavailableError("The answer needs too much memory; ask for a shorter span.", reason="archive_memory") from None
        finally:
            limit.cancel()
            cursor.close()


def _call_condition(account: str | None, number: str | None, call_ids: Sequence[str] | None) -> tuple[str, dict[str, Any]]:
    conditions, values = [f"kind NOT IN {_NOT_OUTGOING}"], dict[str, Any]()
    if account is not None:
        conditions.append("account = $account")
        values["account"] = account
    if number is not None:
        conditions.append("(callee = $number OR caller = $number)")
        values["number"] = number
    if call_ids is not None:
        if len(call_ids) > MAX_CALL_IDS:
            raise OperatorError(f"Ask for at most {MAX_CALL_IDS} calls by Call-ID.", reason="too_many_calls")
        conditions.append("call_id IN (SELECT unnest($call_ids))")
        values["call_ids"] = list(call_ids)
    return " AND ".join(conditions), values


def _call(row: tuple[Any, ...], to_ms: int) -> ArchivedCall:
    call_id, account, caller, callee, attempted, answered, ended, status, country, class_, rate, connect, flags, blocked, *texts = row
    source_ip, user_agent, edge, trunk, carrier = texts
    return ArchivedCall(
        call_id=call_id,
        account=account,
        caller=caller,
        callee=callee,
        attempted_ms=attempted,
        answered_ms=answered,
        ended_ms=ended,
        status_code=status,
        country=country,
        destination_class=class_,
        rate=rate,
        connect_micro=connect,
        cost_micro=cost_of(rate, connect, answered, ended or max(to_ms, answered)) if answered else 0,
        flags=flags,
        blocked=blocked,
        source_ip=source_ip,
        user_agent=user_agent,
        edge=edge,
        trunk=trunk,
        carrier=carrier,
    )


def _network(value: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(value, strict=False)
    except ValueError:
        raise OperatorError(
            f"{value!r} is no address and no network; write 192.0.2.1 or 2001:db8:1:2::/64.", reason="bad_network"
        ) from None


def _is_in(source: str, network: IPv4Network | IPv6Network) -> bool:
    try:
        return ip_address(source) in network
    except ValueError:
        return False
