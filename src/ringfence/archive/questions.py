"""One question that a person composes over the history: which calls, and what they add up to by account, range, country, source or time.

Rows are folded to whole calls first, then filtered, then counted, in one statement within the time limit and the memory cap of the archive.
What a person typed is only ever a parameter; the words of the statement are chosen from fixed tables here. The one thing to know: filters
that every row of a call answers alike are applied to the rows, too, so that a narrow question reads little.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from ringfence.archive import layout
from ringfence.archive.calls import ArchivedRegistration, CallArchive, _is_in, _network
from ringfence.archive.layout import CALLS, REGISTRATIONS
from ringfence.base.errors import OperatorError
from ringfence.telephony.model import Kind

MAX_DAYS: Final = 31
"""Days of a question over everybody; one about an account, a number or an address may go back `MAX_NARROW_DAYS`."""
MAX_NARROW_DAYS: Final = 400
MAX_ANSWER: Final = 10_000
RANGE_TAIL: Final = 3
"""Digits at the end of a number that do not belong to its range."""
MIN_PREFIX: Final = 3
"""Digits that make a question about a number narrow."""

Group = Literal["", "account", "destination", "country", "source", "hour", "day"]


class CallQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """Which calls, and by what they are added up. Empty and 0 filter nothing; prefixes are digits; money is micro-euro.

    `edges` are the starts of the hours or days that a person means (Unix ms, ascending), since a day begins at midnight where they live.
    """

    from_ms: int
    to_ms: int
    account: str = ""
    caller: str = ""
    callee: str = ""
    country: int = 0
    class_at_least: int = 0
    source: str = ""
    """An address or a network."""
    user_agent: str = ""
    """Part of it, in any case."""
    status: int = 0
    seconds_at_least: int = 0
    cost_at_least_micro: int = 0
    group: Group = ""
    edges: tuple[int, ...] = ()

    @property
    def narrow(self) -> bool:
        """Whether it is about one account, number or address."""
        return bool(self.account or self.source or len(self.callee) >= MIN_PREFIX or len(self.caller) >= MIN_PREFIX)


class FoundCall(msgspec.Struct, frozen=True, kw_only=True):
    """A whole call. Times are Unix ms, 0 when it did not happen; an unfinished call costs up to the end of the asked span."""

    call_id: str
    account: str
    caller: str
    callee: str
    country: int
    destination_class: int
    attempted_ms: int
    answered_ms: int
    ended_ms: int
    status_code: int
    seconds: int
    cost_micro: int
    blocked: bool
    source_ip: str
    user_agent: str
    edge: str


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """What calls add up to."""

    calls: int = 0
    answered: int = 0
    blocked: int = 0
    accounts: int = 0
    seconds: int = 0
    cost_micro: int = 0


class GroupSums(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an answer by group. `key` is text, or a number for countries and times."""

    key: str | int
    sums: Sums


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """`calls` (newest first) without a group, else `groups` (the dearest first, times ascending); `total` is of all that fits."""

    total: Sums
    calls: tuple[FoundCall, ...] = ()
    groups: tuple[GroupSums, ...] = ()
    more: bool = False
    """There are more lines than were asked for."""


_KEYS: Final[dict[str, str]] = {
    "account": "account",
    "destination": f"CASE WHEN length(digits) > {RANGE_TAIL} THEN left(digits, length(digits) - {RANGE_TAIL}) ELSE digits END",
    "country": "country",
    "source": "source_ip",
    "hour": "edge_ms",
    "day": "edge_ms",
}
_SUMS: Final = (
    "count(*)::BIGINT, (count(*) FILTER (answered_ms > 0))::BIGINT, (count(*) FILTER (blocked))::BIGINT, count(DISTINCT account)::BIGINT,"
    " coalesce(sum(seconds), 0)::BIGINT, coalesce(sum(cost_micro), 0)::BIGINT"
)
_CALL: Final = ", ".join(FoundCall.__struct_fields__)
_WIDTH: Final = len(FoundCall.__struct_fields__)


