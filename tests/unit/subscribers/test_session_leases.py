"""Rows of a list of leases."""

import io

import pytest

from ringfence.apps.cli.listing import COLUMNS
from ringfence.base.errors import OperatorError
from ringfence.subscribers.model import BadRow
from ringfence.subscribers.sessions.leases import read_leases
from ringfence.subscribers.sessions.model import Origin, ReportKind, SessionReport


def read(*lines: str) -> list[SessionReport | BadRow]:
    return list(read_leases(io.BytesIO("\n".join(lines).encode() + b"\n")))


def test_a_lease() -> None:
    assert read(",".join(COLUMNS["sessions"]), "192.0.2.1,L 1,1790000000,1790003600,olt-3,kea") == [
        SessionReport(
            kind=ReportKind.LEASE, nas="dhcp:kea", session_id="L 1@1790000000000", at_ms=1_790_000_000_000, started_ms=1_790_000_000_000,
            ended_ms=1_790_003_600_000, prefixes=("192.0.2.1/32",), line="L 1", access_node="olt-3", origin=Origin.DHCP,
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("192.0.2.0/24,L1,1790000000,", "bad_address"),
        ("192.0.2.1,,1790000000,", "bad_line"),
        ("192.0.2.1,L1,,", "bad_from"),
        ("192.0.2.1,L1,yesterday,", "bad_from"),
        ("192.0.2.1,L1,1790000000,1789999999", "bad_to"),
        ("192.0.2.1,L1,1790000000", "cell_count"),
    ],
)
def test_bad_rows_have_their_reason(row: str, reason: str) -> None:
    (found,) = read("address,line,from,to", row)
    assert isinstance(found, BadRow)
    assert (found.line, found.reason) == (2, reason)


def test_the_header_is_needed() -> None:
    with pytest.raises(OperatorError):
        read("address,line", "192.0.2.1,L1")
