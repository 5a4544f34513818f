from hypothesis import given
from hypothesis import strategies as st

from ringfence.base.ids import SLOTS, derived_id, encode_id, keyed_hash, new_id, new_token, slot_of

KEY = b"0123456789abcdef"


@given(st.lists(st.text(), min_size=1, max_size=4), st.lists(st.text(), min_size=1, max_size=4))
def test_derived_ids_agree_exactly_when_their_parts_do(left: list[str], right: list[str]) -> None:
    assert (derived_id("a", *left) == derived_id("a", *right)) == (left == right)


@given(st.text(), st.text())
def test_keyed_hash_is_a_signed_64_bit_number_and_never_zero(first: str, second: str) -> None:
    value = keyed_hash(KEY, first, second)
    assert -(2**63) <= value < 2**63
    assert value != 0
    assert 0 <= slot_of(value) < SLOTS


def test_parts_do_not_run_into_each_other() -> None:
    assert keyed_hash(KEY, "ab", "c") != keyed_hash(KEY, "a", "bc")
    assert keyed_hash(KEY, "a") != keyed_hash(b"another", "a")


def test_fresh_ids_differ_and_keep_their_prefix() -> None:
    ids = {new_id("b") for _ in range(1000)}
    assert len(ids) == 1000
    assert all(one.startswith("b-") and len(one) == 18 for one in ids)
    assert len(new_token()) == 32


def test_encoding_keeps_leading_zeros_and_uses_no_look_alikes() -> None:
    assert encode_id(b"\x00" * 10) == "0" * 16
    assert not set(encode_id(bytes(range(256)))) & set("ilou")
