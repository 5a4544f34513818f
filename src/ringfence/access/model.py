"""Who may do what: permissions, roles, and the values that the surfaces carry about people.

Nothing here holds a secret in the clear outside `Secret`. The one thing to know: an `Actor` whose password must be changed has no
permission at all, so no surface can forget to send that person to the password page.
"""

from dataclasses import dataclass, field
from enum import StrEnum, unique

from ringfence.base import errors
from ringfence.base.secret import Secret


@unique
class Permission(StrEnum):
    """Everything a route or a command can require. `docs/permissions.md` lists them all."""

    ALERT_READ = "alert.read"
    ALERT_ACKNOWLEDGE = "alert.acknowledge"
    ALERT_FEEDBACK = "alert.feedback"
    BLOCK_READ = "block.read"
    BLOCK_IMPOSE = "block.impose"
    BLOCK_LIFT = "block.lift"
    BLOCK_APPROVE = "block.approve"
    EXEMPTION_MANAGE = "exemption.manage"
    CALL_READ = "call.read"
    CALL_EXPORT = "call.export"
    ACCOUNT_READ = "account.read"
    ACCOUNT_IMPORT = "account.import"
    NETWORK_READ = "network.read"
    NETWORK_IMPORT = "network.import"
    RATE_READ = "rate.read"
    RATE_IMPORT = "rate.import"
    RULE_READ = "rule.read"
    RULE_COMPOSE = "rule.compose"
    RULE_WRITE = "rule.write"
    EDGE_READ = "edge.read"
    USER_MANAGE = "user.manage"
    AUDIT_READ = "audit.read"
    OVERVIEW_READ = "overview.read"
    METRICS_READ = "metrics.read"
    CUSTOMER_READ = "customer.read"
    CUSTOMER_IMPORT = "customer.import"
    DEVICE_READ = "device.read"
    DEVICE_IMPORT = "device.import"
    DEVICE_MANAGE = "device.manage"
    DEVICE_WAKE = "device.wake"
    DESIRED_WRITE = "desired.write"
    TRANSCRIPT_READ = "transcript.read"
    BREAKER_RESET = "breaker.reset"
    BREAK_GLASS = "break_glass"


@unique
class Role(StrEnum):
    """What a person is here for. A person may hold several roles."""

    ANALYST = "analyst"
    ENGINEER = "engineer"
    LEAD = "lead"
    HOTLINE = "hotline"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"


_READS = frozenset(permission for permission in Permission if permission.value.endswith(".read"))

_ANALYST = frozenset(
    {
        Permission.ALERT_READ,
        Permission.ALERT_ACKNOWLEDGE,
        Permission.ALERT_FEEDBACK,
        Permission.BLOCK_READ,
        Permission.BLOCK_IMPOSE,
        Permission.BLOCK_LIFT,
        Permission.BLOCK_APPROVE,
        Permission.CALL_READ,
        Permission.ACCOUNT_READ,
        Permission.NETWORK_READ,
        Permission.RATE_READ,
        Permission.RULE_READ,
        Permission.RULE_COMPOSE,
        Permission.EDGE_READ,
        Permission.CUSTOMER_READ,
        Permission.DEVICE_READ,
        Permission.OVERVIEW_READ,
    }
)

# One table for every surface. The hotline looks one customer up and sees figures, no call detail, no lists.
ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.ANALYST: _ANALYST,
    Role.ENGINEER: frozenset(
        {
            Permission.ALERT_READ,
            Permission.BLOCK_READ,
            Permission.ACCOUNT_READ,
            Permission.ACCOUNT_IMPORT,
            Permission.NETWORK_READ,
            Permission.NETWORK_IMPORT,
            Permission.RATE_READ,
            Permission.RATE_IMPORT,
            Permission.RULE_READ,
            Permission.RULE_COMPOSE,
            Permission.RULE_WRITE,
            Permission.EDGE_READ,
            Permission.OVERVIEW_READ,
            Permission.METRICS_READ,
            Permission.CUSTOMER_READ,
            Permission.CUSTOMER_IMPORT,
            Permission.DEVICE_READ,
            Permission.DEVICE_IMPORT,
            Permission.DEVICE_MANAGE,
            Permission.DEVICE_WAKE,
            Permission.DESIRED_WRITE,
            Permission.TRANSCRIPT_READ,
        }
    ),
    Role.LEAD: _ANALYST
    | {
        Permission.EXEMPTION_MANAGE,
        Permission.RULE_WRITE,
        Permission.AUDIT_READ,
        Permission.METRICS_READ,
        Permission.BREAKER_RESET,
        Permission.BREAK_GLASS,
        Permission.CALL_EXPORT,
    },
    Role.HOTLINE: frozenset({Permission.ACCOUNT_READ, Permission.CUSTOMER_READ, Permission.DEVICE_READ, Permission.DEVICE_WAKE}),
    Role.AUDITOR: _READS,
    Role.ADMINISTRATOR: frozenset(Permission),
}


