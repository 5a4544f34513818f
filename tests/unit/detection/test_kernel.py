"""The kernel against the oracle: every crossing, whatever the batches, duplicates, late rows and restarts."""

import importlib.util
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numba
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ringfence.detection import kernel as compiled
from ringfence.detection.engine import Crossing, Engine
from ringfence.detection.layout import DAY, HOUR, MINUTE, SECOND, Detector
from ringfence.detection.rules import Profile, read_rules
from ringfence.telephony.columns import batch_of
from ringfence.telephony.control import AccountBaseline, AccountChanged, BaselinesChanged
from ringfence.telephony.model import AccountRow, Flag, Kind, account_slot
from tests.unit.detection.oracle import Oracle, Verdict

pytestmark = pytest.mark.timeout(400)  # The first test of a process may compile the kernel, on a busy machine.

EXAMPLES = 30
PHASES = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]  # without `explain`, which traces the kernel for minutes
Attributes = dict[int, tuple[Profile, int]]
BERLIN = ZoneInfo("Europe/Berlin")
EVENING = 1_790_020_800_000 - 30 * MINUTE  # half an hour before 22:00 in Berlin, a Monday in September 2026
ACCOUNTS = tuple((number * 0x9E3779B97F4A7C15 + 12345) % 2**63 for number in (1, 2, 3))
RATES = {1: 10_000, 2: 40_000, 3: 200_000, 4: 900_000, 5: 2_500_000}

RULES = (
    """
version = 1
"""
    + "".join(
        f"""
[rules.{name}]
residential = {{ warn = {warn}, act = {act} }}
business = {{ warn = {warn * 2}, act = {act * 2} }}
trunk = {{ warn = {warn * 4}, act = {act * 4} }}
off_hours = 50
new_account = 60
"""
        for name, warn, act in [
            ("D01", 2, 4),
            ("D02", 3, 9),
            ("D03", 5, 12),
            ("D06", 2, 3),
            ("D07", 1, 2),
            ("D08", 2, 3),
            ("D09", 2, 4),
            ("D10", 3, 5),
            ("D11", 2, 4),
            ("D12", 2, 3),
            ("D14", 2, 3),
            ("D18", 5, 12),
            ("D21", 2, 4),
            ("D13", 2, 3),
            ("D16", 1, 2),
            ("D17", 5, 12),
            ("D22", 2, 3),
            ("D25", 1, 2),
            ("D05", 1, 2),
            ("D04", 1.2, 2),
            ("D20", 1.5, 3),
        ]
    )
    + """
[rules.D19]
score = { residential = 20, business = 10, trunk = 5 }
"""
)
RULES = RULES.replace("[rules.D04]", "[rules.D04]\nfloor = 1.20").replace("[rules.D20]", "[rules.D20]\nfloor = 0.80")


def plain_kernel(step: int = SECOND) -> Any:
    """The same source, not compiled, on arrays that check every index; `step` replaces the whole second."""
    spec = importlib.util.spec_from_file_location(f"plain_kernel_{step}", Path(compiled.__file__))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = numba.config.DISABLE_JIT  # type: ignore[attr-defined]
    numba.config.DISABLE_JIT = 1  # type: ignore[attr-defined]
    try:
        spec.loader.exec_module(module)
    finally:
        numba.config.DISABLE_JIT = before  # type: ignore[attr-defined]
    assert not module.COMPILED
    vars(module)["SECOND"] = step
    return module


PLAIN = plain_kernel()
COARSE = plain_kernel(MINUTE)


