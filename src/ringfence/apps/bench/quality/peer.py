"""The same calls under the rules of OpenSIPS' fraud_detection: what they would have said and refused."""

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from ringfence.apps.bench.quality.judge import Verdicts
from ringfence.apps.bench.quality.opensips import FraudDetection, rule_at
from ringfence.apps.bench.quality.traffic import TIME_ZONE, Traffic, Truth, fraud_keys
from ringfence.detection.agent import in_order
from ringfence.detection.model import Alert, Evidence, Subject, iso_time
from ringfence.telephony.columns import RowBatch
from ringfence.telephony.model import Kind, country_code

_HOME: Final = country_code("DE")


class Peer:
    """Rules hold for every call abroad and to premium services, each country a prefix of its own; the rest is not screened."""

    def __init__(self, traffic: Traffic, truth: Truth) -> None:
        self._traffic = traffic
        self._truth = truth
        self._keys = set(fraud_keys(truth).tolist())
        self._zone = ZoneInfo(TIME_ZONE)
        self._module = FraudDetection()
        self._running: dict[int, tuple[int, int, int]] = {}
        self._gone: set[int] = set()
        self._found = Verdicts()

    def play(self) -> Verdicts:
        """Play the whole traffic."""
        for batch in in_order(self._traffic.pieces()):
            numeric = batch.numeric
            screened = (numeric["destination_class"] >= 2) | ((numeric["country"] != _HOME) & (numeric["country"] != 0))
            for place in np.flatnonzero(screened & np.isin(numeric["kind"], (Kind.ATTEMPT, Kind.END))).tolist():
                if numeric["kind"][place] == Kind.ATTEMPT:
                    self._attempt(batch, place)
                else:
                    self._end(batch, place)
        return self._found

    def _attempt(self, batch: RowBatch, place: int) -> None:
        numeric = batch.numeric
        at_ms, user, key = (int(numeric[name][place]) for name in ("at_ms", "account_key", "call_key"))
        prefix = int(numeric["country"][place]) * 8 + (int(numeric["destination_class"][place]) >= 5)
        local = datetime.fromtimestamp(at_ms / 1000, self._zone)
        rule = rule_at(local.weekday(), local.hour * 60 + local.minute)
        number = batch.text["callee"][place]
        level, interval = self._module.check(user, prefix, number, second=at_ms // 1000, day=local.toordinal(), rule=rule)
        if level:
            self._say(batch.text["account"][place], level, at_ms)
        if level == "critical":
            self._gone.add(key)
            self._found.refused_calls[key] = batch.text["account"][place]
            self._module.end(user, prefix, interval=interval, rule=rule, seconds=0)
            return
        self._running[key] = prefix, interval, rule

    def _end(self, batch: RowBatch, place: int) -> None:
        numeric = batch.numeric
        at_ms, user, key = (int(numeric[name][place]) for name in ("at_ms", "account_key", "call_key"))
        answered, ended = int(numeric["answered_ms"][place]), int(numeric["ended_ms"][place])
        talked = max(0, ended - answered) if answered else 0
        running = self._running.pop(key, None)
        if running is not None:
            prefix, interval, rule = running
            level = self._module.end(user, prefix, interval=interval, rule=rule, seconds=talked // 1000)
            if level:
                self._say(batch.text["account"][place], level, at_ms)
        case = self._truth.case_of_call.get(key) if user in self._keys else None
        if case is not None and answered:
            cost = int(numeric["connect_micro"][place]) + int(numeric["rate"][place]) * talked // 60_000
            self._found.total_micro[case] += cost
            if key not in self._gone:
                self._found.lost_micro[case] += cost

    def _say(self, account: str, level: str, at_ms: int) -> None:
        self._found.alerts.append(
            Alert(
                alert_id="",
                step=1,
                state="open",
                at=iso_time(at_ms),
                rule="fraud_detection",
                rule_version=3,
                severity="critical" if level == "critical" else "warning",
                subject=Subject(kind="account", value=account),
                account=account,
                score=0,
                cost_eur=0.0,
                reason=level,
                evidence=Evidence(calls=(), thresholds={}, observed={}),
            )
        )
