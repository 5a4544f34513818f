"""The kernel of account takeover against its oracle: every event, whatever the batches, restarts, tidying and compilation."""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ringfence.detection import identity_kernel as compiled
from ringfence.detection import kernel as base_kernel
from ringfence.detection.findings import Finding
from ringfence.detection.identity import Event, IdentityEngine
from ringfence.detection.identity_layout import DAY, HOUR, MINUTE, R_MAX_ACCOUNTS, Said
from ringfence.detection.rules import read_rules
from ringfence.telephony.columns import MAX_ROWS, batch_of
from ringfence.telephony.control import AccountChanged
from ringfence.telephony.model import AccountRow, Flag, Kind, country_code
from tests.unit.detection.identity_oracle import IdentityOracle
from tests.unit.detection.published import published_rules

RULES = read_rules(published_rules())
START = 1_790_020_800_000
PHASES = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]
KEYS = tuple((number * 0x9E3779B97F4A7C15 + 12345) % 2**64 - 2**63 for number in (1, 2, 3))
HOME, NOWHERE = ("own", "DE"), ("", "")
PLACES = [HOME, HOME, HOME, NOWHERE, ("AS1", "DE"), ("AS2", "DE"), ("AS3", "ES"), ("AS4", "CN"), ("AS5", "US"), ("AS6", ""), ("AS7", "FR")]


STEPS = [0, 1, 1, MINUTE, MINUTE, 5 * MINUTE, 5 * MINUTE, 29 * MINUTE, 31 * MINUTE, 3 * HOUR, 12 * HOUR]
STEPS += [DAY, DAY, 2 * DAY, 8 * DAY, 31 * DAY, 95 * DAY]


def plain_kernel() -> Any:
    """The same source, not compiled, on arrays that check every index."""
    before = numba.config.DISABLE_JIT  # type: ignore[attr-defined]
    numba.config.DISABLE_JIT = 1  # type: ignore[attr-defined]
    try:
        plain_base = _load("plain_base_kernel", base_kernel)
        sys.modules["ringfence.detection.kernel"] = plain_base
        module = _load("plain_identity_kernel", compiled)
    finally:
        numba.config.DISABLE_JIT = before  # type: ignore[attr-defined]
        sys.modules["ringfence.detection.kernel"] = base_kernel
    assert not module.COMPILED
    return module


