"""Alerts as people work with them, and the versions of what verdicts depend on: rule sets, rate decks, holidays.

The worker copies alerts here from the stream; a verdict never waits for this copy. The one thing to know: whatever a verdict depends on is
written with an outbox entry in the same transaction, and takes effect where the worker's control record stands in the log.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum, unique
from importlib.resources import files
from zoneinfo import ZoneInfo

import msgspec

from ringfence.base.clock import Clock, system_clock
from ringfence.base.errors import ConflictError, NotFoundError, OperatorError, PeerError
from ringfence.detection.attacks import AttackStep, Facet, decode_attack
from ringfence.detection.model import Alert, Evidence, decode_alert
from ringfence.detection.public_holidays import public_holidays
from ringfence.detection.rules import read_rules
from ringfence.detection.store import DetectionStore
from ringfence.runtime.db import Database, Row
from ringfence.telephony.control import HolidaysChanged, RatesChanged, RuleSetChanged
from ringfence.telephony.rates import read_deck

MAX_PAGE = 500
MAX_NOTE_CHARACTERS = 1_000
MAX_RULES_BYTES = 256 * 1024
MAX_DECK_BYTES = 6 * 1024 * 1024
"""A deck is one message of the log, which takes 8 MiB."""


@unique
class Feedback(StrEnum):
    """What a person found out about an alert."""

    FRAUD = "fraud"
    NOT_FRAUD = "not_fraud"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRecord:
    """An alert with what people did about it. Times in Unix milliseconds, 0 for never; names empty for nobody."""

    alert_id: str
    step: int
    state: str
    rule: str
    rule_version: int
    severity: str
    subject_kind: str
    subject_value: str
    account: str
    score: int
    cost_micro: int
    reason: str
    evidence: Evidence
    opened_ms: int
    changed_ms: int
    closed_ms: int
    acknowledged_ms: int
    acknowledged_by: str
    feedback: str
    feedback_ms: int
    feedback_by: str
    feedback_note: str

    @property
    def running(self) -> bool:
        """Whether the episode goes on."""
        return self.state != "close"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertStep:
    """One message of an episode."""

    step: int
    state: str
    severity: str
    score: int
    cost_micro: int
    reason: str
    evidence: Evidence
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackRecord:
    """An attack with what its alerts say now. Times in Unix milliseconds, 0 for never."""

    attack_id: str
    state: str
    accounts: int
    facets: tuple[Facet, ...]
    reason: str
    opened_ms: int
    changed_ms: int
    closed_ms: int
    merged_into: str
    alerts: int
    critical: int
    cost_micro: int
    eur_per_minute: float
    """What its running calls cost, at the latest step of each alert."""

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return not self.closed_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFilter:
    """Which alerts; empty fields match everything."""

    state: str = ""
    running: bool = False
    unacknowledged: bool = False
    rule: str = ""
    severity: str = ""
    account: str = ""
    since_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSetVersion:
    """A saved rule set, without its text."""

    version: int
    note: str
    author: str
    saved_ms: int
    activated_ms: int
    activated_by: str
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RateDeckVersion:
    """A saved rate deck, without its text."""

    version: int
    prefixes: int
    author: str
    saved_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An entry of the outbox: what the worker has to tell the log."""

    entry_id: int
    kind: str
    """`rules`, `rates`, `holidays` or `composed`."""
    version: int
    subject: str = ""
    """The id of a composed rule."""


