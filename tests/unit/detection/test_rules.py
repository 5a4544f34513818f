"""Rule sets: what is refused and where, and what limits hold for whom."""

import pytest

from ringfence.base.errors import OperatorError
from ringfence.detection.agent import built_in_rules
from ringfence.detection.layout import MINUTE, NEVER, PROFILE_WORDS, SIGNAL_DETECTORS, THRESHOLD_ROW, Detector
from ringfence.detection.rule_book import rule_specs
from ringfence.detection.rules import MAX_RULES_CHARACTERS, SEGMENTS, Profile, limit_of, profile_words, read_rules, rule_toml
from tests.unit.detection.published import published_rules

D02 = """\
version = 3

[rules.D02]
name = "Cost"
mode = "act"
residential = { warn = 8, act = 20 }
business = { warn = 30.50, act = 80 }
trunk = { warn = 30, act = 80 }
off_hours = 50
new_account = 50
"""
CENT = 10_000 * MINUTE

D00 = """\
version = 3

[rules.D00]
name = "Together"
mode = "act"
open = 30
half_life = 90
false_block = { residential = 12.50, business = 150, trunk = 200 }
"""


def test_the_built_in_rules_name_every_detector_and_only_propose_or_observe() -> None:
    rules = read_rules(built_in_rules())
    assert set(rules.rules) == set(Detector) - set(SIGNAL_DETECTORS)
    assert all(rules.has(detector.name) for detector in Detector)
    assert {rule.mode for rule in rules.rules.values()} == {"propose", "observe"}


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ("version = 3", "", 1, "rules_version"),
        ("version = 3", "version = true", 1, "rules_version"),
        ("version = 3", "version = 0", 1, "rules_version"),
        ("version = 3", "version = 3\nauthor = 'x'", 2, "unknown_key"),
        ("[rules.D02]", "[rules.D99]", 3, "unknown_rule"),
        ('mode = "act"', 'mode = "kill"', 5, "bad_mode"),
        ('name = "Cost"', 'name = ""', 4, "bad_name"),
        ("off_hours = 50", "offhours = 50", 9, "unknown_key"),
        ("off_hours = 50", "off_hours = 0", 9, "bad_factor"),
        ("new_account = 50", "new_account = 101", 10, "bad_factor"),
        ("residential = { warn = 8, act = 20 }\n", "", 3, "missing_limit"),
        ("warn = 8, act = 20", "warn = 8", 6, "missing_limit"),
        ("warn = 8, act = 20", "warn = 8, act = 20, x = 1", 6, "unknown_key"),
        ("warn = 8, act = 20", "warn = -8, act = 20", 6, "negative_limit"),
        ("warn = 8, act = 20", "warn = 0, act = 20", 6, "negative_limit"),
        ("warn = 8, act = 20", "warn = 8.005, act = 20", 6, "bad_limit"),
        ("warn = 8, act = 20", "warn = inf, act = 20", 6, "bad_limit"),
        ("warn = 8, act = 20", 'warn = "channels", act = 20', 6, "bad_limit"),
        ("warn = 8, act = 20", "warn = 21, act = 20", 6, "warn_above_act"),
        ("business = { warn = 30.50, act = 80 }", "business = 30", 7, "bad_limit"),
    ],
)
def test_a_mistake_is_refused_with_its_line(old: str, new: str, line: int, reason: str) -> None:
    assert old in D02
    with pytest.raises(OperatorError, match=rf"^line {line} of the rules: ") as caught:
        read_rules(D02.replace(old, new))
    assert caught.value.reason == reason


def test_two_tables_of_one_rule_and_broken_toml_are_refused() -> None:
    with pytest.raises(OperatorError, match=r"twice.*line 12") as caught:
        read_rules(D02 + "\n[rules.D02]\n")
    assert caught.value.reason == "duplicate_rule"
    with pytest.raises(OperatorError, match="line 2"):
        read_rules("version = 1\nmode: act\n")
    with pytest.raises(OperatorError, match="no rule"):
        read_rules("version = 1")
    with pytest.raises(OperatorError, match="at the most"):
        read_rules("#" * (MAX_RULES_CHARACTERS + 1))


@pytest.mark.parametrize(
    ("profile", "variant", "cents"),
    [
        (Profile(), 0, 800),
        (Profile(), 2, 400),
        (Profile(), 3, 200),
        (Profile(sensitivity=100), 0, 400),
        (Profile(sensitivity=1), 0, 796),
        (Profile(segment="business", channels=8), 1, 1_525),
        (Profile(segment="trunk", channels=3), 0, 3_000),
        (Profile(segment="trunk", channels=100), 0, 30_000),
    ],
)
def test_cost_limits_shrink_by_occasion_age_and_sensitivity(profile: Profile, variant: int, cents: int) -> None:
    assert limit_of(read_rules(D02).rules[Detector.D02], profile, 0, variant) == cents * CENT


