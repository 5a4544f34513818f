"""One lane of the log as detection sees it: messages in, alerts and suspicions out, and a position.

Pure. The one thing to know: state and position move together, so a copy of both is a point to go on from.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from ringfence.base.errors import OperatorError
from ringfence.detection.alerts import AlertBook, Output, Resolver
from ringfence.detection.engine import Crossing, Engine, EngineState
from ringfence.detection.rules import RuleSet
from ringfence.telephony.columns import RowBatch
from ringfence.telephony.control import ControlRecord
from ringfence.telephony.suspicion import Mode

STATE_FORMAT = 1
"""Of arrays and scalars together. A state of another format is not read: the log and the control bucket make a new one."""


@dataclass(slots=True, kw_only=True)
class Lane:
    """Engine, book and position. Messages must come in order; `step` and `settle` belong together."""

    engine: Engine
    book: AlertBook
    position: int = 0
    refused: list[str] = field(default_factory=list)
    """Control records that could not take effect, since the caller looked."""

    @classmethod
    def fresh(cls, rules: RuleSet, *, time_zone: str, mode: Mode | Literal[""] = "", accounts: int = 0) -> "Lane":
        """A lane that has seen nothing."""
        return cls(engine=Engine(rules, time_zone=time_zone, accounts=accounts), book=AlertBook(mode=mode))

    def rows(self, batch: RowBatch, sequence: int) -> list[Crossing]:
        """Rows at a sequence; the crossings go to `settle`."""
        return self.engine.feed(batch, sequence)

    def tick(self, at_ms: int) -> list[Crossing]:
        """A tick; the crossings go to `settle`."""
        return self.engine.tick(at_ms)

    def control(self, records: list[ControlRecord]) -> None:
        """Control records, each where it stands. One that cannot be read changes nothing and is kept in `refused`."""
        for record in records:
            try:
                self.engine.control(record)
            except OperatorError as error:
                self.refused.append(str(error))

    def settle(self, crossings: list[Crossing], sequence: int, resolver: Resolver, *, closing: bool) -> Output:
        """What crossings mean; `closing` after a tick, when silent episodes end. The position is `sequence` then."""
        engine = self.engine
        output = self.book.apply(crossings, engine.rules, engine.time_zone, engine.holidays, resolver)
        if closing:
            output.alerts.extend(self.book.tick(engine.now_ms))
        self.position = sequence
        return output

    def at_risk_micro(self) -> int:
        """Micro-euro per minute of all running C2+ calls of accounts with an open alert."""
        subjects = {(episode.account_key, episode.unkeyed) for episode in self.book.running()}
        return sum(self.engine.measure(key, unkeyed=unkeyed)[0] for key, unkeyed in subjects)

    # State

    def state(self) -> EngineState:
        """A copy of everything, position included."""
        state = self.engine.state()
        return EngineState(
            arrays=state.arrays,
            scalars={
                **state.scalars,
                "format": STATE_FORMAT,
                "position": self.position,
                "at_ms": self.engine.now_ms,
                "episodes": self.book.state(),
            },
        )

    @classmethod
    def restore(cls, state: EngineState, *, mode: Mode | Literal[""] = "") -> "Lane":
        """A lane that goes on after `position`. ValueError for a state of another format."""
        scalars: dict[str, Any] = dict(state.scalars)
        if scalars.get("format") != STATE_FORMAT:
            raise ValueError(f"a state of format {scalars.get('format')}, not {STATE_FORMAT}")
        book = AlertBook.restore(scalars["episodes"], mode=mode)
        return cls(engine=Engine.restore(state), book=book, position=int(scalars["position"]))

    def state_hash(self) -> str:
        """Equal for replicas at the same position."""
        hasher = hashlib.blake2b(digest_size=16)
        hasher.update(self.engine.state_hash().encode())
        hasher.update(self.position.to_bytes(8))
        hasher.update(msgspec.json.encode(self.book.state(), order="deterministic"))
        return hasher.hexdigest()
