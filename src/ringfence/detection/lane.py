"""One lane of a view of the log as detection sees it: messages in, alerts and suspicions out, and a position.

Pure. A lane of the account view has the kernel and the engines beside it, lanes of other views only engines; book and scores are the same
for all. The one thing to know: state and position move together, so a copy of both is a point to go on from.
"""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import msgspec

from ringfence.base.errors import OperatorError
from ringfence.detection.alerts import AlertBook, Output, Resolver
from ringfence.detection.engine import Crossing, Engine, EngineState
from ringfence.detection.findings import ACT, Finding
from ringfence.detection.identity import IdentityEngine
from ringfence.detection.rules import Profile, RuleSet, read_rules
from ringfence.detection.scoring import Scorer
from ringfence.detection.views import JUDGES, Judge, Terms, View
from ringfence.telephony.columns import RowBatch
from ringfence.telephony.control import BlockReleased, ControlRecord, HolidaysChanged, RuleSetChanged
from ringfence.telephony.network_second import NetworkSecond
from ringfence.telephony.suspicion import Mode

STATE_FORMAT: Final = 2
"""Of arrays and scalars together. A state of another format is not read: the log and the control bucket make a new one."""

_KERNEL: Final = "kernel"


@dataclass(slots=True, kw_only=True)
class Found:
    """What one message of the log gave, before it is put into words."""

    crossings: list[Crossing] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.crossings or self.findings)