@st.composite
def calls(draw: Any, span: int) -> list[tuple[int, AccountRow]]:
    """One call's rows: `(arrival, row)`. Times sit on and beside the edges of windows."""
    edge = st.sampled_from([0, 0, 1, -1, 500])
    windows = st.sampled_from([each for each in (0, 0, MINUTE, 5 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, DAY, DAY + HOUR) if each <= span])
    account = draw(st.sampled_from(ACCOUNTS[:2]))
    start = EVENING + draw(windows) + draw(st.integers(0, 3)) * 10 * SECOND + draw(edge)
    level = draw(st.sampled_from([1, 2, 3, 3, 4, 5]))
    key = draw(st.integers(1, 10_000)) * 0x5851F42D4C957F2D % 2**63  # the all-calls bag tells calls apart by 31 bits
    ring = draw(st.sampled_from([0, 1, 5 * SECOND, 59 * SECOND, 6 * MINUTE]))
    length = draw(
        st.sampled_from([0, 1, 3 * SECOND, 20 * SECOND, 30 * SECOND, 5 * MINUTE, 5 * MINUTE + 1, 30 * MINUTE, HOUR - 1, 2 * HOUR])
    )
    answered = start + ring if draw(st.booleans()) else 0
    ended = (answered or start + ring) + length if draw(st.integers(0, 4)) else 0
    common = {
        "received_ms": 0,
        "account_key": account,
        "call_key": key,
        "range_key": draw(st.sampled_from([11, 22])),
        "number_tail": draw(st.sampled_from([0, 0, 0, 1, 2, 3, 999])),
        "country": draw(st.sampled_from([0, 17740, 17741, 21324])),
        "destination_class": level,
        "rate": RATES[level] + draw(st.sampled_from([0, 1, 77])),
        "connect_micro": draw(st.sampled_from([0, 0, 90_000])),
        "flags": draw(st.sampled_from([0, 0, 0, Flag.FORWARDED, Flag.FORWARDED, Flag.NATIONAL_VALUE])),
        "started_ms": start,
    }
    late = st.sampled_from([0, 0, 0, 0, 0, 0, 0, 1, 1_500, 40 * SECOND, MINUTE, 20 * MINUTE, HOUR, 90 * MINUTE])
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.sampled_from([start, max(ended, start)]))
        rows = [AccountRow(kind=Kind.CALL, at_ms=at, answered_ms=answered, ended_ms=ended, **common)]
    else:
        rows = [AccountRow(kind=Kind.ATTEMPT, at_ms=start, **common)]
        if answered and draw(st.integers(0, 5)):
            rows.append(AccountRow(kind=Kind.ANSWER, at_ms=answered, answered_ms=answered, **common))
        if ended:
            rows.append(AccountRow(kind=Kind.END, at_ms=ended, answered_ms=answered, ended_ms=ended, **common))
    found = []
    for row in rows:
        found += [(row.at_ms + draw(late), row) for _ in range(draw(st.sampled_from([1, 1, 1, 2])))]
    return found


def logs(span: int, size: int) -> st.SearchStrategy[list[AccountRow]]:
    return st.lists(calls(span), min_size=1, max_size=size).map(
        lambda many: [row for _, row in sorted((pair for one in many for pair in one), key=lambda p: p[0])]
    )


def profiles() -> st.SearchStrategy[Attributes]:
    return st.fixed_dictionaries(
        {},
        optional={
            account: st.tuples(
                st.builds(
                    Profile,
                    segment=st.sampled_from(["residential", "business", "trunk"]),
                    channels=st.sampled_from([1, 2, 30]),
                    sensitivity=st.sampled_from([0, 30, 100]),
                    exempt_until_ms=st.sampled_from([0, 0, EVENING + 20 * MINUTE]),
                ),
                st.sampled_from([0, EVENING - 29 * DAY, EVENING - 31 * DAY]),
            )
            for account in ACCOUNTS[:2]
        },
    )


