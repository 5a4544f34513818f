"""Waits after failed sign-ins."""

from hypothesis import given
from hypothesis import strategies as st

from ringfence.access.throttle import MAX_WAIT_MS, NAME, PAIR, SOURCE, WINDOW_MS, Counter, Limit, network_of, wait_ms

LIMITS = st.sampled_from([PAIR, SOURCE, NAME])
COUNTERS = st.builds(Counter, st.integers(0, 1_000_000), st.integers(0, 2**42))


def test_free_failures_do_not_wait_and_further_ones_double() -> None:
    waits = [wait_ms(Counter(failures, 1_000), PAIR, 1_000) for failures in range(4, 9)]
    assert waits == [0, 2_000, 4_000, 8_000, 16_000]


def test_a_counter_that_rested_is_forgotten() -> None:
    full = Counter(1_000, 0)
    assert wait_ms(full, PAIR, 1) == MAX_WAIT_MS - 1
    assert wait_ms(full, PAIR, WINDOW_MS) == 0
    assert wait_ms(None, PAIR, 0) == 0


@given(COUNTERS, LIMITS, st.integers(0, 2**42))
def test_no_wait_is_negative_or_above_its_cap_whatever_the_clock_does(counter: Counter, limit: Limit, now_ms: int) -> None:
    assert 0 <= wait_ms(counter, limit, now_ms) <= limit.cap_ms <= MAX_WAIT_MS


@given(COUNTERS, LIMITS, st.integers(0, 10**7), st.integers(0, 10**6))
def test_waiting_gets_shorter_with_time(counter: Counter, limit: Limit, passed: int, more: int) -> None:
    now = counter.last_ms + passed
    assert wait_ms(counter, limit, now + more) <= wait_ms(counter, limit, now)


def test_a_name_is_only_ever_delayed_briefly() -> None:
    assert wait_ms(Counter(1_000_000, 0), NAME, 0) == 20_000


def test_networks_are_v4_addresses_and_v6_lines() -> None:
    assert network_of("192.0.2.7") == "192.0.2.7"
    assert network_of("2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::/64"
    assert network_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert network_of("console") == "console"
    assert len(network_of("x" * 1_000)) == 64
