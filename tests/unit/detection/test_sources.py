"""The source view against plain lists; memory under invented addresses; what is never judged."""

import random
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.detection.engine import EngineState
from ringfence.detection.findings import ACT, WARN, Finding
from ringfence.detection.layout import DAY, HOUR, MINUTE, SECOND
from ringfence.detection.rules import RuleSet, read_rules
from ringfence.detection.source_rules import RULES
from ringfence.detection.sources import SourceEngine
from ringfence.telephony.columns import batch_of
from ringfence.telephony.control import RuleSetChanged
from ringfence.telephony.model import AccountRow, Flag, Kind, NetworkKind
from ringfence.telephony.suspicion import Measure

MONDAY = 1_790_000_000_000 // DAY * DAY + 9 * HOUR


def rule_set(*names: str, **changed: Any) -> RuleSet:
    """Some rules of the source view, or all, with other parameters."""
    lines = ["version = 3"]
    for spec in RULES:
        if not names or spec.rule in names:
            lines.append(f"[rules.{spec.rule}]")
            lines += [f"{each.name} = {changed.get(f'{spec.rule}_{each.name}', each.default)}" for each in spec.parameters]
    return read_rules("\n".join(lines))


def row(kind: Kind, at_ms: int, source: str, **more: Any) -> AccountRow:
    fields: dict[str, Any] = {
        "call_id": f"r-{at_ms}-{source}",
        "source_key": hash_of(source),
        "network_kind": int(NetworkKind.FOREIGN),
        "network": "AS64500",
    }
    return AccountRow(kind=int(kind), at_ms=at_ms, received_ms=at_ms, source_ip=source, **{**fields, **more})


def hash_of(text: str) -> int:
    return int.from_bytes(text.encode()[-7:].rjust(7, b"\1"), "big")


def refused(at_ms: int, source: str, user: str = "alice", code: int = 401, **more: Any) -> AccountRow:
    return row(Kind.AUTH_FAILURE, at_ms, source, caller=user, status_code=code, **more)


def registered(at_ms: int, source: str, account: int, **more: Any) -> AccountRow:
    return row(Kind.REGISTRATION, at_ms, source, account=f"a{account}", account_key=account, **{"status_code": 200, **more})


def dialled(at_ms: int, source: str, callee: str, **more: Any) -> AccountRow:
    return row(Kind.UNAUTHENTICATED, at_ms, source, callee=callee, **more)


def feed(engine: SourceEngine, rows: Sequence[AccountRow], size: int = 4_096, first: int = 1) -> list[Finding]:
    found = []
    for number, start in enumerate(range(0, len(rows), size)):
        found += engine.feed(batch_of(rows[start : start + size]), first + number)
    return found


def told(findings: Sequence[Finding]) -> list[tuple[Any, ...]]:
    return [(f.rule, f.level, f.subject, f.at_ms, f.observed, f.warn, f.act, f.reason, f.measures) for f in findings]


def copied(state: EngineState) -> EngineState:
    """As a snapshot gives it back: the scalars through JSON."""
    arrays = {name: words.copy() for name, words in state.arrays.items()}
    return EngineState(arrays=arrays, scalars=msgspec.json.decode(msgspec.json.encode(state.scalars)))


# Against plain lists


