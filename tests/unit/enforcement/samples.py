"""Values the tests of enforcement begin with."""

from ringfence.enforcement.model import Block, Scope
from ringfence.enforcement.policy import PolicySettings, settings_for
from ringfence.telephony.suspicion import Measure, Suspicion

NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def settings() -> PolicySettings:
    return settings_for(country="DE", area_codes=("30", "89"), emergency=("110", "112"), first_ms=HOUR_MS, second_ms=DAY_MS)


def class_measure(account: str, destination_class: int = 3) -> Measure:
    return Measure(scope="class", value=account, destination_class=destination_class)


def suspicion(
    *measures: Measure,
    alert: str = "a-1",
    level: int = 2,
    rule: str = "D02",
    mode: str = "act",
    account: str = "alice",
    observed: int = 300,
    threshold: int = 100,
    calls: tuple[str, ...] = ("call-1",),
    at_ms: int = NOW_MS,
) -> Suspicion:
    return Suspicion(
        suspicion_id=f"{alert}.{level}",
        alert_id=alert,
        rule=rule,
        rule_version=1,
        mode=mode,  # type: ignore[arg-type]
        account=account,
        measures=measures or (class_measure(account),),
        level=level,
        score=90,
        observed=observed,
        threshold=threshold,
        cost_micro=12_000_000,
        calls=calls,
        reason="12.00 EUR in an hour to Sierra Leone",
        at_ms=at_ms,
    )


def block(
    scope: Scope = Scope.ACCOUNT,
    value: str = "alice",
    *,
    block_id: str = "b-1",
    destination_class: int = 0,
    imposed_ms: int = NOW_MS,
    until_ms: int = NOW_MS + HOUR_MS,
    author: str = "rule:D02@1",
) -> Block:
    return Block(
        block_id=block_id,
        scope=scope,
        value=value,
        destination_class=destination_class,
        imposed_ms=imposed_ms,
        until_ms=until_ms,
        origin=author if author.startswith("rule:") else f"person:{author}",
        author=author,
        reason="test",
        account="alice",
    )
