"""Account takeover as people know it: ordinary lives that must stay silent, thefts that must not."""

from collections.abc import Iterable
from typing import Any

import pytest

from ringfence.detection.findings import ACT, SIGNAL, WARN, Finding
from ringfence.detection.identity import RULES, IdentityEngine
from ringfence.detection.identity_layout import DAY, HOUR, MINUTE
from ringfence.detection.identity_places import cell_of, kilometres, place_words
from ringfence.detection.rules import read_rules
from ringfence.telephony.columns import batch_of
from ringfence.telephony.control import AccountChanged, BlockReleased, HolidaysChanged, RuleSetChanged
from ringfence.telephony.model import AccountRow, Flag, Kind, NetworkKind, country_code
from tests.unit.detection.published import published_rules

RULE_SET = read_rules(published_rules())
START = 1_790_020_800_000
KEY = 0x1234_5678_9ABC_DEF0
BOX, SOFTPHONE, TOOL = "FRITZ!Box 7590", "Zoiper", "sipcli"
ANNA = "+4930123"


def key_of(name: str) -> int:
    return int.from_bytes(name.encode()[-7:].rjust(7, b"\1")) * 0x9E3779B97F4A7C15 % 2**63


class Line:
    """One customer's line: what it does, and what is found."""

    def __init__(self, **account: Any) -> None:
        self.engine = IdentityEngine(RULE_SET)
        self.sequence = 0
        self.found: list[Finding] = []
        if account:
            self.engine.control(AccountChanged(account=ANNA, account_key=KEY, slot=0, **account))

    def row(
        self,
        at: int,
        kind: Kind,
        *,
        where: str = "own",
        country: str = "DE",
        land: str = "",
        by: str = BOX,
        address: str = "1",
        **fields: Any,
    ) -> list[Finding]:
        self.sequence += 1
        found = self.engine.feed(
            batch_of(
                [
                    AccountRow(
                        kind=kind,
                        at_ms=at,
                        received_ms=at,
                        account=ANNA,
                        account_key=fields.pop("account_key", KEY),
                        network_kind={"own": NetworkKind.OWN_POOL, "cgnat": NetworkKind.CGNAT}.get(where, NetworkKind.FOREIGN),
                        network="AS64496" if where == "own" else where,
                        network_key=key_of(where),
                        source_country=country_code(country),
                        country=country_code(land),
                        source_ip=f"198.51.100.{address}" if where == "own" else f"203.0.113.{address}",
                        source_key=key_of(f"{where}{address}"),
                        family_key=key_of(by),
                        user_agent=by,
                        **fields,
                    )
                ]
            ),
            self.sequence,
        )
        self.found += found
        return found

    def register(self, at: int, **fields: Any) -> list[Finding]:
        fields.setdefault("contact", f"sip:{fields.get('by', BOX)}@{fields.get('where', 'own')}.{fields.get('address', '1')}")
        return self.row(at, Kind.REGISTRATION, **{"status_code": 200, "expires": 3600, **fields})

    def call(self, at: int, *, level: int = 1, to: str = "+4940555000", land: str = "DE", **fields: Any) -> list[Finding]:
        return self.row(
            at,
            Kind.ATTEMPT,
            **{
                "destination_class": level,
                "callee": to,
                "land": land,
                "call_id": f"call-{at}",
                "started_ms": at,
                **fields,
            },
        )

    def live_at_home(self, days: Iterable[int]) -> None:
        """A box that registers in the morning, from a new address each, and calls somebody."""
        for day in days:
            self.register(START + day * DAY, address=str(day % 200))
            self.call(START + day * DAY + 9 * HOUR, address=str(day % 200))


def rules(found: Iterable[Finding]) -> list[tuple[str, int]]:
    return [(finding.rule, finding.level) for finding in found]


# Ordinary lives


def test_nightly_address_change() -> None:
    line = Line()
    line.live_at_home(range(120))
    assert line.found == []
    assert line.engine.figures()["identity_slots"] == 0


def test_device_swap() -> None:
    line = Line()
    line.live_at_home(range(60))
    assert [finding.score for finding in line.register(START + 60 * DAY, by="Speedport")] == [15]
    for day in range(60, 160):
        assert line.register(START + day * DAY + HOUR, by="Speedport") == []
        assert line.call(START + day * DAY + 2 * HOUR, by="Speedport", level=3 if day > 75 else 1, land="TR") == []
    line.engine.tick(START + 162 * DAY)
    for hour in range(25):
        line.engine.tick(START + 162 * DAY + hour * HOUR)
    assert line.engine.figures()["identity_slots"] == 0, "the old box is forgotten, and the line needs no memory of its own again"


