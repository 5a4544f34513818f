"""One lane's judgement: rows, ticks and control records in log order become crossings.

Pure: the same log gives the same crossings and the same state, byte for byte, on every machine. The engine holds two tables, one for
accounts that agents with a key vouch for and a bounded one for strangers; both follow the same event clock. It knows accounts by key
only: text is `alerts`' business.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from ringfence.detection import kernel as compiled_kernel
from ringfence.detection.baselines import DIRECTORY_CLASS, block_words, size_class
from ringfence.detection.layout import (
    BLOCK_VERSION,
    C_ACT,
    C_AT,
    C_COST,
    C_COUNT,
    C_DETECTOR,
    C_EVIDENCE,
    C_FIRST,
    C_KEY,
    C_LAST,
    C_LEVEL,
    C_OBSERVED,
    C_OPENING,
    C_RATE,
    C_VARIANT,
    C_WARN,
    CROSSING_WORDS,
    DAY,
    MAX_PROFILES,
    NEVER,
    PROFILE_WORDS,
    R_ACCOUNTS,
    R_BASELINES,
    R_EPOCH,
    R_EVICTED,
    R_JUDGED,
    R_LATE,
    R_LIVE_UNITS,
    R_NOW,
    R_OUT,
    R_ROWS,
    R_STATUS,
    R_WAKES,
    UNIT,
    Detector,
    Status,
)
from ringfence.detection.offhours import compile_local_time, compile_off_hours
from ringfence.detection.rules import MAX_CHANNELS, Profile, RuleSet, profile_words, read_rules
from ringfence.detection.tables import Tables, Words
from ringfence.telephony.columns import MAX_ROWS, RowBatch
from ringfence.telephony.control import AccountChanged, BaselinesChanged, ControlRecord, HolidaysChanged, RatesChanged, RuleSetChanged

COMPILED_AHEAD_DAYS = 400
_DETECTORS = tuple(Detector)

_COLUMNS = (
    "kind",
    "at_ms",
    "account_key",
    "call_key",
    "range_key",
    "number_tail",
    "country",
    "destination_class",
    "rate",
    "connect_micro",
    "flags",
    "started_ms",
    "answered_ms",
    "ended_ms",
)


class Crossing(msgspec.Struct, frozen=True, kw_only=True):
    """A detector's level of one account rose. Observed value and thresholds are in the kernel's units (`rules.plain_value`)."""

    detector: Detector
    level: int
    account_key: int
    unkeyed: bool
    at_ms: int
    observed: int
    threshold_warn: int
    threshold_act: int
    opening: int
    """Row reference of the newest call of the evidence; -1 when unknown."""
    cost_micro: int
    """C2+ cost of the last 24 hours so far, without look-ahead."""
    rate_micro: int
    """Per minute, of all running C2+ calls."""
    off_hours: bool
    new_account: bool
    first_ms: int
    last_ms: int
    count: int
    """Calls in the evidence (50 at the most)."""
    evidence: tuple[int, ...]
    """Row references, newest last; calls whose reference is lost are left out."""
    daily: bool = False
    """D20: it is the day that is unusual, not the quarter of an hour."""
    score: int = 0
    """Of a signal (level 0), which opens no alert of its own: 0 to 100."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineState:
    """A copy of everything a verdict depends on: arrays of words and a few plain scalars."""

    arrays: Mapping[str, Words]
    scalars: Mapping[str, Any]