class Plain:
    """E01, E03, E04 and D35 with nothing but lists of all rows. `renewed`: a key holds each user once, with the latest time."""

    def __init__(self, rules: RuleSet) -> None:
        self.rules = rules
        self.now = 0
        self.refused: dict[str, list[int]] = defaultdict(list)
        self.unknown: dict[str, dict[str, int]] = defaultdict(dict)
        self.wrong: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self.first: dict[str, dict[str, int]] = defaultdict(dict)
        self.pairs: set[tuple[str, str]] = set()
        self.said: dict[tuple[str, ...], tuple[int, int]] = {}

    def see(self, each: AccountRow) -> Iterator[tuple[str, int, int, int]]:
        self.now = max(self.now, each.at_ms)
        moments = [self.now, each.at_ms] if each.at_ms <= self.now - 2_000 else [self.now]
        net = each.source_ip.rpartition(".")[0]
        if each.kind == Kind.REGISTRATION:
            if (each.source_ip, each.account) in self.pairs:
                return
            self.pairs.add((each.source_ip, each.account))
            first = self.first[each.source_ip]
            first[each.account] = each.at_ms
            for moment in moments:
                home = sum(at <= moment - DAY for at in first.values())
                fresh = sum(moment - HOUR < at <= moment for at in first.values())
                limits = self.rules.value("D35", "warn") + home, self.rules.value("D35", "act") + home
                yield from self.say(("D35", each.source_ip), moment, fresh, *limits)
            return
        if each.at_ms > self.now - HOUR - 5 * MINUTE:
            self.refused[each.source_ip].append(each.at_ms)
            for moment in moments:
                for name, window in (("minute", MINUTE), ("hour", HOUR)):
                    count = sum(moment - window < at <= moment for at in self.refused[each.source_ip])
                    limit = self.rules.value("E01", name)
                    yield from self.say(("E01", name, each.source_ip), moment, count, limit, limit)
        if each.status_code == 404:
            users = self.unknown[each.source_ip], self.unknown[net]
            known = [each.caller in held and held[each.caller] >= each.at_ms for held in users]
            for held in users:
                held[each.caller] = max(held.get(each.caller, 0), each.at_ms)
            for moment in moments:
                for place, name, window in ((0, "minute", MINUTE), (0, "day", DAY), (1, "network_day", DAY)):
                    if not known[place]:
                        count = sum(moment - window < at <= moment for at in users[place].values())
                        limit = self.rules.value("E03", name)
                        yield from self.say(("E03", name, net if place else each.source_ip), moment, count, limit, limit)
        if each.status_code == 401 and each.at_ms > self.now - HOUR - 5 * MINUTE:
            self.wrong[net].append((each.at_ms, each.caller))
            for moment in moments:
                tries: dict[str, int] = defaultdict(int)
                for at, user in self.wrong[net]:
                    tries[user] += moment - HOUR < at <= moment
                if tries[each.caller] > self.rules.value("E04", "tries") and moment == moments[0]:
                    break
                few = sum(0 < count <= self.rules.value("E04", "tries") for count in tries.values())
                limit = self.rules.value("E04", "accounts")
                yield from self.say(("E04", net), moment, few, limit, limit)

    def say(self, key: tuple[str, ...], at: int, value: int, warn: int, act: int) -> Iterator[tuple[str, int, int, int]]:
        level = 0 if value < warn else 1
        while level and level < 15 and value >= act * 2 ** (level - 1):
            level += 1
        before = self.said.get(key, (0, at - HOUR))
        if level and (level > before[0] or at >= before[1] + HOUR):
            self.said[key] = level, at
            yield key[0], level, at, value


SMALL: dict[str, int] = {
    "E01_minute": 3, "E01_hour": 5, "E03_minute": 2, "E03_day": 4, "E03_network_day": 5, "E04_accounts": 3, "D35_warn": 2, "D35_act": 3,
}  # fmt: skip


def some_rows() -> st.SearchStrategy[list[AccountRow]]:
    step = st.sampled_from([0, 1, 900, 20 * SECOND, MINUTE, 20 * MINUTE, HOUR, 7 * HOUR, DAY])
    late = st.sampled_from([0, 0, 0, 0, 1, 1_999, 2_000, 40 * SECOND, 4 * MINUTE])
    kind = st.sampled_from([401, 401, 404, 403, 200])
    one = st.tuples(step, late, kind, st.integers(1, 3), st.integers(1, 6))

    return st.lists(one, min_size=1, max_size=100).map(made_of)


def made_of(steps: Sequence[tuple[int, int, int, int, int]]) -> list[AccountRow]:
    made, now = [], MONDAY
    for forward, back, code, place, who in steps:
        now += forward
        source = f"198.51.{place % 2}.{place}"
        made.append(registered(now - back, source, who) if code == 200 else refused(now - back, source, f"u{who}", code))
    return made


