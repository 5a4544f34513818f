"""Digest authentication (RFC 2617, RFC 7616; for SIP RFC 8760): challenges, credentials without their response, and answers.

The response of somebody's credentials is never kept: a captured one can be replayed or guessed at offline. What is wanted of
credentials is who they name and whose nonce they carry. The one thing to know: a list with a parameter twice, or with anything that
is not `name=value`, is refused as a whole, because two readers could see two different user names in it.
"""

import hashlib
import hmac
import re
from enum import StrEnum

import msgspec

from ringfence.base.errors import PeerError
from ringfence.base.secret import Secret

MAX_TEXT_CHARS = 4_096
"""Of one header value. Longer ones are refused as `digest_too_long`."""
MAX_PARAMETERS = 32

# RFC 7235 2.1:  auth-param = token BWS "=" BWS ( token / quoted-string )
#                challenge  = auth-scheme 1*SP [ ( "," / auth-param ) *( OWS "," [ OWS auth-param ] ) ]
# The unquoted value takes more than a token: real devices send bare URIs and base64. The last branch takes one character of anything
# else, so that a reading without it is a reading of the whole text.
_parameters = re.compile(
    r'[ \t,]*+(?:([A-Za-z0-9!#$%&\'*+.^_`|~-]++)[ \t]*+=[ \t]*+(?:"([^"\\]*+(?:\\.[^"\\]*+)*+)"|([^\s",]++))[ \t]*+(?=,|$)|([^ \t,]))'
).findall
_quoted_pair = re.compile(r"\\(.)").sub


class Algorithm(StrEnum):
    """Hash algorithms that are answered; RFC 8760 adds SHA-256 to SIP."""

    MD5 = "MD5"
    SHA_256 = "SHA-256"


class Credentials(msgspec.Struct, frozen=True):
    """Digest credentials of a request, as the client stated them and without the response. Empty text: not given."""

    username: str
    realm: str
    nonce: str
    uri: str = ""
    nc: str = ""
    cnonce: str = ""
    qop: str = ""
    algorithm: str = ""


class Challenge(msgspec.Struct, frozen=True):
    """A server's demand for credentials. `qop` holds the offered qualities of protection; empty in the manner of RFC 2069."""

    realm: str
    nonce: str
    algorithm: str = ""
    qop: tuple[str, ...] = ()
    opaque: str = ""
    stale: bool = False


def parse_credentials(text: str) -> Credentials:
    """Read the value of an Authorization header. PeerError with a reason when it is not Digest or cannot be read in one way only."""
    given = _read(text)
    if "username" not in given or "nonce" not in given:
        raise PeerError("Digest credentials without username or nonce.", reason="digest_incomplete")
    return Credentials(
        given["username"],
        given.get("realm", ""),
        given["nonce"],
        given.get("uri", ""),
        given.get("nc", ""),
        given.get("cnonce", ""),
        given.get("qop", ""),
        given.get("algorithm", ""),
    )


def parse_challenge(text: str) -> Challenge:
    """Read the value of a WWW-Authenticate header. PeerError with a reason as for credentials."""
    given = _read(text)
    if "realm" not in given or "nonce" not in given:
        raise PeerError("A Digest challenge without realm or nonce.", reason="digest_incomplete")
    return Challenge(
        given["realm"],
        given["nonce"],
        given.get("algorithm", ""),
        tuple(part for quality in given.get("qop", "").split(",") if (part := quality.strip())),
        given.get("opaque", ""),
        given.get("stale", "").lower() == "true",
    )


def build_challenge(challenge: Challenge) -> str:
    """The header value of a challenge."""
    parts = [f"realm={_quote(challenge.realm)}", f"nonce={_quote(challenge.nonce)}"]
    if challenge.algorithm:
        parts.append(f"algorithm={challenge.algorithm}")
    if challenge.qop:
        parts.append(f"qop={_quote(','.join(challenge.qop))}")
    if challenge.opaque:
        parts.append(f"opaque={_quote(challenge.opaque)}")
    if challenge.stale:
        parts.append("stale=true")
    return "Digest " + ", ".join(parts)


def build_credentials(credentials: Credentials, response: str = "") -> str:
    """The header value of credentials, with the response when there is one."""
    parts = [f"username={_quote(credentials.username)}", f"realm={_quote(credentials.realm)}", f"nonce={_quote(credentials.nonce)}"]
    if credentials.uri:
        parts.append(f"uri={_quote(credentials.uri)}")
    if response:
        parts.append(f"response={_quote(response)}")
    # RFC 7616 3.4: cnonce is quoted, nc, qop and algorithm are not. One of those that is no token is quoted all the same.
    if credentials.cnonce:
        parts.append(f"cnonce={_quote(credentials.cnonce)}")
    stated = (("nc", credentials.nc), ("qop", credentials.qop), ("algorithm", credentials.algorithm))
    parts.extend(f"{name}={value if _is_token(value) else _quote(value)}" for name, value in stated if value)
    return "Digest " + ", ".join(parts)


