"""The board a role writes and its heartbeat reads."""

from ringfence.runtime.status import StatusBoard


def test_a_role_is_healthy_until_something_troubles_it() -> None:
    board = StatusBoard("edge", "i-1")
    board.figures["blocks_count"] = 3
    assert board.status(5).healthy
    board.trouble("kamailio-1", "Edge kamailio-1 does not answer.")
    board.trouble("kamailio-2", "Edge kamailio-2 does not answer.")
    board.settled("kamailio-2")
    board.settled("never")
    status = board.status(7)
    assert (status.healthy, status.message, status.at_ms, status.figures) == (
        False,
        "Edge kamailio-1 does not answer.",
        7,
        {"blocks_count": 3},
    )
