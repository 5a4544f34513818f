"""One run over a traffic: the detectors in every view, policy after each suspicion, and the calls that the edge then refuses.

What was refused is taken out of the rows that follow, as it would have been on the wire. Around the fraud the rows are judged call by call,
so that a block stands before the next call is looked at; everything else goes in large batches, which changes no verdict.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ringfence.apps.bench.quality.policy import Policy
from ringfence.apps.bench.quality.traffic import TIME_ZONE, Traffic, Truth, fraud_keys
from ringfence.detection.agent import Replay, RuleSet, in_order
from ringfence.detection.model import Alert
from ringfence.enforcement.model import Block
from ringfence.telephony.columns import RowBatch, take
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
    return _Run(traffic, truth, rules, accounts).play(progress)


class _Run:
    def __init__(self, traffic: Traffic, truth: Truth, rules: RuleSet, accounts: int) -> None:
        self._traffic = traffic
        self._truth = truth
        self._replay = Replay(rules, time_zone=TIME_ZONE, mode="act", control=traffic.control(), accounts=accounts)
        self._policy = Policy(accounts=accounts, networks=traffic.networks)
        self._keys = fraud_keys(truth)
        self._gone: set[int] = set()
        """Keys of refused calls whose later rows may still come."""
        self._found = Verdicts()

    def play(self, progress: Callable[[int], None]) -> Verdicts:
        found = self._found
        for batch in in_order(self._traffic.pieces()):
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
        if self._gone:
            kind[np.isin(numeric["call_key"], list(self._gone)) & (kind <= Kind.END)] = NOTHING
        wanted = (kind == Kind.ATTEMPT) & (numeric["destination_class"] >= 2)
        close = wanted & np.isin(numeric["account_key"], self._keys)
        start = 0
        for place in np.flatnonzero(wanted).tolist():
            if close[place]:
                self._judge(take(batch, np.arange(start, place)))
                start = place
            if self._policy.may_refuse and kind[place] == Kind.ATTEMPT:
                self._edge(batch, place)
        self._judge(take(batch, np.arange(start, batch.length)))
        self._count(batch)

    def _judge(self, rows: RowBatch) -> None:
        output = self._replay.feed(rows)
        self._found.alerts += output.alerts
        self._found.suspicions += output.suspicions
        for suspicion in output.suspicions:
            self._policy.take(suspicion)

    def _edge(self, batch: RowBatch, place: int) -> None:
        numeric, text = batch.numeric, batch.text
        block = self._policy.refuses(
            account=text["account"][place],
            callee=text["callee"][place],
            destination_class=int(numeric["destination_class"][place]),
            source_ip=text["source_ip"][place],
            at_ms=int(numeric["at_ms"][place]),
        )
        if block is None:
            return
        key = int(numeric["call_key"][place])
        self._gone.add(key)
        self._found.refused_calls[key] = text["account"][place]
        later = (numeric["call_key"] == key) & (numeric["kind"] <= Kind.END)
        numeric["kind"][later] = NOTHING
        numeric["kind"][place] = Kind.BLOCKED

    def _count(self, batch: RowBatch) -> None:
        """Money of fraud calls: all of it when a call ends, and what of it was lost."""
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
            if self._policy.ended:
                ended = max(answered, min(ended, self._policy.ended.get(batch.text["call_id"][place], ended)))
            self._found.lost_micro[case] += connect + rate * (ended - answered) // 60_000
