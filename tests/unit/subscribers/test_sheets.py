"""Rows of accounts and networks files."""

import io
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.base.errors import OperatorError
from ringfence.subscribers.cells import MAX_LINE_BYTES
from ringfence.subscribers.model import BadRow, Network, NetworkKind, Segment
from ringfence.subscribers.sheets import AccountRow, read_accounts, read_networks


def accounts(text: str | bytes) -> list[AccountRow | BadRow]:
    return list(read_accounts(io.BytesIO(text.encode() if isinstance(text, str) else text)))


def reasons(text: str | bytes) -> list[tuple[int, str]]:
    return [(row.line, row.reason) for row in accounts(text) if isinstance(row, BadRow)]


def test_a_whole_row_in_any_column_order_with_extra_columns() -> None:
    text = (
        "\ufeffsensitivity,Account,colour,segment,channels,since,country,own_device,exempt_until,customer\r\n"
        '40,alice,red,Business,12,2020-01-02,de,yes,2030-05-01T12:00:00+02:00,"Müller, GmbH"\r\n'
    )
    assert accounts(text) == [
        AccountRow(
            file_line=2, account="alice", customer="Müller, GmbH", segment=Segment.BUSINESS, channels=12, since_ms=1_577_923_200_000,
            country="DE", own_device=True, exempt_until_ms=1_903_860_000_000, sensitivity=40,
        )
    ]  # fmt: skip


def test_an_absent_column_says_nothing_and_an_empty_cell_says_the_default() -> None:
    assert accounts("account\nalice\n") == [AccountRow(file_line=2, account="alice")]
    (row,) = accounts("account,segment,channels,since,own_device,sensitivity,customer\nalice,,,,,,\n")
    assert row == AccountRow(
        file_line=2, account="alice", segment=Segment.RESIDENTIAL, channels=1, since_ms=0, own_device=False, sensitivity=0, customer=""
    )


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",residential,1,,DE,0,0", "bad_account"),
        ("a b,residential,1,,DE,0,0", "bad_account"),
        ("é" * 65 + ",residential,1,,DE,0,0", "bad_account"),
        ("alice,palace,1,,DE,0,0", "bad_segment"),
        ("alice,,0,,DE,0,0", "bad_channels"),
        ("alice,,100001,,DE,0,0", "bad_channels"),
        ("alice,,1.5,,DE,0,0", "bad_channels"),
        ("alice,,٣,,DE,0,0", "bad_channels"),
        ("alice,,-1,,DE,0,0", "bad_channels"),
        ("alice,,1,yesterday,DE,0,0", "bad_since"),
        ("alice,,1,2150-01-01,DE,0,0", "bad_since"),
        ("alice,,1,1900-01-01,DE,0,0", "bad_since"),
        ("alice,,1,,Germany,0,0", "bad_country"),
        ("alice,,1,,DE,perhaps,0", "bad_own_device"),
        ("alice,,1,,DE,0,101", "bad_sensitivity"),
        ("alice,,1,,DE,0", "cell_count"),
        ("alice,,1,,DE,0,0,more", "cell_count"),
        ('alice,"x"y,1,,DE,0,0', "not_csv"),
    ],
)
def test_each_mistake_has_its_reason_and_line_and_the_next_row_is_read(row: str, reason: str) -> None:
    text = f"account,segment,channels,since,country,own_device,sensitivity\n{row}\nbob,,,,,,\n"
    assert reasons(text) == [(2, reason)]
    assert [row.account for row in accounts(text) if isinstance(row, AccountRow)] == ["bob"]


def test_bytes_that_are_no_utf8_a_line_without_end_and_a_zero_byte_are_bad_rows() -> None:
    endless = b"x" * (3 * MAX_LINE_BYTES)
    text = b"account,customer\n\xff\xfe,1\n" + endless + b",1\nbo\x00b,1\nbob,\xff\ncarl,1\n"
    assert reasons(text) == [(2, "not_utf8"), (3, "line_too_long"), (4, "bad_account"), (5, "bad_text")]
    assert [row.account for row in accounts(text) if isinstance(row, AccountRow)] == ["carl"]


def test_unix_seconds_and_zones() -> None:
    times = ["1577923200", "2020-01-02", "2020-01-02T00:00:00Z", "2020-01-02T01:00:00+01:00", "2020-01-02 00:00:00.000"]
    rows = accounts("account,since\n" + "".join(f"a{place},{time}\n" for place, time in enumerate(times)))
    assert {row.since_ms for row in rows if isinstance(row, AccountRow)} == {1_577_923_200_000}
    assert len(rows) == len(times)


@pytest.mark.parametrize("text", ["", "\n", "name\nalice\n", "account,account\nalice,bob\n", '"account\n'])
def test_a_file_without_a_usable_header_is_refused(text: str) -> None:
    with pytest.raises(OperatorError) as refused:
        accounts(text)
    assert refused.value.reason == "bad_header"


@given(st.binary(max_size=2_000))
def test_whatever_the_bytes_are_every_row_is_read_or_refused(raw: bytes) -> None:
    for row in accounts(b"account,segment,channels,since,country,own_device,exempt_until,sensitivity\n" + raw):
        assert isinstance(row, BadRow) or row.account


@given(st.lists(st.from_regex(r"[a-z0-9._-]{1,20}", fullmatch=True), max_size=30))
def test_good_accounts_come_back_in_order_with_their_lines(names: list[str]) -> None:
    found = accounts("account\n" + "".join(f"{name}\n" for name in names))
    assert found == [AccountRow(file_line=place, account=name) for place, name in enumerate(names, start=2)]


def test_networks_are_strict() -> None:
    text = (
        b"prefix,kind,comment\n192.0.2.0/24,own_pool,Berlin\n2001:db8::/32,CGNAT,\n192.0.2.1/24,peer,host bits\n"
        b"192.0.2.0/33,peer,\n10.0.0.0/8,friend,\nx,peer,\n198.51.100.7,monitoring,probe\n"
    )
    found = list(read_networks(io.BytesIO(text)))
    assert [row for row in found if not isinstance(row, BadRow)] == [
        (2, Network(prefix="192.0.2.0/24", kind=NetworkKind.OWN_POOL, comment="Berlin")),
        (3, Network(prefix="2001:db8::/32", kind=NetworkKind.CGNAT)),
        (8, Network(prefix="198.51.100.7/32", kind=NetworkKind.MONITORING, comment="probe")),
    ]
    assert [(row.line, row.reason) for row in found if isinstance(row, BadRow)] == [
        (4, "bad_prefix"), (5, "bad_prefix"), (6, "bad_kind"), (7, "bad_prefix"),
    ]  # fmt: skip


def test_a_large_file_is_read_without_holding_it() -> None:
    class Endless(io.RawIOBase):
        """A million rows that never stand in memory together."""

        def __init__(self) -> None:
            self._lines = chain([b"account\n"], (b"acc%d\n" % number for number in range(1_000_000)))

        def readline(self, size: int | None = -1, /) -> bytes:  # noqa: ARG002
            return next(self._lines, b"")

    rows = read_accounts(Endless())  # type: ignore[arg-type]
    assert next(rows) == AccountRow(file_line=2, account="acc0")