class Engine:
    """Create with the rules in force, or `restore` a state. `accounts` sizes the table; it grows when that was too few."""

    def __init__(
        self,
        rules: RuleSet,
        *,
        time_zone: str = "Europe/Berlin",
        holidays: tuple[str, ...] = (),
        accounts: int = 0,
        kernel: Any = compiled_kernel,
    ) -> None:
        self._kernel = kernel
        self.rules = rules
        self.time_zone = ZoneInfo(time_zone)
        self.holidays = holidays
        self._profiles: dict[Profile, int] = {}
        self._profile_list: list[Profile] = []
        self._tables = (Tables.fresh(strangers=False, accounts=accounts), Tables.fresh(strangers=True))
        self._calendar_until = 0
        self._noted = {"rates": 0}
        self._profile_id(Profile())
        self._write_profiles()

    @property
    def now_ms(self) -> int:
        """The event clock: the latest event time seen; 0 before the first."""
        return int(self._tables[0].registers[R_NOW])

    @property
    def accounts(self) -> int:
        """Accounts in memory."""
        return sum(int(tables.registers[R_ACCOUNTS]) for tables in self._tables)

    def figures(self) -> dict[str, float]:
        """Counters since the first row, and sizes, by a name that says the unit."""
        names = {"rows_counted": R_ROWS, "rows_late": R_LATE, "calls_evicted": R_EVICTED, "wakes": R_WAKES, "judgements": R_JUDGED}
        found = {name: float(sum(int(tables.registers[place]) for tables in self._tables)) for name, place in names.items()}
        found["accounts"] = float(self.accounts)
        found["arena_bytes"] = float(sum(int(tables.registers[R_LIVE_UNITS]) * 64 for tables in self._tables))
        found["state_bytes"] = float(sum(t.hot.nbytes + t.arena.nbytes + t.heap.nbytes for t in self._tables))
        return found

    # The log

    def feed(self, batch: RowBatch, sequence: int) -> list[Crossing]:
        """Take a batch that stands at `sequence` of the lane."""
        if batch.length == 0:
            return []
        columns = [batch.numeric[name] for name in _COLUMNS]
        return self.feed_columns(columns, batch.length, sequence * MAX_ROWS, bool(np.any(batch.numeric["flags"] & np.uint16(2))))

    def feed_columns(self, columns: list[Any], length: int, first_ref: int, strangers: bool) -> list[Crossing]:
        """The same for bare columns in the order of the kernel; `strangers`: some row is of an agent without a key."""
        columns = [_read_only(column) for column in columns]
        at = columns[1]
        self._need_calendar(int(at.min()), int(at.max()))
        crossings = self._run(self._tables[0], columns, length, first_ref, 0)
        if strangers:
            crossings += self._run(self._tables[1], columns, length, first_ref, 1)
        else:
            crossings += self._advance(self._tables[1], int(at.max()))
        return crossings

    def tick(self, at_ms: int) -> list[Crossing]:
        """Move the event clock in silence. An earlier tick does nothing."""
        self._need_calendar(at_ms, at_ms)
        return self._advance(self._tables[0], at_ms) + self._advance(self._tables[1], at_ms)

    def control(self, record: ControlRecord) -> None:
        """Let a control record take effect. Rules that cannot be read raise OperatorError: the writer had to check them."""
        match record:
            case AccountChanged():
                self._set_account(record)
            case RuleSetChanged():
                self.rules = read_rules(record.toml, version=record.version)
                self._write_profiles()
                self._wake_all()
            case HolidaysChanged():
                self.time_zone = ZoneInfo(record.time_zone)
                self.holidays = tuple(record.days)
                self._calendar_until = 0
                self._wake_all()
            case BaselinesChanged():
                self._set_baselines(record)
            case RatesChanged():
                self._noted["rates"] = record.version
            case _:
                pass

    def measure(self, account_key: int, *, unkeyed: bool = False) -> tuple[int, int]:
        """`(micro-euro per minute of running C2+ calls, micro-euro of the last 24 hours so far)` of an account."""
        tables = self._tables[int(unkeyed)]
        rate, cost = self._kernel.measure(tables.hot, tables.arena, tables.registers, account_key)
        return int(rate), int(cost) // 60_000

    def profile(self, account_key: int) -> Profile:
        """What of an account the limits depend on; the plain one for an account that is not known."""
        tables = self._tables[0]
        if len(self._profile_list) != len(self._profiles):
            self._profile_list = list(self._profiles)
        return self._profile_list[int(self._kernel.profile_of(tables.hot, tables.registers, account_key))]

    # State

    def state(self) -> EngineState:
        """A copy to keep while the engine goes on."""
        arrays = {
            f"{name}.{region}": words
            for name, tables in zip(("accounts", "strangers"), self._tables, strict=True)
            for region, words in tables.state().items()
        }
        return EngineState(arrays=arrays, scalars=self._scalars())

    @classmethod
    def restore(cls, state: EngineState, *, kernel: Any = compiled_kernel) -> "Engine":
        """An engine that goes on where the state was taken. The arrays become its own."""
        scalars = state.scalars
        rules = read_rules(scalars["rules"], version=scalars["rules_version"])
        engine = cls(rules, time_zone=scalars["time_zone"], holidays=tuple(scalars["holidays"]), kernel=kernel)
        engine.adopt(state)
        return engine

    def adopt(self, state: EngineState) -> None:
        """Go on with this state's accounts, calls and profiles; rules and holidays stay as they are."""
        self._noted = dict(state.scalars["noted"])
        self._profile_list = []
        self._profiles = {
            Profile(segment=segment, channels=channels, sensitivity=sensitivity, exempt_until_ms=until): place
            for place, (segment, channels, sensitivity, until) in enumerate(state.scalars["profiles"])
        }
        regions = ("hot", "arena", "heap", "registers")
        accounts, strangers = ([state.arrays[f"{name}.{region}"] for region in regions] for name in ("accounts", "strangers"))
        self._tables = (
            Tables(hot=accounts[0], arena=accounts[1], heap=accounts[2], registers=accounts[3], strangers=False),
            Tables(hot=strangers[0], arena=strangers[1], heap=strangers[2], registers=strangers[3], strangers=True),
        )
        self._calendar_until = 0
        for tables in self._tables:
            tables.bind()
        self._write_profiles()

    def state_hash(self) -> str:
        """Equal exactly when two engines will judge everything alike."""
        hasher = hashlib.blake2b(digest_size=16)
        for tables in self._tables:
            tables.digest(hasher)
        hasher.update(msgspec.json.encode(self._scalars(), order="deterministic"))
        return hasher.hexdigest()

    def _scalars(self) -> dict[str, Any]:
        return {
            "rules": self.rules.text,
            "rules_version": self.rules.version,
            "time_zone": self.time_zone.key,
            "holidays": list(self.holidays),
            "noted": dict(self._noted),
            "profiles": [[p.segment, p.channels, p.sensitivity, p.exempt_until_ms] for p in self._profiles],
        }

    # The kernel, called until it is done

    def _run(self, tables: Tables, columns: list[Any], length: int, first_ref: int, unkeyed: int) -> list[Crossing]:
        crossings: list[Crossing] = []
        row = 0
        while row < length:
            row = self._kernel.run(
                tables.hot,
                tables.arena,
                tables.heap,
                tables.registers,
                tables.profiles,
                tables.calendar,
                tables.out,
                *columns,
                row,
                length,
                first_ref,
                unkeyed,
            )
            self._take(tables, crossings)
            self._make_room(tables, int(tables.registers[R_STATUS]))
        return crossings

    def _advance(self, tables: Tables, at_ms: int) -> list[Crossing]:
        crossings: list[Crossing] = []
        status = -1
        while status != Status.DONE:
            status = self._kernel.advance(
                tables.hot, tables.arena, tables.heap, tables.registers, tables.profiles, tables.calendar, tables.out, at_ms
            )
            self._take(tables, crossings)
            self._make_room(tables, status)
        return crossings

    def _make_room(self, tables: Tables, status: int) -> None:
        if status == Status.TABLE_FULL:
            tables.grow_table(self._kernel)
        elif status == Status.ARENA_FULL:
            tables.grow_arena()
        elif status == Status.HEAP_FULL:
            tables.grow_heap()

    def _take(self, tables: Tables, crossings: list[Crossing]) -> None:
        count = int(tables.registers[R_OUT])
        if count == 0:
            return
        tables.registers[R_OUT] = 0
        written = tables.out[: count * CROSSING_WORDS].reshape(count, CROSSING_WORDS).tolist()
        crossings.extend(_crossing(words, strangers=tables.strangers) for words in written)

    def settle_in(self, account_keys: Words) -> None:
        """Give these accounts their places before they call, and have the memory for their calls there. Changes no verdict.

        Memory that nobody has written costs its first writer: up to 6 ms for each 2 MiB were measured in a virtual machine.
        """
        tables = self._tables[0]
        tables.arena[:: 4096 // 8] |= 0
        row = 0
        while row < len(account_keys):
            row = self._kernel.settle_in(tables.hot, tables.registers, account_keys, row, len(account_keys))
            if row < len(account_keys):
                tables.grow_table(self._kernel)

    def make_larger(self) -> None:
        """Grow the table of accounts now, which otherwise happens when it is full. Changes no verdict."""
        for tables in self._tables:
            tables.grow_table(self._kernel)

    # What thresholds depend on

    def _set_account(self, record: AccountChanged) -> None:
        tables = self._tables[0]
        profile, since_day = 0, 0
        if not record.removed:
            profile = self._profile_id(
                Profile(
                    segment=record.segment,
                    channels=min(max(record.channels, 1), MAX_CHANNELS),
                    sensitivity=min(max(record.sensitivity, 0), 100),
                    exempt_until_ms=min(max(record.exempt_until_ms, 0), NEVER),
                )
            )
            since_day = min(max(record.since_ms // DAY, 0), 0xFFFF)
            if self.now_ms >= (since_day + 31) * DAY:
                since_day = 0  # Not new any more: such an account costs no memory until it calls.
        status = -1
        while status != Status.DONE:
            status = self._kernel.set_attributes(
                tables.hot, tables.arena, tables.heap, tables.registers, record.account_key, profile, since_day
            )
            self._make_room(tables, status)

    def _set_baselines(self, record: BaselinesChanged) -> None:
        tables = self._tables[0]
        directory = int(tables.registers[R_BASELINES])
        if directory == 0:
            directory = self._reserve(tables, DIRECTORY_CLASS)
            tables.registers[R_BASELINES] = directory
        place = (directory + 1) * UNIT + record.slot % 1_024
        before = int(tables.arena[place])
        if before and record.version <= tables.arena[before * UNIT + BLOCK_VERSION]:
            return
        words = block_words(record, self.time_zone)
        block = self._reserve(tables, size_class(len(words)))
        tables.arena[block * UNIT + 1 : block * UNIT + len(words)] = words[1:]
        tables.arena[place] = block
        if before:
            self._kernel.release(tables.arena, tables.registers, before)
        tables.registers[R_EPOCH] += 1
        keys = np.array([account.account_key for account in record.accounts], np.int64)
        row = 0
        while row < len(keys):
            row = self._kernel.rebase(tables.hot, tables.arena, tables.heap, tables.registers, keys, row, len(keys))
            if row < len(keys):
                tables.grow_heap()

    def _reserve(self, tables: Tables, wanted: int) -> int:
        while (slot := int(self._kernel.reserve(tables.arena, tables.registers, wanted))) == 0:
            tables.grow_arena()
        return slot

    def _profile_id(self, profile: Profile) -> int:
        place = self._profiles.get(profile)
        if place is None:
            place = len(self._profiles)
            if place >= MAX_PROFILES:  # Sixty thousand different contracts; the plain one of the segment is the safe side.
                return self._profiles.get(Profile(segment=profile.segment), 0)
            self._profiles[profile] = place
            if place:
                self._write_profile(place, profile)
        return place

    def _write_profile(self, place: int, profile: Profile) -> None:
        words = self._tables[0].profiles
        if (place + 1) * PROFILE_WORDS > len(words):
            words = np.concatenate((words, np.zeros_like(words)))
        words[place * PROFILE_WORDS : (place + 1) * PROFILE_WORDS] = profile_words(self.rules, profile)
        for tables in self._tables:
            tables.profiles = words

    def _write_profiles(self) -> None:
        words = np.concatenate([profile_words(self.rules, profile) for profile in self._profiles])
        for tables in self._tables:
            tables.profiles = words

    def _wake_all(self) -> None:
        if self.now_ms == 0:
            return
        for tables in self._tables:
            place = 0
            while place >= 0:
                place = self._kernel.wake_all(tables.hot, tables.arena, tables.heap, tables.registers, place)
                if place >= 0:
                    tables.grow_heap()

    def _need_calendar(self, low_ms: int, high_ms: int) -> None:
        """Compile nights and holidays when the event clock comes to the end of what is compiled. Changes no verdict."""
        if high_ms < self._calendar_until:
            return
        start = min(self.now_ms or low_ms, low_ms)
        calendar = compile_off_hours(self.holidays, self.time_zone, start, high_ms + COMPILED_AHEAD_DAYS * DAY)
        zones = compile_local_time(self.time_zone, start, high_ms + COMPILED_AHEAD_DAYS * DAY)
        for tables in self._tables:
            tables.calendar = np.concatenate((calendar, zones))
            tables.zones = len(zones)
            tables.forget_calendar()
        self._calendar_until = high_ms + COMPILED_AHEAD_DAYS * DAY


def _read_only(column: Any) -> Any:
    """A column as the log's decoder gives it. Writable ones are another type to numba, for which it would compile the kernel once more."""
    if column.flags.writeable:
        column = column.view()
        column.flags.writeable = False
    return column


def _crossing(words: list[int], *, strangers: bool) -> Crossing:
    return Crossing(
        detector=_DETECTORS[words[C_DETECTOR]],
        level=words[C_LEVEL],
        account_key=words[C_KEY],
        unkeyed=strangers,
        at_ms=words[C_AT],
        observed=words[C_OBSERVED],
        threshold_warn=words[C_WARN],
        threshold_act=words[C_ACT],
        opening=words[C_OPENING],
        cost_micro=words[C_COST] // 60_000,
        rate_micro=words[C_RATE],
        off_hours=bool(words[C_VARIANT] & 2),
        new_account=bool(words[C_VARIANT] & 1),
        daily=bool(words[C_VARIANT] & 4),
        score=words[C_ACT] if words[C_LEVEL] == 0 else 0,
        first_ms=words[C_FIRST],
        last_ms=words[C_LAST],
        count=words[C_COUNT],
        evidence=tuple(ref for ref in words[C_EVIDENCE : C_EVIDENCE + words[C_COUNT]] if ref >= 0),
    )
