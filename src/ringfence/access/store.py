"""Every SQL call of the room, on one connection inside one transaction. It decides nothing and checks nobody.

Secrets leave `Secret` here and nowhere else: password hashes, token hashes, TOTP secrets and paging addresses.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence

from ringfence.access.audit import canonical_detail, link
from ringfence.access.model import ApiToken, AuditEntry, OnCallPerson, Role, User
from ringfence.access.throttle import WINDOW_MS, Counter
from ringfence.base.secret import Secret
from ringfence.runtime.db import NamedQueries, load_queries

QUERIES = load_queries("ringfence.access", "queries.sql")


def hash_token(token: Secret) -> bytes:
    """What is stored of a token. Tokens have 160 random bits, so a plain SHA-256 is not guessable."""
    return hashlib.sha256(token.open().encode("utf-8", "surrogatepass")).digest()


def failure_key(kind: str, *parts: str) -> bytes:
    """Key of a failure counter; hashed, because people type their password where the name belongs."""
    text = "\x00".join((kind, *parts)).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).digest()


class AccessStore(NamedQueries):
    """The schema `access` on one connection."""

    queries = QUERIES

    # People

    async def count(self, query: str, column: str, **parameters: object) -> int:
        """The single figure of a counting query."""
        row = await self.row(query, **parameters)
        assert row is not None, "a count without a group always has a row"
        return int(row[column])

    async def users(self) -> tuple[User, ...]:
        """Everybody, by name; 1,000 at the most."""
        return tuple(
            User(
                user_id=row["user_id"],
                name=row["name"],
                roles=frozenset(Role(role) for role in row["roles"]),
                disabled=row["disabled"],
                must_change_password=row["must_change_password"],
                totp_enrolled=row["totp_enrolled"],
                created_ms=row["created_ms"],
                signed_in_ms=row["signed_in_ms"],
            )
            for row in await self.rows("list_users")
        )

    async def set_roles(self, user_id: str, roles: Iterable[Role]) -> None:
        """Exactly these roles."""
        await self.run("clear_roles", user_id=user_id)
        await self.run("add_roles", user_id=user_id, roles=[role.value for role in roles])

    # Failed sign-ins

    async def failures(self, keys: Sequence[bytes]) -> dict[bytes, Counter]:
        """The counters of these keys, locked until the transaction ends, in key order so that nobody waits in a circle."""
        for key in sorted(keys):
            await self.rows("lock_failure", key=key)
        rows = await self.rows("read_failures", keys=list(keys))
        return {bytes(row["key"]): Counter(row["failures"], row["last_ms"]) for row in rows}

    async def book_failures(self, keys: Sequence[bytes], now_ms: int) -> None:
        """One more failure on each key."""
        for key in keys:
            await self.run("book_failure", key=key, now_ms=now_ms, forgotten_ms=now_ms - WINDOW_MS)

    async def forgive(self, keys: Sequence[bytes]) -> None:
        """A sign-in worked: its pair starts afresh, and the attempt booked on the others is taken back."""
        await self.failures(keys)  # Locks them.
        await self.run("clear_failures", key=keys[0])
        await self.run("forgive_failure", keys=list(keys[1:]))

    # Tokens

    async def tokens(self, user_id: str) -> tuple[ApiToken, ...]:
        """The tokens of a person that are not revoked, newest first."""
        return tuple(ApiToken(**row) for row in await self.rows("list_tokens", user_id=user_id))

    # The audit chain

    async def append_audit(self, *, at_ms: int, actor: str, action: str, subject: str, detail: dict[str, str | int | bool]) -> AuditEntry:
        """Add one link. The head row is locked until the transaction ends, so that links never fork."""
        head = await self.row("lock_audit_head")
        assert head is not None, "the migration writes the head of the empty chain"
        entry_id = head["entry_id"] + 1
        text = canonical_detail(detail)
        digest = link(head["digest"], entry_id=entry_id, at_ms=at_ms, actor=actor, action=action, subject=subject, detail=text)
        await self.run(
            "append_audit", entry_id=entry_id, at_ms=at_ms, actor=actor, action=action, subject=subject, detail=text, digest=digest
        )
        await self.run("move_audit_head", entry_id=entry_id, digest=digest)
        return AuditEntry(entry_id=entry_id, at_ms=at_ms, actor=actor, action=action, subject=subject, detail=detail, digest=digest)

    async def audit_entries(self, *, before: int, actor: str, action: str, subject: str, limit: int) -> tuple[AuditEntry, ...]:
        """Entries newest first; `before` is the last entry id of the page before, 0 for the first page."""
        rows = await self.rows("list_audit", before=before, actor=actor, action=action, subject=subject, limit=limit)
        return tuple(AuditEntry(**row | {"detail": json.loads(row["detail"])}) for row in rows)

    # The on-call line

    async def on_call(self) -> tuple[OnCallPerson, ...]:
        """The line, first in line first; people who are disabled are skipped."""
        rows = await self.rows("list_on_call")
        return tuple(OnCallPerson(position=row["position"], name=row["name"], contact=Secret(row["contact"])) for row in rows)
