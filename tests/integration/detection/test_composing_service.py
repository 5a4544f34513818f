"""Composed rules on a real PostgreSQL: versions, states, what the log is told, and people's answers as labels."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count

import pytest

from ringfence.base.errors import ConflictError, NotFoundError, OperatorError
from ringfence.detection.composed_text import read_one
from ringfence.detection.composing.service import ComposingService
from ringfence.detection.model import Alert, Evidence, Subject, encode_alert, iso_time
from ringfence.detection.service import DetectionService, Feedback
from ringfence.runtime.db import Database

START_MS = 1_790_000_000_000
TEXT = '[rule.night]\ntitle = "Night calls"\ncount = "calls"\nper = "account"\nwindow = "10 min"\nact = 3\n'


def run(url: str, body: Callable[[ComposingService, DetectionService], Awaitable[None]]) -> None:
    async def main() -> None:
        ticks = count(START_MS, 1_000)
        async with Database(url, name="test") as db:
            await body(ComposingService(db, lambda: next(ticks)), DetectionService(db, lambda: next(ticks)))

    asyncio.run(main())


def alert(number: int, rule: str, version: int = 1, account: str = "4930100") -> bytes:
    return encode_alert(
        Alert(
            alert_id=f"a-{number}", step=1, state="open", at=iso_time(START_MS + number), rule=rule, rule_version=version, severity="info",
            subject=Subject(kind="account", value=account), account=account, score=40, cost_eur=1.5, reason="too much",
            evidence=Evidence(calls=(), thresholds={}, observed={}),
        )
    )  # fmt: skip


def test_a_rule_lives_from_draft_to_retirement(database_url: str) -> None:
    async def body(composing: ComposingService, detection: DetectionService) -> None:
        assert await composing.save(TEXT, "anna", "first try") == (("X-night", 1),)
        draft = await composing.rule("X-night")
        assert (draft.state, draft.version, draft.newest, draft.author, draft.note, draft.title) == (
            "draft", 0, 1, "anna", "first try", "Night calls",
        )  # fmt: skip
        assert await composing.told() == ()
        assert await composing.save(TEXT.replace("act = 3", "act = 4"), "bert") == (("X-night", 2),)
        assert (await composing.rule("X-night")).state == "draft"

        await composing.put("X-night", 2, "probation", "anna", "2 alerts in 30 days")
        [told] = await composing.told("X-night")
        assert (told.rule_id, told.version, told.state, read_one(told.toml).act) == ("X-night", 2, "probation", 4)
        await composing.put("X-night", 2, "active", "lead")
        await composing.put("X-night", 1, "retired", "lead")
        record = await composing.rule("X-night")
        assert (record.state, record.version, record.changed_by) == ("retired", 2, "lead")
        assert [(step.state, step.version, step.changed_by) for step in await composing.steps("X-night")] == [
            ("retired", 2, "lead"), ("active", 2, "lead"), ("probation", 2, "anna"),
        ]  # fmt: skip
        assert [(told.state, told.version) for told in await composing.told()] == [("retired", 2)]
        pending = await detection.pending(10)
        assert [(change.kind, change.subject) for change in pending] == [("composed", "X-night")] * 3
        await detection.settle(pending)
        assert [version.version for version in await composing.versions("X-night")] == [2, 1]

    run(database_url, body)


def test_what_cannot_be_is_refused_and_changes_nothing(database_url: str) -> None:
    async def body(composing: ComposingService, _detection: DetectionService) -> None:
        with pytest.raises(OperatorError, match="line 6"):
            await composing.save(TEXT.replace("act = 3", "act = 0"), "anna")
        with pytest.raises(OperatorError, match="twice"):
            await composing.save(TEXT + TEXT, "anna")
        assert await composing.rules() == ()
        with pytest.raises(NotFoundError):
            await composing.rule("X-night")
        await composing.save(TEXT, "anna")
        with pytest.raises(NotFoundError):
            await composing.put("X-night", 2, "active", "anna")
        with pytest.raises(NotFoundError):
            await composing.read("X-night", 2)
        with pytest.raises(ConflictError, match="draft"):
            await composing.put("X-night", 1, "retired", "anna")
        await composing.put("X-night", 1, "active", "anna")
        with pytest.raises(ConflictError, match="active already"):
            await composing.put("X-night", 1, "active", "anna")

    run(database_url, body)


def test_only_so_many_rules_are_in_force(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringfence.detection.composing.service.MAX_RULES", 1)

    async def body(composing: ComposingService, _detection: DetectionService) -> None:
        await composing.save(TEXT + TEXT.replace("night", "day"), "anna")
        await composing.put("X-night", 1, "probation", "anna")
        with pytest.raises(ConflictError, match="retire one"):
            await composing.put("X-day", 1, "probation", "anna")
        await composing.put("X-night", 1, "active", "anna")

    run(database_url, body)


def test_precision_is_of_what_people_answered(database_url: str) -> None:
    async def body(composing: ComposingService, detection: DetectionService) -> None:
        await composing.save(TEXT, "anna")
        await composing.save(TEXT, "anna")
        assert (await composing.rule("X-night")).precision is None
        answers = (Feedback.FRAUD, Feedback.FRAUD, Feedback.NOT_FRAUD, Feedback.UNSURE, None)
        for number, answer in enumerate(answers):
            await detection.record_alert(alert(number, "X-night", version=1 + number % 2, account=f"acc{number}"), 1)
            if answer is not None:
                await detection.give_feedback(f"a-{number}", answer, "bert", "seen")
        await detection.record_alert(alert(9, "D02", account="acc9"), 1)
        await detection.record_alert(alert(10, "D02", account="acc2"), 1)
        rule = await composing.rule("X-night")
        assert (rule.alerts, rule.fraud, rule.not_fraud, rule.unsure) == (5, 2, 1, 1)
        assert rule.precision == 2 / 3
        assert [(version.version, version.alerts, version.fraud, version.not_fraud) for version in await composing.versions("X-night")] == [
            (2, 2, 1, 0), (1, 3, 1, 1),
        ]  # fmt: skip
        known = {one.account: (one.fraud, one.not_fraud, one.alerted) for one in await composing.account_labels(START_MS)}
        assert known == {
            "acc0": (True, False, False), "acc1": (True, False, False), "acc2": (False, True, True), "acc3": (False, False, False),
            "acc4": (False, False, False), "acc9": (False, False, True),
        }  # fmt: skip
        labels = await composing.labels()
        assert [(label.alert_id, label.feedback, label.feedback_by) for label in labels] == [
            ("a-3", "unsure", "bert"), ("a-2", "not_fraud", "bert"), ("a-1", "fraud", "bert"), ("a-0", "fraud", "bert"),
        ]  # fmt: skip
        assert len(await composing.labels(limit=2)) == 2
        assert await composing.labels(START_MS + 10**9) == ()

    run(database_url, body)
