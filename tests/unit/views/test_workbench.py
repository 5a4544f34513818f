"""Files to take away: tokens stay the same for the same person, nothing of a person is left, and no cell is a formula."""

import asyncio
import csv
import io
from pathlib import Path

import pytest

from ringfence.archive.questions import CallQuestion, CallQuestions, FoundCall
from ringfence.base.errors import OperatorError
from ringfence.telephony.model import Kind
from ringfence.views.workbench import COLUMNS, TOKEN_COLUMNS, Workbench, pseudonyms, source_of, token
from tests.unit.archive.test_calls import DAY, HOUR, filled, row

KEY = b"of this installation"
CALL = FoundCall(
    call_id="abc@192.0.2.1",
    account="4930123456",
    caller="+4930123456",
    callee="+23277000111",
    country=0x534C,
    destination_class=4,
    attempted_ms=DAY,
    answered_ms=DAY + 1,
    ended_ms=DAY + 60_001,
    status_code=200,
    seconds=60,
    cost_micro=650_000,
    blocked=False,
    source_ip="192.0.2.1",
    user_agent="AVM FRITZ!Box 7590 164.07.57",
    edge="kamailio-1",
)


def test_nothing_of_a_person_is_left() -> None:
    told = dict(zip(TOKEN_COLUMNS, pseudonyms(CALL, KEY), strict=True))
    line = ",".join(str(value) for value in told.values())
    for secret in (CALL.account, "23277000111", "192.0.2.1", "abc@", "7.57"):
        assert secret not in line
    assert (told["callee_range"], told["country"], told["device_family"], told["cost_eur"]) == (
        "23277000",
        "SL",
        "AVM FRITZ!Box 7590",
        "0.650000",
    )
    assert told["caller"] != told["account"], "kinds have tokens of their own"


def test_a_token_is_the_same_for_the_same_value_and_another_with_another_key() -> None:
    assert token(KEY, "account", "a") == token(KEY, "account", "a") != token(b"of another", "account", "a")
    assert token(KEY, "account", "") == ""


def test_a_short_number_tells_no_range() -> None:
    assert (
        dict(
            zip(
                TOKEN_COLUMNS,
                pseudonyms(FoundCall(**{name: getattr(CALL, name) for name in CALL.__struct_fields__} | {"callee": "11833"}), KEY),
                strict=True,
            )
        )["callee_range"]
        == ""
    )


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
def test_what_a_spreadsheet_would_compute_is_text(begin: str, tmp_path: Path) -> None:
    filled(tmp_path, row(Kind.ATTEMPT, DAY + 1, "c", user_agent=f"{begin}cmd|' /C calc'!A0")).close()
    text, _ = asyncio.run(Workbench(CallQuestions(tmp_path), KEY).export(CallQuestion(from_ms=DAY, to_ms=DAY + HOUR), pseudonymised=False))
    (told,) = csv.DictReader(io.StringIO(text, newline=""))
    assert told["user_agent"] == f"'{begin}cmd|' /C calc'!A0"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("192.0.2.7", "192.0.2.7"),
        (" 192.0.2.7/24 ", "192.0.2.0/24"),
        ("192.0.0.0/16", "192.0.0.0/16"),
        ("192.0.2.7/32", "192.0.2.7"),
        ("2001:DB8::1", "2001:db8::1"),
        ("2001:db8:1::/32", "2001:db8::/32"),
        ("10.0.0.0/15", None),
        ("2001:db8::/31", None),
        ("0.0.0.0/0", None),
        ("example.net", None),
        ("", None),
    ],
)
def test_a_source_is_an_address_or_a_network_of_bounded_width(text: str, found: str | None) -> None:
    if found is not None:
        assert source_of(text) == found
        return
    with pytest.raises(OperatorError, match=r"at the widest|an address or a network"):
        source_of(text)


def test_no_cell_of_a_file_is_a_formula(tmp_path: Path) -> None:
    filled(tmp_path, row(Kind.ATTEMPT, DAY + 1, "=1+1", user_agent='=HYPERLINK("http://x")')).close()
    bench = Workbench(CallQuestions(tmp_path), KEY)
    asked = CallQuestion(from_ms=DAY, to_ms=DAY + HOUR, group="account")
    text, calls = asyncio.run(bench.export(asked, pseudonymised=False))
    (told,) = csv.DictReader(text.splitlines())
    assert calls == 1
    assert tuple(told) == COLUMNS
    assert (told["call_id"], told["user_agent"], told["callee"]) == ("'=1+1", '\'=HYPERLINK("http://x")', "23277000111")
    tokens, _ = asyncio.run(bench.export(asked, pseudonymised=True))
    assert tuple(next(csv.reader(tokens.splitlines()))) == TOKEN_COLUMNS
    assert "alice" not in tokens
