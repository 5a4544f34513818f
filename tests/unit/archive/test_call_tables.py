"""Call records as columns say what they say row by row."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.archive.call_files import read_calls
from ringfence.archive.call_tables import call_tables
from ringfence.base.errors import OperatorError
from ringfence.telephony.call_records import row_of_call
from ringfence.telephony.decks import default_deck_text
from ringfence.telephony.emergency import emergency_calls
from ringfence.telephony.model import AccountRow
from ringfence.telephony.numbers import plan_for
from ringfence.telephony.pricing import Pricing
from ringfence.telephony.rates import read_deck
from ringfence.telephony.senders import Senders

KEY = b"k"
DECK = read_deck(default_deck_text(), home="DE", at_ms=0)
MOMENT = pa.timestamp("ms", tz="UTC")


def pricing() -> Pricing:
    plan = plan_for("DE", ["30"])
    return Pricing(key=KEY, plan=plan, emergency=emergency_calls(plan.country_code, ["30"], ["110", "112"]), deck=DECK)


def record(number: int, **more: Any) -> dict[str, Any]:
    start = datetime(2026, 11, 21, 20, number % 60, tzinfo=UTC)
    fields = {
        "call_id": f"c{number}", "account": "u1", "caller": "+493090182033", "callee": "+23276123456", "source_ip": "203.0.113.7",
        "user_agent": "FRITZ!OS 7.57", "edge": "e1", "started_at": start, "answered_at": None, "ended_at": None, "status_code": 486,
        "direction": "out", "forwarded_by": "", "authenticated": True, "ring_seconds": 0, "trunk": "", "carrier": "",
    }  # fmt: skip
    return fields | more


def written(path: Path, records: list[dict[str, Any]]) -> Path:
    names = list(records[0])
    types = {"started_at": MOMENT, "answered_at": MOMENT, "ended_at": MOMENT}
    pq.write_table(pa.table({name: pa.array([each[name] for each in records], types.get(name)) for name in names}), path)
    return path


def by_columns(path: Path) -> list[AccountRow]:
    pieces = call_tables([path], pricing=pricing(), senders=Senders.with_key(KEY, home="DE"), key=KEY)
    return [piece.row(place) for piece in pieces for place in range(piece.length)]


def by_rows(path: Path) -> list[AccountRow]:
    senders, priced = Senders.with_key(KEY, home="DE"), pricing()
    records = read_calls([path], strict=True).records
    rows = (row_of_call(each, priced, key=KEY, now_ms=each.started_ms, senders=senders) for each in records)
    return [row for row in rows if row is not None]


calls = st.fixed_dictionaries(
    {
        "account": st.sampled_from(["u1", "u2", ""]),
        "caller": st.sampled_from(["+493090182033", "anonymous", "+23276999999", "030901820"]),
        "callee": st.sampled_from(["+23276123456", "112", "+49110", "0301234567", "+881612345678", "**611", "0900512345"]),
        "source_ip": st.sampled_from(["203.0.113.7", "2001:db8::1", ""]),
        "user_agent": st.sampled_from(["FRITZ!OS 7.57", "friendly-scanner", ""]),
        "direction": st.sampled_from(["out", "in", "forwarded"]),
        "forwarded_by": st.sampled_from(["", "u3"]),
        "authenticated": st.booleans(),
        "ring_seconds": st.integers(0, 60),
        "talk": st.integers(-1, 4000),
        "open": st.booleans(),
    }
)


@given(st.lists(calls, min_size=1, max_size=12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_columns_say_what_rows_say(tmp_path: Path, given_calls: list[dict[str, Any]]) -> None:
    records = []
    for number, each in enumerate(given_calls):
        talk, unfinished = each.pop("talk"), each.pop("open")
        start = record(number)["started_at"]
        answered = None if talk < 0 else start
        ended = None if unfinished or answered is None else datetime.fromtimestamp(start.timestamp() + talk, UTC)
        records.append(record(number, answered_at=answered, ended_at=ended, **each))
    path = written(tmp_path / "calls.parquet", records)
    assert by_columns(path) == by_rows(path)


def test_columns_that_may_lack(tmp_path: Path) -> None:
    whole = record(1)
    path = written(tmp_path / "c.parquet", [{name: whole[name] for name in ("call_id", "account", "caller", "callee", "started_at")}])
    (row,) = by_columns(path)
    assert (row.account, row.callee, row.destination_class >= 3) == ("u1", "+23276123456", True)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"call_id": ""}, "bad_row"),
        ({"callee": ""}, "bad_row"),
        ({"direction": "sideways"}, "bad_row"),
        ({"ended_at": datetime(2026, 11, 20, tzinfo=UTC)}, "bad_row"),
        ({"started_at": None}, "bad_row"),
    ],
)
def test_a_file_with_an_impossible_row_is_refused_whole(tmp_path: Path, wrong: dict[str, Any], reason: str) -> None:
    path = written(tmp_path / "c.parquet", [record(1), record(2, **wrong)])
    with pytest.raises(OperatorError, match="has a") as refused:
        by_columns(path)
    assert refused.value.reason == reason


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    path.write_bytes(b"no parquet")
    with pytest.raises(OperatorError, match="cannot be read"):
        by_columns(path)
    written(path, [{"call_id": "c", "account": "u"}])
    with pytest.raises(OperatorError, match="no column callee, caller, started_at"):
        by_columns(path)