@pytest.mark.parametrize("seed", range(12))
def test_long_nights_are_the_ones_of_the_plain_lists(seed: int) -> None:
    chance = random.Random(seed)
    forward = (0, 0, 1, 900, 2_000, 20 * SECOND, 40 * SECOND, MINUTE, MINUTE, 20 * MINUTE, 40 * MINUTE, HOUR, 7 * HOUR, DAY)
    late = (0, 0, 0, 0, 1, 1_999, 2_000, 2_001, 40 * SECOND, 4 * MINUTE)
    codes = (401, 401, 401, 404, 403, 200)
    steps = [
        (
            chance.choice(forward[: chance.choice((9, 14))]),
            chance.choice(late),
            chance.choice(codes),
            chance.randint(1, 4),
            chance.randint(1, 14),
        )
        for _ in range(400)
    ]
    rules = rule_set("E01", "E03", "E04", "D35", **SMALL)
    plain = Plain(rules)
    rows = made_of(steps)
    expected = [said for each in rows for said in plain.see(each)]
    found = feed(SourceEngine(rules, max_pairs=4_096), rows, 57)
    assert [(f.rule, f.level, f.at_ms, f.observed) for f in found] == expected
    assert {said[0] for said in expected} >= {"E01", "E03", "E04"}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(some_rows(), st.integers(1, 40))
def test_every_finding_is_the_one_of_the_plain_lists(rows: list[AccountRow], size: int) -> None:
    rules = rule_set("E01", "E03", "E04", "D35", **SMALL)
    plain = Plain(rules)
    expected = [said for each in rows for said in plain.see(each)]
    found = feed(SourceEngine(rules, max_pairs=4_096), rows, size)
    assert [(f.rule, f.level, f.at_ms, f.observed) for f in found] == expected


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(some_rows(), st.integers(1, 40), st.integers(0, 100))
def test_batches_and_restarts_change_nothing(rows: list[AccountRow], size: int, cut: int) -> None:
    rules = rule_set(D38_failures=2, **SMALL)
    whole, parted = SourceEngine(rules, max_sources=4, max_pairs=64), SourceEngine(rules, max_sources=4, max_pairs=64)
    expected = told(feed(whole, rows))
    found = told(feed(parted, rows[:cut], size))
    restored = SourceEngine.restore(copied(parted.state()), rules, max_sources=4)
    assert found + told(feed(restored, rows[cut:], size)) == expected
    assert state(restored) == state(whole)
    assert restored.now_ms == whole.now_ms == max(each.at_ms for each in rows)


def state(engine: SourceEngine) -> tuple[bytes, bytes]:
    """Without row references, which depend on the batches."""
    taken = engine.state()
    tables = [[name, count, [[key, [each[:3] for each in seen]] for key, seen in held]] for name, count, held in taken.scalars["tables"]]
    return taken.arrays["pairs"].tobytes(), msgspec.json.encode({**taken.scalars, "tables": tables}, order="deterministic")


# One by one


def test_guessing_passwords_from_one_address() -> None:
    rows = [refused(MONDAY + place * SECOND, "198.51.100.7", "alice") for place in range(12)]
    found = feed(SourceEngine(rule_set()), rows)
    assert [(f.rule, f.level, f.observed, f.subject_kind, f.subject) for f in found] == [("E01", ACT, 10, "source", "198.51.100.7")]
    assert found[0].reason == "198.51.100.7 offered 10 credentials that were refused within 60 seconds. Limit 10."
    assert found[0].measures == (Measure(scope="source", value="198.51.100.7"),)
    assert found[0].account == "", "nobody's account suffers for what others try"


def test_slow_guessing_is_seen_within_the_hour() -> None:
    rows = [refused(MONDAY + place * 100 * SECOND, "198.51.100.7") for place in range(31)]
    assert [(f.rule, f.observed) for f in feed(SourceEngine(rule_set()), rows)] == [("E01", 30)]


