import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.base.errors import OperatorError
from ringfence.base.secret import Secret
from ringfence.enforcement.denies import STATIC_DENIES
from ringfence.enforcement.kamailio import DENIED, MAX_CLASS_PREFIXES, EdgeDefinition, class_table, paste_lines, settings_file
from ringfence.telephony.emergency import corpus
from ringfence.telephony.numbers import plan_for

EDGE = EdgeDefinition(
    name="kamailio-1",
    hep_address=("127.0.0.1", 9060),
    hep_key=Secret("hep-key-0123456789"),
    capture_id=7,
    rpc_address=("127.0.0.1", 5065),
    rpc_token=Secret("rpc-token-0123456789"),
    rpc_sources=("127.0.0.1", "10.0.0.5"),
    dialog_key=Secret("dialog-key-0123456789"),
    plan=plan_for("DE", ["30"]),
    emergency=("110", "112"),
    classes={"1": 2, "33": 2, "232": 4},
    hotline="49309990000",
)


def test_the_settings_hold_what_the_include_reads() -> None:
    text = settings_file(EDGE)
    for line in (
        '#!define RF_EDGE "kamailio-1"',
        "#!define RF_CAPTURE_ID 7",
        '#!define RF_HEP_URI "sip:127.0.0.1:9060"',
        '#!define RF_HEP_KEY "hep-key-0123456789"',
        '#!define RF_RPC_ADDRESS "127.0.0.1"',
        "#!define RF_RPC_PORT 5065",
        '#!define RF_RPC_TOKEN "rpc-token-0123456789"',
        '#!define RF_DIALOG_KEY "dialog-key-0123456789"',
        '#!define RF_HOTLINE "49309990000"',
        "listen=tcp:127.0.0.1:5065",
    ):
        assert line in text.splitlines()
    assert 'if ($si == "127.0.0.1" || $si == "10.0.0.5")' in text
    assert "+49309990000" in text


def test_without_a_key_there_is_no_key_and_without_a_hotline_no_number_passes() -> None:
    text = settings_file(replace(EDGE, hep_key=None, hotline=""))
    assert "RF_HEP_KEY" not in text
    assert '#!define RF_HOTLINE "none"' in text


def test_an_ipv6_listener_stands_in_brackets_and_is_compared_without() -> None:
    text = settings_file(replace(EDGE, rpc_address=("::1", 5065)))
    assert "listen=tcp:[::1]:5065" in text
    assert '#!define RF_RPC_ADDRESS "::1"' in text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": 'x"; core.kill'}, "bad_setting"),
        ({"name": ""}, "bad_setting"),
        ({"rpc_token": Secret("short")}, "bad_setting"),
        ({"rpc_token": Secret('with "quotes" and\nlines')}, "bad_setting"),
        ({"hep_key": Secret("a" * 129)}, "bad_setting"),
        ({"dialog_key": Secret("")}, "bad_setting"),
        ({"hotline": "+49301"}, "bad_setting"),
        ({"announcement": 'say "no"'}, "bad_setting"),
        ({"announcement": "line\r\nInjected: header"}, "bad_setting"),
        ({"announcement": "x" * 161}, "bad_setting"),
        ({"hep_address": ("collector.example.net", 9060)}, "bad_setting"),
        ({"hep_address": ("127.0.0.1", 0)}, "bad_setting"),
        ({"rpc_address": ("8.8.8.8", 5065)}, "rpc_public"),
        ({"rpc_sources": ()}, "bad_setting"),
        ({"rpc_sources": ("10.0.0.0/8",)}, "bad_setting"),
        ({"capture_id": 0}, "bad_setting"),
        ({"classes": {"232": 6}}, "bad_class"),
        ({"classes": {"+232": 3}}, "bad_prefix"),
        ({"classes": {"0049": 3}}, "bad_prefix"),
        ({"emergency": ("one",)}, "emergency_list"),
    ],
)
def test_what_cannot_stand_in_a_configuration_is_refused_in_one_sentence(change: dict[str, object], reason: str) -> None:
    with pytest.raises(OperatorError) as refusal:
        settings_file(replace(EDGE, **change))  # type: ignore[arg-type]
    assert refusal.value.reason == reason
    secrets = [value.open() for value in change.values() if isinstance(value, Secret) and value]
    assert not any(secret in str(refusal.value) for secret in secrets)


def test_the_default_denies_never_cover_a_whole_country_nor_the_own() -> None:
    table = class_table({}, STATIC_DENIES, home="44")
    assert "4470" not in table
    assert table["49900"] == DENIED
    assert class_table({}, STATIC_DENIES, home="49").get("49900") is None


def test_a_cheap_prefix_opens_no_hole_in_a_denied_range() -> None:
    table = class_table({"881": 5, "8816": 2, "88": 3}, ("881",), home="49")
    assert table == {"88": 3, "881": DENIED}


def test_a_table_that_is_too_long_is_refused() -> None:
    classes = {str(10_000 + number): 2 + number % 2 for number in range(MAX_CLASS_PREFIXES + 1)}
    with pytest.raises(OperatorError, match="fewer"):
        class_table(classes, (), home="49")


PREFIXES = st.dictionaries(st.from_regex(r"[1-9][0-9]{0,4}", fullmatch=True), st.integers(0, 5), max_size=40)


@given(PREFIXES, st.lists(st.from_regex(r"[1-9][0-9]{2,4}", fullmatch=True), max_size=5), st.from_regex(r"[1-9][0-9]{5}", fullmatch=True))
def test_the_short_table_answers_as_the_long_one(classes: dict[str, int], denies: list[str], number: str) -> None:
    def longest(table: dict[str, int]) -> int | None:
        return next((table[number[:length]] for length in range(6, 0, -1) if number[:length] in table), None)

    table = class_table(classes, denies, home="49")
    denied = any(number.startswith(deny) for deny in denies if not deny.startswith("49"))
    assert longest(table) == (DENIED if denied else longest(classes))


def test_the_short_cut_before_the_emergency_patterns_misses_no_spelling() -> None:
    """The route returns early for plain digits with another ending; no spelling of an emergency call may be such."""
    text = settings_file(EDGE)
    short_cut = re.search(r'if \(\$rU =~ "([^"]+)" && !\(\$rU =~ "([^"]+)"\)\) return;', text)
    assert short_cut is not None
    plain, ending = re.compile(short_cut[1]), re.compile(short_cut[2])
    uris = [uri for uri in corpus("49", ["30"], ["110", "112"]) if not uri.lower().startswith("urn:")]
    users = [uri.partition(":")[2].partition("@")[0].partition(";")[0] for uri in uris]
    assert sum(1 for user in users if plain.search(user)) > 20
    assert all(ending.search(user) for user in users if plain.search(user))


def test_the_filling_stays_under_the_bound_of_loops() -> None:
    text = settings_file(replace(EDGE, classes={str(10_000 + number): 2 + number % 2 for number in range(4_000)}))
    chunks = re.findall(r'\$var\(rf_items\) = "([^"]*)";', text)
    assert sum(chunk.count(";") for chunk in chunks) > 4_000
    assert max(chunk.count(";") for chunk in chunks) <= 50


def test_the_lines_to_paste_name_both_files_settings_first() -> None:
    lines = paste_lines("/etc/kamailio/ringfence.cfg", "/etc/kamailio/ringfence-settings.cfg")
    assert lines.index('include_file "/etc/kamailio/ringfence-settings.cfg"') < lines.index('include_file "/etc/kamailio/ringfence.cfg"')
    for route in ("RF_EARLY", "RF_AUTH_OK", "RF_AUTH_FAIL"):
        assert f"route({route});" in lines
