"""Composed questions answer what a plain loop over the calls answers, and what a person types is never part of the statement."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.archive import batches
from ringfence.archive.calls import ArchivedCall
from ringfence.archive.questions import Answer, CallQuestion, CallQuestions, Sums
from ringfence.archive.writer import ArchiveWriter, LogEntry
from ringfence.base.errors import OperatorError
from ringfence.telephony.columns import batch_of
from ringfence.telephony.model import AccountRow, Kind
from tests.unit.archive.test_calls import DAY, HOUR, Span, filled, row

NUMBERS = ("+23276400111", "+23276400222", "+4930555", "+448711234567", "112")
SOURCES = ("192.0.2.1", "192.0.2.77", "203.0.113.9", "2001:db8:1:2::7")
AGENTS = ("FRITZ!OS 7.57", "friendly-scanner", "it's %_ 100")


def made() -> list[AccountRow]:
    """Two hundred calls of every kind: CDRs, followed calls, refused ones, one that still runs."""
    rows = []
    for place in range(200):
        at = DAY + place * 7 * 60_000
        callee = NUMBERS[place % 5]
        same: dict[str, Any] = {
            "account": f"a{place % 7}",
            "callee": callee,
            "source_ip": SOURCES[place % 4],
            "user_agent": AGENTS[place % 3],
            "destination_class": (4, 4, 1, 3, 0)[place % 5],
            "country": (0x534C, 0x534C, 0x4445, 0x4742, 0)[place % 5],
            "rate": 100_000 * (place % 5),
            "call_key": place + 1,
            "started_ms": at,
        }
        name = f"c{place:03d}"
        talked = (place * 37) % 900 * 1000 + 123
        if place % 4 == 0:
            rows.append(row(Kind.CALL, at + talked, name, answered_ms=at, ended_ms=at + talked, status_code=200, **same))
        elif place % 4 == 1:
            rows.append(row(Kind.ATTEMPT, at, name, **same))
            rows.append(row(Kind.ANSWER, at + 500, name, answered_ms=at + 500, status_code=200, **same))
            if place != 197:
                rows.append(
                    row(Kind.END, at + talked + 500, name, answered_ms=at + 500, ended_ms=at + talked + 500, status_code=200, **same)
                )
        elif place % 4 == 2:
            rows.append(row(Kind.ATTEMPT, at, name, **same))
            rows.append(row(Kind.END, at + 900, name, ended_ms=at + 900, status_code=486, **same))
        else:
            rows.append(row(Kind.BLOCKED, at, name, status_code=603, **same))
    return rows


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> CallQuestions:
    folder = tmp_path_factory.mktemp("archive")
    rows = sorted(made(), key=lambda each: each.at_ms)
    ArchiveWriter(folder).write([LogEntry(1, rows[-1].received_ms, "rows", batches.encode(batch_of(rows)))])
    return CallQuestions(folder)


SPAN: Span = {"from_ms": DAY, "to_ms": DAY + 24 * HOUR}


def naive(archive: CallQuestions, question: CallQuestion) -> list[ArchivedCall]:
    """The same in a loop."""
    found = archive.calls(from_ms=question.from_ms, to_ms=question.to_ms, limit=10_000)
    tests: list[Callable[[ArchivedCall], bool]] = [
        lambda call: not question.account or call.account == question.account,
        lambda call: call.callee.lstrip("+").startswith(question.callee) and call.caller.lstrip("+").startswith(question.caller),
        lambda call: not question.country or call.country == question.country,
        lambda call: call.destination_class >= question.class_at_least,
        lambda call: not question.source or call.source_ip.startswith(question.source.removesuffix("0/24").removesuffix(":/64")),
        lambda call: question.user_agent.lower() in call.user_agent.lower(),
        lambda call: not question.status or call.status_code == question.status,
        lambda call: seconds(call, question.to_ms) >= question.seconds_at_least,
        lambda call: call.cost_micro >= question.cost_at_least_micro,
    ]
    return [call for call in found if all(test(call) for test in tests)]


def seconds(call: ArchivedCall, to_ms: int) -> int:
    return max(0, (call.ended_ms or max(to_ms, call.answered_ms)) - call.answered_ms) // 1000 if call.answered_ms else 0


def summed(calls: Iterable[ArchivedCall], to_ms: int) -> Sums:
    calls = list(calls)
    return Sums(
        calls=len(calls),
        answered=sum(call.answered_ms > 0 for call in calls),
        blocked=sum(call.blocked for call in calls),
        accounts=len({call.account for call in calls}),
        seconds=sum(seconds(call, to_ms) for call in calls),
        cost_micro=sum(call.cost_micro for call in calls),
    )


QUESTIONS = st.builds(
    CallQuestion,
    from_ms=st.integers(DAY, DAY + 6 * HOUR),
    to_ms=st.integers(DAY + 7 * HOUR, DAY + 24 * HOUR),
    account=st.sampled_from(["", "", "a3", "nobody"]),
    caller=st.sampled_from(["", "4930", "99"]),
    callee=st.sampled_from(["", "232", "23276400222", "4", "112"]),
    country=st.sampled_from([0, 0, 0x534C]),
    class_at_least=st.integers(0, 5),
    source=st.sampled_from(["", "", "192.0.2.77", "192.0.2.0/24", "2001:db8:1:2::/64"]),
    user_agent=st.sampled_from(["", "", "fritz", "FRIENDLY", "%_", "' OR 1=1 --"]),
    status=st.sampled_from([0, 0, 200, 603]),
    seconds_at_least=st.sampled_from([0, 0, 60]),
    cost_at_least_micro=st.sampled_from([0, 0, 500_000]),
)


@settings(max_examples=60, deadline=None)
@given(question=QUESTIONS)
def test_the_answer_is_that_of_a_plain_loop(archive: CallQuestions, question: CallQuestion) -> None:
    wanted = naive(archive, question)
    answer = archive.ask(question, limit=1000)
    assert [(call.account, call.call_id, call.cost_micro) for call in answer.calls] == [
        (call.account, call.call_id, call.cost_micro)
        for call in sorted(wanted, key=lambda call: (-call.attempted_ms, call.account, call.call_id))
    ]
    assert answer.total == summed(wanted, question.to_ms)


@pytest.mark.parametrize("group", ["account", "destination", "country", "source", "hour"])
def test_groups_add_up_to_the_total(archive: CallQuestions, group: str) -> None:
    edges = tuple(range(DAY, DAY + 25 * HOUR, HOUR)) if group == "hour" else ()
    question = CallQuestion(**SPAN, class_at_least=1, group=group, edges=edges)  # type: ignore[arg-type]
    calls = naive(archive, question)
    keys: dict[str, Callable[[ArchivedCall], object]] = {
        "account": lambda call: call.account,
        "destination": lambda call: call.callee.lstrip("+")[:-3],
        "country": lambda call: call.country,
        "source": lambda call: call.source_ip,
        "hour": lambda call: call.attempted_ms - call.attempted_ms % HOUR,
    }
    answer = archive.ask(question, limit=1000)
    assert answer.total == summed(calls, question.to_ms)
    assert {line.key: line.sums for line in answer.groups} == {
        key: summed([call for call in calls if keys[group](call) == key], question.to_ms) for key in {keys[group](call) for call in calls}
    }
    costs = [line.sums.cost_micro for line in answer.groups]
    assert (
        [line.key for line in answer.groups] == sorted(line.key for line in answer.groups)
        if group == "hour"
        else costs == sorted(costs)[::-1]
    )


def test_an_answer_says_that_there_is_more(archive: CallQuestions) -> None:
    answer = archive.ask(CallQuestion(**SPAN), limit=10)
    assert (len(answer.calls), answer.more, answer.total.calls) == (10, True, 200)
    grouped = archive.ask(CallQuestion(**SPAN, group="account"), limit=3)
    assert (len(grouped.groups), grouped.more, grouped.total.calls) == (3, True, 200)


def test_who_was_called_made_no_call_and_limits_include_themselves(tmp_path: Path) -> None:
    talk = {"started_ms": DAY + 1_000, "answered_ms": DAY + 1_000, "ended_ms": DAY + 61_000, "connect_micro": 0}
    archive = filled(
        tmp_path,
        row(Kind.INBOUND, DAY + 61_000, "came in", "alice", callee="+4930123456", **talk),
        row(
            Kind.ATTEMPT,
            DAY + 1_000,
            "went out",
            "alice",
            destination_class=2,
            rate=600_000,
            connect_micro=0,
            user_agent="Friendly-Scanner",
        ),
        row(Kind.END, DAY + 61_000, "went out", "alice", destination_class=4, rate=600_000, **talk),
    )
    archive.close()
    questions = CallQuestions(tmp_path)
    (call,) = questions.ask(CallQuestion(**SPAN)).calls
    assert (call.call_id, call.seconds, call.cost_micro, call.destination_class) == ("went out", 60, 600_000, 4)
    for name, least in (("seconds_at_least", 60), ("cost_at_least_micro", 600_000), ("class_at_least", 4)):
        fits = [questions.ask(CallQuestion(**SPAN, **{name: value})).total.calls for value in (least, least + 1)]  # type: ignore[arg-type]
        assert fits == [1, 0], name
    assert questions.ask(CallQuestion(**SPAN, user_agent="fRIENDLY")).total.calls == 1, "case tells nothing"


def test_nothing_fits(archive: CallQuestions, tmp_path: Path) -> None:
    assert archive.ask(CallQuestion(**SPAN, account="nobody")) == Answer(total=Sums())
    assert archive.ask(CallQuestion(**SPAN, account="nobody", group="source")) == Answer(total=Sums())
    assert CallQuestions(tmp_path).ask(CallQuestion(**SPAN, group="source")) == Answer(total=Sums())


@pytest.mark.parametrize(
    ("question", "says"),
    [
        (CallQuestion(from_ms=DAY, to_ms=DAY + 32 * 24 * HOUR), "more than 31 days"),
        (CallQuestion(from_ms=DAY, to_ms=DAY + 401 * 24 * HOUR, account="a"), "more than 400 days"),
        (CallQuestion(from_ms=DAY, to_ms=DAY - 1), "ends before it begins"),
        (CallQuestion(**SPAN, group="hour", edges=(DAY + 1,)), "must begin with its span"),
        (CallQuestion(**SPAN, source="not a network"), "no address and no network"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_what_to_do(archive: CallQuestions, question: CallQuestion, says: str) -> None:
    with pytest.raises(OperatorError, match=says):
        archive.ask(question)


def test_registrations_of_an_address_and_of_its_network(tmp_path: Path) -> None:
    filled(
        tmp_path,
        row(Kind.REGISTRATION, DAY + 1, "", "alice", source_ip="192.0.2.1", status_code=200),
        row(Kind.AUTH_FAILURE, DAY + 2, "", "bob", source_ip="192.0.2.9", status_code=401),
        row(Kind.REGISTRATION, DAY + 3, "", "carol", source_ip="192.0.3.1", status_code=200),
    ).close()
    archive = CallQuestions(tmp_path)
    assert [found.account for found in archive.registrations_from("192.0.2.1", **SPAN)] == ["alice"]
    near = archive.registrations_from("192.0.2.0/24", **SPAN)
    assert [(found.account, found.refused) for found in near] == [("bob", True), ("alice", False)]
