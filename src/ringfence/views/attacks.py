"""Which alerts belong to which running attack, straight from the stream of attacks: for pages that live while PostgreSQL is down.

Fed with every step in the stream's order. The one thing to know: an attack that ended is forgotten at once, its copy in PostgreSQL stays.
"""

from dataclasses import dataclass, field

from ringfence.detection.attacks import AttackStep


@dataclass(slots=True)
class LiveAttack:
    """A running attack: its newest step, when it opened, and the alerts that belong to it."""

    step: AttackStep
    opened_ms: int
    alerts: set[str] = field(default_factory=set)


class LiveAttacks:
    """The running attacks by id, and the attack of each alert."""

    def __init__(self) -> None:
        self._attacks: dict[str, LiveAttack] = {}
        self._of: dict[str, str] = {}

    def feed(self, step: AttackStep) -> None:
        """Take one step; an older one than what is held changes nothing."""
        held = self._attacks.get(step.attack_id)
        if held is not None and held.step.step >= step.step:
            return
        if held is None:
            if step.state not in ("open", "join"):
                return
            held = self._attacks[step.attack_id] = LiveAttack(step=step, opened_ms=step.at_ms)
        held.step = step
        if step.state == "merge":
            self._move(held, self._attacks.get(step.merged_into))
        elif step.state == "close":
            self._move(held, None)
        else:
            self._add(held, step.alerts)

    def running(self) -> list[LiveAttack]:
        """Those that go on, the oldest first."""
        return sorted(self._attacks.values(), key=lambda each: (each.opened_ms, each.step.attack_id))

    def attack_of(self, alert_id: str) -> str:
        """The running attack of an alert; empty for none."""
        return self._of.get(alert_id, "")

    def _add(self, attack: LiveAttack, alerts: tuple[str, ...]) -> None:
        attack.alerts.update(alerts)
        for alert_id in alerts:
            self._of[alert_id] = attack.step.attack_id

    def _move(self, attack: LiveAttack, into: LiveAttack | None) -> None:
        del self._attacks[attack.step.attack_id]
        for alert_id in attack.alerts:
            self._of.pop(alert_id, None)
        if into is not None:
            self._add(into, tuple(attack.alerts))
