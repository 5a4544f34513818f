import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ringfence.base.errors import NotFoundError, UnavailableError
from ringfence.detection.model import Alert, Evidence, Subject
from ringfence.views import board as board_module
from ringfence.views.board import Board


def live_alert() -> Alert:
    return Alert(
        alert_id="a-1",
        step=1,
        state="open",
        at="2026-11-22T03:04:05.678Z",
        rule="D09",
        rule_version=1,
        severity="critical",
        subject=Subject(kind="account", value="alice"),
        account="alice",
        score=90,
        cost_eur=1.0,
        reason="6 calls",
        evidence=Evidence(calls=(), thresholds={}, observed={}),
    )


def act_after(refusals: int) -> tuple[list[int], Callable[[], Awaitable[str]]]:
    asked: list[int] = []

    async def act() -> str:
        asked.append(1)
        if len(asked) <= refusals:
            raise NotFoundError("no such alert")
        return "done"

    return asked, act


def board_with(alert: Alert | None) -> Board:
    board = Board(clock=lambda: 1_790_000_000_000)
    if alert is not None:
        board.put_alert(alert)
    return board


def test_a_click_on_a_fresh_alert_waits_for_its_copy() -> None:
    asked, act = act_after(3)
    alert = live_alert()
    assert asyncio.run(board_with(alert).once_recorded(alert.alert_id, act)) == "done"
    assert len(asked) == 4


def test_an_alert_that_nobody_knows_is_refused_at_once() -> None:
    asked, act = act_after(3)
    with pytest.raises(NotFoundError):
        asyncio.run(board_with(None).once_recorded("a-1", act))
    assert len(asked) == 1


def test_a_copy_that_does_not_come_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_module, "RECORDED_SECONDS", 0.2)
    _, act = act_after(10**6)
    alert = live_alert()
    with pytest.raises(UnavailableError, match="try again"):
        asyncio.run(board_with(alert).once_recorded(alert.alert_id, act))
