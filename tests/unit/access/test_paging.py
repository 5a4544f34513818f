"""Who is told next."""

from ringfence.access.paging import RETRY_MS, ROUNDS, next_contacts, next_ms


def test_the_line_goes_round_a_few_times_and_ends() -> None:
    line = ["anna", "bert", "carla"]
    told = [next_contacts(line, paged) for paged in range(len(line) * ROUNDS + 2)]
    assert told == [("anna",), ("bert",), ("carla",)] * ROUNDS + [(), ()]
    assert next_contacts([], 0) == ()


def test_a_message_that_failed_does_not_use_up_the_wait() -> None:
    assert next_ms(1_000, delivered=True, escalate_ms=300_000) == 301_000
    assert next_ms(1_000, delivered=False, escalate_ms=300_000) == 1_000 + RETRY_MS
    assert next_ms(1_000, delivered=False, escalate_ms=5_000) == 6_000
