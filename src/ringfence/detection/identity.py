"""Account takeover: what an account is used from and with, and what of it is new (D30 to D34, D36, D37).

Pure: rows, ticks and control records in log order become findings, and replicas at the same position are equal byte for byte. The work is
done by `identity_kernel` over memory of `identity_tables`; this binds it to the log and gives its events their text. The one thing to
know: nothing is learned quietly. What is new stays provisional for days, a suspicion starts those days again, and a call that costs money
from something provisional is a finding however long its owner waited.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from ringfence.base.ids import keyed_hash
from ringfence.detection import identity_kernel as compiled_kernel
from ringfence.detection.engine import EngineState
from ringfence.detection.findings import Finding, Unit
from ringfence.detection.identity_layout import (
    DAY,
    EPOCH,
    EVENT,
    HOME_MASK,
    HOME_STEP,
    HOUR,
    MAX_CHANNELS,
    R_EVICTED,
    R_LIVE_UNITS,
    R_LOOKED,
    R_NOW,
    R_OUT,
    R_ROWS,
    R_SLOTS,
    R_STATUS,
    Said,
    Status,
)
from ringfence.detection.identity_places import place_words
from ringfence.detection.identity_rules import RULES, limit_words
from ringfence.detection.identity_sentences import reason
from ringfence.detection.identity_tables import REGIONS, IdentityTables
from ringfence.detection.rules import SEGMENTS, RuleSet, read_rules
from ringfence.detection.tables import Words
from ringfence.telephony.columns import MAX_ROWS, RowBatch, row_ref
from ringfence.telephony.control import AccountChanged, BlockReleased, ControlRecord, RuleSetChanged
from ringfence.telephony.model import AccountRow, Flag, Kind, country_letters
from ringfence.telephony.suspicion import Measure
from ringfence.telephony.user_agents import family_of

__all__ = ["RULES", "Event", "IdentityEngine"]

REMEMBERED_NAMES: Final = 4_096
"""Accounts with a warning whose release is understood, newest last: a release names the account, the tables know keys."""
SIGNAL_WINDOW: Final = DAY
SEQUENCE_WINDOW: Final = HOUR
REFUSED_CLASS: Final = 3

_COLUMNS: Final = (
    "kind",
    "at_ms",
    "account_key",
    "destination_class",
    "flags",
    "started_ms",
    "status_code",
    "expires",
    "direction",
    "source_key",
    "network_key",
    "network_kind",
    "source_country",
    "family_key",
)
_UNITS: Final[dict[Said, Unit]] = {Said.D33: "numbers"}
_CONTACT_KEY: Final = b"contact"


class Event(NamedTuple):
    """What the kernel says about a row. `a` to `c` depend on the rule; `identity_sentences` reads them."""

    rule: Said
    level: int
    account_key: int
    at_ms: int
    place: int
    """Of the row in its batch."""
    score: int
    a: int
    b: int
    c: int
    segment: int
    strangers: bool


class IdentityEngine:
    """Create with the rules in force, or `restore` a state. `accounts` sizes the table; it grows when that was too few."""

    RULES = RULES

    def __init__(self, rules: RuleSet, *, accounts: int = 0, kernel: Any = compiled_kernel) -> None:
        self._kernel = kernel
        self._tables = (IdentityTables.fresh(strangers=False, accounts=accounts), IdentityTables.fresh(strangers=True))
        self._places = place_words()
        self._named: dict[str, int] = {}
        self._none = np.zeros(MAX_ROWS, np.int64)
        self.set_rules(rules)

    @property
    def now_ms(self) -> int:
        """The event clock: the latest event time seen; 0 before the first."""
        return int(self._tables[0].registers[R_NOW])

    def set_rules(self, rules: RuleSet) -> None:
        """These rules hold from here on."""
        self.rules = rules
        self._limits = limit_words(rules)

    def figures(self) -> dict[str, float]:
        """Counters since the first row, and sizes, by a name that says the unit."""
        names = {"identity_rows": R_ROWS, "identity_rows_looked_at": R_LOOKED, "identity_slots": R_SLOTS, "identity_evicted": R_EVICTED}
        found = {name: float(sum(int(tables.registers[place]) for tables in self._tables)) for name, place in names.items()}
        found["identity_accounts"] = float(sum(tables.accounts for tables in self._tables))
        found["identity_slot_bytes"] = float(sum(int(tables.registers[R_LIVE_UNITS]) * 64 for tables in self._tables))
        found["identity_state_bytes"] = float(sum(tables.nbytes for tables in self._tables))
        return found

    # The log

    def feed(self, batch: RowBatch, sequence: int) -> list[Finding]:
        """Take a batch that stands at `sequence` of the lane."""
        if batch.length == 0:
            return []
        events = self.feed_columns(batch.numeric, batch.length, self._contacts(batch))
        return [self._finding(event, batch.row(event.place), row_ref(sequence, event.place)) for event in events]

    def feed_columns(self, numeric: Mapping[str, Any], length: int, contacts: Words | None = None) -> list[Event]:
        """The same for bare columns (of `columns.NUMERIC`'s types), as events without text. `contacts`: keys of the rows' Contacts."""
        columns = [numeric[name] for name in _COLUMNS]
        columns[7] = columns[7].astype(np.int64)
        if contacts is None:
            if length > len(self._none):
                self._none = np.zeros(length, np.int64)
            contacts = self._none
        columns.append(contacts)
        events = self._run(self._tables[0], columns, length, 0)
        if self._tables[1].accounts or bool(np.any(numeric["flags"] & np.uint16(Flag.UNKEYED))):
            events += self._run(self._tables[1], columns, length, 1)
            events.sort(key=lambda event: event.place)
        else:
            self._advance(self._tables[1], int(numeric["at_ms"].max()))
        return events

    def tick(self, at_ms: int) -> list[Finding]:
        """Move the event clock in silence. Nothing is found by silence."""
        for tables in self._tables:
            self._advance(tables, at_ms)
        return []

    def control(self, record: ControlRecord) -> None:
        """Let a control record take effect. Rules that cannot be read raise OperatorError: the writer had to check them."""
        match record:
            case AccountChanged():
                self._set_account(record)
            case RuleSetChanged():
                self.set_rules(read_rules(record.toml, version=record.version))
            case BlockReleased():
                key = self._named.pop(record.account, None)
                if key is not None:
                    tables = self._tables[0]
                    self._kernel.trust(tables.hot, tables.arena, tables.registers, key)
            case _:
                pass

    def suspect(self, account_key: int, at_ms: int) -> None:
        """Another rule acts on an account: what it learned within 24 h before is not trusted, and what is new stays so for longer."""
        tables = self._tables[0]
        status = -1
        while status != Status.DONE:
            status = self._kernel.suspect(tables.hot, tables.arena, tables.registers, account_key, at_ms)
            tables.make_room(self._kernel, status)

    def settle_in(self, account_keys: Words) -> None:
        """Give these accounts their places before they are seen. Changes no verdict."""
        tables = self._tables[0]
        place = 0
        while place < len(account_keys):
            place = self._kernel.settle_in(tables.hot, tables.registers, account_keys, place, len(account_keys))
            if place < len(account_keys):
                tables.grow_table(self._kernel)

    # State

    def state(self) -> EngineState:
        """A copy to keep while the engine goes on."""
        arrays = {
            f"{name}.{region}": words
            for name, tables in zip(("identity", "identity_strangers"), self._tables, strict=True)
            for region, words in tables.state().items()
        }
        return EngineState(arrays=arrays, scalars=self._scalars())

    @classmethod
    def restore(cls, state: EngineState, rules: RuleSet, *, kernel: Any = compiled_kernel) -> "IdentityEngine":
        """An engine that goes on where the state was taken, with the rules that held there. The arrays become its own."""
        engine = cls(rules, kernel=kernel)
        engine._tables = (
            IdentityTables.of(state.arrays, "identity", strangers=False),
            IdentityTables.of(state.arrays, "identity_strangers", strangers=True),
        )
        engine._named = {name: int(key) for name, key in state.scalars["identity_named"]}
        return engine

    @staticmethod
    def array_names() -> tuple[str, ...]:
        """Names of the arrays of a state, for whoever keeps several engines' in one."""
        return tuple(f"{name}.{region}" for name in ("identity", "identity_strangers") for region in REGIONS)

    def state_hash(self) -> str:
        """Equal exactly when two engines will judge everything alike."""
        hasher = hashlib.blake2b(digest_size=16)
        for tables in self._tables:
            tables.digest(hasher)
        hasher.update(msgspec.json.encode(self._scalars(), order="deterministic"))
        return hasher.hexdigest()

    def _scalars(self) -> dict[str, Any]:
        return {"identity_named": [[name, key] for name, key in self._named.items()]}

    # The kernel, called until it is done

    def _run(self, tables: IdentityTables, columns: Sequence[Any], length: int, unkeyed: int) -> list[Event]:
        events: list[Event] = []
        row = 0
        while row < length:
            row = self._kernel.run(
                tables.hot, tables.arena, tables.registers, self._limits, self._places, tables.out, *columns, row, length, unkeyed
            )
            count = int(tables.registers[R_OUT])
            if count:
                tables.registers[R_OUT] = 0
                written = tables.out[: count * EVENT].reshape(count, EVENT).tolist()
                events.extend(Event._make((Said(words[0]), *words[1:], tables.strangers)) for words in written)
            tables.make_room(self._kernel, int(tables.registers[R_STATUS]))
        return events

    def _advance(self, tables: IdentityTables, at_ms: int) -> None:
        self._kernel.advance(tables.hot, tables.arena, tables.registers, self._limits, at_ms)

    def _set_account(self, record: AccountChanged) -> None:
        tables = self._tables[0]
        exempt = min(max((record.exempt_until_ms - EPOCH) // HOME_STEP, 0), HOME_MASK) if record.exempt_until_ms else 0
        status = -1
        while status != Status.DONE:
            status = self._kernel.set_account(
                tables.hot,
                tables.arena,
                tables.registers,
                record.account_key,
                SEGMENTS.index(record.segment),
                min(max(record.channels, 1), MAX_CHANNELS),
                exempt,
                int(record.removed),
            )
            tables.make_room(self._kernel, status)

    # Text

    def _contacts(self, batch: RowBatch) -> Words:
        keys = np.zeros(batch.length, np.int64)
        texts = batch.text["contact"]
        for place in np.flatnonzero(batch.numeric["kind"] == int(Kind.REGISTRATION)).tolist():
            if contact := texts[place]:
                keys[place] = keyed_hash(_CONTACT_KEY, contact)
        return keys

    def _finding(self, event: Event, row: AccountRow, ref: int) -> Finding:
        rule = event.rule.name
        call = row.kind in (Kind.ATTEMPT, Kind.CALL)
        limit = self.rules.value("D36", "act", SEGMENTS[event.segment]) if event.rule is Said.D36 else event.score
        warn, act = (event.b, event.c) if event.rule is Said.D33 else (limit, limit)
        if event.level > 0 and not event.strangers:
            self._named.pop(row.account, None)
            self._named[row.account] = event.account_key
            if len(self._named) > REMEMBERED_NAMES:
                del self._named[next(iter(self._named))]
        measures: tuple[Measure, ...] = ()
        if event.rule is Said.D36 and event.level > 1 and not event.strangers:
            measures = (Measure(scope="class", value=row.account, destination_class=REFUSED_CLASS),)
        return Finding(
            rule=rule,
            level=event.level,
            subject_kind="account",
            subject=row.account,
            at_ms=event.at_ms,
            observed={Said.D33: event.a, Said.D36: event.c}.get(event.rule, event.score),
            warn=warn,
            act=act,
            unit=_UNITS.get(event.rule, "score"),
            score=event.score,
            hard=event.rule is Said.D36,
            account=row.account,
            account_key=event.account_key,
            keyed=not event.strangers,
            rate_micro=row.rate if call else 0,
            window_ms=SEQUENCE_WINDOW if event.level else SIGNAL_WINDOW,
            opening_call_id=row.call_id,
            opening_ms=row.started_ms or row.at_ms,
            calls=(row.call_id,) if call and row.call_id else (),
            refs=(ref,),
            reason=reason(event.rule, event, row),
            measures=measures,
            observed_more=_facets(row, call=call),
        )


def _facets(row: AccountRow, *, call: bool) -> dict[str, Any]:
    """What alerts of one attacker may have in common."""
    facets: dict[str, Any] = {}
    if row.network:
        facets["networks"] = [row.network]
    if row.source_ip:
        facets["sources"] = [row.source_ip]
    if row.user_agent:
        facets["families"] = [family_of(row.user_agent)]
    if row.source_country:
        facets["source_countries"] = [country_letters(row.source_country)]
    if call and row.country:
        facets["countries"] = [country_letters(row.country)]
    if call and row.callee.startswith("+"):
        facets["ranges"] = [row.callee[1:-3]]
    return facets
