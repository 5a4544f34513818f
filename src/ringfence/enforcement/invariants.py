"""What no block may ever do, whoever asks for it: touch an emergency call, an exempt value or an own network.

One function, `objection`, is asked before every block (automatic, proposed, approved, by hand) and again by every sweep, because the facts
can change after a block was imposed. The first objection wins. It never weighs evidence; that is `policy`.
"""

from dataclasses import dataclass

from ringfence.enforcement.model import Scope, normal_network
from ringfence.enforcement.state import OWN_KINDS, SHARED_KIND, State
from ringfence.telephony.emergency import EmergencyCalls


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """Why a block may not be: a constant for counters and a sentence for people."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What number and range blocks must keep clear of. Made by `guard_for`."""

    country_code: str
    spellings: tuple[str, ...]
    """Emergency numbers as called digits without `+`; an `x` stands for any digit."""

    def objection(self, digits: str) -> Objection | None:
        """Against refusing calls to these digits and all numbers that begin with them.

        The edge looks prefixes up, so a number block is a range as well: the guard makes no difference between them.
        """
        if any(_begins(spelling, digits) for spelling in self.spellings):
            return Objection(reason="emergency", message=f"+{digits} could refuse an emergency call; nobody can block it")
        if self.country_code.startswith(digits):
            return Objection(reason="own_country", message=f"+{digits} is the own country; name a narrower range")
        return None


def guard_for(calls: EmergencyCalls) -> Guard:
    """The guard of an operator: each emergency number bare, with the country code, and with each own area code behind it."""
    trunks = ("", calls.national_prefix) if calls.national_prefix else ("",)
    middles = {"", *(calls.country_code + trunk + area for trunk in trunks for area in ("", *calls.area_codes))}
    return Guard(
        country_code=calls.country_code,
        spellings=tuple(sorted(middle + number for middle in middles for number in calls.numbers)),
    )


def _begins(spelling: str, digits: str) -> bool:
    """Whether some number of this spelling begins with the digits."""
    return len(digits) <= len(spelling) and all(sign in {digit, "x"} for sign, digit in zip(spelling, digits, strict=False))


def objection(scope: Scope, value: str, *, state: State, guard: Guard, now_ms: int) -> Objection | None:
    """The first reason why this value may not be blocked now; None when there is none. `value` is normal."""
    match scope:
        case Scope.NUMBER | Scope.RANGE:
            return guard.objection(value) or _exempt_number(value, state, now_ms)
        case Scope.CLASS | Scope.ACCOUNT:
            return exempt_account(value, state, now_ms)
        case Scope.SOURCE:
            own = state.networks.kinds_of(value) & OWN_KINDS
            if own:
                return Objection(reason="own_network", message=f"{value} is in an own network ({', '.join(sorted(own))})")
            return _exempt_source(value, state, now_ms)
        case Scope.CALL:
            # Only calls of C4 and above get here, so never an emergency call; whose call it is was asked with the suspicion.
            return None


def exempt_account(account: str, state: State, now_ms: int) -> Objection | None:
    """Whether somebody answers for this account."""
    for entry in state.exemptions_in_force(now_ms):
        if entry.scope == "account" and entry.value == account:
            return Objection(reason="exempt", message=f"account {account} is exempt; {entry.owner} answers for it")
    if state.exempt_account(account, now_ms):
        return Objection(reason="exempt", message=f"account {account} is exempt by the account list")
    return None


def is_shared(scope: Scope, value: str, state: State) -> bool:
    """Whether many customers stand behind this source: only a person may block it."""
    return scope is Scope.SOURCE and SHARED_KIND in state.networks.kinds_of(value)


def _exempt_number(digits: str, state: State, now_ms: int) -> Objection | None:
    for entry in state.exemptions_in_force(now_ms):
        # An exempt number inside a range, and a number inside an exempt range, are both spared.
        if entry.scope == "number" and (entry.value.startswith(digits) or digits.startswith(entry.value)):
            return Objection(reason="exempt", message=f"+{entry.value} is exempt; {entry.owner} answers for it")
    return None


def _exempt_source(value: str, state: State, now_ms: int) -> Objection | None:
    wanted = normal_network(value)
    for entry in state.exemptions_in_force(now_ms):
        if entry.scope != "source":
            continue
        spared = normal_network(entry.value)
        if spared.version == wanted.version and spared.overlaps(wanted):
            return Objection(reason="exempt", message=f"{entry.value} is exempt; {entry.owner} answers for it")
    return None
