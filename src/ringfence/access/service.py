"""People signing in, acting and being recorded: the shell over `store`.

Every method that changes something writes its audit entry in the same transaction. The one thing to know: when PostgreSQL is down,
sessions and tokens that this process has seen go on until they expire, and nobody new signs in.
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import pyotp

from ringfence.access import paging, passwords, throttle, totp
from ringfence.access.audit import GENESIS, MAX_DETAIL_BYTES, MAX_FIELD_CHARACTERS, canonical_detail, link
from ringfence.access.model import (
    ROLE_PERMISSIONS,
    Actor,
    ApiToken,
    AuditEntry,
    ChainReport,
    DuePage,
    IssuedToken,
    OnCallPerson,
    OneTimePassword,
    Page,
    Permission,
    Role,
    Session,
    SignInRefused,
    TotpEnrolment,
    User,
    permissions_of,
)
from ringfence.access.store import AccessStore, failure_key, hash_token
from ringfence.base.clock import Clock, system_clock
from ringfence.base.errors import ConflictError, NotFoundError, OperatorError, UnavailableError
from ringfence.base.ids import new_id, new_token
from ringfence.base.secret import Secret
from ringfence.runtime.db import Database, Row

SESSION_MS = 12 * 3_600_000
"""A sign-in lasts one long shift."""

TOKEN_MAX_MS = 366 * 86_400_000
MAX_TOKEN_CHARACTERS = 100
MAX_ON_CALL = 20
USED_STEP_MS = 60_000
"""The last use of an API token is written once a minute, not at each request."""

PAGES_KEPT_MS = 30 * 86_400_000
SOURCES_KEPT_MS = 30 * 86_400_000
"""Longer than any stream keeps a message."""

MAX_PAGE_CHARACTERS = 2_000

MAX_SEEN = 10_000
"""Sessions that go on in this process while PostgreSQL is down."""

HASHES_AT_ONCE = 2
HASHES_WAITING = 32
"""Each hash takes 64 MiB: more sign-ins at once than this are told to come back."""

FIRST_NAME = "admin"

# Lower case only, so that no two names look the same.
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class AccessService:
    """Users, sessions, tokens, audit and the on-call line.

    `db` is an open `Database`; `clock` gives Unix milliseconds. One object serves a whole process.
    """

    def __init__(self, db: Database, clock: Clock = system_clock) -> None:
        self._db = db
        self._clock = clock
        self._seen: OrderedDict[bytes, tuple[Actor, int]] = OrderedDict()
        self._hashing = _Hashing()

    # Signing in

    async def authenticate(self, name: str, password: Secret, totp_code: str, source: str) -> Session:
        """Sign in. `source` is the client's address; `totp_code` is empty when there is none.

        Raises SignInRefused; an unknown name, a disabled user and a wrong password look and cost the same.
        """
        name = name.strip().lower()
        network = throttle.network_of(source)
        keys = [failure_key("pair", name, network), failure_key("source", network), failure_key("name", name)]
        user = await self._admit(name, network, keys)
        if not await self._hashing.fits(user["password_hash"] if user else None, password) or user is None or user["disabled"]:
            raise SignInRefused("name or password is wrong", reason="bad_credentials")
        async with self._db.transaction() as connection:
            store = AccessStore(connection)
            fresh = await store.row("find_credentials", user_id=user["user_id"])
            if fresh is None or fresh["disabled"] or fresh["password_hash"] != user["password_hash"]:
                raise SignInRefused("name or password is wrong", reason="bad_credentials")
            await self._check_totp(store, fresh, totp_code)
            await store.forgive(keys)
            return await self._begin(store, fresh, network)

    async def session(self, token: Secret) -> Actor | None:
        """Who holds this session token; None when it is unknown, expired or its user is disabled."""
        return await self._actor(token, "find_session")

    async def token(self, api_token: Secret) -> Actor | None:
        """Who holds this API token; None when it is unknown, expired, revoked or its user is disabled."""
        return await self._actor(api_token, "find_token")

    async def sign_out(self, token: Secret) -> None:
        """End one session. Ending it twice is no error."""
        self._seen.pop(hash_token(token), None)
        async with self._db.transaction() as connection:
            await AccessStore(connection).run("end_session", token_hash=hash_token(token))

    async def change_password(self, actor: Actor, current: Secret, new: Secret, source: str) -> Session:
        """Replace the own password; every session of the person ends, and a new one begins."""
        passwords.check_new(new, actor.name)
        network = throttle.network_of(source)
        keys = [failure_key("pair", actor.name, network), failure_key("source", network), failure_key("name", actor.name)]
        user = await self._admit(actor.name, network, keys)
        if user is None or not await self._hashing.fits(user["password_hash"], current):
            raise SignInRefused("the current password is wrong", reason="bad_credentials")
        if current.equals(new.open()):
            raise OperatorError("choose a password that differs from the current one", reason="password_same")
        hashed = await self._hashing.hash(new)
        async with self._db.transaction() as connection:
            store = AccessStore(connection)
            fresh = await store.row("find_credentials", user_id=actor.user_id)
            if fresh is None or fresh["disabled"] or fresh["password_hash"] != user["password_hash"]:
                raise ConflictError("the password was changed in the meantime; sign in again", reason="password_changed")
            await store.run("set_password", user_id=actor.user_id, password_hash=hashed, must_change=False)
            await store.run("end_sessions", user_id=actor.user_id)
            await store.forgive(keys)
            await self._record(store, actor.name, "change_password", actor.name)
            session = await self._begin(store, fresh | {"must_change_password": False}, network)
        self._forget(actor.user_id, keep=hash_token(session.token))
        return session

    # Second factor

    async def enrol_totp(self, actor: Actor) -> TotpEnrolment:
        """A new secret for the own authenticator application. It counts once `confirm_totp` saw a code of it."""
        secret = pyotp.random_base32()
        async with self._db.transaction() as connection:
            await AccessStore(connection).run("set_totp_pending", user_id=actor.user_id, secret=secret)
        return TotpEnrolment(uri=Secret(totp.provisioning_uri(secret, actor.name)), secret=Secret(secret))

    async def confirm_totp(self, actor: Actor, code: str) -> None:
        """Turn the second factor on with a first code."""
        async with self._db.transaction() as connection:
            store = AccessStore(connection)
            user = await store.row("find_credentials", user_id=actor.user_id)
            if user is None or user["totp_pending"] is None:
                raise OperatorError("start the enrolment of the second factor first", reason="totp_not_enrolling")
            step = totp.matching_step(user["totp_pending"], code, self._clock())
            if step is None:
                raise OperatorError("this code does not fit; check the clock of your phone and try the next one", reason="bad_totp")
            await store.run("confirm_totp", user_id=actor.user_id, step=step)
            await self._record(store, actor.name, "enrol_totp", actor.name)

    async def remove_totp(self, actor: Actor, name: str) -> None:
        """Turn a person's second factor off (a lost phone). Needs `user.manage`."""
        actor.require(Permission.USER_MANAGE)
        async with self._db.transaction() as connection:
            store = AccessStore(connection)
            user = await self._named(store, name)
            await store.run("remove_totp", user_id=user["user_id"])
            await self._record(store, actor.name, "remove_totp", user["name"])

    # Users

    async def ensure_first_administrator(self, name: str = FIRST_NAME) -> OneTimePassword | None:
        """The first administrator with a one-time password, or None when there is anybody already."""
        _name(name)
        async with self._db.transaction() as connection:
            if await AccessStore(connection).count("count_users", "users"):
                return None
        password = Secret(new_token()[:20])
        hashed = await self._hashing.hash(password)
        async with self._db.transaction() as connection:
            store = AccessStore(connection)
            await store.rows("lock_users")
            if await store.count("count_users", "users"):
                return None
            await self._insert(store, name, hashed, frozenset({Role.ADMINISTRATOR}))
            await self._record(store, "role:local", "add_user", name, {"roles": Role.ADMINISTRATOR.value})
        return OneTimePassword(name=name, password=password)

    async def users(self, actor: Actor) -> tuple[User, ...]:
        """Everybody. Needs `user.manage`."""
        actor.require(Permission.USER_MANAGE)
        async with self._db.transaction() as connection:
            return await AccessStore(connection).users()

    async def add_user(self, actor: Actor, name: str, roles: frozenset[Role]) -> OneTimePassword:
        """A new person with a one-time password. Needs `user.manage`; ConflictError when the name is taken."""
        actor.require(Permission.USER_MANAGE)
        _name(name)
        _some(roles)
        password = Secret(new_token()[:20])
        hashed = await self._hashing.hash(password)
        async with self._db.transaction() as connection:
            store = AccessStore(connection)
            await self._insert(store, name, hashed, roles)
            await self._record(store, actor.name, "add_user", name, {"roles": _listed(roles)})
        return OneTimePassword(name=name, password=password)

    async def set_roles(self, actor: Actor, name: str, roles: frozenset[Role]) -> None:
        """Exactly these roles from now on, in running sessions too. Needs `user.manage`; the last administrator stays one."""
        actor.require(Permission.USER_MANAGE)
        _some(roles)
        async with self._db.transaction() as connection:
            store = AccessStore(connection)
            await store.rows("lock_users")
            user = await self._named(store, name)
            await store.set_roles(user["user_id"], roles)
            await self._keep_an_administrator(store)
            await self._record(store, actor.name, "set_roles", user["name"], {"roles": _listed(roles)})
        self._forget(user["user_id"])

    async def set_disabled(self, actor: Actor, name: str, *, disabled: bool) -> None:
        """Shut a person out at once, with every session and token, or let them in again. Needs `user.manage`."""
        actor.require(Permission.USER_MANAGE)
        async with self._db.transaction() as connection:
            store = AccessStore(connection)
            await store.rows("lock_users")
            user = await self._named(store, name)
            await store.run("set_disabled", user_id=user["user_id"], disabled=disabled)
            if disabled:
                await self._keep_an_administrator(store)
                await store.run("end_sessions", user_id=user["user_id"])
                await store.run("revoke_tokens", user_id=user["user_id"], now_ms=self._clock())
            await self._record(store, actor.name, "disable_user" if disabled else "enable_user", user["name"])
        self._forget(user["user_id"])

    async def reset_password(self, actor: Actor, name: str) -> OneTimePassword:
        """A new one-time password for somebody who forgot theirs; their sessions and tokens end. Needs `user.manage`."""
        actor.require(Permission.USER_MANAGE)
        password = Secret(new_token()[:20])
        hashed = await self._hashing.hash(password)
        async with self._db.transaction() as connection:
            store = AccessStore(connection)
            user = await self._named(store, name)
            await store.run("set_password", user_id=user["user_id"], password_hash=hashed, must_change=True)
            await store.run("end_sessions", user_id=user["user_id"])
            await store.run("revoke_tokens", user_id=user["user_id"], now_ms=self._clock())
            await self._record(store, actor.name, "reset_password", user["name"])
        self._forget(user["user_id"])
        return OneTimePassword(name=user["name"], password=password)

    async def count_approvers(self) -> int:
        """People who can give an approval now: with one of them, a mass measure needs break-glass."""
        roles = [role.value for role, permissions in ROLE_PERMISSIONS.items() if Permission.BLOCK_APPROVE in permissions]
        async with self._db.transaction() as connection:
            return await AccessStore(connection).count("count_holders", "holders", roles=roles)

    # API tokens

    async def issue_token(self, actor: Actor, label: str, *, lifetime_ms: int = TOKEN_MAX_MS) -> IssuedToken:
        """A key for a program that acts as the actor, shown once."""
        actor.require_own_password()
        label = _field(label, "label")
        if not 0 < lifetime_ms <= TOKEN_MAX_MS:
            raise OperatorError("a token lives for a year at the most", reason="bad_lifetime")
        now = self._clock()
        token = Secret(f"rf_{new_token()}")
        issued = ApiToken(token_id=new_id("t"), user_id=actor.user_id, label=label, created_ms=now, expires_ms=now + lifetime_ms, used_ms=0)
        async with self._db.transaction() as connection:
            store = AccessStore(connection)
            await store.run(
                "add_token",
                token_id=issued.token_id,
                token_hash=hash_token(token),
                user_id=actor.user_id,
                label=label,
                now_ms=now,
                expires_ms=issued.expires_ms,
            )
            await self._record(store, actor.name, "issue_token", issued.token_id, {"label": label})
        return IssuedToken(api_token=issued, token=token)

    async def tokens(self, actor: Actor) -> tuple[ApiToken, ...]:
        """The actor's own tokens, newest first."""
        async with self._db.transaction() as connection:
            return await AccessStore(connection).tokens(actor.user_id)

    async def revoke_token(self, actor: Actor, token_id: str) -> None:
        """End a token at once: one's own, or anybody's with `user.manage`."""
        async with self._db.transaction() as connection:
            store = AccessStore(connection)
            row = await store.row("revoke_token", token_id=token_id, now_ms=self._clock())
            if row is None or (row["user_id"] != actor.user_id and not actor.may(Permission.USER_MANAGE)):
                raise NotFoundError("there is no such token; list the tokens to see their ids", reason="no_token")
            await self._record(store, actor.name, "revoke_token", token_id, {"label": row["label"]})
        self._forget(row["user_id"])

    # Audit

    async def audit(self, actor: str, action: str, subject: str, detail: Mapping[str, str | int | bool] | None = None) -> AuditEntry:
        """Append what somebody did. `actor` is a person's name or `role:<role>`; `detail` holds no secret and is under 16 KiB."""
        async with self._db.transaction() as connection:
            return await self._record(AccessStore(connection), actor, action, subject, detail)

    async def audit_once(
        self, source: str, actor: str, action: str, subject: str, detail: Mapping[str, str | int | bool] | None = None
    ) -> bool:
        """Append what a message says; False when `source` (the message's id) was recorded within the last 30 days."""
        async with self._db.transaction() as connection:
            store = AccessStore(connection)
            now = self._clock()
            if await store.row("claim_source", source=source, now_ms=now) is None:
                return False
            await store.run("sweep_sources", before_ms=now - SOURCES_KEPT_MS)
            await self._record(store, actor, action, subject, detail)
            return True

    async def audit_entries(
        self, actor: Actor, *, before: int = 0, by: str = "", action: str = "", subject: str = "", limit: int = 100
    ) -> tuple[AuditEntry, ...]:
        """Entries newest first, 500 at the most; `before` is the id of the last entry seen. Needs `audit.read`."""
        actor.require(Permission.AUDIT_READ)
        async with self._db.transaction() as connection:
            store = AccessStore(connection)
            return await store.audit_entries(before=before, actor=by, action=action, subject=subject, limit=max(1, min(limit, 500)))

    async def verify(self) -> ChainReport:
        """Walk the whole audit chain, in one snapshot, 2,000 entries at a time."""
        async with self._db.transaction() as connection:
            store = AccessStore(connection)
            await store.run("begin_snapshot")
            head = await store.row("read_audit_head")
            assert head is not None, "the migration writes the head of the empty chain"
            digest, last = GENESIS, 0
            while rows := await store.rows("read_chain", after=last, limit=2_000):
                for row in rows:
                    expected = link(digest, **{key: row[key] for key in ("entry_id", "at_ms", "actor", "action", "subject", "detail")})
                    if row["entry_id"] != last + 1 or row["digest"] != expected:
                        return ChainReport(entries=last, head=digest, broken_at=last + 1)
                    digest, last = expected, row["entry_id"]
            intact = last == head["entry_id"] and digest == head["digest"]
            return ChainReport(entries=last, head=digest, broken_at=0 if intact else last + 1)

    # On call

    async def on_call(self) -> tuple[OnCallPerson, ...]:
        """Who is paged, in order. The addresses in it are secrets."""
        async with self._db.transaction() as connection:
            return await AccessStore(connection).on_call()

    async def set_on_call(self, actor: Actor, line: Sequence[tuple[str, Secret]]) -> None:
        """Replace the line by `(name, apprise address)` in order, 20 people at the most. Needs `user.manage`."""
        actor.require(Permission.USER_MANAGE)
        if len(line) > MAX_ON_CALL:
            raise OperatorError(f"the line holds {MAX_ON_CALL} people at the most", reason="line_too_long")
        async with self._db.transaction() as connection:
            store = AccessStore(connection)
            await store.run("clear_on_call")
            for position, (name, contact) in enumerate(line, start=1):
                if await store.row("add_on_call", position=position, name=name, contact=contact.open()) is None:
                    raise NotFoundError(f"there is no user {name[:63]!r} who could be on call; add the user first", reason="no_user")
            await self._record(store, actor.name, "set_on_call", "on_call", {"line": ", ".join(name for name, _ in line)})

    async def open_page(self, alert_id: str, message: str, *, everyone: bool = False) -> bool:
        """Begin to page for an alert; False when that was begun before. `everyone`: the whole line at once, and only once."""
        async with self._db.transaction() as connection:
            row = await AccessStore(connection).row(
                "open_page", alert_id=alert_id, message=message[:MAX_PAGE_CHARACTERS], everyone=everyone, now_ms=self._clock()
            )
            return row is not None

    async def due_pages(self, line: Sequence[OnCallPerson]) -> tuple[DuePage, ...]:
        """Pages that are due now, 500 at the most, each with whom to tell of this line."""
        async with self._db.transaction() as connection:
            pages = [Page(**row) for row in await AccessStore(connection).rows("due_pages", now_ms=self._clock())]
        return tuple(
            DuePage(page=page, contacts=tuple(line) if page.everyone else paging.next_contacts(line, page.paged)) for page in pages
        )

    async def note_paged(self, page: Page, *, delivered: bool, escalate_ms: int) -> None:
        """One more person was told, or could not be; nothing happens when the page was ended meanwhile."""
        due = paging.next_ms(self._clock(), delivered=delivered, escalate_ms=escalate_ms)
        async with self._db.transaction() as connection:
            await AccessStore(connection).row("move_page", alert_id=page.alert_id, paged=page.paged, next_ms=due)

    async def end_page(self, alert_id: str, by: str) -> bool:
        """Stop paging for an alert: acknowledged, closed, or told to everybody. False when nothing was running."""
        async with self._db.transaction() as connection:
            store = AccessStore(connection)
            now = self._clock()
            await store.run("sweep_pages", before_ms=now - PAGES_KEPT_MS)
            return await store.row("end_page", alert_id=alert_id, by=by, now_ms=now) is not None

    async def end_pages(self, beginning: str, by: str) -> None:
        """Stop every page whose id begins so."""
        async with self._db.transaction() as connection:
            await AccessStore(connection).run("end_pages", beginning=beginning, by=by, now_ms=self._clock())

    # Inside

    async def _admit(self, name: str, network: str, keys: list[bytes]) -> Row | None:
        """Look the user up and book the attempt before the password is looked at: a thousand at once count as a thousand."""
        now = self._clock()
        async with self._db.transaction() as connection:
            store = AccessStore(connection)
            counters = await store.failures(keys)
            user = await store.row("find_user_by_name", name=name)
            limits = [(keys[0], throttle.PAIR), (keys[1], throttle.SOURCE), (keys[2], throttle.NAME)]
            if user and await store.row("is_known_network", user_id=user["user_id"], network=network):
                limits.pop()
            wait = max(throttle.wait_ms(counters.get(key), limit, now) for key, limit in limits)
            if wait:
                seconds = -(-wait // 1000)
                raise SignInRefused(f"too many sign-ins failed; try again in {seconds} s", reason="throttled", retry_after_seconds=seconds)
            await store.book_failures(keys, now)
            await store.run("sweep_failures", forgotten_ms=now - throttle.WINDOW_MS)
            failures = counters[keys[0]].failures + 1 if keys[0] in counters else 1
            if user and failures == throttle.PAIR.free:
                await self._record(store, "role:access", "slow_sign_ins", name, {"network": network, "failures": failures})
            return user

    async def _check_totp(self, store: AccessStore, user: Row, code: str) -> None:
        if user["totp_secret"] is None:
            return
        if not code:
            raise SignInRefused("the code of your authenticator is needed too", reason="totp_required")
        step = totp.matching_step(user["totp_secret"], code, self._clock())
        if step is None or await store.row("use_totp_step", user_id=user["user_id"], step=step) is None:
            raise SignInRefused("this code does not fit or was used before; wait for the next one", reason="bad_totp")

    async def _begin(self, store: AccessStore, user: Row, network: str) -> Session:
        now = self._clock()
        token = Secret(new_token())
        expires = now + SESSION_MS
        await store.run("sweep_sessions", now_ms=now)
        await store.run(
            "add_session", token_hash=hash_token(token), user_id=user["user_id"], network=network, now_ms=now, expires_ms=expires
        )
        await store.run("set_signed_in", user_id=user["user_id"], now_ms=now)
        await store.run("remember_network", user_id=user["user_id"], network=network, now_ms=now)
        await store.run("forget_networks", user_id=user["user_id"])
        await self._record(store, user["name"], "sign_in", user["name"], {"network": network})
        row = await store.row("find_session", token_hash=hash_token(token), now_ms=now)
        assert row is not None, "the session was written above"
        actor = _actor_of(row | {"must_change_password": user["must_change_password"]})
        self._see(hash_token(token), actor, expires)
        return Session(token=token, actor=actor, expires_ms=expires)

    async def _actor(self, token: Secret, query: str) -> Actor | None:
        if not 0 < len(token.open()) <= MAX_TOKEN_CHARACTERS:
            return None
        digest, now = hash_token(token), self._clock()
        try:
            async with self._db.transaction() as connection:
                store = AccessStore(connection)
                row = await store.row(query, token_hash=digest, now_ms=now)
                if row is not None and "token_id" in row and now - row["used_ms"] >= USED_STEP_MS:
                    await store.run("set_token_used", token_id=row["token_id"], now_ms=now)
        except UnavailableError:
            seen = self._seen.get(digest)
            if seen is None:
                raise
            return seen[0] if now < seen[1] else None
        if row is None:
            self._seen.pop(digest, None)
            return None
        actor = _actor_of(row)
        self._see(digest, actor, row["expires_ms"])
        return actor

    def _see(self, digest: bytes, actor: Actor, expires_ms: int) -> None:
        self._seen[digest] = (actor, expires_ms)
        self._seen.move_to_end(digest)
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)

    def _forget(self, user_id: str, keep: bytes = b"") -> None:
        """Drop what this process remembers of a person whose rights changed."""
        for digest in [digest for digest, (actor, _) in self._seen.items() if actor.user_id == user_id and digest != keep]:
            del self._seen[digest]

    async def _named(self, store: AccessStore, name: str) -> Row:
        row = await store.row("find_user_by_name", name=name)
        if row is None:
            raise NotFoundError(f"there is no user {name[:63]!r}; list the users to see their names", reason="no_user")
        return row

    async def _insert(self, store: AccessStore, name: str, hashed: str, roles: frozenset[Role]) -> None:
        user_id = new_id("u")
        if await store.row("add_user", user_id=user_id, name=name, password_hash=hashed, now_ms=self._clock()) is None:
            raise ConflictError(f"the name {name} is taken; choose another one", reason="name_taken")
        await store.set_roles(user_id, roles)

    async def _keep_an_administrator(self, store: AccessStore) -> None:
        if await store.count("count_administrators", "administrators") == 0:
            raise ConflictError("this is the last administrator; give somebody else the role first", reason="last_administrator")

    async def _record(
        self, store: AccessStore, actor: str, action: str, subject: str, detail: Mapping[str, str | int | bool] | None = None
    ) -> AuditEntry:
        content = dict(detail or {})
        if len(canonical_detail(content).encode("utf-8", "surrogatepass")) > MAX_DETAIL_BYTES:
            raise OperatorError(f"the detail of an audit entry is {MAX_DETAIL_BYTES} bytes at the most", reason="audit_too_long")
        return await store.append_audit(
            at_ms=self._clock(),
            actor=_field(actor, "actor"),
            action=_field(action, "action"),
            subject=_field(subject, "subject"),
            detail=content,
        )


