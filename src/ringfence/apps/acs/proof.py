"""Who a device proved to be: client certificate, Digest or, inside TLS alone, Basic.

A proof is of a name; whether the name is the device's own is `fleet`'s to judge. The one thing to know: passwords are never kept here, only
HA1 for a minute, and one that does not fit is fetched anew before it counts as wrong.
"""

import base64
import binascii
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from ringfence.apps.acs.front import Caller
from ringfence.apps.acs.wire import Post, RefusedError, Reply
from ringfence.base.clock import Clock
from ringfence.base.errors import PeerError
from ringfence.base.secret import Secret
from ringfence.fleet.model import REALM, Credential, Lane, Proof
from ringfence.protocols import digest
from ringfence.protocols.nonces import NonceMint, NonceVerdict

KEPT_MS = 60_000
ANEW_MS = 1_000
"""A credential that did not fit is fetched again when it is older than this."""
KEPT = 20_000

Authentication = Literal["none", "basic", "digest", "certificate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """How and as whom. `name` empty: nothing was asked for. `device_id`: whose credential it was, 0 with a certificate."""

    proof: Proof
    name: str = ""
    device_id: int = 0


class Prover:
    """Proofs of one lane."""

    def __init__(
        self,
        credential: Callable[[str], Awaitable[Credential | None]],
        mint: NonceMint,
        clock: Clock,
        *,
        lane: Lane,
        authentication: Authentication,
        refused: Callable[[str, str], None],
    ) -> None:
        self._credential = credential
        self._mint = mint
        self._clock = clock
        self._lane = lane
        self._authentication = authentication
        self._refused = refused
        self._kept: OrderedDict[str, tuple[int, Credential | None]] = OrderedDict()

    async def prove(self, caller: Caller, post: Post) -> Proven | Reply:
        """The proof, or the reply that asks for one. RefusedError when there cannot be one; UnavailableError with PostgreSQL away."""
        match self._authentication:
            case "none":
                return Proven(proof=Proof.NONE)
            case "certificate":
                if not caller.certificate_name:
                    raise RefusedError(403, "A client certificate with one common name is needed.", reason="no_certificate")
                return Proven(proof=Proof.CERTIFICATE, name=caller.certificate_name)
            case "basic":
                return await self._basic(caller, post.headers.get("authorization", ""))
            case "digest":
                return await self._digest(caller, post)

    async def _basic(self, caller: Caller, header: str) -> Proven | Reply:
        if not caller.tls:
            raise RefusedError(403, "Basic is spoken inside TLS alone.", reason="basic_in_the_clear")
        challenge = Reply(status=401, headers=(("WWW-Authenticate", f'Basic realm="{REALM}"'),))
        if header[:6].lower() != "basic ":
            return challenge
        try:
            name, colon, password = base64.b64decode(header[6:].strip(), validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return self._wrong(caller, "credentials_malformed", challenge)
        found = digest.ha1_of(username=name, realm=REALM, password=Secret(password))
        holder = await self._holder(name, lambda ha1: ha1 == found) if colon else 0
        if holder:
            return Proven(proof=Proof.BASIC, name=name, device_id=holder)
        return self._wrong(caller, "wrong_credentials", challenge)

    async def _digest(self, caller: Caller, post: Post) -> Proven | Reply:
        now, header = self._clock(), post.headers.get("authorization", "")
        if not header:
            return self._challenge(now, caller)
        try:
            stated = digest.parse_credentials(header)
            if stated.realm != REALM or digest.algorithm_of(stated.algorithm) is not digest.Algorithm.MD5:
                raise PeerError("Credentials for something else than was asked for.", reason="digest_other")
            verdict = self._mint.check(stated, now_ms=now, address=caller.address)
            if verdict is NonceVerdict.STALE:
                return self._challenge(now, caller, stale=True)
            if verdict is not NonceVerdict.GOOD:
                reason = "digest_replayed" if verdict is NonceVerdict.SPENT else "nonce_forged"
                return self._wrong(caller, reason, self._challenge(now, caller))
            holder = await self._holder(stated.username, lambda ha1: digest.verify(header, ha1=ha1, method="POST", body=post.body))
        except PeerError:
            return self._wrong(caller, "credentials_malformed", self._challenge(now, caller))
        # Asked again: the look-up took time, in which the same credentials may have been used on another connection.
        if holder and self._mint.check(stated, now_ms=now, address=caller.address) is NonceVerdict.GOOD:
            self._mint.spend(stated, now_ms=now)
            return Proven(proof=Proof.DIGEST, name=stated.username, device_id=holder)
        return self._wrong(caller, "wrong_credentials", self._challenge(now, caller))

    def _challenge(self, now_ms: int, caller: Caller, *, stale: bool = False) -> Reply:
        challenge = digest.Challenge(REALM, self._mint.mint(now_ms, caller.address), "MD5", ("auth", "auth-int"), "", stale)
        return Reply(status=401, headers=(("WWW-Authenticate", digest.build_challenge(challenge)),))

    def _wrong(self, caller: Caller, reason: str, challenge: Reply) -> Reply:
        self._refused(caller.address, reason)
        return challenge

    async def _holder(self, name: str, verify: Callable[[Secret], bool]) -> int:
        """The device whose credential verifies, 0 for none; in the bootstrap lane also by the one before it (after a factory reset)."""
        now = self._clock()
        fetched_ms, credential = self._kept.get(name, (0, None))
        if credential is not None and now - fetched_ms < KEPT_MS and self._verified(credential, verify):
            return credential.device_id
        if now - fetched_ms < ANEW_MS:
            return 0
        credential = await self._credential(name)
        self._kept[name] = (now, credential)
        self._kept.move_to_end(name)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return credential.device_id if credential is not None and self._verified(credential, verify) else 0

    def _verified(self, credential: Credential, verify: Callable[[Secret], bool]) -> bool:
        if verify(credential.ha1):
            return True
        previous = credential.previous_ha1 if self._lane is Lane.BOOTSTRAP else None
        return previous is not None and verify(previous)
