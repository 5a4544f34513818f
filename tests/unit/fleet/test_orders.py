"""Orders: whose turn, what an answer, an Inform or a queue means, and when there is another attempt."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.fleet.binding import may_receive, may_report
from ringfence.fleet.model import Lane, Proof, Standing
from ringfence.fleet.orders import (
    ATTEMPTS,
    DEADLINES_MS,
    LONGEST_PAUSE_MS,
    OPEN,
    PAUSE_MS,
    Attempt,
    DownloadFirmware,
    Move,
    OrderState,
    Waiting,
    WantedState,
    after_answer,
    after_transfer,
    follow_up,
    may_move,
    next_of,
    purpose_of_wanted,
    told_by,
    told_by_queue,
    written,
)
from ringfence.protocols.cwmp.messages import (
    DownloadResponse,
    Event,
    FactoryReset,
    FactoryResetResponse,
    Fault,
    Reboot,
    RebootResponse,
    ScheduleInform,
    SetParameterValuesResponse,
)

SHA = "a" * 64


def attempt(method: str, state: OrderState = OrderState.COMMITTED, key: str = "o-1", **changes: Any) -> Attempt:
    fields: dict[str, Any] = {
        "command_key": key, "wanted_id": 1, "method": method, "purpose": method, "attempt": 1, "state": state, "fault_code": 0, "detail": "",
        "committed_ms": 1, "changed_ms": 1, "deadline_ms": 2,
    }  # fmt: skip
    return Attempt(**(fields | changes))


def waiting(*methods: str) -> list[Waiting]:
    return [
        Waiting(wanted_id=number, method=method, argument=SHA if method == "Download" else "") for number, method in enumerate(methods, 1)
    ]


def test_an_order_is_kept_as_method_and_argument() -> None:
    assert written(DownloadFirmware(sha256=SHA)) == ("Download", SHA)
    assert written(ScheduleInform(60, "left aside")) == ("ScheduleInform", "60")
    assert (written(Reboot("left aside")), written(FactoryReset())) == (("Reboot", ""), ("FactoryReset", ""))
    assert set(ATTEMPTS) <= set(DEADLINES_MS)


@pytest.mark.parametrize(
    ("standing", "reason", "proof", "lane", "gets"),
    [
        (Standing.MANAGED, "", Proof.DIGEST, Lane.MANAGED, set(ATTEMPTS)),
        (Standing.MANAGED, "", Proof.NONE, Lane.MANAGED, set(ATTEMPTS)),  # The operator trusts what proves nothing.
        (Standing.STOCK, "in_stock", Proof.DIGEST, Lane.MANAGED, {"Download"}),
        (Standing.STOCK, "in_stock", Proof.NONE, Lane.BOOTSTRAP, {"Download"}),
        (Standing.STOCK, "in_stock_on_a_line", Proof.NONE, Lane.BOOTSTRAP, set()),
        (Standing.UNBOUND, "no_session_of_address", Proof.DIGEST, Lane.MANAGED, set(ATTEMPTS)),
        (Standing.UNBOUND, "no_session_of_address", Proof.NONE, Lane.MANAGED, set()),
        (Standing.UNBOUND, "no_session_of_address", Proof.DIGEST, Lane.BOOTSTRAP, set()),
        (Standing.UNBOUND, "not_proven", Proof.NONE, Lane.MANAGED, set()),
        (Standing.UNBOUND, "other_line", Proof.DIGEST, Lane.MANAGED, set()),
        (Standing.UNBOUND, "bootstrap_lane", Proof.DIGEST, Lane.BOOTSTRAP, set()),
        (Standing.REPLACEMENT_PENDING, "unknown_on_line", Proof.DIGEST, Lane.MANAGED, set()),
        (Standing.REFUSED, "identity_mismatch", Proof.DIGEST, Lane.MANAGED, set()),
    ],
)
def test_an_order_leaves_for_the_device_itself_and_nobody_else(
    standing: Standing, reason: str, proof: Proof, lane: Lane, gets: set[str]
) -> None:
    assert {method for method in ATTEMPTS if may_receive(method, standing, reason, proof, lane)} == gets
    if gets > {"Download"}:
        assert may_report(standing, reason, proof), "who gets orders that are reported without a CommandKey is believed"


def test_whoever_proves_nothing_from_nowhere_tells_nothing_of_orders() -> None:
    assert not may_report(Standing.UNBOUND, "no_session_of_address", Proof.NONE)
    assert not may_report(Standing.UNBOUND, "other_line", Proof.DIGEST)
    assert may_report(Standing.UNBOUND, "bootstrap_lane", Proof.NONE), "after a factory reset, on its own line"


@pytest.mark.parametrize(
    ("methods", "under_way", "turn"),
    [
        (["Reboot", "Download", "ScheduleInform"], [], "ScheduleInform"),
        (["Reboot", "Download"], [], "Download"),
        (["FactoryReset", "Reboot"], [], "Reboot"),
        (["Reboot"], ["Download"], None),  # It would break the file off.
        (["FactoryReset"], ["Download"], None),
        (["Download"], ["Download"], None),  # One file at a time.
        (["ScheduleInform"], ["Download"], "ScheduleInform"),
        (["Download", "ScheduleInform"], ["Reboot"], None),
        ([], [], None),
    ],
)
def test_what_ends_the_devices_work_goes_last_and_alone(methods: list[str], under_way: list[str], turn: str | None) -> None:
    found = next_of(waiting(*methods), set(under_way), set())
    assert (found.method if found else None) == turn


@given(st.lists(st.sampled_from(sorted(ATTEMPTS)), max_size=6), st.sets(st.sampled_from(sorted(ATTEMPTS)), max_size=3))
def test_nothing_of_a_purpose_that_is_open_leaves(methods: list[str], under_way: set[str]) -> None:
    purposes = {purpose_of_wanted(method, SHA if method == "Download" else "") for method in under_way}
    found = next_of(waiting(*methods), under_way, purposes)
    assert found is None or (found.method in methods and found.method not in under_way)


def test_what_a_device_answers() -> None:
    assert after_answer("o-1", DownloadResponse(1)).to is OrderState.STARTED
    assert after_answer("o-1", DownloadResponse(0)).to is OrderState.DONE
    assert after_answer("o-1", RebootResponse()).to is OrderState.STARTED
    assert after_answer("o-1", FactoryResetResponse()).to is OrderState.STARTED
    assert after_answer("o-1", Fault(9001, "busy")) == Move(command_key="o-1", to=OrderState.FAILED, fault_code=9001, detail="busy")
    assert after_answer("o-1", Fault(0, "odd")).fault_code == 9002, "a failure has a code"
    assert after_answer("o-1", SetParameterValuesResponse()).to is OrderState.UNKNOWN
    assert after_transfer("o-1", 0, "").to is OrderState.DONE
    assert after_transfer("", 9010, "power") == Move(command_key="", to=OrderState.FAILED, fault_code=9010, detail="power")


def test_an_event_with_its_key_answers_its_order_also_when_it_was_given_up() -> None:
    events = (Event("1 BOOT"), Event("M Reboot", "o-1"))
    for state in (OrderState.COMMITTED, OrderState.STARTED, OrderState.UNKNOWN):
        (move,) = told_by(events, [attempt("Reboot", state)], believed=False)
        assert (move.to, move.command_key) == (OrderState.DONE, "o-1")
    assert told_by((Event("M ScheduleInform", "o-1"),), [attempt("ScheduleInform")], believed=True)[0].to is OrderState.DONE
    assert told_by((Event("M Reboot", "o-2"),), [attempt("Reboot", OrderState.STARTED)], believed=True) == (), "another order's"


def test_a_boot_without_its_key_answers_an_open_reboot_of_a_device_that_is_believed() -> None:
    boot, reset = (Event("1 BOOT"),), (Event("0 BOOTSTRAP"),)
    assert told_by(boot, [attempt("Reboot", OrderState.STARTED)], believed=True)[0].to is OrderState.DONE
    assert told_by(boot, [attempt("Reboot", OrderState.STARTED)], believed=False) == ()
    assert told_by(boot, [attempt("Reboot", OrderState.UNKNOWN)], believed=True) == (), "whose boot that was nobody knows"
    assert told_by(reset, [attempt("FactoryReset", OrderState.STARTED)], believed=True)[0].to is OrderState.DONE
    assert told_by(boot, [attempt("FactoryReset", OrderState.STARTED)], believed=True) == ()


def test_what_was_lost_with_its_session_is_given_up_at_the_next_one_and_what_was_accepted_is_not() -> None:
    periodic = (Event("2 PERIODIC"),)
    for method in ("Reboot", "FactoryReset", "ScheduleInform"):
        assert told_by(periodic, [attempt(method)], believed=True)[0].to is OrderState.UNKNOWN
        assert told_by(periodic, [attempt(method, OrderState.STARTED)], believed=True) == ()
        assert told_by(periodic, [attempt(method)], believed=False) == ()
    assert told_by(periodic, [attempt("Download")], believed=True) == (), "the device's queue knows"


def test_the_devices_queue_decides_over_transfers_nobody_saw_accepted() -> None:
    open_ones = [attempt("Download", key="o-1"), attempt("Download", OrderState.STARTED, key="o-2"), attempt("Reboot", key="o-3")]
    assert {move.command_key: move.to for move in told_by_queue(open_ones, {"o-1"})} == {"o-1": OrderState.STARTED}
    assert {move.command_key: move.to for move in told_by_queue(open_ones, {"o-9"})} == {"o-1": OrderState.UNKNOWN}
    assert told_by_queue(open_ones, {""})[0].to is OrderState.STARTED, "without its key it can only be the one"
    two = [attempt("Download", key="o-1"), attempt("Download", key="o-4")]
    assert {move.to for move in told_by_queue(two, {""})} == {OrderState.UNKNOWN}


@pytest.mark.parametrize(
    ("method", "state", "fault", "attempts", "wanted", "pauses"),
    [
        ("Download", OrderState.STARTED, 0, 1, WantedState.GIVEN, False),
        ("Download", OrderState.DONE, 0, 3, WantedState.DONE, False),
        ("Download", OrderState.UNKNOWN, 0, 1, WantedState.WAITING, False),
        ("Download", OrderState.UNKNOWN, 0, 4, WantedState.UNKNOWN, False),
        ("FactoryReset", OrderState.UNKNOWN, 0, 1, WantedState.UNKNOWN, False),  # Once: the next is a person's decision.
        ("Download", OrderState.FAILED, 9010, 1, WantedState.WAITING, True),
        ("Download", OrderState.FAILED, 9004, 2, WantedState.WAITING, True),
        ("Download", OrderState.FAILED, 9010, 4, WantedState.FAILED, False),
        ("Download", OrderState.FAILED, 9001, 1, WantedState.WAITING, True),  # Its owner refused, or a call is up: once more.
        ("Download", OrderState.FAILED, 9001, 2, WantedState.FAILED, False),
        *[("Download", OrderState.FAILED, code, 1, WantedState.FAILED, False) for code in (9000, 9003, 9012, 9013, 9016, 9018, 9019)],
        ("Reboot", OrderState.FAILED, 9999, 1, WantedState.WAITING, True),
        ("FactoryReset", OrderState.FAILED, 9002, 1, WantedState.FAILED, False),
    ],
)
def test_when_there_is_another_attempt(
    method: str, state: OrderState, fault: int, attempts: int, wanted: WantedState, pauses: bool
) -> None:
    found = follow_up(method, state, fault, attempts)
    assert (found.state, found.pause_ms > 0) == (wanted, pauses)


@given(st.sampled_from(sorted(ATTEMPTS)), st.sampled_from(OrderState), st.integers(0, 9_999), st.integers(1, 200))
def test_attempts_end_and_pauses_are_bounded(method: str, state: OrderState, fault: int, attempts: int) -> None:
    found = follow_up(method, state, fault, attempts)
    assert found.pause_ms <= LONGEST_PAUSE_MS
    assert found.pause_ms in {0} | {min(LONGEST_PAUSE_MS, PAUSE_MS << step) for step in range(30)}
    if attempts >= ATTEMPTS[method] and state not in OPEN:
        assert found.state is not WantedState.WAITING


@given(st.sampled_from(OrderState), st.sampled_from(OrderState))
def test_what_is_over_stays_over(state: OrderState, to: OrderState) -> None:
    if state in {OrderState.DONE, OrderState.FAILED}:
        assert not may_move(state, to)
    assert not may_move(state, OrderState.COMMITTED), "an attempt is committed once"
