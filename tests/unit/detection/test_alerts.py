"""Episodes, ids, suspicions and sentences."""

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from ringfence.base.ids import derived_id, keyed_hash
from ringfence.detection.alerts import AlertBook, Output
from ringfence.detection.engine import Engine
from ringfence.detection.findings import SIGNAL, Finding
from ringfence.detection.layout import HOUR, MINUTE
from ringfence.detection.model import Alert, decode_alert, encode_alert
from ringfence.detection.rules import RuleSet, read_rules
from ringfence.telephony.columns import MAX_ROWS, batch_of
from ringfence.telephony.model import AccountRow, Flag, Kind, country_code
from ringfence.telephony.suspicion import Measure, Mode, Suspicion
from tests.unit.detection.published import published_rules

NOON = 1_790_071_200_000
NIGHT = NOON + 11 * HOUR
RULES = read_rules(published_rules())
BERLIN = ZoneInfo("Europe/Berlin")


def whole(number: int, start: int, *, seconds: int = 300, account: str = "anna", level: int = 4, flags: int = 0) -> AccountRow:
    return AccountRow(
        kind=Kind.CALL,
        at_ms=start,
        received_ms=start,
        account=account,
        account_key=keyed_hash(b"k", account),
        call_id=f"{account}-{number}",
        call_key=keyed_hash(b"k", account, str(number)),
        callee=f"+2322255{number:04d}",
        range_key=7,
        number_tail=number % 1_000,
        country=country_code("SL"),
        destination_class=level,
        rate=700_000,
        flags=flags,
        started_ms=start,
        answered_ms=start + 4_000 if seconds else 0,
        ended_ms=start + 4_000 + seconds * 1_000,
    )


def rows_of(calls: Sequence[AccountRow]) -> list[AccountRow]:
    """What the wire shows of these calls."""
    rows = []
    for call in calls:
        said = {"answered_ms": 0, "ended_ms": 0}
        rows.append(msgspec.structs.replace(call, kind=Kind.ATTEMPT, at_ms=call.started_ms, **said))
        if call.answered_ms:
            rows.append(msgspec.structs.replace(call, kind=Kind.ANSWER, at_ms=call.answered_ms, ended_ms=0))
        rows.append(msgspec.structs.replace(call, kind=Kind.END, at_ms=call.ended_ms))
    return sorted(rows, key=lambda row: (row.at_ms, row.kind))