def test_packing_waits_until_the_day_of_change_cannot_matter() -> None:
    line = Line()
    line.live_at_home(range(1))
    for day in (20, 108, 109):
        line.register(START + day * DAY, by="Speedport")
    for hour in range(48):
        line.engine.tick(START + 111 * DAY + hour * HOUR)
    assert line.engine.figures()["identity_slots"] == 1, "the old box is forgotten, the new one known since a few days"
    for hour in range(25):
        line.engine.tick(START + 125 * DAY + hour * HOUR)
    assert line.engine.figures()["identity_slots"] == 0


def test_cgnat_of_the_operator_is_home() -> None:
    line = Line()
    line.live_at_home(range(40))
    for hour in range(100):
        assert line.register(START + 40 * DAY + hour * HOUR, where="cgnat", address=str(hour)) == []
        assert line.call(START + 40 * DAY + hour * HOUR + MINUTE, where="cgnat", address=str(hour + 50), level=4, land="TR") == []
    assert line.engine.figures()["identity_slots"] == 0


def test_mobile_link_with_many_addresses_of_one_network() -> None:
    line = Line()
    line.live_at_home(range(40))
    first = line.register(START + 40 * DAY, where="AS64500", by=SOFTPHONE)
    assert rules(first) == [("D30", SIGNAL), ("D31", SIGNAL)]
    assert [finding.score for finding in first] == [15, 15]
    for hop in range(1, 200):
        at = START + 40 * DAY + hop * 10 * MINUTE
        assert line.register(at, where="AS64500", by=SOFTPHONE, address=str(hop)) == []
        assert line.call(at + MINUTE, where="AS64500", by=SOFTPHONE, address=str(hop + 1)) == []


def test_someone_who_moves_about_is_no_news_after_a_while() -> None:
    line = Line()
    line.live_at_home(range(40))
    at = START + 40 * DAY
    for network in range(4):
        for _day in range(9):
            line.register(at, where=f"AS6450{network}", by=SOFTPHONE)
            at += DAY
    line.found.clear()
    assert line.register(at, where="AS64509", by=SOFTPHONE) == []
    assert rules(line.register(at + MINUTE, where="AS64510", country="CN", by=SOFTPHONE))[0] == ("D30", SIGNAL)


def test_traveller_is_a_signal_once_and_at_home_there_the_next_time() -> None:
    line = Line()
    line.live_at_home(range(40))
    first = line.register(START + 40 * DAY + 20 * HOUR, where="AS64511", country="ES", by=BOX)
    assert [(finding.rule, finding.score) for finding in first] == [("D30", 25)], "half a day is a plausible journey"
    for day in range(41, 55):
        assert line.call(START + day * DAY, where="AS64511", country="ES") == []
    line.live_at_home(range(56, 100))
    second = line.register(START + 101 * DAY, where="AS64512", country="ES")
    assert [(finding.rule, finding.score) for finding in second] == [("D30", 15)], "the country is known by now"
    assert {finding.rule for finding in line.found} == {"D30"}


def test_second_phone_at_home_is_one_small_signal() -> None:
    line = Line()
    line.live_at_home(range(40))
    assert [(finding.rule, finding.score) for finding in line.register(START + 40 * DAY, by="Gigaset")] == [("D31", 15)]
    for day in range(40, 80):
        assert line.register(START + day * DAY + HOUR, by="Gigaset") == []
        assert line.register(START + day * DAY + 2 * HOUR) == []


def test_exchange_by_address_that_never_registers() -> None:
    line = Line(segment="trunk", channels=30)
    for hour in range(24 * 40):
        line.call(START + hour * HOUR, where="AS64520", by="Asterisk", level=3 if hour % 5 == 0 else 1, flags=int(Flag.USER_MISMATCH))
    assert rules(line.found) == [("D37", SIGNAL)], "an exchange that shows its customers' numbers is told once"


def test_border_resident_flips_between_two_countries() -> None:
    line = Line()
    line.live_at_home(range(10))
    for minute in range(0, 600, 10):
        line.register(START + 10 * DAY + minute * MINUTE, where="AS64530", country="NL")
        line.register(START + 10 * DAY + (minute + 5) * MINUTE)
    assert rules(line.found) == [("D30", SIGNAL)]


