"""Alerts that belong together become one attack: one line and one decision for three hundred accounts.

Alerts share *facets*: the number range they call, the network or address they come from, the family of their User-Agent, the rhythm of
their calls. A range, an address or a foreign network is telling by itself; a family or a rhythm is only together with another, because a
million honest phones share both. When enough accounts share what tells within an hour, an attack opens, and every further alert with one of
its telling facets joins it. Pure: time comes from the alerts, in the order of their stream, so that reading the stream again gives the same
attacks with the same ids and steps. Memory is bounded; what is forgotten first is what was silent longest.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from ringfence.base.ids import derived_id
from ringfence.detection.model import Alert
from ringfence.telephony.suspicion import Measure, Suspicion

ACCOUNTS: Final = 3
"""Accounts that share a range, an address or a network within an hour are an attack."""
PATTERN_ACCOUNTS: Final = 5
"""The same for a family with a rhythm."""
TOGETHER_MS: Final = 3_600_000
"""Alerts open an attack when they come within an hour."""
QUIET_MS: Final = 2 * 3_600_000
"""An attack is over when no alert has joined it for two hours."""
MAX_FACETS: Final = 65_536
"""Facets that are remembered before an attack opens."""
MAX_WAITING: Final = 512
"""Alerts remembered of one facet before an attack opens."""
MAX_ALERTS: Final = 200_000
"""Alerts that are remembered as belonging to an attack, and running attacks' accounts together."""
MAX_ATTACKS: Final = 4_096
MAX_SOURCES: Final = 20
SCORE: Final = 90
"""Of the suspicion of an attack: several accounts say the same."""

FacetKind = Literal["range", "source", "network", "pattern"]
Facet = tuple[FacetKind, str]
NEEDED: Final[dict[FacetKind, int]] = {"range": ACCOUNTS, "source": ACCOUNTS, "network": ACCOUNTS, "pattern": PATTERN_ACCOUNTS}
"""Accounts by the facet they share."""

State = Literal["open", "join", "close", "merge"]


