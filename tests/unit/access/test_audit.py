"""The links of the audit chain."""

from hypothesis import given
from hypothesis import strategies as st

from ringfence.access.audit import GENESIS, canonical_detail, link

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ENTRY = st.fixed_dictionaries(
    {"entry_id": st.integers(1, 2**60), "at_ms": st.integers(0, 2**50), "actor": TEXT, "action": TEXT, "subject": TEXT, "detail": TEXT}
)


@given(ENTRY, ENTRY)
def test_two_entries_share_a_digest_only_when_they_are_equal(one: dict[str, str | int], other: dict[str, str | int]) -> None:
    assert (link(GENESIS, **one) == link(GENESIS, **other)) == (one == other)  # type: ignore[arg-type]


@given(ENTRY, TEXT)
def test_moving_text_between_fields_changes_the_digest(entry: dict[str, str | int], more: str) -> None:
    joined = {**entry, "actor": f"{entry['actor']}{more}"}
    split = {**entry, "action": f"{more}{entry['action']}"}
    assert (link(GENESIS, **joined) == link(GENESIS, **split)) == (not more)  # type: ignore[arg-type]


def test_a_digest_depends_on_the_one_before() -> None:
    first = link(GENESIS, entry_id=1, at_ms=5, actor="anna", action="look", subject="b-1", detail="{}")
    assert first != link(first, entry_id=1, at_ms=5, actor="anna", action="look", subject="b-1", detail="{}")


def test_detail_has_one_text() -> None:
    assert canonical_detail({"b": 1, "a": "ü"}) == canonical_detail({"a": "ü", "b": 1}) == '{"a":"ü","b":1}'
