"""One run over a traffic: the detectors in every view, policy after each suspicion, and the calls that the edge then refuses.

What was refused is taken out of the rows that follow, as it would have been on the wire, and a call that the edge ended ends there for the
detectors, too. Around the fraud the rows are judged call by call,
so that a block stands before the next call is looked at; everything else goes in large batches, which changes no verdict.
"""

import heapq
import tempfile
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from ringfence.apps.bench.quality.history import History
from ringfence.apps.bench.quality.policy import Policy
from ringfence.apps.bench.quality.traffic import TIME_ZONE, Traffic, Truth, fraud_keys
from ringfence.detection.agent import Replay, RuleSet, in_order
from ringfence.detection.model import Alert
from ringfence.enforcement.model import Block
from ringfence.telephony.columns import RowBatch, take
from ringfence.telephony.control import AccountChanged
from ringfence.telephony.model import Kind
from ringfence.telephony.suspicion import Suspicion

NOTHING: Final = 0
"""Kind of a row of a refused call: no engine looks at it."""


@dataclass(slots=True, kw_only=True)
class Verdicts:
    """What a run said and refused."""

    alerts: list[Alert] = field(default_factory=list)
    suspicions: list[Suspicion] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    refused_calls: dict[int, str] = field(default_factory=dict)
    """Call keys, and the account that made the call."""
    lost_micro: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """By case: what its calls cost that were not refused."""
    total_micro: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    proposed: int = 0
    rows: int = 0


def judge(traffic: Traffic, truth: Truth, rules: RuleSet, *, accounts: int, progress: Callable[[int], None]) -> Verdicts:
    """Play the whole traffic. `progress` is told the rows so far."""
    with tempfile.TemporaryDirectory(prefix="ringfence-history-") as folder, closing(History(Path(folder), time_zone=TIME_ZONE)) as history:
        return _Run(traffic, truth, rules, accounts, history).play(progress)


