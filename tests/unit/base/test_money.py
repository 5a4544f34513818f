import pytest

from ringfence.base.errors import OperatorError
from ringfence.base.money import as_euro, parse_euro, show_euro


@pytest.mark.parametrize(("text", "micro"), [("0.25", 250_000), (" 3 ", 3_000_000), ("0.0000005", 1), ("0.0000004", 0), ("1e3", 10**9)])
def test_amounts_are_read_exactly(text: str, micro: int) -> None:
    assert parse_euro(text) == micro


@pytest.mark.parametrize("text", ["", "-1", "NaN", "Infinity", "0,25", "1e99", "abc", "9" * 40])
def test_what_is_no_amount_is_refused_with_what_to_do(text: str) -> None:
    with pytest.raises(OperatorError, match="write it like"):
        parse_euro(text)


@pytest.mark.parametrize(
    ("micro", "shown"),
    [
        (0, "EUR 0.00"),
        (4_999, "EUR 0.00"),
        (5_000, "EUR 0.01"),
        (12_340_000, "EUR 12.34"),
        (-1_230_000, "-EUR 1.23"),
        (10**12, "EUR 1,000,000.00"),
    ],
)
def test_amounts_are_shown_in_cents(micro: int, shown: str) -> None:
    assert show_euro(micro) == shown


def test_float_only_for_people() -> None:
    assert as_euro(1_500_000) == 1.5
