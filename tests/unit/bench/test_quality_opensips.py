"""The model of OpenSIPS' fraud_detection does what its source does: rings, resets, order of thresholds."""

from ringfence.apps.bench.quality.opensips import FraudDetection, rule_at

DAY = 739_000


def check(module: FraudDetection, second: int, *, number: str = "+23276", prefix: int = 1, rule: int = 0, day: int = DAY) -> str:
    return module.check(7, prefix, number, second=second, day=day, rule=rule)[0]


def test_calls_a_minute_warn_at_three_and_are_critical_at_five() -> None:
    module = FraudDetection()
    assert [check(module, 1000 + n, number=str(n)) for n in range(5)] == ["", "", "warning", "warning", "critical"]


def test_running_calls_count_until_they_end() -> None:
    module = FraudDetection()
    assert [check(module, 1000 + 120 * n, number=str(n)) for n in range(3)] == ["", "", "warning"]
    for _ in range(3):
        assert module.end(7, 1, interval=1, rule=0, seconds=60) == ""
    assert check(module, 2000, number="9") == ""


def test_a_prefix_has_counters_of_its_own_and_another_rule_or_day_forgets_them() -> None:
    module = FraudDetection()
    for n in range(4):
        check(module, 1000 + n, number=str(n))
    assert check(module, 1004, prefix=2) == ""
    assert check(module, 1005, rule=1) == ""
    for n in range(4):
        check(module, 1010 + n, number=str(n), rule=1)
    assert check(module, 1020, rule=1, day=DAY + 1) == ""


def test_a_call_of_an_earlier_interval_ends_without_being_subtracted() -> None:
    module = FraudDetection()
    _, interval = module.check(7, 1, "1", second=1000, day=DAY, rule=0)
    for n in range(2):
        check(module, 1001 + n, rule=1, number=str(n))
    assert module.end(7, 1, interval=interval, rule=0, seconds=1) == ""
    assert check(module, 1200, rule=1, number="8") == "warning", "two of the new interval still run"


def test_the_same_number_again_is_what_it_calls_sequential() -> None:
    module = FraudDetection()
    found = []
    for n in range(6):
        found.append(check(module, 1000 + 120 * n))
        module.end(7, 1, interval=1, rule=0, seconds=1)
    assert found == ["", "", "", "", "", "warning"]


def test_duration_is_judged_when_the_call_is_over() -> None:
    module = FraudDetection()
    check(module, 1000)
    assert [module.end(7, 1, interval=1, rule=0, seconds=s) for s in (7_199, 7_200, 13_200)] == ["", "warning", "critical"]


def test_the_tutorials_hours() -> None:
    assert [rule_at(0, 8 * 60 + 59), rule_at(0, 9 * 60), rule_at(0, 17 * 60), rule_at(0, 17 * 60 + 1), rule_at(5, 600)] == [2, 0, 0, 1, 3]