def _load(name: str, original: ModuleType) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(str(original.__file__)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PLAIN = plain_kernel()


def number(text: str) -> int:
    """A stable 64-bit key of a name; its 20 bits from the twentieth on differ, as a hash's do."""
    return int.from_bytes(text.encode()[-7:].rjust(7, b"\1")) * 0x9E3779B97F4A7C15 % 2**63


@st.composite
def rows(draw: Any) -> AccountRow:
    network, country = draw(st.sampled_from(PLACES))
    kind = draw(st.sampled_from([Kind.ATTEMPT, Kind.ATTEMPT, Kind.REGISTRATION, Kind.REGISTRATION, Kind.CALL, Kind.ANSWER]))
    family = "" if (network, country) == NOWHERE else draw(st.sampled_from(["", "phone", "phone", "phone", "soft", "tool"]))
    address = draw(st.integers(1, 3))
    flags = draw(st.sampled_from([0] * 8 + [Flag.USER_MISMATCH, Flag.NONCE_REUSED, Flag.FORWARDED, Flag.NATIONAL_VALUE]))
    if family == "tool":
        flags |= draw(st.sampled_from([0, Flag.SCANNER]))
    account = draw(st.integers(0, 1))
    return AccountRow(
        kind=kind,
        at_ms=draw(st.sampled_from(STEPS)),
        received_ms=0,
        account=f"account-{account}",
        account_key=KEYS[account],
        flags=flags,
        status_code=draw(st.sampled_from([200, 200, 200, 200, 408])) if kind == Kind.REGISTRATION else 0,
        expires=draw(st.sampled_from([3600, 3600, 60, 0])),
        destination_class=draw(st.sampled_from([1, 1, 2, 3, 4])),
        network_kind=int(network == "own"),
        network_key=number(network) if network else 0,
        source_country=country_code(country),
        family_key=number(family) if family else 0,
        source_key=number(f"{network}{address}") if network else 0,
        contact=f"sip:{network}{family}@{address}" if kind == Kind.REGISTRATION else "",
    )


def timed(drawn: Sequence[AccountRow], late: Sequence[int]) -> list[AccountRow]:
    """Rows whose `at_ms` is the time since the one before, at their times; some come up to a minute late."""
    found, at = [], START
    for place, row in enumerate(drawn):
        at += row.at_ms
        back = late[place % len(late)] if late else 0
        fields = {name: getattr(row, name) for name in row.__struct_fields__}
        found.append(AccountRow(**{**fields, "at_ms": at - back}))
    return found


ACCOUNTS = st.lists(st.tuples(st.sampled_from(["residential", "business", "trunk"]), st.sampled_from([1, 1, 2, 8])), max_size=3)


def shape(event: Event) -> tuple[int, ...]:
    """What the oracle says too: the other place of an impossible journey may be any."""
    first, second = (int(event.a != 0), 0) if event.rule is Said.D32 else (event.a, event.b)
    if event.rule is Said.D34:
        second = 0
    return (event.rule, event.level, event.account_key, event.at_ms, event.place, event.score, first, second, event.c, event.segment)


def made(kernel: Any, accounts: Sequence[tuple[Any, int]]) -> IdentityEngine:
    engine = IdentityEngine(RULES, kernel=kernel)
    for key, (segment, channels) in zip(KEYS, accounts, strict=False):
        engine.control(AccountChanged(account=str(key), account_key=key, slot=0, segment=segment, channels=channels))
    return engine


def run(
    kernel: Any, log: list[AccountRow], accounts: Sequence[tuple[Any, int]], step: int = MAX_ROWS, *, restart: bool = False
) -> tuple[IdentityEngine, list[Event]]:
    engine, events = made(kernel, accounts), []
    for first in range(0, len(log), step):
        batch = batch_of(log[first : first + step])
        events += [
            event._replace(place=event.place + first) for event in engine.feed_columns(batch.numeric, batch.length, engine._contacts(batch))
        ]
        if restart:
            engine = IdentityEngine.restore(engine.state(), RULES, kernel=kernel)
    return engine, events


@pytest.mark.parametrize("kernel", [compiled, PLAIN], ids=["compiled", "plain"])
def test_every_event_is_the_oracles(kernel: Any) -> None:
    examples = 150 if kernel is compiled else 25

    @settings(max_examples=examples, deadline=None, phases=PHASES, suppress_health_check=list(HealthCheck))
    @given(st.lists(rows(), min_size=8, max_size=60), ACCOUNTS, st.sampled_from([[], [0, 0, 0, MINUTE, 1]]))
    def check(drawn: list[AccountRow], accounts: list[tuple[Any, int]], late: list[int]) -> None:
        log = timed(drawn, late)
        oracle = IdentityOracle(RULES)
        oracle.segments = dict(zip(KEYS, accounts, strict=False))
        for place, row in enumerate(log):
            oracle.row(row, place)
        _, events = run(kernel, log, accounts)
        assert [shape(event) for event in events] == oracle.events

    check()


@pytest.mark.parametrize("kernel", [compiled, PLAIN], ids=["compiled", "plain"])
@pytest.mark.parametrize("home", [0, 1], ids=["from_nowhere", "at_home"])
def test_the_only_device_of_an_account_is_not_new_again_when_a_second_one_comes(kernel: Any, home: int) -> None:
    """Found by the test above: what the packed word says of a device without a time of its own was taken to be as old as its first day."""

    def row(day: int, family: str) -> AccountRow:
        at = START + day * DAY
        place: dict[str, Any] = {"network_kind": home, "network_key": home * number("own"), "source_country": home * country_code("DE")}
        return AccountRow(kind=1, at_ms=at, received_ms=0, account_key=KEYS[0], family_key=number(family) if family else 0, **place)

    _, told = run(kernel, [row(0, "phone"), row(94, ""), row(95, "tablet"), row(95, "phone"), row(96, "phone")], [])
    assert [(event.rule, event.place) for event in told] == [(Said.D31, 2)]


@pytest.mark.parametrize("kernel", [compiled, PLAIN], ids=["compiled", "plain"])
@pytest.mark.parametrize("second", ["", "tablet"], ids=["packed", "slot"])
def test_a_dear_call_of_more_than_a_year_ago_is_no_habit(kernel: Any, second: str) -> None:
    """Found by the test above: the kept period came round after 480 days."""

    def row(day: int, family: str, level: int = 1) -> AccountRow:
        place: dict[str, Any] = {"network_kind": 1, "network_key": number("own"), "source_country": country_code("DE")}
        at = START + day * DAY
        return AccountRow(kind=1, at_ms=at, received_ms=0, account_key=KEYS[0], family_key=number(family), destination_class=level, **place)

    log = [row(0, "phone", 3), row(0, second or "phone"), *(row(day, "phone") for day in range(70, 471, 50)), row(485, "soft", 3)]
    _, told = run(kernel, log, [])
    sequence = [event for event in told if event.rule is Said.D36]
    assert [event.a & 8 for event in sequence] == [8]


def test_registrations_are_counted_alike_before_and_after_the_slot_is_tidied() -> None:
    """A slot that says nothing any more is tidied within a day; until then it must not remember what the packed word would not."""

    def row(at: int, kind: int, contact: str = "", network: str = "", flags: int = 0) -> AccountRow:
        place: dict[str, Any] = {"network_kind": int(network == "own"), "network_key": number(network) if network else 0}
        fields: dict[str, Any] = {"status_code": 200 if contact else 0, "expires": 3600, "contact": contact, "flags": flags}
        return AccountRow(kind=kind, at_ms=at, received_ms=0, account_key=KEYS[0], source_key=number(contact), **place, **fields)

    held = set()
    for hour in range(30):
        forgotten = START + 90 * DAY + hour * HOUR
        log = [row(START, 1, network="own", flags=Flag.USER_MISMATCH)]
        log += [row(forgotten + place, 5, f"sip:{place}", network) for place, network in enumerate(["", "AS1"])]
        _, told = run(compiled, log, [])
        held.add(tuple((event.a, event.b) for event in told if event.rule is Said.D33))
    assert len(held) == 1


@settings(max_examples=25, deadline=None, phases=PHASES, suppress_health_check=list(HealthCheck))
@given(st.lists(rows(), min_size=8, max_size=60), ACCOUNTS, st.integers(1, 7))
def test_batches_restarts_and_compilation_change_nothing(drawn: list[AccountRow], accounts: list[tuple[Any, int]], step: int) -> None:
    log = timed(drawn, [])
    whole, events = run(compiled, log, accounts)
    cut, again = run(compiled, log, accounts, step, restart=True)
    slow, third = run(PLAIN, log, accounts)
    assert events == again == third
    assert whole.state_hash() == cut.state_hash() == slow.state_hash()


def test_tidying_frees_what_says_nothing_any_more() -> None:
    engine = made(compiled, [])
    log = [
        AccountRow(
            kind=5, at_ms=START, received_ms=0, account_key=KEYS[0], status_code=200, network_kind=1, network_key=1, family_key=1 << 20
        ),
        AccountRow(kind=1, at_ms=START + DAY, received_ms=0, account_key=KEYS[0], network_key=2, family_key=1 << 20),
    ]
    engine.feed(batch_of(log), 1)
    assert engine.figures()["identity_slots"] == 1
    engine.tick(START + 20 * DAY)
    assert engine.figures()["identity_slots"] == 1
    for hour in range(30):
        engine.tick(START + 95 * DAY + hour * HOUR)
    figures = engine.figures()
    assert (figures["identity_slots"], figures["identity_slot_bytes"], figures["identity_accounts"]) == (0, 0, 1)
    assert engine.now_ms == START + 95 * DAY + 29 * HOUR


def some_rows(count: int, *, flags: int = 0, network: int = 0) -> list[AccountRow]:
    return [
        AccountRow(
            kind=1,
            at_ms=START + place,
            received_ms=0,
            account=f"a{place}",
            account_key=number(f"account {place}") * 2 - 2**63,
            network_key=network,
            family_key=7 << 20,
            flags=flags,
        )
        for place in range(count)
    ]


def test_table_and_arena_grow_at_the_same_row_in_every_replica() -> None:
    one, other = IdentityEngine(RULES), IdentityEngine(RULES)
    log = some_rows(4_000, network=5)
    for engine, step in ((one, 4_000), (other, 77)):
        for first in range(0, len(log), step):
            engine.feed(batch_of(log[first : first + step]), first)
    assert one.figures()["identity_accounts"] == 4_000
    assert one.figures()["identity_slots"] == 4_000
    assert one.state_hash() == other.state_hash()


def test_accounts_that_anybody_can_invent_stay_within_their_table() -> None:
    engine = IdentityEngine(RULES)
    strangers = engine._tables[1]
    strangers.registers[R_MAX_ACCOUNTS] = 500
    log = some_rows(2_000, flags=Flag.UNKEYED, network=5)
    for first in range(0, len(log), 500):
        engine.feed(batch_of(log[first : first + 500]), first)
    assert 0 < strangers.accounts <= 500
    assert engine._tables[0].accounts == 0
    assert engine.figures()["identity_evicted"] >= 1_000
    newest = log[-1].account_key
    assert newest in strangers.hot[0::2].tolist()


def test_an_attacker_cannot_fill_an_account() -> None:
    engine = made(compiled, [])
    home = AccountRow(
        kind=5, at_ms=START, received_ms=0, account_key=KEYS[0], status_code=200, network_kind=1, network_key=1, family_key=1 << 20
    )
    engine.feed(batch_of([home]), 1)
    told: list[Finding] = []
    for place in range(300):
        row = AccountRow(
            kind=5,
            at_ms=START + 40 * DAY + place * 1000,
            received_ms=0,
            account_key=KEYS[0],
            status_code=200,
            network_key=1000 + place,
            family_key=(2 + place) << 20,
            contact=f"sip:{place}@198.51.100.1",
            expires=3600,
        )
        told += engine.feed(batch_of([row]), place)
    assert {finding.rule for finding in told} >= {"D30", "D31", "D33"}
    assert engine.figures()["identity_slot_bytes"] <= 1024
    back = AccountRow(kind=1, at_ms=START + 41 * DAY, received_ms=0, account_key=KEYS[0], network_kind=1, network_key=1, family_key=1 << 20)
    assert engine.feed(batch_of([back]), 400) == []  # What was known is known still.


def test_settling_in_changes_no_verdict() -> None:
    plain, early = IdentityEngine(RULES), IdentityEngine(RULES)
    early.settle_in(np.array([row.account_key for row in some_rows(5_000)], np.int64))
    log = some_rows(100, network=5)
    assert plain.feed(batch_of(log), 1) == early.feed(batch_of(log), 1)
    assert early.figures()["identity_accounts"] == 5_000
