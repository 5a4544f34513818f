"""The form of a composed question, its answer in words and pictures, and what stands around a number range or an address.

Used by the workbench's pages and by an account's. The one thing to know: hours and days begin where the operator lives, so their starts
are made here and handed to the archive.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from typing import Annotated, Any, cast
from urllib.parse import quote, urlencode

import msgspec

from ringfence.apps.console import attacked, charts, shown
from ringfence.apps.console.desk import Desk
from ringfence.apps.console.show import Zone, euro, number, span
from ringfence.archive.questions import Answer, CallQuestion, FoundCall, Group, Sums
from ringfence.base.errors import OperatorError, UnavailableError
from ringfence.base.money import parse_euro
from ringfence.enforcement.model import DAY_MS, HOUR_MS, Scope, normal_account, normal_value
from ringfence.telephony.model import country_code, country_letters
from ringfence.views.board import LiveAlert
from ringfence.views.spans import starts
from ringfence.views.workbench import source_of

GROUPS = (
    ("", "single calls"),
    ("account", "by account"),
    ("destination", "by number range"),
    ("country", "by country"),
    ("source", "by source address"),
    ("hour", "by hour"),
    ("day", "by day"),
)
CLASSES = (("0", "any"), ("1", "C1 and above"), ("2", "C2 and above"), ("3", "C3 and above"), ("4", "C4 and above"), ("5", "C5"))
PERIODS = ((1, "24 hours"), (7, "7 days"), (31, "31 days"))
TOP = 20
SHOWN = 50

Digits = Annotated[str, msgspec.Meta(max_length=16, pattern=r"^\+?[0-9]*$")]
Word = Annotated[str, msgspec.Meta(max_length=128)]
When = Annotated[str, msgspec.Meta(max_length=25)]


class Inquiry(msgspec.Struct, frozen=True):
    """What the form holds. Without times, the last `days`."""

    since: When = ""
    until: When = ""
    days: Annotated[int, msgspec.Meta(ge=1, le=400)] = 1
    account: Word = ""
    caller: Digits = ""
    callee: Digits = ""
    country: Annotated[str, msgspec.Meta(max_length=2)] = ""
    class_at_least: Annotated[int, msgspec.Meta(ge=0, le=5)] = 0
    source: Word = ""
    user_agent: Word = ""
    status: Annotated[str, msgspec.Meta(max_length=3, pattern="^([1-6][0-9][0-9])?$")] = ""
    seconds: Annotated[str, msgspec.Meta(max_length=6, pattern="^[0-9]*$")] = ""
    cost: Annotated[str, msgspec.Meta(max_length=12)] = ""
    group: Annotated[str, msgspec.Meta(pattern="^(account|destination|country|source|hour|day|)$")] = ""

    def question(self, desk: Desk) -> CallQuestion:
        """The same for the archive; OperatorError names what does not fit."""
        zone = desk.renderer.zone
        until = _moment(zone, self.until, "until") or desk.clock()
        since = _moment(zone, self.since, "from") or until - self.days * DAY_MS
        return CallQuestion(
            from_ms=since,
            to_ms=until,
            account=normal_account(self.account) if self.account else "",
            caller=self.caller.removeprefix("+"),
            callee=self.callee.removeprefix("+"),
            country=_country(self.country),
            class_at_least=self.class_at_least,
            source=source_of(self.source) if self.source else "",
            user_agent=self.user_agent,
            status=int(self.status or 0),
            seconds_at_least=int(self.seconds or 0),
            cost_at_least_micro=parse_euro(self.cost) if self.cost else 0,
            group=cast(Group, self.group),
            edges=starts(zone.info, since, until, days=self.group == "day")[:-1] if self.group in ("hour", "day") else (),
        )

    def shown(self, desk: Desk) -> dict[str, Any]:
        """The fields as the form shows them; the last day where no time was given."""
        zone, now = desk.renderer.zone, desk.clock()
        fields: dict[str, Any] = msgspec.to_builtins(self)
        since = self.since or f"{zone.local(now - self.days * DAY_MS):%Y-%m-%dT%H:%M}"
        return fields | {"since": since, "until": self.until, "class_at_least": str(self.class_at_least)}

    def address(self, **changed: object) -> str:
        """Where the answer to this question, changed, stands."""
        fields = {name: value for name, value in (msgspec.to_builtins(self) | changed).items() if value not in ("", 0)}
        return f"/query?{urlencode(fields)}"


def _moment(zone: Zone, text: str, name: str) -> int:
    try:
        return max(0, zone.parse(text)) if text else 0
    except (ValueError, OverflowError):
        raise OperatorError(f"the time of {name} is none; write it like 2026-11-21T23:40", reason="bad_time") from None


def _country(letters: str) -> int:
    code = country_code(letters)
    if letters and not code:
        raise OperatorError("a country is two letters, such as SL", reason="bad_country")
    return code


# What an answer looks like


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of an answer by group. `path` leads to the thing itself, `calls_path` to the calls behind the figures."""

    name: str
    path: str
    calls_path: str
    sums: Sums