class CallQuestions(CallArchive):
    """The archive's questions, and those that people compose."""

    def ask(self, question: CallQuestion, *, limit: int = 500) -> Answer:
        """The answer. OperatorError for a span that is too wide; UnavailableError when it takes too long or too much memory."""
        check(question)
        limit = max(1, min(limit, MAX_ANSWER))
        rows, calls, values = self._conditions(question)
        values |= {"from_ms": question.from_ms, "to_ms": question.to_ms, "limit": limit + 1}
        timed = question.group in ("hour", "day")
        if timed:
            values["edges"] = list(question.edges)
        joined = "priced ASOF JOIN (SELECT unnest($edges) AS edge_ms) ON attempted_ms >= edge_ms" if timed else "priced"
        folded = _folded(rows, calls)
        if question.group:
            key = _KEYS[question.group]
            order = "key" if timed else "cost DESC, n DESC, key"
            tail = f"""
                SELECT grouping(key) AS whole, key, {_SUMS}, sum(cost_micro) AS cost, count(*) AS n
                FROM (SELECT *, {key} AS key FROM {joined}) GROUP BY GROUPING SETS ((key), ())
                ORDER BY whole DESC, {order} LIMIT $limit + 1"""  # noqa: S608 - the words are ours, values are parameters
            return _of_groups(self._ask(folded + tail, CALLS, values), limit)
        tail = f"""
            , total AS (SELECT {_SUMS} FROM priced)
            SELECT {_CALL}, total.* FROM priced CROSS JOIN total ORDER BY attempted_ms DESC, account, call_id LIMIT $limit"""  # noqa: S608 - likewise
        return _of_calls(self._ask(folded + tail, CALLS, values), limit)

    def registrations_from(self, network: str, *, from_ms: int, to_ms: int, limit: int = 500) -> list[ArchivedRegistration]:
        """Registrations and refused credentials that came from an address or a network, newest first."""
        wanted = _network(network)
        span = {"from_ms": from_ms, "to_ms": to_ms}
        sources = [str(wanted.network_address)]
        if wanted.num_addresses > 1:
            found = self._ask(
                "SELECT DISTINCT source_ip FROM read_parquet($files) WHERE at_ms BETWEEN $from_ms AND $to_ms", REGISTRATIONS, span
            )
            sources = [source for (source,) in found if _is_in(source, wanted)]
        rows = self._ask(
            f"""
            SELECT at_ms, account, kind <> {int(Kind.REGISTRATION)}, source_ip, user_agent, contact, expires, status_code, edge
            FROM read_parquet($files) WHERE source_ip IN (SELECT unnest($sources)) AND at_ms BETWEEN $from_ms AND $to_ms
            ORDER BY at_ms DESC, sequence DESC, row DESC LIMIT $limit""",  # noqa: S608 - the kind is ours, values are parameters
            REGISTRATIONS,
            span | {"sources": sources, "limit": min(limit, MAX_ANSWER)},
        )
        names = ArchivedRegistration.__struct_fields__
        return [ArchivedRegistration(**dict(zip(names, row, strict=True))) for row in rows]

    def registered(self, *, from_ms: int, to_ms: int, part: int, parts: int) -> list[tuple[str, str, int]]:
        """Account, User-Agent and time of accounts whose newest registration of the span is a good one: it neither lapsed nor left.

        Of one part of all accounts, because all of them may be millions.
        """
        rows = self._ask(
            f"""
            SELECT account, arg_max(user_agent, (at_ms, sequence, row)), max(at_ms) FROM read_parquet($files)
            WHERE kind = {int(Kind.REGISTRATION)} AND account <> '' AND at_ms BETWEEN $from_ms AND $to_ms AND hash(account) % $parts = $part
            GROUP BY account HAVING arg_max(status_code = 200 AND expires > 0, (at_ms, sequence, row))""",  # noqa: S608 - the kind is ours
            REGISTRATIONS,
            {"from_ms": from_ms, "to_ms": to_ms, "part": part, "parts": parts},
        )
        return [(account, user_agent, at_ms) for account, user_agent, at_ms in rows]

    def _conditions(self, question: CallQuestion) -> tuple[list[str], list[str], dict[str, Any]]:
        """Conditions on rows, on whole calls, and their values."""
        rows, calls, values = [f"kind NOT IN (0, {int(Kind.INBOUND)})"], ["true"], dict[str, Any]()
        if question.account:
            rows.append("account = $account")
            values["account"] = question.account
        for name in ("caller", "callee"):
            if prefix := getattr(question, name):
                rows.append(f"({name} = '' OR starts_with(ltrim({name}, '+'), ${name}))")
                calls.append(f"starts_with(ltrim({name}, '+'), ${name})")
                values[name] = prefix
        if question.source:
            sources = self._sources_in(_network(question.source), from_ms=question.from_ms, to_ms=question.to_ms)
            rows.append("(source_ip = '' OR source_ip IN (SELECT unnest($sources)))")
            calls.append("source_ip IN (SELECT unnest($sources))")
            values["sources"] = sources
        for name, column, value in (
            ("country", "country =", question.country),
            ("class", "destination_class >=", question.class_at_least),
            ("status", "status_code =", question.status),
            ("seconds", "seconds >=", question.seconds_at_least),
            ("cost", "cost_micro >=", question.cost_at_least_micro),
        ):
            if value:
                calls.append(f"{column} $least_{name}")
                values[f"least_{name}"] = value
        if question.user_agent:
            calls.append("contains(lower(user_agent), lower($agent))")
            values["agent"] = question.user_agent
        return rows, calls, values