def test_trying_users_and_a_box_that_repeats_one() -> None:
    users = [refused(MONDAY + place * SECOND, "198.51.100.7", f"user{place}", 404) for place in range(5)]
    found = feed(SourceEngine(rule_set()), users)
    assert [(f.rule, f.observed, f.reason) for f in found] == [
        ("E03", 5, "198.51.100.7 tried 5 users that do not exist within 60 seconds. Limit 5.")
    ]
    box = [refused(MONDAY + place * 10 * MINUTE, "198.51.100.8", "gone", 404) for place in range(200)]
    assert feed(SourceEngine(rule_set()), box) == [], "a former customer's box tries one user for ever"


def test_a_spray_from_one_neighbourhood_names_its_addresses() -> None:
    rows = [refused(MONDAY + place * MINUTE, f"198.51.100.{place % 3}", f"user{place}") for place in range(20)]
    found = feed(SourceEngine(rule_set()), rows)
    assert [(f.rule, f.observed, f.subject) for f in found] == [("E04", 20, "198.51.100.0/24")]
    assert found[0].measures == tuple(Measure(scope="source", value=f"198.51.100.{last}") for last in range(3))
    assert found[0].reason == "Wrong passwords for 20 accounts, one or two each, came from 198.51.100.0/24 within 60 minutes. Limit 20."
    stubborn = [refused(MONDAY + place * SECOND, f"198.51.100.{place}", f"user{place // 3}") for place in range(90)]
    assert "E04" not in {f.rule for f in feed(SourceEngine(rule_set()), stubborn)}, "three tries each are no spray"


def test_version_six_neighbours_count_by_their_48() -> None:
    rows = [refused(MONDAY + place * MINUTE, f"2001:db8:1:{place:x}::5", f"user{place}") for place in range(20)]
    found = feed(SourceEngine(rule_set()), rows)
    assert [(f.rule, f.subject) for f in found] == [("E04", "2001:db8:1::/48")]
    assert Measure(scope="source", value="2001:db8:1:a::/64") in found[0].measures
    assert len(found[0].measures) == 20


def test_one_foreign_address_with_many_accounts() -> None:
    rows = [registered(MONDAY + place * MINUTE, "203.0.113.9", place + 1) for place in range(6)]
    found = feed(SourceEngine(rule_set()), rows)
    assert [(f.rule, f.level, f.observed) for f in found] == [("D35", WARN, 3), ("D35", ACT, 5)]
    assert found[1].measures == (Measure(scope="source", value="203.0.113.9"),)
    assert found[1].observed_more["accounts"] == ["a1", "a2", "a3", "a4", "a5"]
    assert found[1].reason == "5 accounts were used from 203.0.113.9 within 60 minutes that had never been used there. Limit 5."


def test_an_office_whose_accounts_are_known_there() -> None:
    engine = SourceEngine(rule_set())
    for day in range(10):
        arrived = registered(MONDAY + day * DAY, "203.0.113.9", 100 + day), registered(MONDAY + day * DAY + 1, "203.0.113.9", 200 + day)
        assert feed(engine, arrived, first=day + 1) == []
    outage = [
        registered(MONDAY + 20 * DAY + place, "203.0.113.9", base + day) for place, base in enumerate((100, 200)) for day in range(10)
    ]
    outage.sort(key=lambda each: each.at_ms)
    assert feed(engine, outage, first=50) == [], "all come back at once"
    newcomers = [registered(MONDAY + 21 * DAY + place, "203.0.113.9", 900 + place) for place in range(22)]
    assert feed(engine, newcomers, first=60) == [], "where twenty are at home more may come at once"
    more = [registered(MONDAY + 21 * DAY + 30 + place, "203.0.113.9", 950 + place) for place in range(3)]
    assert [(f.level, f.warn, f.act) for f in feed(engine, more, first=61)] == [(WARN, 23, 25), (ACT, 23, 25)]


