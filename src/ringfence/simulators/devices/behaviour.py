"""How devices behave: distributions, odd habits, and draws that depend on the seed, the device and the event alone.

Draws never depend on the order in which devices run, so that the same seed makes the same device brick whatever the machine is doing.
"""

import hashlib
import re
import tomllib
from enum import StrEnum

import msgspec

from ringfence.base.errors import OperatorError

FIRST_WAIT_SECONDS = 5.0
MAX_RETRY_STEP = 10


class Oddity(StrEnum):
    """Habits seen in real devices, each by name."""

    NO_COOKIE = "no-cookie"
    """Cookies are not returned; the connection alone is the session."""
    RECONNECT_AFTER_401 = "reconnect-after-401"
    """A new TCP connection after the challenge, as AVM does."""
    CHUNKED = "chunked"
    """Bodies in chunks, whose borders lie inside tags, as Thomson does."""
    NO_XML_DECLARATION = "no-xml-declaration"
    """A body that begins with an XML declaration is not understood, as by netcwmp."""
    LATIN_1 = "latin-1"
    """Bodies in ISO-8859-1."""
    NO_RETRY_COUNT = "no-retry-count"
    """The Inform has none."""
    ZERO_DATES = "zero-dates"
    """The clock says 0000-00-00T00:00:00."""
    SMALL_READS = "small-reads"
    """More than 64 values or 512 names at once are refused with 9004, as by a Cisco 867."""
    OWN_PASSWORDS = "own-passwords"
    """Its own ACS password stands in the Inform, as of netcwmp."""
    COMMA_COOKIES = "comma-cookies"
    """Cookies are parted with commas, after one that the ACS never gave."""
    RECONNECTS = "reconnects"
    """A new TCP connection for each request; the cookie alone is the session."""
    GZIP = "gzip"
    """Bodies are packed."""
    NO_ROOT = "no-root"
    """An empty ParameterPath is refused, as by Sagemcom."""
    LEAVES_AFTER_TRANSFER = "leaves-after-transfer"
    """Gone as soon as its TransferComplete is answered, as MikroTik."""


SMALL_READ, SMALL_LIST = 64, 512


_SHARES = (
    "download_failure",
    "wrong_image",
    "brick",
    "silence",
    "own_update",
    "tells_own_update",
    "owner_reset",
    "forgets_key",
)


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Distributions. Pairs are the ends of an even distribution, shares lie between 0 and 1, times are simulated seconds."""

    boot_seconds: tuple[float, float] = (60.0, 150.0)
    first_inform_seconds: tuple[float, float] = (0.0, 60.0)
    """When devices first open a session."""
    periodic_seconds: float = 86_400.0
    """Where the tree names no interval of its own."""
    download_bytes_per_second: tuple[float, float] = (1_000_000.0, 5_000_000.0)
    download_failure: float = 0.0
    """9017 at a random place of the file."""
    wrong_image: float = 0.0
    """TransferComplete says success, the old firmware comes back."""
    brick: float = 0.0
    """Never comes back after the update."""
    silence: float = 0.0
    """Comes back, telephones, and never informs again."""
    own_update: float = 0.0
    """Within the first day the owner updates by himself."""
    own_version: str = "9.9.9"
    tells_own_update: float = 0.0
    """Of the owners' updates: told with AutonomousTransferComplete; the others show in the version alone."""
    owner_reset: float = 0.0
    """Within the first day the owner presses the button: URL and credentials of the factory again."""
    forgets_key: float = 0.0
    """Tells of a transfer without its CommandKey."""
    oddities: tuple[Oddity, ...] = ()

    def __post_init__(self) -> None:
        for name in ("boot_seconds", "first_inform_seconds", "download_bytes_per_second"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"{name} goes from the smaller to the larger number")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share between 0 and 1")
        if self.periodic_seconds < 1 or self.download_bytes_per_second[0] < 1:
            raise ValueError("periodic_seconds and download_bytes_per_second are 1 or more")


def read_behaviour(text: str) -> Behaviour:
    """From TOML. OperatorError that says what is wrong."""
    try:
        return msgspec.convert(tomllib.loads(text), Behaviour)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as refused:
        raise OperatorError(f"The behaviour of devices cannot be read: {refused}.", reason="bad_behaviour") from None


def draw(seed: int, device: int, what: str, count: int = 0) -> float:
    """An even number from 0 to below 1."""
    raw = hashlib.blake2b(f"{seed}:{device}:{what}:{count}".encode(), digest_size=7).digest()
    return int.from_bytes(raw) / (1 << 56)


def between(ends: tuple[float, float], at: float) -> float:
    """The number at a share of the way."""
    return ends[0] + (ends[1] - ends[0]) * at


def retry_wait(attempt: int, at: float) -> float:
    """Seconds before retry number `attempt` (from 1): TR-069 3.2.1.1, 5 to 10 s, doubling until the tenth."""
    step = min(attempt, MAX_RETRY_STEP)
    return between((FIRST_WAIT_SECONDS * 2 ** (step - 1), FIRST_WAIT_SECONDS * 2**step), at)


def distort(body: bytes, oddities: tuple[Oddity, ...]) -> bytes:
    """The body as a device with these habits writes it."""
    if not body:
        return body
    if Oddity.NO_RETRY_COUNT in oddities:
        body = re.sub(rb"<RetryCount>[^<]*</RetryCount>", b"", body)
    if Oddity.ZERO_DATES in oddities:
        body = re.sub(rb"<CurrentTime>[^<]*<", b"<CurrentTime>0000-00-00T00:00:00<", body)
    if Oddity.LATIN_1 in oddities:
        text = body.decode().replace('encoding="UTF-8"', 'encoding="ISO-8859-1"')
        body = text.encode("latin-1", "xmlcharrefreplace")
    return body


def chunks(body: bytes) -> bytes:
    """The body in chunks with borders inside tags: after each third `<`."""
    if not body:
        return b"0\r\n\r\n"
    borders = [match.end() for index, match in enumerate(re.finditer(b"<", body)) if index % 3 == 0]
    parts = [body[start:end] for start, end in zip([0, *borders], [*borders, len(body)], strict=True) if end > start]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
