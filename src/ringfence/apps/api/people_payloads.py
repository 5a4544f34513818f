"""What the routes of people, their sessions and the audit chain take and give."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from ringfence.access.model import Actor, AuditEntry, User
from ringfence.apps.api.payloads import Heard, Said, Text, at


class SignIn(Heard):
    """Name and password, and the authenticator's code when the person has one."""

    name: Text
    password: Annotated[str, Field(max_length=200)]
    totp: Annotated[str, Field(max_length=10)] = ""


class SessionSaid(Said):
    """A session's token and what it may do. With `must_change_password` it may do nothing until the password is changed."""

    token: str
    expires_at: datetime | None
    name: str
    permissions: list[str]
    must_change_password: bool


class Me(Said):
    """Who the token belongs to."""

    name: str
    permissions: list[str]
    must_change_password: bool

    @classmethod
    def of(cls, actor: Actor) -> "Me":
        """From an actor."""
        return cls(name=actor.name, permissions=sorted(actor.permissions), must_change_password=actor.must_change_password)


class NewPassword(Heard):
    """The present password and the one to come."""

    current: Annotated[str, Field(max_length=200)]
    new: Annotated[str, Field(max_length=200)]


class UserSaid(Said):
    """A person."""

    name: str
    roles: list[str]
    disabled: bool
    must_change_password: bool
    totp_enrolled: bool
    created_at: datetime | None
    signed_in_at: datetime | None

    @classmethod
    def of(cls, user: User) -> "UserSaid":
        """From the list."""
        return cls(
            name=user.name,
            roles=sorted(user.roles),
            disabled=user.disabled,
            must_change_password=user.must_change_password,
            totp_enrolled=user.totp_enrolled,
            created_at=at(user.created_ms),
            signed_in_at=at(user.signed_in_ms),
        )


class UserHeard(Heard):
    """A person to add."""

    name: Annotated[str, Field(max_length=63)]
    roles: Annotated[list[Literal["analyst", "engineer", "lead", "hotline", "auditor", "administrator"]], Field(min_length=1, max_length=6)]


class OneTimeSaid(Said):
    """A one-time password, told once."""

    name: str
    password: str


class AuditSaid(Said):
    """One link of the audit chain."""

    entry_id: int
    at: datetime | None
    actor: str
    action: str
    subject: str
    detail: dict[str, str | int | bool]
    digest: str

    @classmethod
    def of(cls, entry: AuditEntry) -> "AuditSaid":
        """From the chain."""
        return cls(
            entry_id=entry.entry_id,
            at=at(entry.at_ms),
            actor=entry.actor,
            action=entry.action,
            subject=entry.subject,
            detail=dict(entry.detail),
            digest=entry.digest,
        )
