"""The quirk table: rows in order, versions in natural order, mistakes with their line."""

import pytest

from ringfence.base.errors import OperatorError
from ringfence.protocols.cwmp import DEFAULT, Quirks, built_in, read_quirks
from ringfence.protocols.cwmp.quirks import EndingStyle, Literal


def refused(toml: str) -> str:
    with pytest.raises(OperatorError) as caught:
        read_quirks(toml)
    assert caught.value.reason == "quirks"
    return str(caught.value)


def test_the_built_in_table_reads_and_says_where_each_row_was_seen() -> None:
    table = built_in()
    assert len(table) >= 5
    assert all(len(row.reason) > 20 for row in table.rows)
    assert table.of("00147F", "SpeedTouch 780", "6.2").ending is EndingStyle.EMPTY
    assert table.of("FFFFFF", "netcwmp", "").xml_declaration is False
    assert table.of("00259e", "HG8245", "").xml_declaration
    assert table.of("FFFFFF", "DTBox1", "").next_level is Literal.NUMBER
    assert table.of("00507F", "Vigor2860", "").batch_values == 8
    assert table.of("FFFFFF", "Other", "1") == DEFAULT


def test_the_operators_rows_win_field_by_field() -> None:
    own = read_quirks('[[device]]\nreason = "ours"\nproduct_class = "SpeedTouch*"\nquirks = { batch_values = 4 }')
    quirks = built_in().with_rows_of(own).of("00147F", "SpeedTouch 780", "")
    assert quirks == Quirks(ending=EndingStyle.EMPTY, batch_values=4)


@pytest.mark.parametrize(
    ("version", "fits"),
    [("7.8", False), ("7.9", True), ("7.10", True), ("7.28.9", True), ("7.29", False), ("8", False), ("", False)],
)
def test_versions_are_compared_in_natural_order(version: str, fits: bool) -> None:
    table = read_quirks('[[device]]\nreason = "r"\nfrom_version = "7.9"\nbelow_version = "7.29"\nquirks = { cookie = false }')
    assert table.of("", "", version).cookie is not fits


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("[[device]\n", "at line 1"),
        ('[[device]]\nreason = "r"\n\n[devices]\n', "Line 4 of the quirk table: only [[device]] is known, not 'devices'"),
        ("[[device]]\nquirks = { cookie = true }\n", "Line 1 of the quirk table: Object missing required field `reason`"),
        ('[[device]]\nreason = "r"\n', "missing required field `quirks`"),
        ('[[device]]\nreason = " "\nquirks = {}\n', "Line 2 of the quirk table: say for which device and why"),
        ('\n[[device]]\nreason = "a"\nquirks = {}\n[[device]]\nreason = "b"\nvendor = "AVM"\nquirks = {}\n', "Line 7 of the quirk table"),
        ('[[device]]\nreason = "r"\n[device.quirks]\ncookies = false\n', "Line 4 of the quirk table: Object contains unknown field `cookies`"),
        ('[[device]]\nreason = "r"\n[device.quirks]\nending = "never"\n', "Line 4 of the quirk table: Invalid enum value 'never'"),
        ('[[device]]\nreason = "r"\n[device.quirks]\nbatch_values = 0\n', "Line 4 of the quirk table: batch_values goes from 1 to 1024"),
        ('[[device]]\nreason = "r"\n[device.quirks]\ncookie = "no"\n', "Line 4 of the quirk table: Expected `bool`"),
        ('[[device]]\nreason = "r"\noui = ["00040e"]\nquirks = {}\n', "Line 3 of the quirk table: an OUI is six hexadecimal digits"),
        ('device = "all"', "a list of at most"),
        ("#" * 300_000, "more than 262144 characters"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_line_and_reason(toml: str, says: str) -> None:
    assert says in refused(toml)