def test_forwarded_leg_says_nothing_about_devices() -> None:
    line = Line()
    line.live_at_home(range(40))
    assert line.call(START + 41 * DAY, level=4, where="AS64540", country="CN", flags=int(Flag.FORWARDED)) == []


def test_refused_credentials_never_count_for_the_account() -> None:
    line = Line()
    line.live_at_home(range(40))
    assert (
        line.row(START + 41 * DAY, Kind.AUTH_FAILURE, where="AS64540", country="CN", by=TOOL, status_code=401, flags=int(Flag.SCANNER))
        == []
    )
    assert line.register(START + 41 * DAY, where="AS64540", country="CN", by=TOOL, status_code=403) == []
    assert line.engine.figures()["identity_slots"] == 0


def test_new_installation_learns_silently_but_not_beside_a_home() -> None:
    nomad, homely = Line(), Line()
    for day in range(7):
        nomad.register(START + day * DAY, where=f"AS6455{day % 3}", by=SOFTPHONE)
    assert nomad.found == []
    homely.register(START)
    assert rules(homely.register(START + DAY + HOUR, where="AS64550")) == [("D30", SIGNAL)]


# Thefts


def test_credential_theft_abroad_then_call_within_half_an_hour() -> None:
    line = Line()
    line.live_at_home(range(40))
    theft = START + 40 * DAY + 20 * HOUR
    signals = line.register(theft, where="AS64560", country="RU", by=TOOL)
    assert rules(signals) == [("D30", SIGNAL), ("D31", SIGNAL)]
    call = line.call(theft + 4 * MINUTE, level=4, to="+23276123456", land="SL", where="AS64560", country="RU", by=TOOL)
    assert rules(call) == [("D36", ACT)]
    found = call[0]
    assert found.hard
    assert [(measure.scope, measure.value, measure.destination_class) for measure in found.measures] == [("class", ANNA, 3)]
    assert found.calls == (f"call-{theft + 4 * MINUTE}",)
    assert found.reason == (
        "Expensive call to +23276123456 (Sierra Leone) 4 minutes after this account's first use from AS64560 in Russia (203.0.113.1)"
        ' and first use of "sipcli", its first expensive call in a month or more (70 points)'
    )
    assert found.observed_more["networks"] == ["AS64560"]
    assert found.observed_more["ranges"] == ["23276123"]


def test_call_without_a_registration_acts_at_its_first_row() -> None:
    line = Line()
    line.live_at_home(range(40))
    call = line.call(START + 40 * DAY + 20 * HOUR, level=3, to="+23276123456", land="SL", where="AS64560", country="RU")
    assert rules(call) == [("D30", SIGNAL), ("D34", SIGNAL), ("D36", ACT)]


def test_call_from_home_is_not_the_thiefs() -> None:
    line = Line()
    line.live_at_home(range(40))
    line.register(START + 40 * DAY + 20 * HOUR, where="AS64560", country="RU", by=TOOL)
    assert "D36" not in {
        finding.rule for finding in line.call(START + 40 * DAY + 20 * HOUR + MINUTE, level=3, to="+905321234567", land="TR")
    }


def test_second_phone_of_a_thief_at_the_customers_own_address() -> None:
    line = Line()
    line.live_at_home(range(40))
    line.register(START + 40 * DAY, by=SOFTPHONE)
    assert rules(line.call(START + 40 * DAY + 10 * MINUTE, level=4, to="+23276123456", by=SOFTPHONE)) == [("D36", ACT)]


def test_habitual_caller_with_a_new_box_is_warned_of_and_not_blocked() -> None:
    line = Line()
    line.live_at_home(range(40))
    line.call(START + 39 * DAY + 10 * HOUR, level=3, to="+905321234567", land="TR")
    line.register(START + 40 * DAY, by="Speedport")
    call = line.call(START + 40 * DAY + 10 * MINUTE, level=3, to="+905321234567", land="TR", by="Speedport")
    assert rules(call) == [("D36", WARN)]
    assert call[0].measures == ()


