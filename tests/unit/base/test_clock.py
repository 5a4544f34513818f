from ringfence.base.clock import monotonic_seconds, system_clock


def test_the_clock_is_unix_milliseconds_of_our_century() -> None:
    assert 1_700_000_000_000 < system_clock() < 4_102_444_800_000


def test_monotonic_never_goes_back() -> None:
    first = monotonic_seconds()
    assert monotonic_seconds() >= first