@pytest.mark.parametrize("kind", [NetworkKind.OWN_POOL, NetworkKind.CGNAT, NetworkKind.PEER, NetworkKind.MONITORING])
def test_networks_that_the_operator_knows_are_never_judged(kind: NetworkKind) -> None:
    """After an outage thousands of own lines come back, with wrong passwords among them."""
    known = {"network_kind": int(kind)}
    rows = [refused(MONDAY + place, "198.51.100.7", f"user{place}", 404 if place % 2 else 401, **known) for place in range(300)]
    rows += [registered(MONDAY + 300 + place, "198.51.100.7", place + 1, **known) for place in range(100)]
    rows += [refused(MONDAY + 300 + place, "198.51.100.7", "a5", **known) for place in range(9)]
    rows.append(registered(MONDAY + 310, "198.51.100.7", 5, **known))
    rows += [dialled(MONDAY + 400 + place, "198.51.100.7", f"{place}0049301234567", **known) for place in range(50)]
    assert feed(SourceEngine(rule_set()), rows) == []


@pytest.mark.parametrize("last", ["198.51.100.7", "198.51.100.200"])
def test_wrong_passwords_and_then_the_right_one(last: str) -> None:
    rows = [refused(MONDAY + place * HOUR, "198.51.100.7", "a5") for place in range(5)]
    rows.append(registered(MONDAY + 6 * HOUR, last, 5))
    found = feed(SourceEngine(rule_set()), rows)
    assert [(f.rule, f.level, f.subject_kind, f.subject, f.account_key, f.score, f.hard) for f in found] == [
        ("D38", ACT, "account", "a5", 5, 50, True)
    ]
    assert found[0].measures == (
        Measure(scope="class", value="a5", destination_class=3),
        Measure(scope="source", value=last),
    )
    assert found[0].reason == (
        f"5 wrong passwords for a5 from 198.51.100.0/24 within 24 hours, then the right one from {last}: "
        "the password was probably guessed. Limit 5."
    )


def test_a_guess_is_said_once() -> None:
    rows = [refused(MONDAY + place * HOUR, "198.51.100.7", "a5") for place in range(5)]
    rows += [registered(MONDAY + 6 * HOUR + place, "198.51.100.7", 5) for place in range(3)]
    assert [f.rule for f in feed(SourceEngine(rule_set()), rows)] == ["D38"]


