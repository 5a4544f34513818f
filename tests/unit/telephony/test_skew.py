from hypothesis import given
from hypothesis import strategies as st

from ringfence.telephony.skew import EPOCH_MS, JUMP_AFTER_MS, JUMP_PACKETS, LATEST_MS, AgentClock

NOW = 1_790_000_000_000


@given(st.lists(st.tuples(st.integers(-10_000_000, 10_000_000), st.integers(0, 5_000)), min_size=1, max_size=200))
def test_event_time_is_never_after_receipt_and_never_far_before_it(packets: list[tuple[int, int]]) -> None:
    clock, now = AgentClock(), NOW
    for error, pause in packets:
        now += pause
        assert now - LATEST_MS <= clock.event_time(now + error, now) <= now


@given(st.integers(-100_000_000, 100_000_000), st.lists(st.integers(0, 1_900), min_size=2, max_size=60))
def test_a_steady_error_of_the_clock_vanishes(error: int, jitters: list[int]) -> None:
    clock = AgentClock()
    assert clock.event_time(NOW + error, NOW) == NOW
    for place, jitter in enumerate(jitters):
        happened = NOW + 1 + place * 10
        assert clock.event_time(happened + error, happened + jitter) == happened
    assert clock.jumps == 0
    assert clock.skew_ms == -error


def test_a_jump_forward_is_followed_at_once() -> None:
    clock = AgentClock()
    clock.event_time(NOW, NOW)
    assert clock.event_time(NOW + 3_600_000, NOW + 10) == NOW + 10
    assert clock.event_time(NOW + 3_600_050, NOW + 80) == NOW + 60
    assert clock.jumps == 1


def test_a_jump_back_is_followed_after_a_while_and_disturbs_nothing_before() -> None:
    clock = AgentClock()
    clock.event_time(NOW, NOW)
    times = [clock.event_time(NOW - 3_600_000 + step * 5, NOW + step * 5) for step in range(1, JUMP_PACKETS + 50)]
    assert times == [NOW + step * 5 for step in range(1, JUMP_PACKETS + 50)]
    assert clock.jumps == 1
    assert clock.skew_ms == 3_600_000


def test_few_packets_after_a_jump_back_are_enough_with_time() -> None:
    clock = AgentClock()
    clock.event_time(NOW, NOW)
    clock.event_time(NOW - 10_000, NOW + 100)
    clock.event_time(NOW - 10_000 + JUMP_AFTER_MS, NOW + 100 + JUMP_AFTER_MS)
    assert clock.jumps == 1
    assert clock.event_time(NOW - 7_000, NOW + 3_100) == NOW + 3_100


def test_one_late_packet_keeps_its_own_time() -> None:
    clock = AgentClock()
    for step in range(10):
        clock.event_time(NOW + step, NOW + step)
    assert clock.event_time(NOW + 10, NOW + 5_010) == NOW + 10
    assert clock.event_time(NOW + 5_020, NOW + 5_020) == NOW + 5_020
    assert clock.jumps == 0


def test_a_slow_drift_is_followed() -> None:
    clock = AgentClock()
    for second in range(600):
        received = NOW + second * 1_000
        drifted = clock.event_time(received - second * 5, received)
        assert received - drifted <= 2 * EPOCH_MS // 1_000 * 5 + 5
    assert clock.jumps == 0