def test_one_call_alone_is_never_enough_to_act_on_a_count() -> None:
    rules = read_rules(published_rules())
    for detector in (Detector.D06, Detector.D07, Detector.D09, Detector.D12):
        for variant in range(4):
            assert limit_of(rules.rules[detector], Profile(sensitivity=100), 1, variant) >= 2
    assert limit_of(rules.rules[Detector.D07], Profile(), 0, 0) == 1


def test_all_calls_of_a_business_are_measured_by_its_channels() -> None:
    rule = read_rules(published_rules()).rules[Detector.D08]
    assert [limit_of(rule, Profile(segment="business", channels=channels), place, 0) for channels in (1, 10) for place in (0, 1)] == [
        4,
        6,
        10,
        12,
    ]


def test_a_missing_rule_is_never_reached_and_exemption_travels_with_the_profile() -> None:
    words = profile_words(read_rules(D02), Profile(exempt_until_ms=77))
    assert len(words) == PROFILE_WORDS
    assert words[2 * Detector.D01] == NEVER
    assert words[2 * Detector.D02] == 800 * CENT
    assert words[THRESHOLD_ROW * 2 - 1] == 77


def test_the_built_in_file_holds_every_rule_of_the_book_with_its_defaults() -> None:
    rules, text = read_rules(built_in_rules()), built_in_rules()
    specs = {name: spec for name, spec in rule_specs().items() if name not in Detector.__members__}
    assert "D00" in specs
    missing = [rule_toml(spec) for spec in specs.values() if rule_toml(spec) not in text + "\n"]
    assert not missing, "default.toml lacks or changes these tables:\n" + "\n".join(missing)
    assert set(rules.chosen) == set(rule_specs())
    assert all(rules.has(rule_id) and rules.mode(rule_id) in ("observe", "propose") for rule_id in specs)


def test_defaults_are_within_their_bounds_and_readable_in_the_file() -> None:
    for spec in rule_specs().values():
        if spec.rule in Detector.__members__:
            continue
        read = read_rules(f"version = 1\n\n{rule_toml(spec)}")
        assert (read.name(spec.rule), read.mode(spec.rule)) == (spec.name, spec.mode)
        for parameter in spec.parameters:
            default = parameter.default
            for segment in SEGMENTS:
                assert read.value(spec.rule, parameter.name, segment) == (default if isinstance(default, int) else default[segment])


def test_parameters_outside_the_kernel_are_read_in_their_units() -> None:
    rules = read_rules(D00)
    assert rules.has("D00")
    assert not rules.has("D02")
    assert (rules.mode("D00"), rules.name("D00"), rules.mode("D02")) == ("act", "Together", "observe")
    assert rules.value("D00", "open") == 30
    assert rules.value("D00", "act", "trunk") == 75  # left out: the default
    assert rules.value("D00", "half_life") == 90 * MINUTE
    assert [rules.value("D00", "false_block", segment) for segment in SEGMENTS] == [12_500_000, 150_000_000, 200_000_000]
    assert read_rules(D02).value("D00", "open") == 55
    with pytest.raises(KeyError):
        rules.value("D00", "opne")


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ("[rules.D00]", "[rules.D0]", 3, "unknown_rule"),
        ("open = 30", "opne = 30", 6, "unknown_key"),
        ("open = 30", "open = -30", 6, "negative_limit"),
        ("open = 30", "open = 100", 6, "out_of_bounds"),
        ("open = 30", "open = 30.5", 6, "bad_limit"),
        ("open = 30", "open = true", 6, "bad_limit"),
        ("open = 30", "open = { residential = 1, business = 1, trunk = 1 }", 6, "bad_limit"),
        ('mode = "act"', 'mode = "kill"', 5, "bad_mode"),
        ("residential = 12.50", "residential = 12.505", 8, "bad_limit"),
        ("residential = 12.50, ", "", 8, "missing_limit"),
        ("residential = 12.50", "private = 12.50", 8, "unknown_key"),
    ],
)
def test_a_mistake_outside_the_kernel_is_refused_with_its_line_too(old: str, new: str, line: int, reason: str) -> None:
    assert old in D00
    with pytest.raises(OperatorError, match=rf"^line {line} of the rules: ") as caught:
        read_rules(D00.replace(old, new))
    assert caught.value.reason == reason


def test_a_count_that_nothing_reaches_is_refused() -> None:
    for detector, most in (("D12", 260), ("D14", 1_000), ("D21", 16_383)):
        text = D02.replace("D02", detector).replace("30.50", "31")
        read_rules(text.replace("act = 80", f"act = {most}"))
        with pytest.raises(OperatorError, match=rf"line 7.*never counts more than {most:,}") as caught:
            read_rules(text.replace("act = 80", f"act = {most + 1}"))
        assert caught.value.reason == "never_holds"