def permissions_of(roles: frozenset[Role]) -> frozenset[Permission]:
    """Everything that a set of roles allows together."""
    return frozenset[Permission]().union(*(ROLE_PERMISSIONS[role] for role in roles))


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A person (or a program with their token) who asks for something, as every service takes it."""

    user_id: str
    name: str
    permissions: frozenset[Permission]
    """Empty while `must_change_password` is true."""
    must_change_password: bool = False

    def may(self, permission: Permission) -> bool:
        """Whether this actor holds a permission."""
        return permission in self.permissions

    def require(self, permission: Permission) -> None:
        """Refuse with `base.errors.ForbiddenError` what the actor may not do."""
        self.require_own_password()
        if permission not in self.permissions:
            raise errors.ForbiddenError(
                f"{self.name} lacks the permission {permission.value}; ask an administrator for a role that has it",
                reason="permission_missing",
            )

    def require_own_password(self) -> None:
        """Refuse who still has a one-time password."""
        if self.must_change_password:
            raise errors.ForbiddenError("change the one-time password first", reason="must_change_password")


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A sign-in that worked. `token` goes into the cookie or the bearer header; only its hash is stored."""

    token: Secret
    actor: Actor
    expires_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person's account here, as the pages of administrators show it."""

    user_id: str
    name: str
    roles: frozenset[Role]
    disabled: bool
    must_change_password: bool
    totp_enrolled: bool
    created_ms: int
    signed_in_ms: int
    """Last sign-in; 0 = never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OneTimePassword:
    """A new password that its owner must change at the first sign-in. Shown once, stored nowhere."""

    name: str
    password: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """A program's key, without the key."""

    token_id: str
    user_id: str
    label: str
    created_ms: int
    expires_ms: int
    used_ms: int
    """Last use, to the minute; 0 = never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """A fresh API token. `token` is shown once; only its hash is stored."""

    api_token: ApiToken
    token: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class TotpEnrolment:
    """What an authenticator application needs, shown once: `otpauth://` address and the same secret in base32."""

    uri: Secret
    secret: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One link of the audit chain: who did what to what."""

    entry_id: int
    at_ms: int
    actor: str
    """Name of the person, or the role of the product that acted (`role:worker`)."""
    action: str
    """Imperative with an underscore, such as `impose_block`."""
    subject: str
    detail: dict[str, str | int | bool] = field(default_factory=dict)
    digest: str = ""
    """SHA-256 over the entry and the digest before it, hexadecimal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainReport:
    """What `verify()` found. `broken_at` is the first entry that does not fit, 0 when the whole chain holds."""

    entries: int
    head: str
    broken_at: int = 0

    @property
    def intact(self) -> bool:
        """Whether every entry fits the one before it and the stored head."""
        return self.broken_at == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OnCallPerson:
    """One place in the line that is paged; `contact` is an apprise address and may hold a password."""

    position: int
    name: str
    contact: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An alert, or a happening with an id of its own, that the on-call line is being told about."""

    alert_id: str
    message: str
    everyone: bool
    """Tell the whole line at once, and only once."""
    opened_ms: int
    paged: int
    """People told so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DuePage:
    """A page and who is to be told now: one person, or the whole line. Nobody is left when `contacts` is empty."""

    page: Page
    contacts: tuple[OnCallPerson, ...]


class SignInRefused(errors.ForbiddenError):
    """A sign-in that did not work. Reasons: `bad_credentials`, `totp_required`, `bad_totp`, `throttled`.

    `retry_after_seconds` is above 0 only for `throttled`. Surfaces answer 401 (429 for `throttled`).
    """

    def __init__(self, message: str, *, reason: str, retry_after_seconds: int = 0) -> None:
        super().__init__(message, reason=reason)
        self.retry_after_seconds = retry_after_seconds