class _Run:
    def __init__(self, traffic: Traffic, truth: Truth, rules: RuleSet, accounts: int, history: History) -> None:
        self._traffic = traffic
        self._truth = truth
        self._history = history
        control = traffic.control()
        history.begin(traffic.before(), {each.account_key: each.since_ms for each in control if isinstance(each, AccountChanged)})
        self._replay = Replay(rules, time_zone=TIME_ZONE, mode="act", control=control, accounts=accounts)
        self._policy = Policy(accounts=accounts, networks=traffic.networks)
        self._keys = fraud_keys(truth)
        self._gone: set[int] = set()
        """Keys of refused calls whose later rows may still come."""
        self._cut: set[int] = set()
        """The same of calls that the edge ended."""
        self._running: dict[str, tuple[RowBatch, int]] = {}
        """Calls of fraud that run, by Call-ID: their newest row."""
        self._ends: list[tuple[int, str]] = []
        """When the edge ends which call: a heap."""
        self._batch_now: RowBatch | None = None
        self._found = Verdicts()

    def play(self, progress: Callable[[int], None]) -> Verdicts:
        found = self._found
        for batch in in_order(self._traffic.pieces()):
            told = self._history.night(int(batch.numeric["at_ms"][0]))
            if told:
                self._replay.control(told)
            self._batch(batch)
            found.rows += batch.length
            progress(found.rows)
        output = self._replay.finish(self._replay.now_ms + 2 * 86_400_000)
        found.alerts += output.alerts
        found.blocks, found.proposed = self._policy.blocks, self._policy.proposed
        return found

    def _batch(self, batch: RowBatch) -> None:
        numeric = batch.numeric
        kind = numeric["kind"]
        self._batch_now = batch
        if self._gone or self._cut:
            _silence(batch, [*self._gone, *self._cut])
        wanted = (kind == Kind.ATTEMPT) & (numeric["destination_class"] >= 2)
        close = wanted & np.isin(numeric["account_key"], self._keys)
        start = 0
        for place in np.flatnonzero(wanted).tolist():
            if self._edge(batch, place) or not close[place]:
                continue
            self._judge(take(batch, np.arange(start, place)))
            start = place
            self._edge(batch, place)
        self._judge(take(batch, np.arange(start, batch.length)))
        self._count(batch)

    def _judge(self, rows: RowBatch) -> None:
        """Rows in order, and between them the ends of calls that the edge ended."""
        at, start = rows.numeric["at_ms"], 0
        while start < rows.length:
            place = rows.length if not self._ends else int(np.searchsorted(at, self._ends[0][0], "right"))
            if place > start:
                self._feed(take(rows, np.arange(start, place)))
                start = place
            elif (ended := self._end(*heapq.heappop(self._ends))) is not None:
                _silence(rows, [int(ended.numeric["call_key"][0])])
                self._feed(ended)

    def _feed(self, rows: RowBatch) -> None:
        over = self._follow(rows)
        output = self._replay.feed(rows)
        self._found.alerts += output.alerts
        self._found.suspicions += output.suspicions
        for suspicion in output.suspicions:
            for call_id in self._policy.take(suspicion):
                heapq.heappush(self._ends, (self._policy.ended[call_id], call_id))
                if call_id in over:  # Its end was looked at already; only what it costs is cut.
                    self._cut.add(over[call_id])
        for call_id in over:
            self._running.pop(call_id, None)

    def _follow(self, rows: RowBatch) -> dict[str, int]:
        """Which calls of fraud run; call keys, by Call-ID, of those that end in these rows."""
        kind, over = rows.numeric["kind"], {}
        talks = (rows.numeric["destination_class"] >= 2) & np.isin(kind, (Kind.ATTEMPT, Kind.ANSWER, Kind.END))
        for place in np.flatnonzero(talks & np.isin(rows.numeric["account_key"], self._keys)).tolist():
            call_id = rows.text["call_id"][place]
            if kind[place] == Kind.END:
                over[call_id] = int(rows.numeric["call_key"][place])
            else:
                self._running[call_id] = rows, place
        return over

    def _end(self, at_ms: int, call_id: str) -> RowBatch | None:
        """The end of a running call as the wire shows it when the edge ends it; what the traffic says of it later counts no more."""
        rows, place = self._running.pop(call_id, (None, 0))
        if rows is None:
            return None
        ended = take(rows, np.array([place]))
        ended.numeric["kind"][0] = Kind.END
        for name in ("at_ms", "received_ms", "ended_ms"):
            ended.numeric[name][0] = at_ms
        key = int(ended.numeric["call_key"][0])
        self._cut.add(key)
        if self._batch_now is not None:
            _silence(self._batch_now, [key])
        self._history.take(ended, Kind.END)
        return ended

    def _edge(self, batch: RowBatch, place: int) -> bool:
        """Whether the edge refuses an attempt by what is in force."""
        numeric, text = batch.numeric, batch.text
        if not self._policy.may_refuse or numeric["kind"][place] != Kind.ATTEMPT:
            return False
        block = self._policy.refuses(
            account=text["account"][place],
            callee=text["callee"][place],
            destination_class=int(numeric["destination_class"][place]),
            source_ip=text["source_ip"][place],
            at_ms=int(numeric["at_ms"][place]),
        )
        if block is None:
            return False
        key = int(numeric["call_key"][place])
        self._gone.add(key)
        self._found.refused_calls[key] = text["account"][place]
        later = (numeric["call_key"] == key) & (numeric["kind"] <= Kind.END)
        numeric["kind"][later] = NOTHING
        numeric["kind"][place] = Kind.BLOCKED
        return True

    def _count(self, batch: RowBatch) -> None:
        """Money of fraud calls: all of it when a call ends, and what of it was lost. What the edge let through is history."""
        self._history.take(batch, Kind.END)
        numeric = batch.numeric
        over = (numeric["answered_ms"] > 0) & (numeric["ended_ms"] > 0) & np.isin(numeric["kind"], (Kind.END, NOTHING))
        mine = np.flatnonzero(over & np.isin(numeric["account_key"], self._keys))
        for place in mine.tolist():
            key = int(numeric["call_key"][place])
            case = self._truth.case_of_call.get(key)
            if case is None:
                continue
            answered, ended = int(numeric["answered_ms"][place]), int(numeric["ended_ms"][place])
            rate, connect = int(numeric["rate"][place]), int(numeric["connect_micro"][place])
            self._found.total_micro[case] += connect + rate * (ended - answered) // 60_000
            if key in self._gone:
                self._gone.discard(key)
                continue
            if key in self._cut:
                self._cut.discard(key)
                ended = min(ended, self._policy.ended[batch.text["call_id"][place]])
                if ended <= answered:
                    continue
            self._found.lost_micro[case] += connect + rate * (ended - answered) // 60_000


def _silence(rows: RowBatch, keys: list[int]) -> None:
    """No engine looks at the rows of these calls any more."""
    kind = rows.numeric["kind"]
    kind[np.isin(rows.numeric["call_key"], keys) & (kind <= Kind.END)] = NOTHING
