"""Nonces that prove themselves, and what is remembered of their use."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.base.errors import PeerError
from ringfence.base.secret import Secret
from ringfence.protocols import digest
from ringfence.protocols.digest import Challenge, Credentials
from ringfence.protocols.nonces import LIFETIME_MS, NonceMint, NonceVerdict

NOW = 1_700_000_000_000
KEY = bytes(range(32))


def used(nonce: str, nc: str = "00000001", cnonce: str = "c", username: str = "u") -> Credentials:
    return Credentials(username, "r", nonce, "/", nc, cnonce, "auth")


def test_a_nonce_is_good_for_its_time_and_address_in_any_process() -> None:
    mint, other = NonceMint(KEY), NonceMint(KEY)
    credentials = used(mint.mint(NOW, "192.0.2.1"))
    assert other.check(credentials, now_ms=NOW + LIFETIME_MS, address="192.0.2.1") is NonceVerdict.GOOD
    assert other.check(credentials, now_ms=NOW + LIFETIME_MS + 1, address="192.0.2.1") is NonceVerdict.STALE
    assert other.check(credentials, now_ms=NOW - LIFETIME_MS - 1, address="192.0.2.1") is NonceVerdict.STALE
    assert other.check(credentials, now_ms=NOW, address="192.0.2.2") is NonceVerdict.FOREIGN
    assert NonceMint(b"x" * 16).check(credentials, now_ms=NOW, address="192.0.2.1") is NonceVerdict.FOREIGN


def test_credentials_are_good_once_and_a_nonce_for_each_count() -> None:
    mint = NonceMint(KEY)
    nonce = mint.mint(NOW, "a")
    mint.spend(used(nonce), now_ms=NOW)
    assert mint.check(used(nonce), now_ms=NOW + 1, address="a") is NonceVerdict.SPENT
    assert mint.check(used(nonce, "00000002"), now_ms=NOW + 1, address="a") is NonceVerdict.GOOD
    assert mint.check(used(nonce, username="v"), now_ms=NOW + 1, address="a") is NonceVerdict.GOOD


@given(st.lists(st.integers(0, 3 * LIFETIME_MS), min_size=1, max_size=20))
def test_what_was_spent_is_never_good_again(steps: list[int]) -> None:
    mint, now = NonceMint(KEY), NOW
    credentials = used(mint.mint(now, "a"))
    assert mint.check(credentials, now_ms=now, address="a") is NonceVerdict.GOOD
    mint.spend(credentials, now_ms=now)
    for step in steps:
        now += step
        assert mint.check(credentials, now_ms=now, address="a") in {NonceVerdict.SPENT, NonceVerdict.STALE}
        other = used(mint.mint(now, "a"))
        mint.spend(other, now_ms=now)
        assert mint.check(other, now_ms=now, address="a") is NonceVerdict.SPENT


def test_memory_is_bounded_and_a_full_one_takes_nobody() -> None:
    mint = NonceMint(KEY, max_spent=3)
    nonce = mint.mint(NOW, "a")
    for count in range(10):
        mint.spend(used(nonce, f"{count:08x}"), now_ms=NOW)
    assert mint.check(used(nonce, "ffffffff"), now_ms=NOW, address="a") is NonceVerdict.STALE
    later = NOW + 2 * LIFETIME_MS
    assert mint.check(used(mint.mint(later, "a")), now_ms=later, address="a") is NonceVerdict.GOOD


def test_devices_behind_one_address_get_different_nonces() -> None:
    mint = NonceMint(KEY)
    assert len({mint.mint(NOW, "a") for _ in range(100)}) == 100


@given(st.text(max_size=200))
def test_any_text_is_some_nonce(text: str) -> None:
    assert NonceMint(KEY).check(used(text), now_ms=NOW, address="a") is NonceVerdict.FOREIGN


@pytest.mark.parametrize("qop", [(), ("auth",), ("auth", "auth-int")])
@pytest.mark.parametrize("algorithm", ["", "MD5", "SHA-256"])
def test_an_answer_is_verified(qop: tuple[str, ...], algorithm: str) -> None:
    ha1 = digest.ha1_of(username="u", realm="r", password=Secret("p"), algorithm=digest.algorithm_of(algorithm))
    text = digest.answer(
        Challenge("r", "n", algorithm, qop), username="u", password=Secret("p"), method="POST", uri="/acs", cnonce="c", count=1
    )
    assert digest.verify(text, ha1=ha1, method="POST")
    assert not digest.verify(text, ha1=ha1, method="GET")
    assert not digest.verify(text.replace("/acs", "/other"), ha1=ha1, method="POST")
    assert not digest.verify(text, ha1=Secret("0" * 32), method="POST")


def test_auth_int_protects_the_body() -> None:
    """The example of RFC 2617 with qop auth-int, computed by its formula."""
    body, md5 = b"<Inform/>", digest.Algorithm.MD5
    ha1, ha2 = digest.hash_text(md5, "u:r:p"), digest.hash_text(md5, f"POST:/:{digest.hash_text(md5, body.decode())}")
    response = digest.hash_text(md5, f"{ha1}:n:00000001:c:auth-int:{ha2}")
    text = f'Digest username="u", realm="r", nonce="n", uri="/", qop=auth-int, nc=00000001, cnonce="c", response="{response}"'
    assert digest.verify(text, ha1=Secret(ha1), method="POST", body=body)
    assert not digest.verify(text, ha1=Secret(ha1), method="POST", body=b"<Other/>")
    assert digest.verify(text.replace("qop=auth-int", 'qop="auth-int"'), ha1=Secret(ha1), method="POST", body=body)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('Digest username="u", realm="r", nonce="n", qop=auth', "digest_incomplete"),
        ('Digest username="u", realm="r", nonce="n", qop=other, nc=1, cnonce="c"', "digest_qop"),
        ('Digest username="u", realm="r", nonce="n", algorithm=MD4', "digest_algorithm"),
        ("Basic dTpw", "digest_scheme"),
    ],
)
def test_what_cannot_be_verified_has_a_reason(text: str, reason: str) -> None:
    with pytest.raises(PeerError) as caught:
        digest.verify(text, ha1=Secret("x"), method="POST")
    assert caught.value.reason == reason


def test_credentials_without_a_response_prove_nothing() -> None:
    assert not digest.verify('Digest username="u", realm="r", nonce="n", response=""', ha1=Secret("x"), method="POST")
