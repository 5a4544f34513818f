"""Versions and states of composed rules, and people's answers to alerts as labels.

A rule is a draft until somebody puts it on probation or makes it act; every version stays. The one thing to know: a change of state and its
outbox entry are one transaction, and the worker's control record is where it takes effect.
"""

from dataclasses import dataclass
from typing import Final, Literal, cast

from ringfence.base.clock import Clock, system_clock
from ringfence.base.errors import ConflictError, NotFoundError, OperatorError
from ringfence.detection.composed import ComposedRule, State
from ringfence.detection.composed_text import MAX_RULES, read_composed, read_one, write_rule
from ringfence.detection.service import MAX_NOTE_CHARACTERS
from ringfence.detection.store import DetectionStore
from ringfence.runtime.db import Database
from ringfence.telephony.control import ComposedChanged

MAX_LABELS: Final = 100_000
InForceState = Literal["probation", "active", "retired"]
_IN_FORCE = ("probation", "active")


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposedRecord:
    """A rule as the list shows it. `version` is the one in force, 0 for none; `toml` and `title` are of the newest."""

    rule_id: str
    state: State
    version: int
    changed_ms: int
    changed_by: str
    newest: int
    toml: str
    title: str
    note: str
    author: str
    saved_ms: int
    alerts: int
    fraud: int
    not_fraud: int
    unsure: int

    @property
    def precision(self) -> float | None:
        """Share of its alerts that people called fraud, of those that they decided; None before the first."""
        decided = self.fraud + self.not_fraud
        return self.fraud / decided if decided else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposedVersion:
    """A saved version, and what people said about its own alerts."""

    version: int
    toml: str
    title: str
    note: str
    author: str
    saved_ms: int
    alerts: int
    fraud: int
    not_fraud: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposedStep:
    """A change of state."""

    version: int
    state: str
    changed_ms: int
    changed_by: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLabels:
    """What is known of an account."""

    account: str
    fraud: bool
    not_fraud: bool
    alerted: bool
    """By a built-in rule, and nobody called it wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """Somebody's answer to an alert."""

    alert_id: str
    rule: str
    rule_version: int
    subject_kind: str
    subject_value: str
    account: str
    severity: str
    score: int
    cost_micro: int
    opened_ms: int
    feedback: str
    feedback_ms: int
    feedback_by: str
    feedback_note: str


