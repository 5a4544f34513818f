import random

import phonenumbers
from phonenumbers import PhoneNumberType

from ringfence.enforcement.denies import FOREIGN_PREMIUM_DENIES, GLOBAL_DENIES, STATIC_DENIES

COUNTRY_CODES = {str(code) for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items() if "001" not in regions}
SOLD = {PhoneNumberType.PREMIUM_RATE, PhoneNumberType.PERSONAL_NUMBER}


def test_no_deny_is_a_country_or_covers_one() -> None:
    assert len(COUNTRY_CODES) > 190
    for deny in STATIC_DENIES:
        assert not any(code.startswith(deny) for code in COUNTRY_CODES), deny


def test_all_that_the_numbering_plans_allow_in_a_denied_range_is_premium_or_personal() -> None:
    chance = random.Random(20)
    for deny in FOREIGN_PREMIUM_DENIES:
        found = set()
        for length in range(len(deny) + 2, 16):
            for _ in range(40):
                number = deny + "".join(chance.choice("0123456789") for _ in range(length - len(deny)))
                found.add(phonenumbers.number_type(phonenumbers.parse(f"+{number}")))
        found.discard(PhoneNumberType.UNKNOWN)
        assert found <= SOLD, (deny, found)


def test_every_denied_range_is_in_use_or_global() -> None:
    assert len(set(STATIC_DENIES)) == len(STATIC_DENIES) == len(GLOBAL_DENIES) + len(FOREIGN_PREMIUM_DENIES)
    assert not any(one != other and one.startswith(other) for one in STATIC_DENIES for other in STATIC_DENIES)