class DetectionService:
    """Alerts and versions in PostgreSQL. `db` is an open `Database`."""

    def __init__(self, db: Database, clock: Clock = system_clock) -> None:
        self._db = db
        self._clock = clock

    # Alerts

    async def record_alert(self, payload: bytes, step: int) -> AlertRecord | None:
        """Copy step `step` of an episode from its message; the alert as it is now, or None when the step was known.

        PeerError when the payload is no alert.
        """
        alert, at_ms = _decode(payload)
        facts: dict[str, object] = {
            "alert_id": alert.alert_id,
            "step": step,
            "state": alert.state,
            "severity": alert.severity,
            "score": alert.score,
            "cost_micro": round(alert.cost_eur * 1_000_000),
            "reason": alert.reason,
            "evidence": msgspec.json.encode(alert.evidence),
            "at_ms": at_ms,
        }
        async with self._db.transaction() as connection:
            store = DetectionStore(connection)
            if await store.row("add_step", **facts) is None:
                return None
            await store.run(
                "put_alert",
                rule=alert.rule,
                rule_version=alert.rule_version,
                subject_kind=alert.subject.kind,
                subject_value=alert.subject.value,
                account=alert.account,
                **facts,
            )
            row = await store.row("find_alert", alert_id=alert.alert_id)
            assert row is not None, "the alert was written above"
            return _record(row)

    async def alerts(self, wanted: AlertFilter, *, before: str = "", limit: int = 100) -> tuple[AlertRecord, ...]:
        """Alerts newest first, 500 at the most; `before` is `cursor_of` the last one seen."""
        before_ms, before_id = _split(before)
        async with self._db.transaction() as connection:
            rows = await DetectionStore(connection).rows(
                "list_alerts",
                state=wanted.state,
                running=wanted.running,
                unacknowledged=wanted.unacknowledged,
                rule=wanted.rule,
                severity=wanted.severity,
                account=wanted.account,
                since_ms=wanted.since_ms,
                before_ms=before_ms,
                before_id=before_id,
                limit=max(1, min(limit, MAX_PAGE)),
            )
        return tuple(_record(row) for row in rows)

    async def alert(self, alert_id: str) -> AlertRecord:
        """One alert; NotFoundError when there is none."""
        async with self._db.transaction() as connection:
            row = await DetectionStore(connection).row("find_alert", alert_id=alert_id)
        if row is None:
            raise _no_alert()
        return _record(row)

    async def steps(self, alert_id: str) -> tuple[AlertStep, ...]:
        """Every message of an episode, in order."""
        async with self._db.transaction() as connection:
            rows = await DetectionStore(connection).rows("list_steps", alert_id=alert_id)
        return tuple(AlertStep(**row | {"evidence": msgspec.convert(row["evidence"], Evidence)}) for row in rows)

    async def acknowledge(self, alert_id: str, by: str) -> AlertRecord:
        """Somebody looks at it: paging stops. Acknowledging again changes nothing; the first person stays."""
        async with self._db.transaction() as connection:
            store = DetectionStore(connection)
            await store.row("acknowledge", alert_id=alert_id, by=by, now_ms=self._clock())
            row = await store.row("find_alert", alert_id=alert_id)
        if row is None:
            raise _no_alert()
        return _record(row)

    async def give_feedback(self, alert_id: str, feedback: Feedback, by: str, note: str = "") -> AlertRecord:
        """What it turned out to be; the latest answer counts."""
        if len(note) > MAX_NOTE_CHARACTERS or not note.replace("\n", "").replace("\r", "").isprintable():
            raise OperatorError(f"a note has {MAX_NOTE_CHARACTERS} printable characters at the most", reason="bad_note")
        async with self._db.transaction() as connection:
            store = DetectionStore(connection)
            await store.row("give_feedback", alert_id=alert_id, feedback=feedback.value, by=by, note=note, now_ms=self._clock())
            row = await store.row("find_alert", alert_id=alert_id)
        if row is None:
            raise _no_alert()
        return _record(row)

    # Attacks

    async def record_attack(self, payload: bytes) -> AttackStep | None:
        """Copy one step of an attack; None when it was known. PeerError when the payload is none."""
        try:
            step = decode_attack(payload)
        except msgspec.DecodeError as error:
            raise PeerError(f"this is not a step of an attack: {error}", reason="bad_attack") from None
        facts = msgspec.structs.asdict(step) | {"facets": msgspec.json.encode(step.facets).decode(), "alerts": list(step.alerts)}
        async with self._db.transaction() as connection:
            store = DetectionStore(connection)
            if await store.row("put_attack", **facts) is None:
                return None
            await store.run("add_attack_alerts", **facts)
            if step.merged_into:
                await store.run("move_attack_alerts", **facts)
        return step

    async def attacks(self, *, running: bool = False, limit: int = 100) -> tuple[AttackRecord, ...]:
        """Attacks newest first, 500 at the most."""
        return await self._attacks("", running=running, limit=limit)

    async def attack(self, attack_id: str) -> AttackRecord:
        """One attack, also one that became part of another; NotFoundError when there is none."""
        found = await self._attacks(attack_id, running=False, limit=1)
        if not attack_id or not found:
            raise NotFoundError("there is no such attack; list the attacks to see their ids", reason="no_attack")
        return found[0]

    async def attack_alerts(self, attack_id: str, *, limit: int = 100) -> tuple[AlertRecord, ...]:
        """Alerts of an attack, the dearest first, 500 at the most."""
        async with self._db.transaction() as connection:
            rows = await DetectionStore(connection).rows("list_attack_alerts", attack_id=attack_id, limit=max(1, min(limit, MAX_PAGE)))
        return tuple(_record(row) for row in rows)

    async def attack_of(self, alert_id: str) -> str:
        """The attack that an alert belongs to; empty for none."""
        async with self._db.transaction() as connection:
            row = await DetectionStore(connection).row("attack_of_alert", alert_id=alert_id)
        return "" if row is None else str(row["attack_id"])

    async def _attacks(self, attack_id: str, *, running: bool, limit: int) -> tuple[AttackRecord, ...]:
        async with self._db.transaction() as connection:
            rows = await DetectionStore(connection).rows(
                "list_attacks", attack_id=attack_id, running=running, limit=max(1, min(limit, MAX_PAGE))
            )
        return tuple(AttackRecord(**row | {"facets": msgspec.json.decode(row["facets"], type=tuple[Facet, ...])}) for row in rows)

    # Rule sets

    async def ensure_first_rules(self, toml: str, by: str) -> bool:
        """Save and activate the first rule set of a new installation; False when there is one already."""
        read_rules(toml)
        async with self._db.transaction() as connection:
            store = DetectionStore(connection)
            await store.rows("lock_versions")
            if await store.row("active_rule_set") is not None:
                return False
            version = await self._save_rules(store, toml, by, "first rules of this installation")
            await self._activate(store, version, by)
            return True

    async def save_rules(self, toml: str, by: str, note: str) -> int:
        """Keep a rule set as a new version; it does nothing until it is activated. The version."""
        read_rules(toml)
        if len(note) > MAX_NOTE_CHARACTERS or not note.isprintable():
            raise OperatorError(f"a note has {MAX_NOTE_CHARACTERS} printable characters at the most", reason="bad_note")
        async with self._db.transaction() as connection:
            store = DetectionStore(connection)
            await store.rows("lock_versions")
            return await self._save_rules(store, toml, by, note)

    async def activate_rules(self, version: int, by: str) -> None:
        """Make a saved version the one that judges, from its control record on."""
        async with self._db.transaction() as connection:
            store = DetectionStore(connection)
            await store.rows("lock_versions")
            active = await store.row("active_rule_set")
            if active is not None and active["version"] == version:
                raise ConflictError(f"rule set {version} is active already", reason="already_active")
            await self._activate(store, version, by)

    async def rule_sets(self) -> tuple[RuleSetVersion, ...]:
        """Every version, newest first."""
        async with self._db.transaction() as connection:
            return tuple(RuleSetVersion(**row) for row in await DetectionStore(connection).rows("list_rule_sets"))

    async def rules_text(self, version: int) -> str:
        """The TOML of a version; NotFoundError when there is none."""
        async with self._db.transaction() as connection:
            row = await DetectionStore(connection).row("find_rule_set", version=version)
        if row is None:
            raise NotFoundError(f"there is no rule set {version}; list the rule sets to see their versions", reason="no_rule_set")
        return str(row["toml"])

    # Rate decks and holidays

    async def save_rates(self, csv: str, by: str, *, home: str) -> int:
        """A new rate deck; ingest prices by it from its control record on. `home` is the operator's country. The version."""
        if len(csv.encode("utf-8", "surrogatepass")) > MAX_DECK_BYTES:
            raise OperatorError(f"a rate deck has {MAX_DECK_BYTES} bytes at the most; leave out what equals its prefix", reason="deck_long")
        deck = read_deck(csv, home=home, at_ms=self._clock())
        async with self._db.transaction() as connection:
            store = DetectionStore(connection)
            await store.rows("lock_versions")
            row = await store.row("add_rate_deck", csv=csv, prefixes=len(deck.rates), by=by, now_ms=self._clock())
            assert row is not None, "an insert from an aggregate has a row"
            await store.run("add_to_outbox", kind="rates", subject="", version=row["version"], now_ms=self._clock())
            return int(row["version"])

    async def rate_decks(self) -> tuple[RateDeckVersion, ...]:
        """Every version, newest first; the newest is in force. None: the built-in deck is."""
        async with self._db.transaction() as connection:
            return tuple(RateDeckVersion(**row) for row in await DetectionStore(connection).rows("list_rate_decks"))

    async def ensure_holidays(self, country: str, region: str, time_zone: str) -> bool:
        """Keep the public holidays of last year, this one and the next, meant in `time_zone`; whether that changed anything."""
        year = datetime.fromtimestamp(self._clock() / 1000, ZoneInfo(time_zone)).year
        days = [date.fromisoformat(day) for day in public_holidays(country, region, (year - 1, year, year + 1))]
        async with self._db.transaction() as connection:
            store = DetectionStore(connection)
            if await store.row("put_holidays", days=days, time_zone=time_zone) is None:
                return False
            await store.run("add_to_outbox", kind="holidays", subject="", version=0, now_ms=self._clock())
            return True

    # For the worker: what to tell the log

    async def pending(self, limit: int) -> tuple[Change, ...]:
        """Outbox entries, oldest first."""
        async with self._db.transaction() as connection:
            return tuple(Change(**row) for row in await DetectionStore(connection).rows("read_outbox", limit=limit))

    async def changed(self, kind: str) -> RuleSetChanged | RatesChanged | HolidaysChanged | None:
        """The control record of the version now in force; None when there is none."""
        queries = {"rules": "active_rule_set", "rates": "newest_rate_deck", "holidays": "read_holidays"}
        async with self._db.transaction() as connection:
            row = await DetectionStore(connection).row(queries[kind])
        if row is None:
            return None
        match kind:
            case "rules":
                return RuleSetChanged(version=row["version"], toml=row["toml"])
            case "rates":
                return RatesChanged(version=row["version"], csv=row["csv"])
            case _:
                return HolidaysChanged(days=tuple(row["days"]), time_zone=row["time_zone"])

    async def settle(self, changes: tuple[Change, ...]) -> None:
        """Take entries out of the outbox: the log and the bucket have them."""
        async with self._db.transaction() as connection:
            await DetectionStore(connection).run("settle_outbox", entries=[change.entry_id for change in changes])

    # Inside

    async def _save_rules(self, store: DetectionStore, toml: str, by: str, note: str) -> int:
        row = await store.row("add_rule_set", toml=toml, note=note, by=by, now_ms=self._clock())
        assert row is not None, "an insert from an aggregate has a row"
        return int(row["version"])

    async def _activate(self, store: DetectionStore, version: int, by: str) -> None:
        if await store.row("activate_rule_set", version=version, by=by, now_ms=self._clock()) is None:
            raise NotFoundError(f"there is no rule set {version}; list the rule sets to see their versions", reason="no_rule_set")
        await store.run("add_to_outbox", kind="rules", subject="", version=version, now_ms=self._clock())