class ComposingService:
    """Composed rules in PostgreSQL. `db` is an open `Database`."""

    def __init__(self, db: Database, clock: Clock = system_clock) -> None:
        self._db = db
        self._clock = clock

    async def save(self, toml: str, by: str, note: str = "") -> tuple[tuple[str, int], ...]:
        """Keep each rule of a text as a new version, all or none; nothing judges differently. Ids and versions."""
        if len(note) > MAX_NOTE_CHARACTERS or not (note.isprintable() or not note):
            raise OperatorError(f"a note has {MAX_NOTE_CHARACTERS} printable characters at the most", reason="bad_note")
        rules = read_composed(toml)
        saved = []
        async with self._db.transaction() as connection:
            store = DetectionStore(connection)
            await store.rows("lock_versions")
            for rule in rules:
                named = {"rule_id": rule.rule_id, "by": by, "now_ms": self._clock()}
                await store.run("add_composed_rule", **named)
                row = await store.row("add_composed_version", toml=write_rule(rule), title=rule.title, note=note, **named)
                assert row is not None, "an insert from an aggregate has a row"
                saved.append((rule.rule_id, int(row["version"])))
        return tuple(saved)

    async def rules(self) -> tuple[ComposedRecord, ...]:
        """Every rule: active, on probation, drafts, retired."""
        async with self._db.transaction() as connection:
            return tuple(ComposedRecord(**row) for row in await DetectionStore(connection).rows("list_composed", rule_id=""))

    async def rule(self, rule_id: str) -> ComposedRecord:
        """One rule; NotFoundError when there is none."""
        async with self._db.transaction() as connection:
            row = await DetectionStore(connection).row("list_composed", rule_id=rule_id) if rule_id else None
        if row is None:
            raise _no_rule(rule_id)
        return ComposedRecord(**row)

    async def versions(self, rule_id: str) -> tuple[ComposedVersion, ...]:
        """Every version, newest first."""
        async with self._db.transaction() as connection:
            return tuple(ComposedVersion(**row) for row in await DetectionStore(connection).rows("list_composed_versions", rule_id=rule_id))

    async def steps(self, rule_id: str) -> tuple[ComposedStep, ...]:
        """Every change of state, newest first."""
        async with self._db.transaction() as connection:
            return tuple(ComposedStep(**row) for row in await DetectionStore(connection).rows("list_composed_changes", rule_id=rule_id))

    async def read(self, rule_id: str, version: int) -> ComposedRule:
        """A saved version as a rule; NotFoundError when there is none."""
        async with self._db.transaction() as connection:
            row = await DetectionStore(connection).row("find_composed_version", rule_id=rule_id, version=version)
        if row is None:
            raise _no_rule(f"{rule_id} version {version}")
        return read_one(row["toml"])

    async def put(self, rule_id: str, version: int, state: InForceState, by: str, note: str = "") -> None:
        """Put a version on probation, make it act, or retire the rule, from its control record on.

        ConflictError when it is so already, or when too many rules are in force.
        """
        async with self._db.transaction() as connection:
            store = DetectionStore(connection)
            await store.rows("lock_versions")
            now = await store.row("list_composed", rule_id=rule_id)
            if now is None or await store.row("find_composed_version", rule_id=rule_id, version=version) is None:
                raise _no_rule(f"{rule_id} version {version}")
            if now["state"] == state and (now["version"] == version or state == "retired"):
                raise ConflictError(f"{rule_id} is {_STATES[state]} already", reason="already_so")
            if state == "retired" and now["state"] == "draft":
                raise ConflictError(f"{rule_id} is a draft and judges nothing; there is nothing to retire", reason="draft")
            if state in _IN_FORCE and now["state"] not in _IN_FORCE:
                counted = await store.row("count_composed_in_force")
                if counted is not None and counted["rules"] >= MAX_RULES:
                    raise ConflictError(f"{MAX_RULES} composed rules are in force; retire one first", reason="too_many_rules")
            kept = now["version"] if state == "retired" else version
            change = {"rule_id": rule_id, "version": kept, "state": state, "by": by, "now_ms": self._clock()}
            await store.run("add_composed_change", note=note, **change)
            assert await store.row("set_composed_state", **change) is not None, "the rule was found above"
            await store.run("add_to_outbox", kind="composed", subject=rule_id, version=kept, now_ms=self._clock())

    async def told(self, rule_id: str = "") -> tuple[ComposedChanged, ...]:
        """Control records of all rules that ever were in force, or of one: for the worker."""
        async with self._db.transaction() as connection:
            rows = await DetectionStore(connection).rows("told_composed", rule_id=rule_id)
        return tuple(ComposedChanged(**row | {"state": cast("InForceState", row["state"])}) for row in rows)

    async def account_labels(self, since_ms: int) -> tuple[AccountLabels, ...]:
        """What is known of accounts that had an alert since then; 200,000 at the most."""
        async with self._db.transaction() as connection:
            return tuple(AccountLabels(**row) for row in await DetectionStore(connection).rows("account_labels", since_ms=since_ms))

    async def labels(self, since_ms: int = 0, *, limit: int = MAX_LABELS) -> tuple[Label, ...]:
        """People's answers to alerts, newest first."""
        async with self._db.transaction() as connection:
            rows = await DetectionStore(connection).rows("list_labels", since_ms=since_ms, limit=max(1, min(limit, MAX_LABELS)))
        return tuple(Label(**row | {"feedback_by": row["feedback_by"] or ""}) for row in rows)


_STATES: Final = {"probation": "on probation", "active": "active", "retired": "retired"}


def _no_rule(what: str) -> NotFoundError:
    return NotFoundError(f"there is no composed rule {what}; list the rules to see their ids", reason="no_rule")