def answer(challenge: Challenge, *, username: str, password: Secret, method: str, uri: str, cnonce: str = "", count: int = 1) -> str:
    """The Authorization value that answers a challenge: qop auth when it is offered, else none. PeerError for an unknown algorithm."""
    algorithm = algorithm_of(challenge.algorithm)
    quality = "auth" if "auth" in challenge.qop else ""
    if challenge.qop and not quality:
        raise PeerError("The challenge offers no quality of protection that is known.", reason="digest_qop")
    credentials = Credentials(
        username,
        challenge.realm,
        challenge.nonce,
        uri,
        f"{count:08x}" if quality else "",
        cnonce if quality else "",
        quality,
        challenge.algorithm,
    )
    ha1 = hash_text(algorithm, f"{username}:{challenge.realm}:{password.open()}")
    value = build_credentials(credentials, expected_response(credentials, ha1=ha1, method=method))
    return f"{value}, opaque={_quote(challenge.opaque)}" if challenge.opaque else value


def expected_response(credentials: Credentials, *, ha1: str, method: str, body: bytes = b"") -> str:
    """The response that these credentials must carry when HA1 is right (RFC 7616 3.4.1); `body` counts with qop auth-int only."""
    algorithm = algorithm_of(credentials.algorithm)
    protected = f"{method}:{credentials.uri}"
    if credentials.qop.lower() == "auth-int":
        protected += f":{_hash(algorithm, body)}"
    elif credentials.qop and credentials.qop.lower() != "auth":
        raise PeerError("The credentials have a quality of protection that is not known.", reason="digest_qop")
    ha2 = hash_text(algorithm, protected)
    middle = credentials.nonce
    if credentials.qop:
        middle += f":{credentials.nc}:{credentials.cnonce}:{credentials.qop}"
    return hash_text(algorithm, f"{ha1}:{middle}:{ha2}")


def verify(text: str, *, ha1: Secret, method: str, body: bytes = b"") -> bool:
    """Whether the credentials in the value of an Authorization header were made with this HA1, in constant time.

    Without qop (RFC 2069), with qop auth, and with auth-int over `body`. PeerError as `parse_credentials`, and for a quality of
    protection that is none of these (`digest_qop`). The nonce is not judged here; see `nonces`.
    """
    given = _read(text)
    credentials = parse_credentials(text)
    if credentials.qop and not (credentials.nc and credentials.cnonce):
        raise PeerError("Digest credentials with qop, but without nc or cnonce.", reason="digest_incomplete")
    response = given.get("response", "").lower().encode("utf-8", "replace")
    expected = expected_response(credentials, ha1=ha1.open(), method=method, body=body)
    return hmac.compare_digest(expected.encode(), response)


def ha1_of(*, username: str, realm: str, password: Secret, algorithm: Algorithm = Algorithm.MD5) -> Secret:
    """What a server keeps instead of the password (RFC 7616 3.4.2). As good as the password in that realm: as secret, too."""
    return Secret(hash_text(algorithm, f"{username}:{realm}:{password.open()}"))


def algorithm_of(name: str) -> Algorithm:
    """The algorithm of that name; none stated means MD5. PeerError (`digest_algorithm`) for any other."""
    for algorithm in Algorithm:
        if name.upper() == algorithm or not name:
            return algorithm
    raise PeerError(f"Digest algorithm {name[:20]!r} is not known.", reason="digest_algorithm")


def hash_text(algorithm: Algorithm, text: str) -> str:
    """Hexadecimal hash of a text in UTF-8."""
    return _hash(algorithm, text.encode("utf-8", "surrogatepass"))


def is_digest(text: str) -> bool:
    """Whether a header value is of the Digest scheme."""
    return text[:6].lower() == "digest" and text[6:7] in {" ", "\t"}


def _read(text: str) -> dict[str, str]:
    if len(text) > MAX_TEXT_CHARS:
        raise PeerError(f"Digest parameters with more than {MAX_TEXT_CHARS} characters.", reason="digest_too_long")
    if not is_digest(text):
        raise PeerError("The scheme is not Digest.", reason="digest_scheme")
    found = _parameters(text, 7)
    if len(found) > MAX_PARAMETERS:
        raise PeerError(f"More than {MAX_PARAMETERS} Digest parameters.", reason="digest_malformed")
    read: dict[str, str] = {}
    for name, quoted, bare, odd in found:
        if odd:
            raise PeerError("Digest parameters that are no list of name=value.", reason="digest_malformed")
        key = name.lower()
        if key in read:
            raise PeerError("A Digest parameter is given twice.", reason="digest_repeated")
        read[key] = bare or (_quoted_pair(r"\1", quoted) if "\\" in quoted else quoted)
    return read


def _hash(algorithm: Algorithm, raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest() if algorithm is Algorithm.SHA_256 else hashlib.md5(raw, usedforsecurity=False).hexdigest()


def _quote(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _is_token(value: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", value) is not None
