import pytest

from ringfence.base.errors import (
    KINDS,
    ConflictError,
    ExitCode,
    ForbiddenError,
    NotFoundError,
    OperatorError,
    PeerError,
    RingfenceError,
    UnavailableError,
    kind_of,
)


@pytest.mark.parametrize(
    ("error", "status", "code", "label"),
    [
        (PeerError("x"), 400, ExitCode.OPERATOR, "peer"),
        (OperatorError("x"), 422, ExitCode.OPERATOR, "operator"),
        (ForbiddenError("x"), 403, ExitCode.OPERATOR, "permission"),
        (NotFoundError("x"), 404, ExitCode.OPERATOR, "not_found"),
        (ConflictError("x"), 409, ExitCode.CONFLICT, "conflict"),
        (UnavailableError("x"), 503, ExitCode.UNAVAILABLE, "unavailable"),
    ],
)
def test_each_kind_has_one_answer_for_every_surface(error: RingfenceError, status: int, code: ExitCode, label: str) -> None:
    assert kind_of(error) == (status, code, label)


def test_the_table_lists_the_special_before_the_general() -> None:
    for place, (kind, *_) in enumerate(KINDS):
        assert not any(issubclass(later, kind) for later, *_ in KINDS[place + 1 :])


def test_an_error_outside_the_table_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        kind_of(RingfenceError("x"))


def test_the_reason_is_kept_for_counters() -> None:
    assert PeerError("bad length", reason="bad_length").reason == "bad_length"