class _Hashing:
    """The few hashes that run at once, each in a thread; refuses when too many wait already."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(HASHES_AT_ONCE)
        self._waiting = 0

    async def fits(self, stored: str | None, password: Secret) -> bool:
        """Whether the password fits."""
        async with self._slot():
            return await asyncio.to_thread(passwords.verify, stored, password)

    async def hash(self, password: Secret) -> str:
        """What is stored of a new password."""
        async with self._slot():
            return await asyncio.to_thread(passwords.hash_password, password)

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        if self._waiting >= HASHES_WAITING:
            raise SignInRefused("too many people sign in at once; try again in 5 s", reason="throttled", retry_after_seconds=5)
        self._waiting += 1
        try:
            async with self._slots:
                yield
        finally:
            self._waiting -= 1


def _actor_of(row: Row) -> Actor:
    """A person as a surface sees them: without any permission until the one-time password is changed."""
    must_change = row["must_change_password"]
    roles = frozenset(Role(role) for role in row["roles"])
    return Actor(
        user_id=row["user_id"],
        name=row["name"],
        permissions=frozenset() if must_change else permissions_of(roles),
        must_change_password=must_change,
    )


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise OperatorError(
            "a user name is 1 to 63 characters of a to z, 0 to 9, dot, dash and underscore, and starts with a letter or digit",
            reason="bad_name",
        )
    return name


def _some(roles: frozenset[Role]) -> None:
    if not roles:
        raise OperatorError(f"give at least one role of {', '.join(Role)}", reason="no_role")


def _listed(roles: frozenset[Role]) -> str:
    return " ".join(sorted(roles))


def _field(text: str, what: str) -> str:
    """A short text without control characters, as it goes into the chain and onto pages."""
    if not text or len(text) > MAX_FIELD_CHARACTERS or not text.isprintable():
        raise OperatorError(f"the {what} must be 1 to {MAX_FIELD_CHARACTERS} printable characters", reason=f"bad_{what}")
    return text