def check(question: CallQuestion) -> None:
    """OperatorError for what would read too much, or what no archive can answer."""
    days = MAX_NARROW_DAYS if question.narrow else MAX_DAYS
    if not 0 <= question.from_ms <= question.to_ms:
        raise OperatorError("The span ends before it begins; turn its times around.", reason="bad_span")
    if question.to_ms - question.from_ms > days * layout.DAY_MS:
        hint = "" if question.narrow else f", or name an account, an address or {MIN_PREFIX} digits of a number"
        raise OperatorError(f"That is more than {days} days; ask for a shorter span{hint}.", reason="wide_span")
    if question.group in ("hour", "day") and (not question.edges or question.edges[0] > question.from_ms):
        raise OperatorError("The hours or days of the answer must begin with its span.", reason="bad_edges")


def _folded(rows: Sequence[str], calls: Sequence[str]) -> str:
    """Whole calls with their price, as `priced`."""
    return f"""
        WITH folded AS (
            SELECT any_value(call_id) AS call_id, account, arg_min(caller, at_ms) AS caller, arg_min(callee, at_ms) AS callee,
                   max(country) AS country, max(destination_class) AS destination_class,
                   min(CASE WHEN started_ms > 0 THEN started_ms ELSE at_ms END) AS attempted_ms, max(answered_ms) AS answered_ms,
                   max(ended_ms) AS ended_ms, coalesce(arg_max(status_code, at_ms) FILTER (status_code > 0), 0) AS status_code,
                   bool_or(kind = {int(Kind.BLOCKED)}) AS blocked, arg_min(source_ip, at_ms) AS source_ip,
                   arg_min(user_agent, at_ms) AS user_agent, arg_min(edge, at_ms) AS edge, max(rate) AS rate, max(connect_micro) AS connect
            FROM read_parquet($files) WHERE {" AND ".join(rows)}
            GROUP BY account, call_key HAVING attempted_ms BETWEEN $from_ms AND $to_ms
        ), timed AS (
            SELECT *, CASE WHEN answered_ms = 0 THEN 0 WHEN ended_ms = 0 THEN greatest(0, $to_ms - answered_ms)
                           ELSE greatest(0, ended_ms - answered_ms) END AS talked_ms
            FROM folded
        ), priced AS (
            SELECT * FROM (
                SELECT *, ltrim(callee, '+') AS digits, talked_ms // 1000 AS seconds,
                       CASE WHEN answered_ms = 0 THEN 0 ELSE connect + rate * talked_ms // 60000 END AS cost_micro
                FROM timed
            ) WHERE {" AND ".join(calls)}
        )"""  # noqa: S608 - the words are ours, values are parameters


def _of_calls(rows: Sequence[tuple[Any, ...]], limit: int) -> Answer:
    if not rows:
        return Answer(total=Sums())
    calls = tuple(FoundCall(**dict(zip(FoundCall.__struct_fields__, row[:_WIDTH], strict=True))) for row in rows[:limit])
    return Answer(total=_sums(rows[0][_WIDTH:]), calls=calls, more=len(rows) > limit)


def _of_groups(rows: Sequence[tuple[Any, ...]], limit: int) -> Answer:
    if not rows:
        return Answer(total=Sums())
    whole, *lines = rows
    groups = tuple(GroupSums(key=row[1], sums=_sums(row[2:8])) for row in lines[:limit])
    return Answer(total=_sums(whole[2:8]), groups=groups, more=len(lines) > limit)


def _sums(values: Sequence[Any]) -> Sums:
    return Sums(**dict(zip(Sums.__struct_fields__, values, strict=True)))
