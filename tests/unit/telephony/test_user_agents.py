import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.telephony.user_agents import MAX_FAMILY_CHARS, MAX_REMEMBERED, AgentFamilies, family_of, is_scanner


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("AVM FRITZ!Box 7590 164.07.57 (Nov 20 2023)", "AVM FRITZ!Box 7590"),
        ("AVM FRITZ!Box 7590 164.08.02 (Jan 02 2025)", "AVM FRITZ!Box 7590"),
        ("Yealink SIP-T46S 66.86.0.15 805ec0aabbcc", "Yealink SIP-T46S"),
        ("snom D785/10.1.54.13", "snom D785"),
        ("Cisco/SPA504G-7.6.2b", "Cisco SPA504G"),
        ("Linphone/3.6.1 (eXosip2/4.1.0)", "Linphone"),
        ("Speedport W 724V 09011603.00.052", "Speedport W 724V"),
        ("Zoiper rv2.10.20.3", "Zoiper"),
        ("Phone/1", "Phone"),
        ("Gigaset N510 IP PRO/42.248.00.000.000;7C2F80AABBCC", "Gigaset N510 IP PRO"),
        ("", ""),
        ("1.2.3", ""),
    ],
)
def test_a_family_is_maker_and_model(text: str, family: str) -> None:
    assert family_of(text) == family


@pytest.mark.parametrize("text", ["friendly-scanner", "sipcli/v1.8", "VaxSIPUserAgent/3.1", "pplsip", "sundayddr", "X sipvicious/0.3"])
def test_scanners_are_known_by_name(text: str) -> None:
    assert is_scanner(text)
    assert is_scanner(text.upper())


@pytest.mark.parametrize("text", ["AVM FRITZ!Box 7590", "Zoiper", "MicroSIP/3.21", "unfriendly", "Kiwargo Phone"])
def test_ordinary_phones_are_none(text: str) -> None:
    assert not is_scanner(text)


def test_families_have_one_key_whatever_the_version_and_memory_is_bounded() -> None:
    families = AgentFamilies(b"0123456789abcdef")
    first = families.of("snom D785/10.1.54.13")
    assert families.of("SNOM d785/10.1.99.1").key == first.key != 0
    assert families.of("").key == 0
    for number in range(MAX_REMEMBERED + 10):
        families.of(f"Invented{chr(97 + number % 26)} {number}")
    assert len(families._remembered) <= MAX_REMEMBERED
    assert families.of("snom D785/10.1.54.13") == first


@given(st.text(max_size=400))
def test_any_text_has_a_short_family(text: str) -> None:
    found = family_of(text)
    assert len(found) <= MAX_FAMILY_CHARS
    assert found == found.strip()