def test_attacker_who_waits() -> None:
    line = Line()
    line.live_at_home(range(40))
    theft = START + 40 * DAY + 20 * HOUR
    line.register(theft, where="AS64560", country="RU", by=TOOL)
    for day in range(1, 6):
        assert rules(line.call(theft + day * DAY, where="AS64560", country="RU", by=TOOL)) in ([], [("D34", SIGNAL)])
    late = line.call(theft + 5 * DAY + HOUR, level=4, to="+23276123456", where="AS64560", country="RU", by=TOOL)
    assert rules(late) == [("D36", WARN)], "it was not there for seven quiet days"
    assert late[0].score == 55
    for day in range(6, 12):
        line.call(theft + day * DAY, where="AS64560", country="RU", by=TOOL)
    again = line.call(theft + 11 * DAY + 2 * HOUR, level=4, to="+23276123456", where="AS64560", country="RU", by=TOOL)
    assert rules(again) == [("D36", WARN)], "the suspicion started the quiet days anew"


def test_what_was_learned_shortly_before_a_suspicion_is_not_trusted() -> None:
    trusted, doubted = Line(), Line()
    for line in (trusted, doubted):
        line.live_at_home(range(40))
        for day in range(40, 48):
            line.register(START + day * DAY + HOUR, where="AS64570", country="CN")
        line.found.clear()
    doubted.engine.suspect(KEY, START + 47 * DAY + 2 * HOUR)
    at = START + 47 * DAY + 3 * HOUR
    assert trusted.call(at, level=4, where="AS64570", country="CN") == []
    assert rules(doubted.call(at, level=4, where="AS64570", country="CN")) == [("D36", WARN)]


def test_scanner_with_the_right_password_is_never_learned() -> None:
    line = Line()
    line.live_at_home(range(2))
    scores = [finding.score for day in range(2, 22) for finding in line.register(START + day * DAY, by=TOOL, flags=int(Flag.SCANNER))]
    assert scores == [60] * 20, "once a day"


def test_impossible_journey_is_seen_from_either_end() -> None:
    away, back = Line(), Line()
    away.live_at_home(range(40))
    away.call(START + 40 * DAY)
    found = away.register(START + 40 * DAY + HOUR, where="AS64580", country="US")
    assert rules(found) == [("D30", SIGNAL), ("D32", SIGNAL)]
    assert [finding.score for finding in found] == [40, 45]
    assert "after the account was used from Germany, at least" in found[1].reason
    back.live_at_home(range(40))
    back.register(START + 40 * DAY, where="AS64580", country="US")
    assert rules(back.call(START + 40 * DAY + HOUR)) == [("D32", SIGNAL)]


def test_three_countries_in_a_day() -> None:
    line = Line(segment="business")
    line.live_at_home(range(40))
    line.register(START + 40 * DAY, where="AS1", country="NL")
    found = line.register(START + 40 * DAY + 6 * HOUR, where="AS2", country="BE")
    assert rules(found) == [("D30", SIGNAL), ("D32", SIGNAL)]
    assert found[1].score == 30
    assert "3 countries within 24 hours" in found[1].reason


def test_more_devices_than_the_contract_has() -> None:
    line = Line()
    line.live_at_home(range(40))
    at = START + 40 * DAY
    levels = [rules(line.register(at + place, where=f"AS6459{place}", by=SOFTPHONE)) for place in range(5)]
    assert [("D33", WARN) in each for each in levels] == [False, True, False, False, False]
    assert [("D33", ACT) in each for each in levels] == [False, False, False, True, False]
    line.row(at + HOUR, Kind.REGISTRATION, status_code=408)
    assert "D33" not in {finding.rule for finding in line.register(at + 2 * HOUR, where="AS64590", by=SOFTPHONE)}


def test_call_from_where_nobody_registered() -> None:
    line = Line()
    line.live_at_home(range(10))
    assert rules(line.register(START + 10 * DAY, where="AS64600")) == [("D30", SIGNAL)]
    assert line.call(START + 10 * DAY + HOUR, where="AS64600", address="9") == [], "registered in that network"
    line.row(START + 10 * DAY + 2 * HOUR, Kind.REGISTRATION, status_code=408)
    assert line.call(START + 10 * DAY + 3 * HOUR, where="AS64600") == []
    assert rules(line.call(START + 10 * DAY + 5 * HOUR, where="AS64600")) == [("D34", SIGNAL)]


def test_old_nonce_and_foreign_from_are_told_once_a_week() -> None:
    line = Line()
    found = [line.call(START + day * DAY, flags=int(Flag.NONCE_REUSED)) for day in (0, 1, 2, 12)]
    assert [rules(each) for each in found] == [[("D37", SIGNAL)], [], [], [("D37", SIGNAL)]]


# What people and other rooms say


