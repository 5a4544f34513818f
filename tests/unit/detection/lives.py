"""Rows of a small town: forty quiet accounts, then one source abroad that gets into twelve of them and calls one range."""

from typing import Any

from ringfence.base.ids import keyed_hash
from ringfence.detection.layout import HOUR, MINUTE
from ringfence.telephony.model import AccountRow, Kind, NetworkKind, country_code

NOON = 1_790_071_200_000


def key_of(text: str) -> int:
    return keyed_hash(b"k", text)


def life() -> list[AccountRow]:
    """Forty accounts that live quietly at home for a day; then one source abroad tries, gets in, and calls a range from several of them."""
    rows: list[AccountRow] = []

    def add(kind: Kind, at_ms: int, account: str, source: str, **said: Any) -> None:
        home = source.startswith("10.")
        facts: dict[str, Any] = {
            "kind": kind,
            "at_ms": at_ms,
            "received_ms": at_ms,
            "account": account,
            "account_key": key_of(account),
            "source_ip": source,
            "source_key": key_of(source),
            "network": "AS64496" if home else "AS64511",
            "network_key": key_of("AS64496" if home else "AS64511"),
            "network_kind": NetworkKind.OWN_POOL if home else NetworkKind.FOREIGN,
            "source_country": country_code("DE" if home else "PS"),
            "user_agent": "AVM FRITZ!Box 7590 164.07.57" if home else "friendly-scanner",
            "family_key": key_of("box" if home else "scanner"),
            "call_id": f"{account}-{at_ms}",
            "status_code": 200,
        }
        rows.append(AccountRow(**(facts | said)))

    accounts = [f"4930{number:04d}" for number in range(40)]
    for place, account in enumerate(accounts):
        for turn in range(3):
            add(Kind.REGISTRATION, NOON + turn * 8 * HOUR + place * 1_000, account, f"10.0.0.{place + 1}", expires=3_600)
    night = NOON + 25 * HOUR
    for number, account in enumerate(accounts[:12]):
        for wrong in range(6):
            add(Kind.AUTH_FAILURE, night + number * 4_000 + wrong * 500, account, "203.0.113.9", status_code=401)
        add(Kind.REGISTRATION, night + number * 4_000 + 3_500, account, "203.0.113.9", expires=300)
    for number in range(60):
        account, started = accounts[number % 12], night + MINUTE + number * 3_000
        facts: dict[str, Any] = {
            "call_id": f"call-{number}",
            "call_key": key_of(f"call-{number}"),
            "callee": f"+2322255{number:04d}",
            "range_key": key_of("2322255"),
            "number_tail": number,
            "country": country_code("SL"),
            "destination_class": 4,
            "rate": 700_000,
            "started_ms": started,
        }
        add(Kind.ATTEMPT, started, account, "203.0.113.9", **facts)
        add(Kind.ANSWER, started + 4_000, account, "203.0.113.9", answered_ms=started + 4_000, **facts)
    return sorted(rows, key=lambda row: row.at_ms)
