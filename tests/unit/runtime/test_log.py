"""Logging hides secrets and says who speaks."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from ringfence.base.secret import Secret
from ringfence.runtime.log import get_logger, set_up_logging


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_line_is_json_with_time_level_and_role_and_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("policy", style="json", level="info")
    get_logger("x").info("block_imposed", block_id="b-1", token=Secret("hunter2"))
    get_logger("x").debug("not_shown")
    (line,) = capsys.readouterr().err.splitlines()
    event = json.loads(line)
    assert (event["event"], event["role"], event["level"], event["block_id"]) == ("block_imposed", "policy", "info", "b-1")
    assert event["token"] == "***"
    assert "timestamp" in event


def test_libraries_come_out_of_the_same_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("api", style="json", level="info")
    logging.getLogger("some.library").warning("trouble %d", 7)
    logging.getLogger("nats.aio").warning("chatter")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["event"] == "trouble 7"