def test_released_block_makes_the_new_known() -> None:
    line = Line()
    line.live_at_home(range(40))
    at = START + 40 * DAY + 20 * HOUR
    line.register(at, where="AS64560", country="TH")
    assert rules(line.call(at + MINUTE, level=3, where="AS64560", country="TH", land="TH")) == [("D36", ACT)]
    line.engine.control(BlockReleased(block_id="b", alert_id="a", account=ANNA, scope="class", at_ms=at, by="hotline"))
    assert line.call(at + HOUR, level=3, where="AS64560", country="TH", land="TH") == []


def test_exempt_account_is_learned_and_not_spoken_of() -> None:
    line = Line(exempt_until_ms=START + 60 * DAY)
    line.live_at_home(range(40))
    assert line.register(START + 41 * DAY, where="AS64560", country="TH") == []
    assert rules(line.register(START + 61 * DAY, where="AS64561", country="RU"))[0] == ("D30", SIGNAL)


def test_removed_account_starts_anew() -> None:
    line = Line()
    line.live_at_home(range(40))
    line.register(START + 40 * DAY, where="AS64560", country="TH")
    line.engine.control(AccountChanged(account=ANNA, account_key=KEY, slot=0, removed=True))
    assert line.engine.figures()["identity_slots"] == 0
    assert line.register(START + 41 * DAY, where="AS64561", country="RU", by=TOOL) == [], "another customer with the same name"


def test_account_of_an_agent_without_a_key_is_never_proven() -> None:
    line = Line()
    flags = int(Flag.UNKEYED)
    line.register(START, flags=flags)
    line.register(START + DAY, where="AS64560", country="RU", flags=flags)
    call = line.call(START + DAY + MINUTE, level=4, where="AS64560", country="RU", flags=flags)
    assert rules(call) == [("D36", ACT)], "once, not for the real account too"
    assert (call[-1].keyed, call[-1].measures) == (False, ())
    assert call[-1].reason.endswith("not proven, so nothing is blocked for it.")


def test_rules_that_are_off_say_nothing_and_others_go_on() -> None:
    line = Line()
    line.engine.control(RuleSetChanged(version=9, toml="version = 1\n[rules.D30]\nother = 33\n[rules.D36]\nact = 20\n"))
    line.engine.control(HolidaysChanged(days=(), time_zone="Europe/Berlin"))
    line.live_at_home(range(40))
    line.call(START + 40 * DAY - HOUR)
    found = line.register(START + 40 * DAY, where="AS64560", country="RU", by=TOOL)
    assert [(finding.rule, finding.score) for finding in found] == [("D30", 33)]
    assert line.engine.rules.version == 9


def test_state_survives_a_restart_with_its_names() -> None:
    line = Line()
    line.live_at_home(range(40))
    at = START + 40 * DAY + 20 * HOUR
    line.call(at, level=4, where="AS64560", country="TH")
    state = line.engine.state()
    copy = IdentityEngine.restore(state, RULE_SET)
    assert set(state.arrays) == set(IdentityEngine.array_names())
    assert copy.state_hash() == line.engine.state_hash()
    line.engine = copy
    line.engine.control(BlockReleased(block_id="b", alert_id="a", account=ANNA, scope="class", at_ms=at, by="hotline"))
    assert line.call(at + HOUR, level=4, where="AS64560", country="TH") == []


# The table of places and the rules


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        ("DE", "NL", 0, 250),
        ("DE", "PL", 0, 250),
        ("DE", "US", 4_000, 7_900),
        ("DE", "TH", 6_000, 8_700),
        ("NZ", "ES", 10_000, 20_000),
        ("DE", "ZZ", 0, 0),
    ],
)
def test_distances_are_too_short_and_not_by_much(one: str, other: str, low: int, high: int) -> None:
    assert low <= kilometres(country_code(one), country_code(other)) <= high


def test_places_are_the_same_on_every_machine() -> None:
    words = place_words().reshape(-1, 5)
    assert (words[:, 3] > 0).sum() > 230
    assert words[cell_of(country_code("DE"))].tolist() == [3773, 899, 5054, 337, 1]
    assert int(abs(words[:, :3]).sum()) == PLACES_SUM


PLACES_SUM = 2_279_372


def test_every_rule_is_in_the_built_in_set() -> None:
    assert [spec.rule for spec in RULES] == ["D30", "D31", "D32", "D33", "D34", "D36", "D37"]
    assert all(RULE_SET.has(spec.rule) for spec in RULES)