def test_a_long_spray_is_said_at_each_doubling_and_each_hour() -> None:
    rows = [refused(MONDAY + place * MINUTE, f"198.51.100.{place % 200}", f"user{place}") for place in range(170)]
    found = feed(SourceEngine(rule_set()), rows)
    assert [(f.level, f.observed, (f.at_ms - MONDAY) // MINUTE) for f in found] == [(2, 20, 19), (3, 40, 39), (3, 60, 99), (3, 60, 159)]


def test_no_guess_when_the_wrong_ones_came_from_elsewhere_or_long_ago_or_the_user_was_another() -> None:
    wrong = [refused(MONDAY + place, "198.51.100.7", "a5") for place in range(5)]
    assert [f.rule for f in feed(SourceEngine(rule_set()), [*wrong, registered(MONDAY + HOUR, "203.0.113.9", 5)])] == []
    assert feed(SourceEngine(rule_set()), [*wrong, registered(MONDAY + DAY + 5, "198.51.100.7", 5)]) == []
    assert feed(SourceEngine(rule_set()), [*wrong, registered(MONDAY + HOUR, "198.51.100.7", 6)]) == []
    assert feed(SourceEngine(rule_set()), [*wrong, registered(MONDAY + HOUR, "198.51.100.7", 5, status_code=408)]) == []
    unknown = [refused(MONDAY + place, "198.51.100.7", "a5", 403) for place in range(5)]
    assert feed(SourceEngine(rule_set()), [*unknown, registered(MONDAY + HOUR, "198.51.100.7", 5)]) == []


def test_one_number_with_many_prefixes() -> None:
    prefixes = ["00", "000", "9", "90", "900", "011", "9011", "0", "+", "1", "100", "77"]
    rows = [dialled(MONDAY + place * 100, "198.51.100.7", f"{prefix}972592277524") for place, prefix in enumerate(prefixes)]
    found = feed(SourceEngine(rule_set()), rows)
    assert [(f.rule, f.level, f.observed) for f in found] == [("D23", WARN, 5), ("D23", ACT, 10)]
    assert found[1].measures == (Measure(scope="source", value="198.51.100.7"),)
    assert found[1].reason == (
        "198.51.100.7 dialled one number ending in 592277524 with 10 different prefixes (00972, 000972, 9972, ...) within 10 seconds. Limit 10."
    )
    slow = [dialled(MONDAY + place * 3 * SECOND, "198.51.100.7", f"{prefix}972592277524") for place, prefix in enumerate(prefixes)]
    assert feed(SourceEngine(rule_set()), slow) == []
    numbers = [dialled(MONDAY + place * 100, "198.51.100.7", f"00972592277{place:03}") for place in range(30)]
    assert feed(SourceEngine(rule_set()), numbers) == [], "many numbers are another matter"


def test_prefixes_tried_with_an_account_refuse_its_dear_calls_too() -> None:
    account: dict[str, Any] = {"account": "a5", "account_key": 5}
    rows = [row(Kind.ATTEMPT, MONDAY + place, "198.51.100.7", callee=f"{place}972592277524", **account) for place in range(10, 20)]
    found = [f for f in feed(SourceEngine(rule_set()), rows) if f.rule == "D23"]
    assert found[1].measures == (
        Measure(scope="source", value="198.51.100.7"),
        Measure(scope="class", value="a5", destination_class=3),
    )


def test_rows_without_a_key_are_counted_apart_and_said_so() -> None:
    rows = [refused(MONDAY + place, "198.51.100.7", flags=int(Flag.UNKEYED) if place % 2 else 0) for place in range(18)]
    assert feed(SourceEngine(rule_set()), rows) == []
    found = feed(SourceEngine(rule_set()), [refused(MONDAY + place, "198.51.100.7", flags=int(Flag.UNKEYED)) for place in range(10)])
    assert [(f.rule, f.keyed) for f in found] == [("E01", False)]


def test_the_same_row_twice_counts_once() -> None:
    rows = [refused(MONDAY + place // 2 * SECOND, "198.51.100.7", call_key=77) for place in range(18)]
    assert feed(SourceEngine(rule_set()), rows) == []


def test_new_rules_hold_at_once() -> None:
    engine = SourceEngine(rule_set())
    feed(engine, [refused(MONDAY + place, "198.51.100.7", f"u{place}") for place in range(4)])
    engine.control(RuleSetChanged(version=2, toml=rule_set("E04", E04_accounts=3).text))
    found = feed(engine, [refused(MONDAY + 9, "198.51.100.7", "u9")], first=2)
    assert [(f.rule, f.observed) for f in found] == [("E04", 5)]


def test_ticks_move_the_clock_and_find_nothing() -> None:
    engine = SourceEngine(rule_set())
    assert engine.tick(MONDAY) == []
    assert engine.tick(MONDAY - 1) == []
    assert engine.now_ms == MONDAY


# Memory


def test_a_flood_of_invented_addresses_costs_old_knowledge_and_no_memory() -> None:
    engine = SourceEngine(rule_set(), max_sources=4_096, max_pairs=1 << 13)
    began = time.process_time()
    sources = [f"{10 + (place >> 16)}.{(place >> 8) & 255}.{place & 255}.1" for place in range(40_000)]
    for number in range(0, len(sources), 4_096):
        rows = [
            refused(MONDAY + number + place, source, f"u{number + place}", 404 if place % 2 else 401, source_key=number + place + 1)
            if place % 4
            else registered(MONDAY + number + place, source, number + place + 1, source_key=number + place + 1)
            for place, source in enumerate(sources[number : number + 4_096])
        ]
        engine.feed(batch_of(rows), number // 4_096 + 1)
    assert time.process_time() - began < 20
    held = engine.state().scalars["tables"]
    assert all(len(table) <= 4_096 for _, _, table in held)
    assert len(engine.state().scalars["said"]) <= 4_096
    assert engine.figures()["keys_evicted"] > 40_000
    assert engine.figures()["state_bytes"] == (1 << 13) * 16
    rows = [refused(MONDAY + 200_000 + place, "198.51.100.7") for place in range(10)]
    assert [f.rule for f in feed(engine, rows, first=500)] == ["E01"], "it still judges"