def answered(desk: Desk, entry: Inquiry, answer: Answer) -> dict[str, Any]:
    """Calls, lines and picture of an answer."""
    zone = desk.renderer.zone
    picture = None
    if entry.group in ("hour", "day"):
        question = entry.question(desk)
        edges = starts(zone.info, question.from_ms, question.to_ms, days=entry.group == "day")
        picture = _chart(
            "cost", "Cost", answer, edges, lambda sums: sums.cost_micro, euro, lambda a, b: entry.address(**_within(zone, a, b))
        )
    return {
        "calls": [call_of(call) for call in answer.calls],
        "groups": [_line(zone, entry, line.key, line.sums) for line in answer.groups],
        "picture": picture,
    }


def _within(zone: Zone, start: int, end: int) -> dict[str, object]:
    return {"since": f"{zone.local(start):%Y-%m-%dT%H:%M}", "until": f"{zone.local(end):%Y-%m-%dT%H:%M}", "group": "", "days": 0}


def _line(zone: Zone, entry: Inquiry, key: str | int, sums: Sums) -> Line:
    name, path, more = str(key), "", dict[str, object]()
    match entry.group:
        case "account":
            path, more = f"/accounts/{quote(name)}", {"account": name}
        case "destination":
            path, more = (f"/destinations/{quote(name)}" if name.isdigit() else ""), {"callee": name if name.isdigit() else ""}
            name = f"{number(name)}…"
        case "country":
            name = country_letters(int(key)) or "unknown"
            more = {"country": name} if len(name) == 2 else {}
        case "source":
            path, more = (f"/sources/{quote(name)}" if name else ""), {"source": name}
            name = name or "unknown"
        case "hour":
            end = int(key) + HOUR_MS
            name, more = f"{zone.local(int(key)):%a %d %b %H:%M %Z}", _within(zone, int(key), end)
        case "day":
            day = zone.local(int(key))
            end = round((day + timedelta(days=1)).timestamp() * 1000)
            name, more = f"{day:%a %d %b %Y}", _within(zone, int(key), end)
    return Line(name=name, path=path, calls_path=entry.address(**more | {"group": ""}) if more else "", sums=sums)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownFound:
    """A call of an answer."""

    call_id: str
    account: str
    callee: str
    country: str
    destination_class: int
    started_ms: int
    talked: str
    cost_micro: int
    source_ip: str
    user_agent: str
    ending: str
    refused: bool


def call_of(call: FoundCall) -> ShownFound:
    """A call in words."""
    ending = (
        "no end seen yet" if call.answered_ms and not call.ended_ms else f"status {call.status_code}" if call.status_code else "no answer"
    )
    return ShownFound(
        call_id=call.call_id,
        account=call.account,
        callee=call.callee.removeprefix("+"),
        country=country_letters(call.country),
        destination_class=call.destination_class,
        started_ms=call.attempted_ms,
        talked=span(call.seconds) if call.answered_ms else "not answered",
        cost_micro=call.cost_micro,
        source_ip=call.source_ip,
        user_agent=call.user_agent,
        ending=ending,
        refused=call.blocked,
    )


def _chart(
    key: str,
    title: str,
    answer: Answer,
    edges: Sequence[int],
    value: Callable[[Sums], int],
    show: Callable[[int], str],
    path: Callable[[int, int], str],
) -> charts.Chart:
    return charts.chart(key, title, {int(line.key): value(line.sums) for line in answer.groups}, edges, show=show, path=path)


# What stands around a thing


async def history(desk: Desk, entry: Inquiry, groups: Sequence[str]) -> dict[str, Any]:
    """Calls, cost and accounts over time and by `groups`, of the last days; `trouble` says why there are none."""
    zone, by_day = desk.renderer.zone, entry.days > 2
    timed = msgspec.structs.replace(entry, group="day" if by_day else "hour")
    names = dict(GROUPS)
    try:
        question = timed.question(desk)
        answer = await desk.workbench.ask(question, limit=1_000)
        tables = []
        for group in groups:
            wanted = msgspec.structs.replace(entry, group=group)
            found = await desk.workbench.ask(wanted.question(desk), limit=TOP)
            lines = [_line(zone, wanted, line.key, line.sums) for line in found.groups]
            tables.append({"group": group, "name": names[group], "lines": lines, "more": found.more, "path": wanted.address()})
    except (OperatorError, UnavailableError) as error:
        return {"pictures": [], "total": Sums(), "tables": [], "calls_path": entry.address(), "trouble": f"{error}"}
    edges = starts(zone.info, question.from_ms, question.to_ms, days=by_day)

    def path(start: int, end: int) -> str:
        return entry.address(**_within(zone, start, end))

    def plain(value: int) -> str:
        return f"{value:,}"

    pictures = [
        _chart("cost", "Cost", answer, edges, lambda sums: sums.cost_micro, euro, path),
        _chart("calls", "Calls", answer, edges, lambda sums: sums.calls, plain, path),
    ]
    if not entry.account:
        pictures.append(_chart("accounts", "Accounts", answer, edges, lambda sums: sums.accounts, plain, path))
    return {"pictures": pictures, "total": answer.total, "tables": tables, "calls_path": entry.address(), "trouble": ""}


