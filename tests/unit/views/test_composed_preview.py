"""The preview of a composed rule against the live engine on the same log, and its figures against a count by hand."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

import pytest

from ringfence.archive import batches
from ringfence.archive.compaction import compact
from ringfence.archive.selection import Condition, RowSelection
from ringfence.archive.writer import ArchiveWriter, LogEntry
from ringfence.base.errors import OperatorError, UnavailableError
from ringfence.detection.alerts import AlertBook
from ringfence.detection.composed_engine import ComposedEngine
from ringfence.detection.composed_text import read_one
from ringfence.detection.rules import read_rules
from ringfence.detection.service import built_in_rules
from ringfence.telephony.columns import RowBatch, batch_of
from ringfence.telephony.control import ComposedChanged
from ringfence.telephony.model import AccountRow, Flag, Kind, account_key_of, call_key_of, country_code, number_key_of
from ringfence.telephony.user_agents import AgentFamilies
from ringfence.views.composed_preview import ComposedPreviews, Known

KEY = b"k" * 16
DAY = 1_763_769_600_000  # 2025-11-22T00:00:00Z
DAY_MS = 86_400_000


class Span(TypedDict):
    """Arguments of a question."""

    from_ms: int
    to_ms: int


SPAN: Span = {"from_ms": DAY, "to_ms": DAY + 2 * DAY_MS}


def row(kind: Kind, at_ms: int, call: str, account: str, **more: object) -> AccountRow:
    callee = str(more.pop("callee", "+23277000111"))
    range_key, tail = number_key_of(KEY, callee.removeprefix("+"))
    account_key = account_key_of(KEY, account, keyed=True)
    fields: dict[str, object] = {
        "received_ms": at_ms, "account": account, "account_key": account_key, "slot": account_key & 1023, "call_id": call,
        "call_key": call_key_of(KEY, call), "callee": callee, "range_key": range_key, "number_tail": tail, "country": country_code("SL"),
        "destination_class": 4, "rate": 600_000, "started_ms": at_ms, "source_ip": "198.51.100.7", "source_key": 5,
        "user_agent": "Phone 1.0", "edge": "kamailio-1",
    }  # fmt: skip
    fields |= more
    family = AgentFamilies(KEY).of(str(fields["user_agent"]))
    fields["family_key"] = family.key
    return AccountRow(kind=int(kind), at_ms=at_ms, **fields)  # type: ignore[arg-type]


def traffic(seed: int, count: int = 300) -> list[RowBatch]:
    """Messages of a log: calls of a few accounts from a few places, some late, some from an agent without a key."""
    chance = random.Random(seed)
    now, messages, waiting = DAY, [], []
    for number in range(count):
        now += chance.choice([0, 500, 5_000, 60_000, 900_000])
        account = f"49301{chance.randrange(6)}"
        started = now - chance.choice([0, 0, 0, 30_000])
        facts: dict[str, object] = {
            "received_ms": now,
            "callee": chance.choice(["+23277000111", "+23277000112", "+4930123", "+23278555111"]),
            "country": country_code(chance.choice(["SL", "SL", "DE"])),
            "destination_class": chance.choice([0, 1, 4, 5]),
            "source_ip": chance.choice(["198.51.100.7", "198.51.100.9", "203.0.113.5", "2001:db8::1"]),
            "source_key": chance.randrange(1, 4),
            "user_agent": chance.choice(["Phone 1.0", "friendly-SCANNER", ""]),
            "flags": chance.choice([0, 0, 0, int(Flag.UNKEYED), int(Flag.FORWARDED)]),
            "started_ms": started,
        }
        call = f"c{number}"
        talked = chance.choice([0, 0, 60_000, 600_000])
        ended = {"answered_ms": started + 5_000, "ended_ms": started + 5_000 + talked} if talked else {"ended_ms": started + 20_000}
        if chance.random() < 0.1:
            waiting.append(row(Kind.CALL, started, call, account, **(facts | ended)))
        else:
            waiting.append(row(Kind.ATTEMPT, started, call, account, **facts))
            waiting.append(
                row(Kind.END, ended["ended_ms"], call, account, **(facts | ended | {"received_ms": max(now, ended["ended_ms"])}))
            )
        if chance.random() < 0.1:
            waiting.append(row(Kind.AUTH_FAILURE, now, "", "", **facts))
        if chance.random() < 0.4:
            messages.append(batch_of(waiting))
            waiting = []
    return [*messages, batch_of(waiting)] if waiting else messages


def archived(folder: Path, messages: Sequence[RowBatch]) -> RowSelection:
    writer = ArchiveWriter(folder)
    entries = [
        LogEntry(sequence, int(message.numeric["received_ms"].max()), "rows", batches.encode(message))
        for sequence, message in enumerate(messages, 1)
    ]
    for first in range(0, len(entries), 50):
        writer.write(entries[first : first + 50])
    return RowSelection(folder)


def live(text: str, messages: Sequence[RowBatch]) -> dict[str, str]:
    """Ids of the alerts that the live engine opens, with their severity at the end."""
    rule = read_one(text)
    engine, book = ComposedEngine(time_zone="Europe/Berlin"), AlertBook()
    rules = read_rules(built_in_rules())
    engine.control(ComposedChanged(rule_id=rule.rule_id, version=3, toml=text, state="active"))
    found: dict[str, str] = {}
    for sequence, message in enumerate(messages, 1):
        output = book.note(engine.feed(message, sequence), rules, _Nothing())
        found |= {alert.alert_id: alert.severity for alert in output.alerts if alert.state != "close"}
    return found


class _Nothing:
    """Knows no row: the ids of alerts need none."""

    def resolve(self, row_ref: int) -> AccountRow | None:
        assert row_ref >= 0
        return None


RULES = [
    'count = "calls"\nper = "account"\nwindow = "10 min"\nwarn = 2\nact = 4',
    'where = [{ field = "callee", starts_with = "+232" }, { field = "hour", from = 0, until = 6 }]\ncount = "distinct account"\nper = "source_net"\nwindow = "10 min"\nact = 3',
    'where = [{ field = "user_agent", contains = "Scanner" }]\ncount = "calls"\nper = "all"\nwindow = "1 h"\nwarn = 3\nact = 5',
    'event = "end"\ncount = "cost"\nper = "account"\nwindow = "1 h"\nwarn = 0.5\nact = 5',
    'event = "end"\ncount = "minutes"\nper = "country"\nwindow = "24 h"\nwarn = 10\nact = 100\nwhere = [{ field = "duration", at_least = 10 }]',
    'event = "auth_failure"\ncount = "calls"\nper = "source"\nwindow = "1 h"\nact = 2\nwhere = [{ field = "source", is = "198.51.100.0/24" }]',
    'count = "distinct callee"\nper = "range"\nwindow = "30 min"\nact = 2\nwhere = [{ field = "class", is = [4, 5] }, { field = "flag", not = "forwarded" }]',
    'count = "calls"\nper = "family"\nwindow = "5 min"\nact = 2\nwhere = [{ field = "country", not = "DE" }, { field = "weekday", is = ["sat"] }, { field = "user_agent", not = "x" }]',
]  # fmt: skip


@pytest.mark.parametrize("body", RULES)
def test_the_preview_finds_what_the_live_engine_finds(body: str, tmp_path: Path) -> None:
    text = f"[rule.night]\n{body}\n"
    messages = traffic(seed=len(body))
    expected = live(text, messages)
    assert expected, "the rule says something about this traffic"
    previews = ComposedPreviews(archived(tmp_path, messages), lambda: 0, time_zone="Europe/Berlin")
    for _ in ("minutes", "merged"):
        found = previews.preview_span(read_one(text), Known(), **SPAN, version=3)
        assert {example.alert_id: example.severity for example in found.examples} == expected
        assert (found.alerts, found.critical) == (len(expected), list(expected.values()).count("critical"))
        list(compact(tmp_path, today=datetime.fromtimestamp(DAY / 1000 + 200_000, UTC).date()))


RULE = read_one('[rule.two]\ncount = "calls"\nper = "account"\nwindow = "10 min"\nact = 2\nwhere = [{ field = "country", is = "SL" }]\n')


def whole(at_ms: int, call: str, account: str, minutes: int, **more: object) -> AccountRow:
    return row(Kind.CALL, at_ms, call, account, answered_ms=at_ms, ended_ms=at_ms + minutes * 60_000, **more)


@pytest.fixture
def previews(tmp_path: Path) -> ComposedPreviews:
    messages = [
        batch_of([
            whole(DAY, "1", "thief", 1),
            whole(DAY + 60_000, "2", "thief", 2),
            whole(DAY + 120_000, "3", "thief", 3),
            whole(DAY + 180_000, "4", "thief", 5, destination_class=1),
            whole(DAY, "5", "slow", 10),
            whole(DAY + 3_600_000, "6", "slow", 10),
            whole(DAY, "7", "honest", 1, country=country_code("DE")),
            whole(DAY, "8", "practice", 1),
            whole(DAY + 60_000, "9", "practice", 1),
        ])
    ]  # fmt: skip
    return ComposedPreviews(archived(tmp_path, messages), lambda: DAY + 3 * DAY_MS, time_zone="UTC")


def keys(*accounts: str) -> frozenset[int]:
    return frozenset(account_key_of(KEY, account, keyed=True) for account in accounts)


def test_money_is_what_alerted_accounts_spent_after_their_first_alert(previews: ComposedPreviews) -> None:
    known = Known(fraud=keys("thief", "slow"), not_fraud=keys("practice"), alerted=keys("slow", "honest"))
    found = previews.preview_span(RULE, known, **SPAN)
    assert (found.alerts, found.critical, found.accounts, found.all_accounts) == (2, 2, 2, 4)
    assert found.seen_micro == (6 + 2) * 600_000
    assert found.caught_micro == 3 * 600_000
    assert (found.missed_micro, found.missed_accounts) == (21 * 600_000, 2)
    assert (found.labelled_fraud, found.labelled_not_fraud) == (1, 1)
    assert found.rows == 8
    assert found.asks
    assert found.share == 0.5


def test_a_rule_asks_only_above_one_account_in_a_thousand(previews: ComposedPreviews) -> None:
    assert previews.preview_span(RULE, Known(accounts=1_999), **SPAN).asks
    assert not previews.preview_span(RULE, Known(accounts=2_000), **SPAN).asks


def test_nothing_found_is_a_preview_too(previews: ComposedPreviews) -> None:
    found = previews.preview_span(RULE, Known(alerted=keys("thief")), from_ms=DAY + DAY_MS, to_ms=DAY + DAY_MS + 1)
    assert (found.alerts, found.accounts, found.all_accounts, found.examples, found.missed_micro) == (0, 0, 0, (), 0)
    assert not found.asks


def test_a_rule_that_matches_too_much_is_refused(previews: ComposedPreviews, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringfence.views.composed_preview.MAX_MATCHES", 3)
    with pytest.raises(OperatorError, match="narrow it"):
        previews.preview_span(RULE, Known(), **SPAN)


def test_a_log_that_was_made_anew_is_counted_apart(tmp_path: Path) -> None:
    writer = ArchiveWriter(tmp_path)
    first, second = (batch_of([whole(DAY + at, f"{at}", "thief", 1)]) for at in (0, 60_000))
    writer.write([LogEntry(7, DAY + 1, "rows", batches.encode(first))])
    writer.write([LogEntry(1, DAY + 70_000, "rows", batches.encode(second))])
    previews = ComposedPreviews(RowSelection(tmp_path), lambda: 0, time_zone="UTC")
    assert (found := previews.preview_span(RULE, Known(), **SPAN)).rows == 2
    assert found.alerts == 0


def test_a_slow_answer_is_ended(tmp_path: Path) -> None:
    archived(tmp_path, [batch_of([whole(DAY, "1", "thief", 1)])]).close()
    selection = RowSelection(tmp_path, seconds=0.0)
    with pytest.raises(UnavailableError, match="too long"):
        list(selection.rows("calls", [Condition("kind", "in", (4,))], numeric=["kind"], **SPAN))


def test_a_damaged_file_says_so(tmp_path: Path) -> None:
    selection = archived(tmp_path, [batch_of([whole(DAY, "1", "thief", 1)])])
    for path in (tmp_path / "calls").rglob("*.parquet"):
        path.write_bytes(b"PAR1 is not enough")
    with pytest.raises(UnavailableError) as refused:
        list(selection.rows("calls", [], numeric=["kind"], **SPAN))
    assert refused.value.reason == "archive_unreadable"


def test_only_columns_of_the_archive_become_part_of_a_question(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no column"):
        list(RowSelection(tmp_path).rows("calls", [], numeric=["kind; drop table x"], **SPAN))
    with pytest.raises(ValueError, match="no column"):
        list(RowSelection(tmp_path).rows("calls", [Condition("1=1 OR kind", "in", (1,))], numeric=["kind"], **SPAN))
