"""Metric names follow the house."""

import pytest
from prometheus_client import REGISTRY

from ringfence.runtime.metrics import counter, gauge


def test_a_counter_is_registered_under_its_name() -> None:
    made = counter("ringfence_runtime_test_events_total", "Only in this test.", ("reason",))
    made.labels(reason="x").inc()
    assert REGISTRY.get_sample_value("ringfence_runtime_test_events_total", {"reason": "x"}) == 1
    REGISTRY.unregister(made)


@pytest.mark.parametrize("name", ["events_total", "ringfence_Events_total", "ringfence_events_total "])
def test_other_names_are_a_bug(name: str) -> None:
    with pytest.raises(AssertionError):
        gauge(name, "x")


def test_a_counter_must_say_total() -> None:
    with pytest.raises(AssertionError):
        counter("ringfence_runtime_events", "x")