async def registrations(desk: Desk, *, days: int, account: str = "", source: str = "") -> dict[str, Any]:
    """Registrations and refused credentials over time, and by account, address and device."""
    now, zone = desk.clock(), desk.renderer.zone
    since = now - days * DAY_MS
    try:
        if source:
            found = await desk.workbench.registrations_from(source, from_ms=since, to_ms=now)
        else:
            found = await desk.workbench.registrations(account, from_ms=since, to_ms=now)
    except UnavailableError as error:
        return {"registered": [], "register_pictures": [], "register_trouble": f"{error}"}
    edges = starts(zone.info, since, now, days=days > 2)
    rows: dict[tuple[str, str, str], list[int]] = {}
    for each in found:
        counts = rows.setdefault((each.account, each.source_ip, each.user_agent), [0, 0, 0])
        counts[each.refused] += 1
        counts[2] = max(counts[2], each.at_ms)
    lines = [
        {"account": key[0], "source": key[1], "agent": key[2], "good": counts[0], "refused": counts[1], "at_ms": counts[2]}
        for key, counts in sorted(rows.items(), key=lambda item: (-item[1][1], -item[1][2], item[0]))
    ]
    pictures = [
        charts.chart(
            name,
            title,
            charts.counted_in([each.at_ms for each in found if each.refused is refused], edges),
            edges,
            show=lambda value: f"{value:,}",
        )
        for name, title, refused in (("registrations", "Registrations that changed", False), ("refusals", "Refused credentials", True))
        if any(each.refused is refused for each in found)
    ]
    return {"registered": lines[:SHOWN], "register_pictures": pictures, "register_trouble": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """A number range (digits) or an address or network."""

    kind: str
    value: str

    def holds(self, value: str) -> bool:
        """Whether another range or address lies in this one, or this one in it."""
        if self.kind == "range":
            return value.isdigit() and (value.startswith(self.value) or self.value.startswith(value))
        try:
            one, other = ip_network(self.value), ip_network(value, strict=False)
        except ValueError:
            return False
        return one.overlaps(other)


async def around(desk: Desk, about: About) -> dict[str, Any]:
    """Alerts of the last days, attacks and blocks that are about it, and proposals that wait."""
    board, now = desk.board, desk.clock()
    alerts = sorted(
        (each for each in board.alerts.values() if _concerns(each, about)), key=lambda each: (not each.running, -each.changed_ms)
    )
    records = await desk.or_else(desk.detection.attacks(limit=200), ())
    known = {each.attack_id: attacked.stored(each) for each in records if _shares(each.facets, about)}
    shared = {attack.step.attack_id for attack in board.attacks.running() if _shares(attack.step.facets, about)}
    known |= {each.attack_id: each for each in attacked.live(board) if each.attack_id in shared}
    scopes = (Scope.RANGE, Scope.NUMBER) if about.kind == "range" else (Scope.SOURCE,)
    blocks = [each for each in board.blocks_in_force() if each.scope in scopes and about.holds(each.value)]
    proposals = [each for each in board.open_proposals() if each.plan.scope in scopes and about.holds(each.plan.value)]
    return {
        "alerts": [shown.alert(each, blocked=each.running and desk.blocked(each.account)) for each in alerts[:TOP]],
        "nothing": "No alert of the last days is about it.",
        "attacks": sorted(known.values(), key=lambda each: (not each.running, -each.opened_ms))[:TOP],
        "blocks": [shown.block(each, now) for each in blocks],
        "proposals": [shown.proposal(each, board.approvers(each.proposal_id)) for each in proposals],
    }


def _shares(facets: Sequence[tuple[str, str]], about: About) -> bool:
    return any(kind == about.kind and about.holds(value) for kind, value in facets)


def _concerns(alert: LiveAlert, about: About) -> bool:
    subject = {"range": "prefix", "source": "source"}[about.kind]
    if alert.subject_kind == subject and about.holds(alert.subject_value):
        return True
    return any(about.holds(value) for value in _texts(alert.evidence.observed, f"{about.kind}s"))


def _texts(observed: Mapping[str, Any], name: str) -> list[str]:
    values = observed.get(name, ())
    return [value for value in values if isinstance(value, str)] if isinstance(values, list | tuple) else []


def can_block(source: str) -> bool:
    """Whether an edge can refuse this address or network as a whole."""
    try:
        normal_value(Scope.SOURCE, source, 0)
    except OperatorError:
        return False
    return True


def network_of(source: str) -> str:
    """The /24 or /64 around one address; empty for a network."""
    found = ip_network(source, strict=False)
    if found.num_addresses > 1:
        return ""
    return str(found.supernet(new_prefix=24 if found.version == 4 else 64))
