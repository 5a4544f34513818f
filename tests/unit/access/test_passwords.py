"""Passwords: what is accepted, what is stored."""

import pytest

from ringfence.access import passwords
from ringfence.base.errors import OperatorError
from ringfence.base.secret import Secret


def test_a_hash_fits_its_password_only_and_hides_it() -> None:
    stored = passwords.hash_password(Secret("correct horse battery"))
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert "correct" not in stored
    assert passwords.verify(stored, Secret("correct horse battery"))
    assert not passwords.verify(stored, Secret("correct horse batterY"))
    assert stored != passwords.hash_password(Secret("correct horse battery")), "every hash has its own salt"


def test_nobody_never_fits_whatever_is_tried() -> None:
    assert not passwords.verify(None, Secret(""))
    assert not passwords.verify(None, Secret("x" * 1_000))
    assert not passwords.verify("not a hash", Secret("x"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [("short", "password_short"), ("x" * 300, "password_long"), ("ü" * 200, "password_long"), ("aaaaaaaaaaaaaaaa", "password_simple"),
     ("annaannaanna", "password_simple"), ("ANNAannaANNA", "password_simple")],
)  # fmt: skip
def test_weak_and_endless_passwords_are_refused(text: str, reason: str) -> None:
    with pytest.raises(OperatorError) as refused:
        passwords.check_new(Secret(text), "anna")
    assert refused.value.reason == reason
    assert text not in str(refused.value)


def test_ordinary_passwords_are_accepted() -> None:
    for text in ("correct horse battery", "Grüße aus Köln!", "0123456789ab"):
        passwords.check_new(Secret(text), "anna")


def test_the_hash_for_nobody_has_today_s_parameters() -> None:
    assert not passwords._hasher.check_needs_rehash(passwords.NOBODY_HASH)