def usual() -> st.SearchStrategy[BaselinesChanged | None]:
    """Baselines told just before the first call: histories long and short, months that end during the calls, hours that begin."""
    money = st.sampled_from([0, 0, 99, 300_000, 1_000_000, 2_600_049])
    account = st.builds(
        AccountBaseline,
        account_key=st.none(),
        month_micro=money,
        highest_month_micro=money,
        day_median_micro=money,
        day_mad_micro=money,
        countries=st.sampled_from([(), (17740,), (1, 2, 3, 4, 17741), (1, 2, 3, 17740, 5, 6, 7, 21324)]),
        bins=st.lists(st.tuples(st.sampled_from([21, 22, 23, 24]), money, money), max_size=3, unique_by=lambda each: each[0]).map(tuple),
    )
    return st.none() | st.builds(
        BaselinesChanged,
        version=st.just(7),
        slot=st.just(0),
        since_ms=st.sampled_from([EVENING - days * DAY for days in (27, 29, 61, 90)]),
        month_ms=st.sampled_from([EVENING - 20 * DAY, EVENING - 31 * DAY + 20 * MINUTE]),
        until_ms=st.sampled_from([EVENING - HOUR, EVENING + MINUTE]),
        accounts=st.tuples(account, account)
        .flatmap(lambda pair: st.sampled_from([pair, pair[:1]]))
        .map(lambda some: tuple(msgspec.structs.replace(each, account_key=key) for each, key in zip(some, ACCOUNTS[:2], strict=False))),
    )


def tell(engine: Engine, record: BaselinesChanged) -> None:
    """The baselines of all accounts as the worker says them: a slot at a time."""
    for slot in sorted({account_slot(key) for key in ACCOUNTS}):
        mine = tuple(account for account in record.accounts if account_slot(account.account_key) == slot)
        engine.control(msgspec.structs.replace(record, slot=slot, accounts=mine))


def told(crossing: Crossing) -> tuple[Any, ...]:
    return (
        crossing.detector,
        crossing.level,
        crossing.account_key,
        crossing.at_ms,
        crossing.observed,
        crossing.threshold_warn,
        crossing.threshold_act,
        *((crossing.first_ms, crossing.last_ms, crossing.count) if crossing.detector not in (Detector.D04, Detector.D20) else (0, 0, 0)),
    )


def expected(verdict: Verdict) -> tuple[Any, ...]:
    *said, starts = verdict
    return (*said, starts[0] if starts else 0, starts[-1] if starts else 0, len(starts))


def changed(key: int, profile: Profile, since: int) -> AccountChanged:
    return AccountChanged(
        account=str(key),
        account_key=key,
        slot=0,
        segment=profile.segment,
        channels=profile.channels,
        sensitivity=profile.sensitivity,
        exempt_until_ms=profile.exempt_until_ms,
        since_ms=since,
    )


def run_engine(
    kernel: Any,
    rows: list[AccountRow],
    attributes: Attributes,
    cuts: Sequence[int] = (),
    restart: int | None = None,
    baselines: BaselinesChanged | None = None,
) -> tuple[Engine, list[Crossing]]:
    engine = Engine(read_rules(RULES), time_zone="Europe/Berlin", kernel=kernel)
    for key, (profile, since) in attributes.items():
        engine.control(changed(key, profile, since))
    if baselines is not None:
        tell(engine, baselines)
    crossings = []
    places = sorted({0, len(rows), *(cut % (len(rows) + 1) for cut in cuts)})
    for sequence, (first, last) in enumerate(pairwise(places), start=1):
        if restart is not None and sequence == restart:
            engine = Engine.restore(engine.state(), kernel=kernel)
        crossings += engine.feed(batch_of(rows[first:last]), sequence)
    return engine, crossings


def run_oracle(rows: list[AccountRow], attributes: Attributes, step: int, baselines: BaselinesChanged | None = None) -> Oracle:
    oracle = Oracle(read_rules(RULES), BERLIN, step=step)
    for key, (profile, since) in attributes.items():
        oracle.account(key, profile, since)
    if baselines is not None:
        oracle.baselines(baselines)
    for place, row in enumerate(rows):
        oracle.row(row, place)
    return oracle