@dataclass(slots=True, kw_only=True)
class Lane:
    """Engines, book, scores and position. Messages must come in order; a message's `Found` goes to `settle`."""

    view: View
    terms: Terms
    kernel: Engine | None
    """In the account view only."""
    judges: dict[str, Judge]
    book: AlertBook
    scorer: Scorer
    position: int = 0
    refused: list[str] = field(default_factory=list)
    """Control records that could not take effect, since the caller looked."""

    @classmethod
    def fresh(cls, rules: RuleSet, *, time_zone: str, mode: Mode | Literal[""] = "", accounts: int = 0, view: View = "account") -> "Lane":
        """A lane that has seen nothing."""
        terms = Terms(rules=rules, time_zone=ZoneInfo(time_zone))
        return cls(
            view=view,
            terms=terms,
            kernel=Engine(rules, time_zone=time_zone, accounts=accounts) if view == "account" else None,
            judges={name: maker.fresh(terms) for name, maker in JUDGES[view].items()},
            book=AlertBook(mode=mode),
            scorer=Scorer(),
        )

    @property
    def engine(self) -> Engine:
        """The kernel's engine, which a lane of the account view has."""
        assert self.kernel is not None, "only the account view has a kernel"
        return self.kernel

    @property
    def now_ms(self) -> int:
        """The event clock; 0 before the first event."""
        clocks = [judge.now_ms for judge in self.judges.values()]
        return max(clocks if self.kernel is None else [self.kernel.now_ms, *clocks], default=0)

    # The log

    def rows(self, batch: RowBatch, sequence: int) -> Found:
        """Rows at a sequence."""
        crossings = self.kernel.feed(batch, sequence) if self.kernel is not None else []
        return Found(crossings=crossings, findings=[each for judge in self.judges.values() for each in judge.feed(batch, sequence)])

    def second(self, second: NetworkSecond, sequence: int) -> Found:
        """A second of the whole network."""
        return Found(findings=[each for judge in self.judges.values() for each in judge.feed(second, sequence)])

    def tick(self, at_ms: int) -> Found:
        """A tick."""
        crossings = self.kernel.tick(at_ms) if self.kernel is not None else []
        return Found(crossings=crossings, findings=[each for judge in self.judges.values() for each in judge.tick(at_ms)])

    def control(self, records: list[ControlRecord]) -> None:
        """Control records, each where it stands. One that cannot be read changes nothing and is kept in `refused`."""
        for record in records:
            try:
                self._control(record)
            except OperatorError as error:
                self.refused.append(str(error))

    def wanted(self, found: Found) -> set[int]:
        """Row references that `settle` will ask for."""
        return self.book.wanted(found.crossings, found.findings) if found else set()

    def settle(self, found: Found, sequence: int, resolver: Resolver, *, closing: bool) -> Output:
        """What a message means; `closing` after a tick, when silent episodes end. The position is `sequence` then."""
        output = Output()
        if found:
            terms = self.terms
            output = self.book.apply(found.crossings, terms.rules, terms.time_zone, terms.holidays, resolver, self.profile)
            output.add(self.book.note([self._priced(each) for each in found.findings], terms.rules, resolver, self.profile))
            combined = [self._priced(each) for each in self.scorer.take(output.signals, terms.rules, self.profile)]
            output.add(self.book.note(combined, terms.rules, resolver, self.profile))
            self.book.relapse(output)
            self._suspect(found.crossings, [*found.findings, *combined])
        if closing:
            output.alerts.extend(self.book.tick(self.now_ms))
        self.position = sequence
        return output

    def at_risk_micro(self) -> int:
        """Micro-euro per minute of all running C2+ calls of accounts with an open alert; 0 in other views than the account view."""
        if self.kernel is None:
            return 0
        subjects = {(episode.account_key, episode.keyed) for episode in self.book.running()}
        return sum(self.kernel.measure(key, unkeyed=not keyed)[0] for key, keyed in subjects)

    def suspect(self, account_key: int, at_ms: int) -> None:
        """A rule acts on an account: what it was seen with just before is not learned as its own."""
        identity = self.judges.get("identity")
        if isinstance(identity, IdentityEngine):
            identity.suspect(account_key, at_ms)

    def profile(self, account_key: int) -> Profile:
        """What of an account limits and decisions depend on; the plain one where this view does not know it."""
        return self.kernel.profile(account_key) if self.kernel is not None else Profile()

    def figures(self) -> dict[str, float]:
        """Counters and sizes of everything in it."""
        found = self.scorer.figures()
        for engine in (self.kernel, *self.judges.values()):
            for name, value in engine.figures().items() if engine is not None else ():
                found[name] = found.get(name, 0.0) + value
        return found

    # State

    def state(self) -> EngineState:
        """A copy of everything, position included."""
        states = {name: judge.state() for name, judge in self.judges.items()}
        if self.kernel is not None:
            states[_KERNEL] = self.kernel.state()
        return EngineState(
            arrays={f"{name}.{region}": words for name, state in states.items() for region, words in state.arrays.items()},
            scalars={
                "format": STATE_FORMAT,
                "view": self.view,
                "position": self.position,
                "at_ms": self.now_ms,
                "rules": self.terms.rules.text,
                "rules_version": self.terms.rules.version,
                "time_zone": self.terms.time_zone.key,
                "holidays": list(self.terms.holidays),
                "engines": {name: state.scalars for name, state in states.items()},
                "episodes": self.book.state(),
                "relapses": self.book.relapses.state(),
                "scores": self.scorer.state(),
            },
        )

    @classmethod
    def restore(cls, state: EngineState, *, mode: Mode | Literal[""] = "") -> "Lane":
        """A lane that goes on after `position`. ValueError for a state of another format or with other engines."""
        scalars: dict[str, Any] = dict(state.scalars)
        if scalars.get("format") != STATE_FORMAT:
            raise ValueError(f"a state of format {scalars.get('format')}, not {STATE_FORMAT}")
        view: View = scalars["view"]
        makers, states = JUDGES[view], _apart(state)
        names = {*makers, _KERNEL} if view == "account" else set(makers)
        if set(states) != names:
            raise ValueError(f"a state of the engines {sorted(states)}, not {sorted(names)}")
        terms = Terms(
            rules=read_rules(scalars["rules"], version=scalars["rules_version"]),
            time_zone=ZoneInfo(scalars["time_zone"]),
            holidays=tuple(scalars["holidays"]),
        )
        return cls(
            view=view,
            terms=terms,
            kernel=Engine.restore(states[_KERNEL]) if view == "account" else None,
            judges={name: maker.restore(states[name], terms) for name, maker in makers.items()},
            book=AlertBook.restore(scalars["episodes"], mode=mode, relapses=scalars.get("relapses", ())),
            scorer=Scorer.restore(scalars["scores"]),
            position=int(scalars["position"]),
        )

    def state_hash(self) -> str:
        """Equal for replicas at the same position."""
        hasher = hashlib.blake2b(digest_size=16)
        hasher.update(self.judged_hash().encode())
        hasher.update(self.position.to_bytes(8))
        hasher.update(msgspec.json.encode([self.book.state(), self.book.relapses.state(), self.scorer.state()], order="deterministic"))
        return hasher.hexdigest()

    def judged_hash(self) -> str:
        """The same without words: equal when all engines will judge everything alike."""
        hasher = hashlib.blake2b(digest_size=16)
        if self.kernel is not None:
            hasher.update(self.kernel.state_hash().encode())
        for name, judge in self.judges.items():
            state = judge.state()
            hasher.update(name.encode())
            for region, words in sorted(state.arrays.items()):
                hasher.update(region.encode())
                hasher.update(words.tobytes())
            hasher.update(msgspec.json.encode(state.scalars, order="deterministic"))
        return hasher.hexdigest()

    # Steps

    def _control(self, record: ControlRecord) -> None:
        match record:
            case RuleSetChanged():
                self.terms.rules = read_rules(record.toml, version=record.version)
            case HolidaysChanged():
                self.terms.time_zone, self.terms.holidays = ZoneInfo(record.time_zone), tuple(record.days)
            case BlockReleased():
                self.book.relapses.forgive(record.account)
            case _:
                pass
        if self.kernel is not None:
            self.kernel.control(record)
        for judge in self.judges.values():
            judge.control(record)

    def _priced(self, finding: Finding) -> Finding:
        """With what its account spends, where the finder does not know it and the kernel does."""
        if self.kernel is None or not finding.account_key or finding.cost_micro or finding.rate_micro:
            return finding
        rate, cost = self.kernel.measure(finding.account_key, unkeyed=not finding.keyed)
        return replace(finding, cost_micro=cost, rate_micro=rate) if rate or cost else finding

    def _suspect(self, crossings: list[Crossing], findings: list[Finding]) -> None:
        for crossing in crossings:
            if crossing.level >= ACT and not crossing.unkeyed:
                self.suspect(crossing.account_key, crossing.at_ms)
        for finding in findings:
            if finding.level >= ACT and finding.keyed and finding.account_key and not finding.probation:
                self.suspect(finding.account_key, finding.at_ms)


def _apart(state: EngineState) -> dict[str, EngineState]:
    """The states of the engines in one state of a lane."""
    arrays: dict[str, dict[str, Any]] = {name: {} for name in state.scalars["engines"]}
    for name, words in state.arrays.items():
        engine, _, region = name.partition(".")
        arrays[engine][region] = words
    return {name: EngineState(arrays=arrays[name], scalars=scalars) for name, scalars in state.scalars["engines"].items()}