def built_in_rules() -> str:
    """The rule set of a new installation, as TOML."""
    return (files("ringfence.detection") / "rules" / "default.toml").read_text("utf-8")


def cursor_of(alert: AlertRecord) -> str:
    """Where the next page begins after this alert."""
    return f"{alert.opened_ms}:{alert.alert_id}"


def _decode(payload: bytes) -> tuple[Alert, int]:
    """The alert in a message and its time in milliseconds; PeerError when it is none."""
    try:
        alert = decode_alert(payload)
        moment = datetime.fromisoformat(alert.at)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise PeerError(f"this is not an alert: {error}", reason="bad_alert") from None
    if moment.tzinfo is None:
        raise PeerError("this is not an alert: its time names no zone", reason="bad_alert")
    return alert, round(moment.timestamp() * 1000)


def _record(row: Row) -> AlertRecord:
    return AlertRecord(**row | {"evidence": msgspec.convert(row["evidence"], Evidence)})


def _no_alert() -> NotFoundError:
    return NotFoundError("there is no such alert; list the alerts to see their ids", reason="no_alert")


def _split(cursor: str) -> tuple[int, str]:
    """Time and id of a cursor; OperatorError when it is none of ours."""
    if not cursor:
        return 0, ""
    time, colon, name = cursor.partition(":")
    if not colon or not (time.isascii() and time.isdigit() and len(time) <= 15) or not name.isprintable():
        raise OperatorError("this page does not exist; start at the first one", reason="bad_cursor")
    return int(time), name
