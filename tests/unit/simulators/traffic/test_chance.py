import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ringfence.simulators.traffic.chance import call_identities, generator, mix, salt, unit, weighted


def test_hashes_are_the_same_on_every_machine() -> None:
    assert mix([1, 2], 3).tolist() == mix([1, 2], [3, 3]).tolist()
    assert mix([1], 2)[0] != mix([2], 1)[0]
    assert salt("a") != salt("b")


@given(st.integers(0, 2**63), st.integers(1, 5_000), st.integers(0, 2**32))
def test_call_identities_never_collide(first: int, count: int, seed: int) -> None:
    counters = np.uint64(first) + np.arange(count, dtype=np.uint64)
    assert len(np.unique(call_identities(counters, seed))) == count


def test_fractions_and_weights() -> None:
    fractions = unit(mix(np.arange(20_000)))
    assert fractions.min() >= 0
    assert fractions.max() < 1
    assert abs(fractions.mean() - 0.5) < 0.01
    shares = np.bincount(weighted(fractions, [1, 0, 3]), minlength=3) / 20_000
    assert abs(shares[0] - 0.25) < 0.02
    assert shares[1] == 0


def test_generators_of_two_purposes_differ_and_repeat() -> None:
    assert generator(1, "a").random() == generator(1, "a").random()
    assert len({generator(1, "a").random(), generator(1, "b").random(), generator(2, "a").random(), generator(1, "a", 1).random()}) == 4