@pytest.mark.parametrize(
    ("kernel", "step", "span"),
    [
        pytest.param(PLAIN, SECOND, 40 * MINUTE, id="plain"),
        pytest.param(compiled, SECOND, 40 * MINUTE, id="compiled"),
        pytest.param(COARSE, MINUTE, 30 * HOUR, id="days"),
    ],
)
def test_every_crossing_is_the_oracles(kernel: Any, step: int, span: int) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, phases=PHASES, suppress_health_check=list(HealthCheck))
    @given(logs(span, 12), profiles(), usual())
    def check(rows: list[AccountRow], attributes: Attributes, baselines: BaselinesChanged | None) -> None:
        oracle = run_oracle(rows, attributes, step, baselines)
        _, crossings = run_engine(kernel, rows, attributes, baselines=baselines)
        assert [told(crossing) for crossing in crossings] == [expected(verdict) for verdict in oracle.crossings]

    check()


@settings(max_examples=15, deadline=None, phases=PHASES, suppress_health_check=list(HealthCheck))
@given(logs(DAY, 12), profiles(), st.lists(st.integers(0, 100), max_size=4), st.integers(1, 3), usual())
def test_batches_and_restarts_change_nothing_not_even_a_byte(
    rows: list[AccountRow], attributes: Attributes, cuts: list[int], restart: int, baselines: BaselinesChanged | None
) -> None:
    _, crossings = run_engine(compiled, rows, attributes, baselines=baselines)
    pieces, same = run_engine(compiled, rows, attributes, cuts, restart, baselines)
    assert [told(crossing) for crossing in same] == [told(crossing) for crossing in crossings]
    # References name the batch, so bytes are compared with the same cuts: without the restart, and without compilation.
    alike, _ = run_engine(compiled, rows, attributes, cuts, None, baselines)
    plain, _ = run_engine(PLAIN, rows, attributes, cuts, None, baselines)
    assert pieces.state_hash() == alike.state_hash() == plain.state_hash()


@settings(max_examples=15, deadline=None, phases=PHASES, suppress_health_check=list(HealthCheck))
@given(logs(DAY, 10), st.data())
def test_repeating_what_was_said_changes_nothing(rows: list[AccountRow], data: st.DataObject) -> None:
    repeated = []
    for place, row in enumerate(rows):
        repeated.append(row)
        repeated += [rows[data.draw(st.integers(0, place))] for _ in range(data.draw(st.integers(0, 2)))]
    _, once = run_engine(compiled, rows, {})
    _, more = run_engine(compiled, repeated, {})
    assert [told(crossing) for crossing in more] == [told(crossing) for crossing in once]


def test_emergency_calls_and_rows_that_are_no_calls_count_nothing() -> None:
    facts: dict[str, Any] = {"received_ms": 0, "account_key": ACCOUNTS[0], "range_key": 1}
    rows = [AccountRow(kind=Kind.ATTEMPT, at_ms=EVENING + place, call_key=place + 1, destination_class=0, **facts) for place in range(50)]
    kinds = (Kind.REGISTRATION, Kind.AUTH_FAILURE, Kind.BLOCKED)
    rows += [AccountRow(kind=kinds[place % 3], at_ms=EVENING + 100, call_key=place, destination_class=5, **facts) for place in range(50)]
    engine, crossings = run_engine(compiled, rows, {})
    assert not crossings
    assert engine.accounts == 0
    assert engine.now_ms == EVENING + 100


def test_strangers_have_a_table_of_their_own_that_never_grows() -> None:
    facts: dict[str, Any] = {"kind": Kind.ATTEMPT, "received_ms": 0, "destination_class": 5, "rate": 10**6, "flags": Flag.UNKEYED}
    engine = Engine(read_rules(RULES), time_zone="Europe/Berlin")
    before = engine.figures()["state_bytes"]
    generator = np.random.default_rng(1)
    keys = generator.integers(-(2**63), 2**63, 300_000)
    for first in range(0, len(keys), 4_096):
        part = keys[first : first + 4_096].tolist()
        rows = [AccountRow(at_ms=EVENING + first + place, account_key=key, call_key=key, **facts) for place, key in enumerate(part)]
        engine.feed(batch_of(rows), first + 1)
    assert engine.accounts <= 65_536
    assert engine.figures()["calls_evicted"] > 200_000
    assert engine.figures()["state_bytes"] < before + 32 * 2**20
    # The account of the same name that an agent with a key vouches for is somebody else.
    real = AccountRow(at_ms=EVENING + 400_000, account_key=int(keys[-1]), call_key=1, **{**facts, "flags": 0})
    assert {crossing.unkeyed for crossing in engine.feed(batch_of([real]), 10**6)} == {False}


