"""The four kinds of failure, by whose fault they are.

Bugs stay builtin exceptions and end the task loudly. Everything else is one of these, converted at the boundary where it is met and
logged once at the top. The message is one sentence for a person and says what to do; it never holds a secret.
"""

from enum import Enum


class RingfenceError(Exception):
    """Root of the four kinds. Never raised itself.

    `reason` is a short constant (snake_case) for counters: the same mistake always has the same reason.
    """

    def __init__(self, message: str, *, reason: str = "unspecified") -> None:
        super().__init__(message)
        self.reason = reason


class PeerError(RingfenceError):
    """Their bytes or their behaviour: a packet, a file row, a peer that breaks its protocol."""


class OperatorError(RingfenceError):
    """Configuration, command or permission: something the person in front of the product can put right."""


class ConflictError(RingfenceError):
    """The world moved: a revision, a lease or a state was not what the caller believed."""


class UnavailableError(RingfenceError):
    """A dependency is down or too slow; the same request may succeed later."""


class ForbiddenError(OperatorError):
    """The person is known but may not do this."""


class NotFoundError(OperatorError):
    """The thing named does not exist (or the person may not know that it does)."""


class ExitCode(int, Enum):
    """Exit codes of every command."""

    OK = 0
    BUG = 1
    OPERATOR = 2
    PEER_MISSING = 3
    UNAVAILABLE = 4
    CONFLICT = 5


# One table for every surface: kind -> (HTTP status, exit code, metric label). Most specific first.
KINDS: tuple[tuple[type[RingfenceError], int, ExitCode, str], ...] = (
    (ForbiddenError, 403, ExitCode.OPERATOR, "permission"),
    (NotFoundError, 404, ExitCode.OPERATOR, "not_found"),
    (PeerError, 400, ExitCode.OPERATOR, "peer"),
    (OperatorError, 422, ExitCode.OPERATOR, "operator"),
    (ConflictError, 409, ExitCode.CONFLICT, "conflict"),
    (UnavailableError, 503, ExitCode.UNAVAILABLE, "unavailable"),
)


def kind_of(error: RingfenceError) -> tuple[int, ExitCode, str]:
    """HTTP status, exit code and metric label of an error."""
    for kind, status, code, label in KINDS:
        if isinstance(error, kind):
            return status, code, label
    raise AssertionError(f"{type(error).__name__} is not in the table of kinds")
