"""Digest: the vectors of the RFCs, one reading only, and no response that stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.base.errors import PeerError
from ringfence.base.secret import Secret
from ringfence.protocols import digest
from ringfence.protocols.digest import Challenge, Credentials

_texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=30)
_tokens = st.from_regex(r"[A-Za-z0-9-]{1,12}", fullmatch=True)


def reason_of(text: str) -> str:
    with pytest.raises(PeerError) as caught:
        digest.parse_credentials(text)
    return caught.value.reason


def test_the_example_of_rfc_2617() -> None:
    challenge = digest.parse_challenge(
        'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc"'
    )
    value = digest.answer(
        challenge, username="Mufasa", password=Secret("Circle Of Life"), method="GET", uri="/dir/index.html", cnonce="0a4f113b"
    )
    assert 'response="6629fae49393a05397450978507c4ef1"' in value
    assert 'opaque="5ccc"' in value
    credentials = digest.parse_credentials(value)
    assert credentials == Credentials(
        "Mufasa", "testrealm@host.com", challenge.nonce, "/dir/index.html", "00000001", "0a4f113b", "auth", ""
    )


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [("MD5", "8ca523f5e9506fed4657c9700eebdbec"), ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1")],
)
def test_the_examples_of_rfc_7616(algorithm: str, response: str) -> None:
    challenge = Challenge("http-auth@example.org", "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", algorithm, ("auth", "auth-int"))
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    value = digest.answer(
        challenge, username="Mufasa", password=Secret("Circle of Life"), method="GET", uri="/dir/index.html", cnonce=cnonce
    )
    assert response in value


def test_without_qop_as_in_rfc_2069() -> None:
    challenge = Challenge("r", "n")
    value = digest.answer(challenge, username="u", password=Secret("p"), method="REGISTER", uri="sip:r", cnonce="unused")
    ha1, ha2 = (digest.hash_text(digest.Algorithm.MD5, text) for text in ("u:r:p", "REGISTER:sip:r"))
    assert digest.hash_text(digest.Algorithm.MD5, f"{ha1}:n:{ha2}") in value
    assert digest.parse_credentials(value) == Credentials("u", "r", "n", "sip:r")


@given(st.builds(Credentials, _texts, _texts, _texts, _texts, _tokens, _texts, _tokens, _tokens))
def test_credentials_survive(credentials: Credentials) -> None:
    text = digest.build_credentials(credentials, "0123456789abcdef")
    assert digest.parse_credentials(text) == credentials


@given(st.builds(Challenge, _texts, _texts, _tokens, st.lists(_tokens, max_size=3).map(tuple), _texts, st.booleans()))
def test_challenges_survive(challenge: Challenge) -> None:
    assert digest.parse_challenge(digest.build_challenge(challenge)) == challenge


def test_the_response_is_not_kept() -> None:
    text = 'Digest username="a", realm="r", nonce="n", uri="sip:r", response="deadbeefdeadbeef", algorithm=MD5'
    assert "deadbeef" not in repr(digest.parse_credentials(text))


@pytest.mark.parametrize(
    "text",
    [
        'digest USERNAME="a",realm="r",nonce="n"',
        'Digest\tusername = "a" , realm="r",, nonce=n ,',
        'DIGEST nonce="n",realm="r",username=a,response=',
    ],
)
def test_what_devices_send_is_read(text: str) -> None:
    if text.endswith("response="):
        assert reason_of(text) == "digest_malformed"
    else:
        assert digest.parse_credentials(text) == Credentials("a", "r", "n")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "digest_scheme"),
        ("Basic YTpi", "digest_scheme"),
        ("Digestusername=a", "digest_scheme"),
        ("Digest ", "digest_incomplete"),
        ('Digest username="a"', "digest_incomplete"),
        ('Digest nonce="a"', "digest_incomplete"),
        ('Digest username="a", nonce="n", username="b"', "digest_repeated"),
        ('Digest username="a", nonce="n", USERNAME="b"', "digest_repeated"),
        ('Digest username="a, nonce="n"', "digest_malformed"),
        ('Digest username="a" nonce="n"', "digest_malformed"),
        ('Digest username="a"x, nonce="n"', "digest_malformed"),
        ('Digest username="a", nonce="n", ???', "digest_malformed"),
        ('Digest username="a", nonce="n", ' + ", ".join(f"x{i}=1" for i in range(40)), "digest_malformed"),
        ('Digest username="' + "a" * 5000 + '", nonce="n"', "digest_too_long"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(text: str, reason: str) -> None:
    assert reason_of(text) == reason


def test_unknown_algorithms_and_qualities_are_refused() -> None:
    for challenge, reason in ((Challenge("r", "n", "MD2"), "digest_algorithm"), (Challenge("r", "n", "MD5", ("auth-int",)), "digest_qop")):
        with pytest.raises(PeerError) as caught:
            digest.answer(challenge, username="u", password=Secret("p"), method="INVITE", uri="sip:r")
        assert caught.value.reason == reason
    with pytest.raises(PeerError, match="realm or nonce"):
        digest.parse_challenge('Digest nonce="n"')


@given(st.text(max_size=200).map(lambda text: "Digest " + text))
def test_only_peer_errors_leave(text: str) -> None:
    try:
        credentials = digest.parse_credentials(text)
    except PeerError:
        return
    assert credentials.nonce is not None
