"""The edge's tables: change by change the same as all at once, and nothing past its time."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ringfence.enforcement.model import Block, Scope
from ringfence.enforcement.projection import EdgeTable, Held, Place, differences, held_for, place_of, project, shard_of
from tests.unit.enforcement.samples import HOUR_MS, NOW_MS, block


def test_keys_and_values_are_what_the_include_looks_up() -> None:
    until = NOW_MS + HOUR_MS
    assert place_of(block(Scope.RANGE, "23276")) == Place("rf_num", "23276")
    assert held_for(block(Scope.RANGE, "23276", until_ms=until)) == Held(f"all|{until // 1000}|b-1", until)
    alice = place_of(block(Scope.CLASS, "alice", destination_class=3))
    assert alice == Place(f"rf_{hashlib.md5(b'a:alice').hexdigest()[0]}", "a:alice") == place_of(block(Scope.ACCOUNT, "alice"))
    assert held_for(block(Scope.CLASS, "alice", destination_class=3)).value.startswith("C3|")
    assert place_of(block(Scope.SOURCE, "2001:db8:1:2::/64")).key == "s:2001:db8:1:2::/64"
    assert {shard_of(f"a:{number}") for number in range(1000)} == {f"rf_{digit:x}" for digit in range(16)}


def test_the_strongest_is_held_and_then_the_next() -> None:
    table = EdgeTable()
    weak = block(Scope.CLASS, "alice", block_id="b-weak", destination_class=4, until_ms=NOW_MS + 30_000)
    strong = block(Scope.CLASS, "alice", block_id="b-strong", destination_class=3, until_ms=NOW_MS + 20_000)
    everything = block(Scope.ACCOUNT, "alice", block_id="b-all", until_ms=NOW_MS + 10_000)
    place = place_of(weak)
    for made in (strong, weak, everything):
        table.put(made, NOW_MS)
    for now_ms, wanted in ((NOW_MS, everything), (NOW_MS + 10_000, strong), (NOW_MS + 20_000, weak)):
        table.advance(now_ms)
        assert table.held(place) == held_for(wanted)
    assert table.next_change_ms() == NOW_MS + 30_000
    assert table.advance(NOW_MS + 30_000) == {place}
    assert table.held(place) is None
    assert len(table) == 0
    assert table.next_change_ms() is None


def test_a_lifted_block_gives_way_at_once() -> None:
    table = EdgeTable()
    table.put(block(Scope.CLASS, "alice", block_id="b-weak", destination_class=4), NOW_MS)
    table.put(block(block_id="b-all"), NOW_MS)
    changed = table.put(replace(block(block_id="b-all"), state="lifted", ended_ms=NOW_MS + 1), NOW_MS + 1)
    (place,) = changed
    held = table.held(place)
    assert held is not None
    assert held.value.startswith("C4|")


CLASSES = st.tuples(st.just(Scope.CLASS), st.sampled_from(["alice", "bob"]), st.integers(2, 5))
OTHERS = st.one_of(
    st.tuples(st.just(Scope.ACCOUNT), st.sampled_from(["alice", "bob"]), st.just(0)),
    st.tuples(st.sampled_from([Scope.NUMBER, Scope.RANGE]), st.sampled_from(["23276", "23276123"]), st.just(0)),
    st.tuples(st.just(Scope.SOURCE), st.sampled_from(["203.0.113.9", "2001:db8:1:2::/64"]), st.just(0)),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 12), st.one_of(CLASSES, OTHERS), st.integers(1, 60)),
        st.tuples(st.just("lift"), st.integers(0, 12), st.none(), st.none()),
        st.tuples(st.just("drop"), st.integers(0, 12), st.none(), st.none()),
        st.tuples(st.just("wait"), st.integers(1, 30), st.none(), st.none()),
    ),
    max_size=60,
)


@given(STEPS)
def test_change_by_change_is_the_same_as_all_at_once(steps: list[tuple[str, int, tuple[Scope, str, int] | None, int | None]]) -> None:
    table, record, edge, now_ms = EdgeTable(), dict[str, Block](), dict[Place, str](), NOW_MS
    for verb, number, target, seconds in steps:
        block_id = f"b-{number}"
        changed = set[Place]()
        if verb == "put" and target is not None and seconds is not None:
            if block_id not in record:  # Ids are never used again.
                made = block(
                    target[0],
                    target[1],
                    block_id=block_id,
                    destination_class=target[2],
                    imposed_ms=now_ms,
                    until_ms=now_ms + seconds * 1000,
                )
                record[block_id] = made
                changed = table.put(made, now_ms)
        elif verb == "lift" and block_id in record:
            record[block_id] = replace(record[block_id], state="lifted")
            changed = table.put(record[block_id], now_ms)
        elif verb == "drop":
            if record.pop(block_id, None) is not None:
                record[block_id] = replace(block(block_id=block_id), state="expired")
                changed = table.drop(block_id, now_ms)
        elif verb == "wait":
            now_ms += number * 1000
            changed = table.advance(now_ms)
        for place in changed:  # A connector that sends what it is told and nothing else ...
            held = table.held(place)
            if held is None:
                edge.pop(place, None)
            else:
                edge[place] = held.value
        wanted = project(record.values(), now_ms)
        assert edge == {place: held.value for place, held in wanted.items()}  # ... has an edge that agrees.
        assert {place: table.held(place) for place in table.places()} == wanted
        assert len(table) == len(wanted)
        for held in wanted.values():
            assert held.until_ms > now_ms
            assert int(held.value.split("|")[1]) * 1000 <= held.until_ms
        difference = differences({place: held.value for place, held in wanted.items()}, edge)
        assert difference == ((), ())


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("xyz")),
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("xyz")),
)
def test_repairing_the_differences_gives_agreement(wanted_keys: dict[str, str], found_keys: dict[str, str]) -> None:
    wanted = {Place("rf_0", key): value for key, value in wanted_keys.items()}
    found = {Place("rf_0", key): value for key, value in found_keys.items()}
    difference = differences(wanted, found)
    repaired = {place: value for place, value in found.items() if place not in difference.foreign}
    repaired.update({place: wanted[place] for place in difference.missing})
    assert repaired == wanted