class AttackStep(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to an attack. `step` counts from 1; id and step together are published once."""

    attack_id: str
    step: int
    state: State
    at_ms: int
    alerts: tuple[str, ...] = ()
    """Alerts that belong to it from this step on; for `merge` those of the other attack come along with it."""
    accounts: int
    """Distinct accounts so far."""
    level: int = 0
    """2 when it opens, one more at each doubling of its accounts; 0 when this step raises nothing."""
    facets: tuple[Facet, ...]
    """What its alerts share, the most telling first."""
    reason: str
    merged_into: str = ""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AttackStep)


def encode_attack(step: AttackStep) -> bytes:
    """JSON of a step."""
    return _encoder.encode(step)


def decode_attack(payload: bytes) -> AttackStep:
    """The step in a payload; `msgspec.DecodeError` when it is none."""
    return _decoder.decode(payload)


@dataclass(slots=True)
class _Member:
    """An alert that waits for company."""

    alert_id: str
    account: str
    at_ms: int


@dataclass(slots=True)
class _Attack:
    attack_id: str
    opened_ms: int
    last_ms: int
    step: int = 0
    accounts: set[str] = field(default_factory=set)
    level: int = 1
    facets: Counter[Facet] = field(default_factory=Counter)
    """Accounts by telling facet; a facet of the opening has at least as many as it took."""


def facets_of(alert: Alert) -> tuple[Facet, ...]:
    """What of an alert could be shared, in the order in which it tells."""
    observed = alert.evidence.observed
    found: list[Facet] = []
    if alert.subject.kind == "prefix":
        found.append(("range", alert.subject.value))
    if alert.subject.kind == "source":
        found.append(("source", alert.subject.value))
    found += (("range", value) for value in _texts(observed, "ranges"))
    found += (("source", value) for value in _texts(observed, "sources"))
    found += (("network", value) for value in _texts(observed, "networks"))
    rhythm = "".join(_texts(observed, "rhythm"))
    if rhythm:
        found += (("pattern", f"{family}, {rhythm}") for family in _texts(observed, "families"))
    return tuple(dict.fromkeys(found))


def _texts(observed: dict[str, Any], name: str) -> Iterable[str]:
    value = observed.get(name, ())
    values = value if isinstance(value, list | tuple) else (value,)
    return (each for each in values[:MAX_SOURCES] if isinstance(each, str) and each)


def _account_of(alert: Alert) -> str:
    return alert.account or (alert.subject.value if alert.subject.kind == "account" else "")


class AttackBook:
    """The running attacks."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Facet, list[_Member]] = OrderedDict()
        self._by_facet: dict[Facet, str] = {}
        self._attacks: OrderedDict[str, _Attack] = OrderedDict()
        self._joined: OrderedDict[str, str] = OrderedDict()
        self.evicted = 0

    @property
    def running(self) -> int:
        """Attacks that go on."""
        return len(self._attacks)

    def feed(self, alert: Alert) -> list[AttackStep]:
        """What one step of an alert changes. Alerts that are proven by nothing, or only on probation, change nothing."""
        steps = self.tick(alert.at_ms)
        if alert.state == "close" or alert.severity == "info" or alert.evidence.observed.get("proven") is False:
            return steps
        facets = facets_of(alert)
        known = self._joined.get(alert.alert_id)
        attacks = [self._attacks[each] for each in dict.fromkeys(self._by_facet[facet] for facet in facets if facet in self._by_facet)]
        if known is not None and known in self._attacks:
            attacks.append(self._attacks[known])
        if attacks:
            attack = self._united(attacks, alert.at_ms, steps)
            steps += self._join(attack, alert, facets, already=known is not None)
        elif known is None:
            self._wait(alert, facets, steps)
        return steps

    def tick(self, at_ms: int) -> list[AttackStep]:
        """Close what has been quiet, as of the moment when it had been quiet for long enough."""
        steps = []
        while self._attacks:
            attack = next(iter(self._attacks.values()))
            if attack.last_ms + QUIET_MS > at_ms:
                break
            steps.append(self._step(attack, "close", attack.last_ms + QUIET_MS))
            self._drop(attack)
        return steps

    def _wait(self, alert: Alert, facets: tuple[Facet, ...], steps: list[AttackStep]) -> None:
        """Remember an alert by its facets; with enough company by one of them an attack opens, or one of the company's goes on."""
        account = _account_of(alert)
        if not account:
            return
        company: tuple[Facet, list[_Member]] | None = None
        for facet in facets:
            members = [each for each in self._waiting.pop(facet, []) if each.at_ms > alert.at_ms - TOGETHER_MS]
            members.append(_Member(alert.alert_id, account, alert.at_ms))
            if company is None and len({each.account for each in members}) >= NEEDED[facet[0]]:
                company = facet, members
                continue
            self._waiting[facet] = members[-MAX_WAITING:]
            if len(self._waiting) > MAX_FACETS:
                self._waiting.popitem(last=False)
                self.evicted += 1
        if company is not None:
            self._gather(*company, alert.at_ms, steps)

    def _gather(self, facet: Facet, members: list[_Member], at_ms: int, steps: list[AttackStep]) -> None:
        """Members of one facet come together: in a new attack, or in the one to which some of them belong by another facet."""
        theirs = [self._attacks[owner] for each in members if (owner := self._joined.get(each.alert_id, "")) in self._attacks]
        fresh = [each for each in members if each.alert_id not in self._joined]
        if theirs:
            attack = self._united(theirs, at_ms, steps)
        else:
            attack = _Attack(attack_id=derived_id("t", *facet, fresh[0].alert_id), opened_ms=fresh[0].at_ms, last_ms=at_ms)
            self._attacks[attack.attack_id] = attack
        attack.accounts.update(each.account for each in members)
        attack.facets[facet] = len({each.account for each in members})
        attack.last_ms = max(attack.last_ms, at_ms)
        self._attacks.move_to_end(attack.attack_id)
        self._by_facet[facet] = attack.attack_id
        for member in fresh:
            self._remember(member.alert_id, attack.attack_id)
        # An alert waits anew with each of its updates, and is named once.
        alerts = tuple(dict.fromkeys(each.alert_id for each in fresh))
        steps.append(self._step(attack, "join" if theirs else "open", at_ms, alerts))
        if len(self._attacks) > MAX_ATTACKS:
            self._drop(next(iter(self._attacks.values())))
            self.evicted += 1

    def _join(self, attack: _Attack, alert: Alert, facets: tuple[Facet, ...], *, already: bool) -> list[AttackStep]:
        attack.last_ms = max(attack.last_ms, alert.at_ms)
        self._attacks.move_to_end(attack.attack_id)
        account = _account_of(alert)
        fresh = bool(account) and account not in attack.accounts and len(attack.accounts) < MAX_ALERTS
        if fresh:
            attack.accounts.add(account)
        if already:
            return []
        self._remember(alert.alert_id, attack.attack_id)
        for facet in facets:
            if fresh or not account:
                attack.facets[facet] += 1
            # A second facet leads further alerts here once it tells by itself.
            if attack.facets[facet] >= NEEDED[facet[0]]:
                self._by_facet.setdefault(facet, attack.attack_id)
        return [self._step(attack, "join", alert.at_ms, (alert.alert_id,))]

    def _united(self, attacks: list[_Attack], at_ms: int, steps: list[AttackStep]) -> _Attack:
        """One alert or one company that fits several attacks makes them one: the oldest."""
        into = min(attacks, key=lambda each: (each.opened_ms, each.attack_id))
        for other in {each.attack_id: each for each in attacks if each is not into}.values():
            steps.append(self._step(other, "merge", at_ms, merged_into=into.attack_id))
            into.accounts |= other.accounts
            into.level = max(into.level, other.level)
            into.facets += other.facets
            into.last_ms = max(into.last_ms, other.last_ms)
            for facet in [facet for facet, owner in self._by_facet.items() if owner == other.attack_id]:
                self._by_facet[facet] = into.attack_id
            for alert_id in [alert_id for alert_id, owner in self._joined.items() if owner == other.attack_id]:
                self._joined[alert_id] = into.attack_id
            del self._attacks[other.attack_id]
        return into

    def _remember(self, alert_id: str, attack_id: str) -> None:
        self._joined[alert_id] = attack_id
        if len(self._joined) > MAX_ALERTS:
            self._joined.popitem(last=False)
            self.evicted += 1

    def _drop(self, attack: _Attack) -> None:
        del self._attacks[attack.attack_id]
        for facet in [facet for facet, owner in self._by_facet.items() if owner == attack.attack_id]:
            del self._by_facet[facet]

    def _step(self, attack: _Attack, state: State, at_ms: int, alerts: tuple[str, ...] = (), merged_into: str = "") -> AttackStep:
        attack.step += 1
        before = attack.level
        while state in ("open", "join") and len(attack.accounts) >= ACCOUNTS << (attack.level - 1):
            attack.level += 1
        facets = tuple(facet for facet, _ in sorted(attack.facets.items(), key=lambda item: (-item[1], item[0])))[:MAX_SOURCES]
        return AttackStep(
            attack_id=attack.attack_id,
            step=attack.step,
            state=state,
            at_ms=at_ms,
            alerts=alerts,
            accounts=len(attack.accounts),
            level=attack.level if attack.level > before else 0,
            facets=facets,
            reason=_reason(attack, facets),
            merged_into=merged_into,
        )


def suspicion_of(step: AttackStep) -> Suspicion | None:
    """The measure that would stop it for everybody, as a proposal: it is about more people than one, so a person decides."""
    measures = [
        Measure(scope="range" if kind == "range" else "source", value=value) for kind, value in step.facets if kind in ("range", "source")
    ]
    if not step.level or not measures:
        return None
    return Suspicion(
        suspicion_id=f"{step.attack_id}.{step.level}",
        alert_id=step.attack_id,
        rule="attack",
        rule_version=1,
        mode="propose",
        account="",
        measures=tuple(measures),
        level=step.level,
        score=SCORE,
        observed=step.accounts,
        threshold=ACCOUNTS,
        cost_micro=0,
        calls=(),
        reason=step.reason,
        at_ms=step.at_ms,
    )


_WORDS: Final[dict[FacetKind, str]] = {
    "range": "call numbers that begin with +{}",
    "source": "come from {}",
    "network": "come from the network {}",
    "pattern": "use {}",
}


def _reason(attack: _Attack, facets: tuple[Facet, ...]) -> str:
    """`14 accounts: 14 call numbers that begin with +23276123; 9 come from 203.0.113.7`."""
    parts = [f"{min(attack.facets[facet], len(attack.accounts))} {_WORDS[facet[0]].format(facet[1])}" for facet in facets[:3]]
    return f"{len(attack.accounts)} accounts: {'; '.join(parts)}"
