"""Rule sets: what is refused and where, and what limits hold for whom."""

import pytest

from ringfence.base.errors import OperatorError
from ringfence.detection.agent import built_in_rules
from ringfence.detection.layout import MINUTE, NEVER, PROFILE_WORDS, THRESHOLD_ROW, Detector
from ringfence.detection.rules import MAX_RULES_CHARACTERS, Profile, limit_of, profile_words, read_rules

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


def test_the_built_in_rules_name_every_detector_and_only_propose_or_observe() -> None:
    rules = read_rules(built_in_rules())
    assert set(rules.rules) == set(Detector)
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
    rules = read_rules(built_in_rules())
    for detector in (Detector.D06, Detector.D07, Detector.D09, Detector.D12):
        for variant in range(4):
            assert limit_of(rules.rules[detector], Profile(sensitivity=100), 1, variant) >= 2
    assert limit_of(rules.rules[Detector.D07], Profile(), 0, 0) == 1


def test_all_calls_of_a_business_are_measured_by_its_channels() -> None:
    rule = read_rules(built_in_rules()).rules[Detector.D08]
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