def test_tables_grow_and_forget_nothing() -> None:
    facts: dict[str, Any] = {"kind": Kind.ATTEMPT, "received_ms": 0, "destination_class": 3, "rate": 200_000}
    engine = Engine(read_rules(RULES), time_zone="Europe/Berlin")
    generator = np.random.default_rng(2)
    keys = generator.integers(-(2**63), 2**63, 20_000).tolist()
    for round_ in range(2):
        crossings = []
        for first in range(0, len(keys), 4_000):
            part = keys[first : first + 4_000]
            rows = [
                AccountRow(at_ms=EVENING - HOUR + round_ * MINUTE, account_key=key, call_key=round_ + 1, number_tail=round_, **facts)
                for key in part
            ]
            crossings += engine.feed(batch_of(rows), first + round_ + 1)
        assert engine.accounts == len(keys)
        together = {crossing.account_key for crossing in crossings if crossing.detector is Detector.D06}
        assert together == (set(keys) if round_ else set())


def test_silence_forgets_what_is_over_and_keeps_attributes() -> None:
    engine, _ = run_engine(
        compiled,
        [AccountRow(kind=Kind.ATTEMPT, at_ms=EVENING, received_ms=0, account_key=ACCOUNTS[0], call_key=1, destination_class=3)],
        {},
    )
    engine.control(changed(ACCOUNTS[0], Profile(segment="business", channels=4), 0))
    assert engine.figures()["arena_bytes"] > 0
    for hour in range(1, 30):
        engine.tick(EVENING + hour * HOUR)
    assert engine.figures()["arena_bytes"] == 0
    engine.tick(EVENING + 3 * 365 * DAY)
    row = AccountRow(
        kind=Kind.ATTEMPT, at_ms=EVENING + 3 * 365 * DAY, received_ms=0, account_key=ACCOUNTS[0], call_key=2, destination_class=4
    )
    assert not engine.feed(batch_of([row]), 9), "a business account may have one C4 call"


@pytest.mark.parametrize("days", [13, 16, 25, 30, 48])
def test_a_call_of_weeks_ago_does_not_come_back_when_its_milliseconds_do(days: int) -> None:
    engine = Engine(read_rules(RULES), time_zone="Europe/Berlin")
    facts: dict[str, Any] = {"received_ms": 0, "account_key": ACCOUNTS[0], "destination_class": 1}
    ended = AccountRow(kind=Kind.CALL, at_ms=EVENING, call_key=1, started_ms=EVENING, ended_ms=EVENING + MINUTE, **facts)
    assert not engine.feed(batch_of([ended]), 1)
    later = EVENING + days * DAY
    while engine.now_ms < later:
        engine.tick(min(engine.now_ms + HOUR, later))
    again = AccountRow(kind=Kind.ATTEMPT, at_ms=later, call_key=2, **facts)
    assert not engine.feed(batch_of([again]), 2), "one call at a time is no crossing"
    assert engine.figures()["arena_bytes"] == 0, "and the record has room for it"
    # The one instant at which the 32 bits say what they said of the first call.
    same = EVENING + 2**32
    if later < same:
        engine.tick(same)
        assert not engine.feed(batch_of([AccountRow(kind=Kind.ATTEMPT, at_ms=same, call_key=3, **facts)]), 3)
        assert engine.figures()["arena_bytes"] == 0