class Live:
    """An engine and a book that take one row a message, with a tick every second between."""

    def __init__(self, mode: Mode = "propose") -> None:
        self.engine = Engine(RULES)
        self.book = AlertBook(mode=mode)
        self.rows: dict[int, AccountRow] = {}
        self.alerts: list[Alert] = []
        self.output = Output()

    def resolve(self, row_ref: int) -> AccountRow | None:
        return self.rows.get(row_ref)

    def feed(self, rows: Sequence[AccountRow], until_ms: int = 0) -> "Live":
        for row in rows:
            self.tick(row.at_ms - 1)
            sequence = len(self.rows) + 1
            self.rows[sequence * MAX_ROWS] = row
            self._apply(self.engine.feed(batch_of([row]), sequence))
        self.tick(until_ms)
        return self

    def tick(self, at_ms: int) -> None:
        now = self.engine.now_ms
        if now and at_ms > now:
            for second in range(now // 1_000 + 1, min(at_ms, now + 2 * HOUR) // 1_000 + 1):
                self._apply(self.engine.tick(second * 1_000))
                self.output.alerts += self.book.tick(self.engine.now_ms)
            self._apply(self.engine.tick(at_ms))
            self.output.alerts += self.book.tick(self.engine.now_ms)

    def _apply(self, crossings: list) -> None:  # type: ignore[type-arg]
        output = self.book.apply(crossings, self.engine.rules, BERLIN, (), self)
        self.output.alerts += output.alerts
        self.output.suspicions += output.suspicions


def fraud(count: int = 8, start: int = NOON, *, seconds: int = 300, flags: int = 0) -> list[AccountRow]:
    return [whole(number, start + number * 20_000, seconds=seconds, flags=flags) for number in range(count)]


def test_an_episode_opens_rises_and_closes_one_window_after_its_last_crossing() -> None:
    live = Live().feed(rows_of(fraud(6)), until_ms=NOON + 3 * HOUR)
    mine = [alert for alert in live.output.alerts if alert.rule == "D06"]
    assert [(alert.state, alert.severity, alert.step) for alert in mine] == [
        ("open", "warning", 1),
        ("update", "critical", 2),
        ("update", "critical", 3),
        ("close", "critical", 4),
    ]
    assert len({alert.alert_id for alert in mine}) == 1
    assert mine[-1].at_ms == mine[-2].at_ms + 5 * MINUTE
    assert mine[0].evidence.calls == ("anna-0", "anna-1")
    assert mine[0].evidence.thresholds == {"unit": "calls", "warn": 2, "act": 3, "off_hours": False, "new_account": False}


def test_a_suspicion_follows_each_crossing_of_act_with_the_smallest_measure_first() -> None:
    live = Live(mode="act").feed(rows_of(fraud(8)))
    by_rule = {suspicion.rule: suspicion for suspicion in live.output.suspicions}
    assert by_rule["D07"].measures == (Measure(scope="class", value="anna", destination_class=4),)
    assert by_rule["D14"].measures == (
        Measure(scope="range", value="2322255000"[:8]),
        Measure(scope="class", value="anna", destination_class=3),
    )
    assert "D08" not in by_rule
    ids = [suspicion.suspicion_id for suspicion in live.output.suspicions]
    assert len(set(ids)) == len(ids)
    assert all(suspicion.suspicion_id == f"{suspicion.alert_id}.{suspicion.level}" for suspicion in live.output.suspicions)
    assert {suspicion.mode for suspicion in live.output.suspicions} == {"act"}


def test_observing_rules_and_strangers_cause_no_suspicion_but_alerts() -> None:
    assert not Live(mode="observe").feed(rows_of(fraud())).output.suspicions
    live = Live(mode="act").feed(rows_of(fraud(flags=Flag.UNKEYED)))
    assert live.output.alerts
    assert not live.output.suspicions
    assert all("without a key" in alert.reason and not alert.evidence.observed["proven"] for alert in live.output.alerts)


def test_the_reason_is_a_sentence_for_a_tired_person() -> None:
    live = Live().feed(rows_of([whole(number, NIGHT + number * 40_000, level=3) for number in range(3)]))
    reasons = {alert.rule: alert.reason for alert in live.output.alerts if alert.state == "open"}
    assert reasons["D09"] == ("2 calls to Sierra Leone in 40 seconds (limit 2, halved at night); EUR 0.42 so far, about EUR 0.70 a minute")
    assert reasons["D01"].startswith("1 call to Sierra Leone for EUR ")
    assert "(limit EUR 1.50, halved at night)" in reasons["D01"]


def test_a_book_goes_on_after_a_restart_and_a_call_that_opens_twice_keeps_its_id_and_its_steps() -> None:
    live = Live().feed(rows_of([whole(1, NOON, seconds=6 * 3600)])[:2], until_ms=NOON + HOUR)
    first = [alert for alert in live.output.alerts if alert.rule == "D07"]
    assert [(alert.state, alert.step) for alert in first] == [("open", 1), ("close", 2)]
    state = live.book.state()
    live.book = AlertBook.restore(msgspec.json.decode(msgspec.json.encode(state)))
    assert live.book.state() == state
    second = whole(2, NOON + HOUR, seconds=60)
    # The long call goes on; a new one comes and ends, then another: both open D07 anew, under ids of their own.
    live.feed(rows_of([second, whole(3, NOON + 2 * HOUR, seconds=60)]))
    ids = [alert.alert_id for alert in live.output.alerts if alert.rule == "D07" and alert.state == "open"]
    assert len(set(ids)) == len(ids)
    steps = [(alert.alert_id, alert.step) for alert in live.output.alerts]
    assert len(set(steps)) == len(steps)


def test_an_alert_is_one_line_of_json_and_comes_back() -> None:
    for alert in Live().feed(rows_of(fraud(4))).output.alerts:
        line = encode_alert(alert)
        assert b"\n" not in line
        assert decode_alert(line) == alert
        assert b'"prefix"' not in line


def finding(rule: str = "D00", level: int = 1, at_ms: int = NOON, **said: Any) -> Finding:
    facts: dict[str, Any] = {
        "subject_kind": "account",
        "subject": "anna",
        "account": "anna",
        "account_key": 7,
        "observed": 45,
        "warn": 40,
        "act": 60,
        "unit": "score",
        "window_ms": HOUR,
        "opening_call_id": "anna-1",
        "opening_ms": NOON,
        "calls": ("anna-1",),
        "reason": "Because.",
        "measures": (Measure(scope="class", value="anna", destination_class=3),),
    }
    return Finding(rule=rule, level=level, at_ms=at_ms, **(facts | said))


class Nothing:
    def resolve(self, row_ref: int) -> AccountRow | None:  # noqa: ARG002
        return None


def noted(book: AlertBook, *findings: Finding, rules: RuleSet = RULES) -> Output:
    return book.note(findings, rules, Nothing())


def test_findings_open_rise_and_close_as_crossings_do() -> None:
    book = AlertBook(mode="act")
    assert [alert.state for alert in noted(book, finding(), finding(at_ms=NOON + MINUTE)).alerts] == ["open"]
    risen = noted(book, finding(level=2, at_ms=NOON + 2 * MINUTE, score=99))
    assert [(alert.state, alert.severity, alert.step, alert.score) for alert in risen.alerts] == [("update", "critical", 2, 99)]
    [suspicion] = risen.suspicions
    assert suspicion.suspicion_id == f"{suspicion.alert_id}.2"
    assert (suspicion.mode, suspicion.loss_micro, suspicion.false_block_micro) == ("act", 14_850_000, 250_000)
    assert book.tick(NOON + HOUR + 2 * MINUTE - 1) == []
    [closed] = book.tick(NOON + HOUR + 2 * MINUTE)
    assert (closed.state, closed.step, closed.at_ms) == ("close", 3, NOON + HOUR + 2 * MINUTE)
    assert {each.alert_id for each in (*risen.alerts, closed)} == {derived_id("a", "D00", 1, "account", "anna", "anna-1", NOON)}


def test_a_combined_score_that_is_not_worth_it_is_proposed_but_a_hard_rule_acts() -> None:
    [weak] = noted(AlertBook(mode="act"), finding(level=2, score=60)).suspicions
    assert (weak.mode, weak.loss_micro < weak.false_block_micro) == ("propose", True)
    [hard] = noted(AlertBook(), finding(rule="X-mine", level=2, score=60, mode="act")).suspicions
    assert (hard.mode, hard.loss_micro < hard.false_block_micro) == ("act", True)


@pytest.mark.parametrize(
    ("kind", "value", "field"), [("prefix", "23222550", "prefix"), ("source", "192.0.2.7", "source_ip"), ("network", "AS64496", "")]
)
def test_every_kind_of_subject_has_its_field(kind: str, value: str, field: str) -> None:
    said: dict[str, Any] = {"subject_kind": kind, "subject": value, "account": "", "account_key": 0}
    [alert] = noted(AlertBook(), finding(**said)).alerts
    assert (alert.subject.kind, alert.subject.value) == (kind, value)
    assert {name: getattr(alert, name) for name in ("account", "prefix", "source_ip") if getattr(alert, name)} == (
        {field: value} if field else {}
    )
    assert decode_alert(encode_alert(alert)) == alert


def test_episodes_are_told_apart_by_rule_and_subject_and_account() -> None:
    book = AlertBook()
    findings = [
        finding(),
        finding(rule="X-mine", mode="observe", rule_version=4),
        finding(subject="berta", account="berta", account_key=8),
        finding(subject_kind="prefix", subject="23222550"),
        finding(subject_kind="prefix", subject="23222550", account="berta", account_key=8),
    ]
    output = noted(book, *findings, *findings)
    assert [alert.state for alert in output.alerts] == ["open"] * 5
    assert len({alert.alert_id for alert in output.alerts}) >= 4
    assert [alert.rule_version for alert in output.alerts] == [1, 4, 1, 1, 1]
    assert len(book.running()) == 5


def test_probation_softness_strangers_and_observation_lead_to_no_suspicion() -> None:
    def of(**said: Any) -> Output:
        return noted(AlertBook(), finding(level=2, **({"rule": "X-mine", "mode": "act"} | said)))

    assert [(alert.severity, len(of(probation=True).suspicions)) for alert in of(probation=True).alerts] == [("info", 0)]
    assert not of(probation=True).signals
    assert [(alert.severity, len(of(hard=False).suspicions)) for alert in of(hard=False).alerts] == [("warning", 0)]
    assert of(hard=False, score=30).signals[0].score == 30
    assert not of(keyed=False).suspicions
    assert not of(mode="observe").suspicions
    assert not of(measures=()).suspicions
    assert of().suspicions
    assert not noted(AlertBook(), finding(rule="D99", level=2)).alerts, "a rule that is off says nothing"


def test_a_signal_opens_nothing_and_counts() -> None:
    output = noted(AlertBook(), finding(level=SIGNAL, score=25), finding(level=SIGNAL, score=0))
    assert (output.alerts, output.suspicions) == ([], [])
    assert [(each.rule, each.part, each.score, each.account_key) for each in output.signals] == [("D00", "D00", 25, 7)]


def test_a_book_with_findings_is_restored_and_goes_on() -> None:
    book = AlertBook(mode="act")
    noted(book, finding(), finding(subject_kind="source", subject="192.0.2.7", rule="X-mine", mode="act"))
    other = AlertBook.restore(msgspec.json.decode(msgspec.json.encode(book.state())), mode="act")
    later = [finding(level=2, at_ms=NOON + MINUTE), finding(subject_kind="source", subject="192.0.2.7", rule="X-mine", mode="act")]
    assert noted(book, *later) == noted(other, *later)
    assert book.tick(NOON + 3 * HOUR) == other.tick(NOON + 3 * HOUR) != []
    assert book.state() == other.state()


def test_alerts_of_the_kernel_say_what_attacks_have_in_common() -> None:
    rows = [
        msgspec.structs.replace(row, network="AS64496", user_agent="AVM FRITZ!Box 7590 164.07.57 (Nov 2023)") for row in rows_of(fraud(4))
    ]
    alert = next(alert for alert in Live().feed(rows).output.alerts if alert.rule == "D06")
    shared = {name: alert.evidence.observed[name] for name in ("ranges", "networks", "families", "countries")}
    assert shared == {"ranges": ["23222550"], "networks": ["AS64496"], "families": ["AVM FRITZ!Box 7590"], "countries": ["SL"]}


def test_running_c4_calls_of_the_evidence_are_named_to_be_ended() -> None:
    by_rule = {suspicion.rule: suspicion for suspicion in Live(mode="act").feed(rows_of(fraud(8))).output.suspicions}
    for rule in ("D02", "D07", "D09"):
        assert by_rule[rule].ends == tuple(Measure(scope="call", value=call, destination_class=4) for call in by_rule[rule].calls), rule
    cheap = [msgspec.structs.replace(call, destination_class=3) for call in fraud(8)]
    assert not any(suspicion.ends for suspicion in Live(mode="act").feed(rows_of(cheap)).output.suspicions)


def suspected(book: AlertBook, *findings: Finding) -> list[Suspicion]:
    output = noted(book, *findings)
    book.relapse(output)
    assert not output.held
    return output.suspicions


def test_where_a_rule_acted_lately_a_warning_is_enough() -> None:
    act = finding(rule="X-mine", mode="act", level=2)
    again = finding(rule="X-mine", mode="act", level=1, at_ms=NOON + 3 * HOUR)
    assert not suspected(AlertBook(), again)
    book = AlertBook()
    assert [each.level for each in suspected(book, act)] == [2]
    relapses = msgspec.json.decode(msgspec.json.encode(book.relapses.state()))
    other = AlertBook.restore(msgspec.json.decode(msgspec.json.encode(book.state())), relapses=relapses)
    [suspicion] = suspected(book, again)
    assert (suspicion.level, suspicion.threshold) == (1, again.warn)
    assert suspicion.reason.endswith("; a rule acted on this account within the last week, so a warning is enough")
    assert suspected(other, again) == [suspicion]


def test_within_a_message_time_says_what_came_first() -> None:
    act = finding(rule="X-mine", mode="act", level=2, at_ms=NOON + MINUTE)
    before, after = (finding(rule=f"X-{name}", mode="act", level=1, at_ms=NOON + at) for name, at in (("a", 0), ("b", 2 * MINUTE)))
    assert [each.rule for each in suspected(AlertBook(), after, before, act)] == ["X-mine", "X-b"]


def test_a_rule_that_only_proposed_puts_nobody_on_probation() -> None:
    book = AlertBook()
    assert suspected(book, finding(rule="X-mine", mode="propose", level=2))
    assert not suspected(book, finding(rule="X-mine", mode="propose", level=1, at_ms=NOON + 3 * HOUR))


def test_warnings_of_everyday_life_are_no_relapse() -> None:
    book = AlertBook()
    suspected(book, finding(rule="X-mine", mode="act", level=2))
    assert not suspected(book, finding(rule="D11", mode="act", level=1, at_ms=NOON + 3 * HOUR))
    assert suspected(book, finding(rule="D11", mode="act", level=2, at_ms=NOON + 4 * HOUR))
