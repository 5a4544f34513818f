"""Alerts and versions on a real PostgreSQL."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import pytest

from ringfence.apps.worker.projector import page_text
from ringfence.base.errors import ConflictError, NotFoundError, OperatorError, PeerError
from ringfence.detection.model import Alert, Evidence, Subject, encode_alert, iso_time
from ringfence.detection.service import AlertFilter, DetectionService, Feedback, built_in_rules, cursor_of
from ringfence.runtime.db import Database
from ringfence.telephony.control import HolidaysChanged, RatesChanged, RuleSetChanged

START_MS = 1_790_000_000_000
DECK = "prefix,country,kind,eur_per_minute\n232,SL,mobile,0.45\n49,DE,fixed,0.01\n"


def run(url: str, body: Callable[[DetectionService], Awaitable[None]]) -> None:
    async def main() -> None:
        ticks = count(START_MS, 1_000)
        async with Database(url, name="test") as db:
            await body(DetectionService(db, lambda: next(ticks)))

    asyncio.run(main())


def alert(number: int, step: int = 1, **changes: object) -> bytes:
    fields: dict[str, object] = {
        "alert_id": f"a-{number:04}", "step": step, "state": "open", "at": iso_time(START_MS + number * 60_000 + step * 1_000),
        "rule": "D02", "rule_version": 1, "severity": "warning", "subject": Subject(kind="account", value=f"acc{number % 3}"),
        "account": f"acc{number % 3}", "score": 70, "cost_eur": 1.23, "reason": "too much",
        "evidence": Evidence(calls=("c1",), thresholds={"act": 20}, observed={"cost": 21.5}),
    }  # fmt: skip
    return encode_alert(Alert(**(fields | changes)))  # type: ignore[arg-type]


EPISODE = [
    alert(1, 1),
    alert(1, 2, state="update", severity="critical", cost_eur=8.0, score=90),
    alert(1, 3, state="update", severity="critical", cost_eur=16.0),
    alert(1, 4, state="close", severity="critical", cost_eur=16.5),
]


@pytest.mark.parametrize("seed", range(4))
def test_steps_in_any_order_and_twice_give_one_alert(seed: int, database_url: str) -> None:
    async def body(detection: DetectionService) -> None:
        deliveries = [(step, payload) for step, payload in enumerate(EPISODE, start=1)] * 2
        random.Random(seed).shuffle(deliveries)
        news = [await detection.record_alert(payload, step) is not None for step, payload in deliveries]
        assert sum(news) == len(EPISODE)
        found = await detection.alert("a-0001")
        assert (found.state, found.step, found.severity, found.cost_micro) == ("close", 4, "critical", 16_500_000)
        assert found.opened_ms == START_MS + 61_000
        assert found.changed_ms == found.closed_ms == START_MS + 64_000
        assert not found.running
        assert found.evidence == Evidence(calls=("c1",), thresholds={"act": 20}, observed={"cost": 21.5})
        assert [step.severity for step in await detection.steps("a-0001")] == ["warning", "critical", "critical", "critical"]

    run(database_url, body)


def test_lists_are_filtered_and_paged_without_gap_or_repetition(database_url: str) -> None:
    async def body(detection: DetectionService) -> None:
        for number in range(25):
            await detection.record_alert(alert(number, severity="critical" if number % 5 == 0 else "warning"), 1)
        for number in (3, 4):
            await detection.record_alert(alert(number, 2, state="close"), 2)
        await detection.acknowledge("a-0010", "anna")

        seen: list[str] = []
        before = ""
        while page := await detection.alerts(AlertFilter(), before=before, limit=10):
            seen += [found.alert_id for found in page]
            before = cursor_of(page[-1])
        assert seen == [f"a-{number:04}" for number in reversed(range(25))]

        async def listed(**wanted: object) -> int:
            return len(await detection.alerts(AlertFilter(**wanted), limit=500))  # type: ignore[arg-type]

        assert await listed(running=True) == 23
        assert await listed(state="close") == 2
        assert await listed(severity="critical") == 5
        assert await listed(severity="critical", unacknowledged=True) == 4
        assert await listed(account="acc1") == 8
        assert await listed(rule="D01") == 0
        assert await listed(since_ms=START_MS + 20 * 60_000) == 5
        with pytest.raises(OperatorError, match="first one"):
            await detection.alerts(AlertFilter(), before="x:y")

    run(database_url, body)


def test_the_first_acknowledgement_and_the_latest_feedback_count(database_url: str) -> None:
    async def body(detection: DetectionService) -> None:
        await detection.record_alert(alert(1), 1)
        assert (await detection.acknowledge("a-0001", "anna")).acknowledged_by == "anna"
        again = await detection.acknowledge("a-0001", "bert")
        assert again.acknowledged_by == "anna"
        await detection.give_feedback("a-0001", Feedback.UNSURE, "anna")
        told = await detection.give_feedback("a-0001", Feedback.FRAUD, "bert", "customer never calls there\nasked twice")
        assert (told.feedback, told.feedback_by, told.feedback_note) == ("fraud", "bert", "customer never calls there\nasked twice")
        await detection.record_alert(alert(1, 2, state="close"), 2)
        kept = await detection.alert("a-0001")
        assert (kept.acknowledged_by, kept.feedback) == ("anna", "fraud"), "a later step forgets nothing that people said"
        for refused in (detection.acknowledge("a-9", "x"), detection.give_feedback("a-9", Feedback.FRAUD, "x"), detection.alert("a-9")):
            with pytest.raises(NotFoundError):
                await refused
        with pytest.raises(OperatorError):
            await detection.give_feedback("a-0001", Feedback.FRAUD, "x", "\x00")

    run(database_url, body)


def test_names_that_an_attacker_chose_are_stored(database_url: str) -> None:
    async def body(detection: DetectionService) -> None:
        hostile = "x\x00'; drop table detection.alerts; --"
        await detection.record_alert(alert(1, account=hostile, subject=Subject(kind="account", value=hostile), reason=hostile,
                                           evidence=Evidence(calls=(hostile,), thresholds={}, observed={})), 1)  # fmt: skip
        found = await detection.alert("a-0001")
        assert found.account == hostile.replace("\x00", "\ufffd") == found.evidence.calls[0]

    run(database_url, body)


@pytest.mark.parametrize(
    "payload", [b"", b"{}", b"\xff", alert(1, at="yesterday"), alert(1, at="2026-01-01T00:00:00"), alert(1, state="wide")]
)
def test_what_is_no_alert_is_refused(payload: bytes, database_url: str) -> None:
    async def body(detection: DetectionService) -> None:
        with pytest.raises(PeerError, match="not an alert"):
            await detection.record_alert(payload, 1)

    run(database_url, body)


def test_rule_sets_have_versions_and_one_is_active(database_url: str) -> None:
    async def body(detection: DetectionService) -> None:
        assert await detection.changed("rules") is None
        assert await detection.ensure_first_rules(built_in_rules(), "role:worker")
        assert not await detection.ensure_first_rules(built_in_rules(), "role:worker")
        version = await detection.save_rules(built_in_rules() + "\n# softer\n", "anna", "softer at night")
        assert version == 2
        first = await detection.changed("rules")
        assert isinstance(first, RuleSetChanged)
        assert first.version == 1, "a saved version does nothing"
        await detection.activate_rules(2, "anna")
        with pytest.raises(ConflictError, match="active already"):
            await detection.activate_rules(2, "anna")
        assert [(rules.version, rules.active) for rules in await detection.rule_sets()] == [(2, True), (1, False)]
        second = await detection.changed("rules")
        assert isinstance(second, RuleSetChanged)
        assert second.toml.endswith("# softer\n")
        assert await detection.rules_text(2) == second.toml
        await detection.activate_rules(1, "bert")  # And back.
        assert [(rules.version, rules.active) for rules in await detection.rule_sets()] == [(2, False), (1, True)]
        assert len(await detection.pending(10)) == 3
        with pytest.raises(NotFoundError):
            await detection.activate_rules(9, "anna")
        with pytest.raises(OperatorError):
            await detection.save_rules("[D99]\nmode = 'act'\n", "anna", "")

    run(database_url, body)


def test_decks_and_holidays_are_told_in_their_newest_version(database_url: str) -> None:
    async def body(detection: DetectionService) -> None:
        assert await detection.save_rates(DECK, "anna", home="DE") == 1
        assert await detection.save_rates(DECK + "33,FR,fixed,0.02\n", "anna", home="DE") == 2
        assert [(deck.version, deck.prefixes) for deck in await detection.rate_decks()] == [(2, 3), (1, 2)]
        rates = await detection.changed("rates")
        assert isinstance(rates, RatesChanged)
        assert (rates.version, rates.csv.count("\n")) == (2, 4)
        with pytest.raises(OperatorError):
            await detection.save_rates("prefix\n49\n", "anna", home="DE")

        assert await detection.ensure_holidays("DE", "BE", "Europe/Berlin")
        assert not await detection.ensure_holidays("DE", "BE", "Europe/Berlin")
        holidays = await detection.changed("holidays")
        assert isinstance(holidays, HolidaysChanged)
        assert "2026-03-08" in holidays.days, "the day of Berlin alone"
        assert holidays.time_zone == "Europe/Berlin"
        with pytest.raises(OperatorError):
            await detection.ensure_holidays("XX", "", "Europe/Berlin")
        assert [change.kind for change in await detection.pending(10)] == ["rates", "rates", "holidays"]

    run(database_url, body)


def test_an_alert_about_a_range_a_source_or_the_network_is_kept_like_any_other(database_url: str) -> None:
    async def body(detection: DetectionService) -> None:
        subjects = [("prefix", "23222550"), ("source", "192.0.2.7"), ("network", "all"), ("edge", "kamailio-1")]
        for number, (kind, value) in enumerate(subjects, start=1):
            said: dict[str, Any] = {"subject": Subject(kind=kind, value=value), "account": "", "severity": "critical"}  # type: ignore[arg-type]
            said |= {"prefix": {"prefix": value}, "source": {"source_ip": value}}.get(kind, {})
            await detection.record_alert(alert(number, **said), 1)
        found = await detection.alerts(AlertFilter(running=True))
        assert sorted((each.subject_kind, each.subject_value) for each in found) == sorted(subjects)
        assert {each.account for each in found} == {""}
        assert page_text(next(each for each in found if each.subject_kind == "prefix")).startswith("D02 prefix 23222550: too much")

    run(database_url, body)
