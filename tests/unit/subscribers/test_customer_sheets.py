"""Rows of customers, lines and contacts files."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.base.errors import OperatorError
from ringfence.subscribers.customers.sheets import ContactRow, CustomerRow, LineRow, read_contacts, read_customers, read_lines
from ringfence.subscribers.model import BadRow, ContactKind, Segment


def file(text: str) -> io.BytesIO:
    return io.BytesIO(text.encode())


def test_an_absent_column_says_nothing_and_an_empty_cell_says_the_default() -> None:
    assert list(read_customers(file("customer\nK 1\n"))) == [CustomerRow(file_line=2, customer="K 1")]
    assert list(read_customers(file("since,name,customer,segment,removed\n,,K-1,,\n"))) == [
        CustomerRow(file_line=2, customer="K-1", name="", segment=Segment.RESIDENTIAL, since_ms=0, removed=False)
    ]
    assert list(read_lines(file("line,region\nL-1,\n"))) == [LineRow(file_line=2, line="L-1", region="")]


@pytest.mark.parametrize(
    ("kind", "value", "good"),
    [
        ("mail", "a@example.net", True), ("MAIL", "a@example.net", True), ("mail", "a@b@c", False), ("mail", "Anna <a@example.net>", False),
        ("phone", "+49 (30) 123-45", True), ("phone", "030/12345", True), ("phone", "call me", False), ("phone", "1", False),
        ("post", "Weg 1", True), ("post", "", False), ("pigeon", "x", False),
    ],
)  # fmt: skip
def test_a_contact_is_well_formed(kind: str, value: str, good: bool) -> None:
    (row,) = read_contacts(file(f"customer,kind,value\nK-1,{kind},{value}\n"))
    if good:
        assert row == ContactRow(file_line=2, customer="K-1", kind=ContactKind(kind.lower()), value=value)
    else:
        assert isinstance(row, BadRow)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("customer,name\n,Anna\n", "bad_customer"),
        ("customer,removed\nK-1,maybe\n", "bad_removed"),
        ("customer,segment\nK-1,royal\n", "bad_segment"),
        ("customer,name\nK-1,a\x07b\n", "bad_text"),
    ],
)
def test_each_mistake_has_its_reason(text: str, reason: str) -> None:
    assert [row.reason for row in read_customers(file(text)) if isinstance(row, BadRow)] == [reason]


def test_a_line_may_hold_spaces_and_a_header_is_needed() -> None:
    rows = list(read_lines(file("line\nDSLAM-17 atm 1/1/03:1.32\n\na\x07b\n" + "x" * 129 + "\n")))
    assert [row.reason if isinstance(row, BadRow) else row.line for row in rows] == ["DSLAM-17 atm 1/1/03:1.32", "bad_line", "bad_line"]
    with pytest.raises(OperatorError):
        list(read_contacts(file("customer,kind\nK-1,mail\n")))


@given(st.binary(max_size=1_000))
def test_whatever_the_bytes_are_every_row_is_read_or_refused(raw: bytes) -> None:
    for row in read_contacts(io.BytesIO(b"customer,kind,value,removed\n" + raw)):
        assert isinstance(row, BadRow) or (row.customer and row.value)
