"""Signing in, tokens, users, audit and the on-call line on a real PostgreSQL."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import argon2
import psycopg
import pyotp
import pytest

from ringfence.access import passwords
from ringfence.access.model import ROLE_PERMISSIONS, Actor, Permission, Role, Session, SignInRefused
from ringfence.access.service import SESSION_MS, AccessService
from ringfence.access.throttle import PAIR
from ringfence.base.errors import ConflictError, ForbiddenError, NotFoundError, OperatorError, UnavailableError
from ringfence.base.secret import Secret
from ringfence.runtime.db import Database
from tests.harness.engines import running_postgres

START_MS = 1_790_000_000_000
GOOD = Secret("correct horse battery")
HERE = "192.0.2.1"


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


def run(url: str, body: Callable[[AccessService, Clock], Awaitable[None]]) -> None:
    async def main() -> None:
        clock = Clock()
        async with Database(url, name="test") as db:
            await body(AccessService(db, clock), clock)

    asyncio.run(main())


async def first(access: AccessService) -> Session:
    """The first administrator with a password of their own."""
    made = await access.ensure_first_administrator()
    assert made is not None
    session = await access.authenticate(made.name, made.password, "", HERE)
    return await access.change_password(session.actor, made.password, GOOD, HERE)


async def settled(access: AccessService, admin: Actor, name: str, *roles: Role) -> Session:
    """A user with a password of their own."""
    made = await access.add_user(admin, name, frozenset(roles))
    session = await access.authenticate(name, made.password, "", HERE)
    return await access.change_password(session.actor, made.password, GOOD, HERE)


def test_first_administrator_can_do_nothing_before_the_password_is_changed(database_url: str) -> None:
    async def body(access: AccessService, clock: Clock) -> None:
        made = await access.ensure_first_administrator()
        assert made is not None
        assert made.password.open() not in repr(made)
        assert await access.ensure_first_administrator() is None

        session = await access.authenticate("Admin", made.password, "", HERE)
        assert session.actor.permissions == frozenset()
        with pytest.raises(ForbiddenError) as refused:
            await access.users(session.actor)
        assert refused.value.reason == "must_change_password"
        with pytest.raises(ForbiddenError):
            await access.issue_token(session.actor, "x")

        changed = await access.change_password(session.actor, made.password, GOOD, HERE)
        assert changed.actor.permissions == frozenset(Permission)
        assert await access.session(session.token) is None, "every older session ends"
        assert await access.session(changed.token) == changed.actor
        with pytest.raises(SignInRefused):
            await access.authenticate("admin", made.password, "", HERE)

    run(database_url, body)


def test_an_unknown_name_and_a_wrong_password_look_the_same_and_hash_the_same(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[str] = []
    real = passwords._hasher.verify

    class Watched:
        def verify(self, stored: str, raw: bytes) -> bool:
            verified.append(stored.split("$")[3])
            return real(stored, raw)

        def hash(self, raw: bytes) -> str:
            return argon2.PasswordHasher().hash(raw)

    monkeypatch.setattr(passwords, "_hasher", Watched())

    async def body(access: AccessService, clock: Clock) -> None:
        await access.ensure_first_administrator()
        messages = []
        for name in ("admin", "nobody"):
            with pytest.raises(SignInRefused) as refused:
                await access.authenticate(name, Secret("wrong"), "", HERE)
            messages.append((str(refused.value), refused.value.reason))
        assert messages[0] == messages[1]
        assert len(verified) == 2
        assert verified[0] == verified[1] == "m=65536,t=3,p=4"

    run(database_url, body)


def test_failures_slow_a_pair_down_and_nobody_else(database_url: str) -> None:
    async def body(access: AccessService, clock: Clock) -> None:
        await first(access)
        for _ in range(PAIR.free):
            with pytest.raises(SignInRefused, match="wrong"):
                await access.authenticate("admin", Secret("wrong"), "", "198.51.100.7")
        with pytest.raises(SignInRefused) as refused:
            await access.authenticate("admin", GOOD, "", "198.51.100.7")
        assert refused.value.reason == "throttled"
        assert refused.value.retry_after_seconds == 2
        await access.authenticate("admin", GOOD, "", HERE)
        clock.now_ms += 2_000
        await access.authenticate("admin", GOOD, "", "198.51.100.7")

    run(database_url, body)


def test_guesses_from_everywhere_never_lock_the_owner_out(database_url: str) -> None:
    async def body(access: AccessService, clock: Clock) -> None:
        await first(access)
        for place in range(40):
            with pytest.raises(SignInRefused):
                await access.authenticate("admin", Secret("wrong"), "", f"203.0.113.{place}")
        await access.authenticate("admin", GOOD, "", HERE)  # A network the owner has signed in from before.
        with pytest.raises(SignInRefused) as refused:
            await access.authenticate("admin", GOOD, "", "203.0.113.200")
        assert refused.value.reason == "throttled"
        assert refused.value.retry_after_seconds <= 20

    run(database_url, body)


def test_attempts_at_once_all_count(database_url: str) -> None:
    async def body(access: AccessService, clock: Clock) -> None:
        await first(access)
        attempts = [access.authenticate("admin", Secret("wrong"), "", "198.51.100.9") for _ in range(20)]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        assert [outcome for outcome in outcomes if not isinstance(outcome, SignInRefused)] == []
        looked_at = [outcome for outcome in outcomes if isinstance(outcome, SignInRefused) and outcome.reason == "bad_credentials"]
        assert len(looked_at) <= PAIR.free + 1

    run(database_url, body)


def test_second_factor_is_needed_and_each_code_counts_once(database_url: str) -> None:
    async def body(access: AccessService, clock: Clock) -> None:
        session = await first(access)
        enrolment = await access.enrol_totp(session.actor)
        assert enrolment.secret.open() not in repr(enrolment)
        await access.authenticate("admin", GOOD, "", HERE)  # Not confirmed yet, so not asked for.
        codes = pyotp.TOTP(enrolment.secret.open())
        with pytest.raises(OperatorError, match="does not fit"):
            await access.confirm_totp(session.actor, "000000" if codes.at(clock() // 1000) != "000000" else "000001")
        await access.confirm_totp(session.actor, codes.at(clock() // 1000))

        with pytest.raises(SignInRefused) as refused:
            await access.authenticate("admin", GOOD, "", HERE)
        assert refused.value.reason == "totp_required"
        with pytest.raises(SignInRefused) as replayed:
            await access.authenticate("admin", GOOD, codes.at(clock() // 1000), HERE)
        assert replayed.value.reason == "bad_totp", "the code of the enrolment was used"
        clock.now_ms += 30_000
        code = codes.at(clock() // 1000)
        await access.authenticate("admin", GOOD, code, HERE)
        with pytest.raises(SignInRefused):
            await access.authenticate("admin", GOOD, code, HERE)

        await access.remove_totp(session.actor, "admin")
        await access.authenticate("admin", GOOD, "", HERE)

    run(database_url, body)


def test_roles_count_at_once_and_the_last_administrator_stays(database_url: str) -> None:
    async def body(access: AccessService, clock: Clock) -> None:
        admin = (await first(access)).actor
        anna = await settled(access, admin, "anna", Role.ANALYST)
        assert anna.actor.may(Permission.BLOCK_IMPOSE)
        assert not anna.actor.may(Permission.USER_MANAGE)
        with pytest.raises(ForbiddenError, match=r"lacks the permission user\.manage"):
            await access.add_user(anna.actor, "eve", frozenset({Role.ADMINISTRATOR}))

        await access.set_roles(admin, "anna", frozenset({Role.HOTLINE}))
        now = await access.session(anna.token)
        assert now is not None
        assert now.permissions == ROLE_PERMISSIONS[Role.HOTLINE]
        with pytest.raises(ConflictError, match="last administrator"):
            await access.set_roles(admin, "admin", frozenset({Role.LEAD}))
        with pytest.raises(ConflictError, match="last administrator"):
            await access.set_disabled(admin, "admin", disabled=True)
        assert [user.name for user in await access.users(admin)] == ["admin", "anna"]
        assert admin.may(Permission.USER_MANAGE)
        with pytest.raises(ConflictError, match="taken"):
            await access.add_user(admin, "anna", frozenset({Role.LEAD}))
        with pytest.raises(NotFoundError):
            await access.reset_password(admin, "nobody")

    run(database_url, body)


def test_disabling_and_resetting_end_sessions_and_tokens(database_url: str) -> None:
    async def body(access: AccessService, clock: Clock) -> None:
        admin = (await first(access)).actor
        anna = await settled(access, admin, "anna", Role.ANALYST)
        issued = await access.issue_token(anna.actor, "scripts")
        assert await access.token(issued.token) == anna.actor
        await access.set_disabled(admin, "anna", disabled=True)
        assert await access.session(anna.token) is None
        assert await access.token(issued.token) is None
        with pytest.raises(SignInRefused, match="wrong"):
            await access.authenticate("anna", GOOD, "", HERE)
        await access.set_disabled(admin, "anna", disabled=False)
        assert await access.token(issued.token) is None, "a token that was revoked stays revoked"
        made = await access.reset_password(admin, "anna")
        assert (await access.authenticate("anna", made.password, "", HERE)).actor.must_change_password

    run(database_url, body)


def test_tokens_are_shown_once_expire_and_are_revoked(database_url: str) -> None:
    async def body(access: AccessService, clock: Clock) -> None:
        admin = (await first(access)).actor
        issued = await access.issue_token(admin, "backup", lifetime_ms=1_000)
        assert issued.token.open().startswith("rf_")
        assert issued.token.open() not in repr(issued)
        listed = await access.tokens(admin)
        assert [token.label for token in listed] == ["backup"]
        assert await access.token(Secret(issued.token.open() + "x")) is None
        assert await access.token(Secret("x" * 10_000)) is None
        assert await access.token(issued.token) == admin
        clock.now_ms += 1_000
        assert await access.token(issued.token) is None

        other = await access.issue_token(admin, "other")
        anna = await settled(access, admin, "anna", Role.ANALYST)
        with pytest.raises(NotFoundError):
            await access.revoke_token(anna.actor, other.api_token.token_id)
        assert await access.token(other.token) == admin
        await access.revoke_token(admin, other.api_token.token_id)
        assert await access.token(other.token) is None

    run(database_url, body)


def test_nothing_in_the_database_is_a_secret_in_the_clear(database_url: str) -> None:
    async def body(access: AccessService, clock: Clock) -> None:
        session = await first(access)
        issued = await access.issue_token(session.actor, "x")
        rows: list[str] = []
        with psycopg.connect(database_url) as connection:
            for table in ("users", "sessions", "tokens", "audit", "sign_in_failures"):
                rows += [repr(row) for row in connection.execute(f"select * from access.{table}".encode())]
        assert len(rows) > 5
        for secret in (GOOD.open(), session.token.open(), issued.token.open()):
            assert not any(secret in row for row in rows)

    run(database_url, body)


def test_a_session_ends_after_a_shift_and_on_signing_out(database_url: str) -> None:
    async def body(access: AccessService, clock: Clock) -> None:
        session = await first(access)
        clock.now_ms += SESSION_MS - 1
        assert await access.session(session.token) is not None
        clock.now_ms += 1
        assert await access.session(session.token) is None
        again = await access.authenticate("admin", GOOD, "", HERE)
        await access.sign_out(again.token)
        assert await access.session(again.token) is None

    run(database_url, body)


def test_the_audit_chain_shows_every_tampering(database_url: str) -> None:
    async def body(access: AccessService, clock: Clock) -> None:
        admin = (await first(access)).actor
        for number in range(5):
            await access.audit("anna", "impose_block", f"b-{number}", {"reason": "tést", "calls": number})
        report = await access.verify()
        assert report.intact
        assert report.entries >= 5
        entries = await access.audit_entries(admin, by="anna")
        assert [entry.subject for entry in entries] == ["b-4", "b-3", "b-2", "b-1", "b-0"]
        assert entries[0].detail == {"reason": "tést", "calls": 4}
        page = await access.audit_entries(admin, by="anna", before=entries[1].entry_id, limit=2)
        assert [entry.subject for entry in page] == ["b-2", "b-1"]

        victim = entries[2].entry_id
        with psycopg.connect(database_url) as connection, pytest.raises(psycopg.errors.RaiseException, match="append only"):
            connection.execute("update access.audit set subject = 'b-9'")
        for tampering, broken in (
            (f"update access.audit set subject = 'b-9' where entry_id = {victim}", victim),
            (f"delete from access.audit where entry_id = {victim}", victim),
            (f"delete from access.audit where entry_id = {report.entries}", report.entries),
        ):
            with psycopg.connect(database_url) as connection:
                connection.execute("alter table access.audit disable trigger all")
                connection.execute(tampering.encode())
                connection.execute("alter table access.audit enable trigger all")
                connection.commit()
                found = await access.verify()
                assert not found.intact
                assert found.broken_at == broken
                connection.execute("alter table access.audit disable trigger all")
                connection.execute("delete from access.audit")
                connection.execute("update access.audit_head set entry_id = 0, digest = repeat('0', 64)")
                connection.execute("alter table access.audit enable trigger all")
            for number in range(report.entries):
                await access.audit("anna", "impose_block", f"b-{number}")

    run(database_url, body)


def test_entries_written_at_once_make_one_chain(database_url: str) -> None:
    async def body(access: AccessService, clock: Clock) -> None:
        await asyncio.gather(*(access.audit("anna", "look", f"a-{number}") for number in range(30)))
        report = await access.verify()
        assert report.intact
        assert report.entries == 30

    run(database_url, body)


def test_a_message_is_recorded_once(database_url: str) -> None:
    async def body(access: AccessService, clock: Clock) -> None:
        assert await access.audit_once("event.1", "anna", "lift_block", "b-1")
        assert not await access.audit_once("event.1", "anna", "lift_block", "b-1")
        assert (await access.verify()).entries == 1

    run(database_url, body)


def test_audit_refuses_what_no_page_could_show(database_url: str) -> None:
    async def body(access: AccessService, clock: Clock) -> None:
        for bad in ("", "line\nbreak", "x" * 401):
            with pytest.raises(OperatorError):
                await access.audit("anna", "look", bad)
        with pytest.raises(OperatorError, match="16384 bytes"):
            await access.audit("anna", "look", "b-1", {"text": "x" * 20_000})
        assert (await access.verify()).entries == 0

    run(database_url, body)


def test_on_call_line_is_replaced_whole_and_skips_the_disabled(database_url: str) -> None:
    async def body(access: AccessService, clock: Clock) -> None:
        admin = (await first(access)).actor
        await access.add_user(admin, "anna", frozenset({Role.ANALYST}))
        await access.add_user(admin, "bert", frozenset({Role.LEAD}))
        await access.set_on_call(admin, [("anna", Secret("json://anna:pw@h")), ("bert", Secret("json://b"))])
        line = await access.on_call()
        assert [(person.position, person.name) for person in line] == [(1, "anna"), (2, "bert")]
        assert "pw" not in repr(line)
        with pytest.raises(NotFoundError, match="carla"):
            await access.set_on_call(admin, [("carla", Secret("json://c"))])
        await access.set_disabled(admin, "anna", disabled=True)
        assert [person.name for person in await access.on_call()] == ["bert"]

    run(database_url, body)


def test_pages_go_down_the_line_until_ended(database_url: str) -> None:
    async def body(access: AccessService, clock: Clock) -> None:
        admin = (await first(access)).actor
        for name in ("anna", "bert"):
            await access.add_user(admin, name, frozenset({Role.ANALYST}))
        await access.set_on_call(admin, [("anna", Secret("json://a")), ("bert", Secret("json://b"))])
        line = await access.on_call()

        async def due() -> list[tuple[str, list[str]]]:
            return [(entry.page.alert_id, [person.name for person in entry.contacts]) for entry in await access.due_pages(line)]

        assert await access.open_page("a-1", "D02")
        assert not await access.open_page("a-1", "D02")
        assert await due() == [("a-1", ["anna"])]
        (entry,) = await access.due_pages(line)
        await access.note_paged(entry.page, delivered=True, escalate_ms=300_000)
        await access.note_paged(entry.page, delivered=True, escalate_ms=300_000)  # A repetition moves nothing.
        assert await due() == []
        clock.now_ms += 300_000
        assert await due() == [("a-1", ["bert"])]
        (entry,) = await access.due_pages(line)
        await access.note_paged(entry.page, delivered=False, escalate_ms=300_000)
        clock.now_ms += 15_000
        assert await due() == [("a-1", ["anna"])], "who could not be reached does not use up the wait"
        assert await access.end_page("a-1", "anna")
        assert not await access.end_page("a-1", "bert")
        assert await due() == []
        assert await access.open_page("told", "break-glass", everyone=True)
        assert await due() == [("told", ["anna", "bert"])]

    run(database_url, body)


def test_live_sessions_go_on_while_postgresql_is_down_and_nobody_new_signs_in(tmp_path: Path) -> None:
    from tests.harness.engines import short_folder

    async def body(access: AccessService, clock: Clock, session: Session) -> None:
        assert await access.session(session.token) == session.actor
        clock.now_ms += SESSION_MS
        assert await access.session(session.token) is None, "a session ends while PostgreSQL is down, too"
        with pytest.raises(UnavailableError):
            await access.session(Secret("never seen"))
        with pytest.raises(UnavailableError):
            await access.authenticate("admin", GOOD, "", HERE)

    async def prepare(url: str, access: AccessService) -> Session:
        from ringfence.runtime.db import migrate

        await migrate(url)
        return await first(access)

    with short_folder() as folder, asyncio.Runner() as runner:
        clock = Clock()
        with running_postgres(folder) as server:
            url = server.create("down")
            db = Database(url, name="test")
            runner.run(db.open())
            access = AccessService(db, clock)
            session = runner.run(prepare(url, access))
        runner.run(body(access, clock, session))
        runner.run(db.close())
