"""What really happened, for whoever measures a detector: one JSON line a case, with its cost by the rate deck.

Costs are integers of micro-euro a call, as the product counts them; only the printed sum is euro. The one thing to know: this is written
beside the traffic and never into it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ringfence.simulators.traffic import population
from ringfence.simulators.traffic.columns import FORWARDED, IN, OUT, Calls
from ringfence.simulators.traffic.fraud import Attack
from ringfence.simulators.traffic.population import Population
from ringfence.simulators.traffic.sources import USER_AGENTS
from ringfence.telephony.rates import Deck

MINUTE_MS = 60_000


def cost_micro(calls: Calls, deck: Deck) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Micro-euro of each call; inbound and unanswered ones cost nothing."""
    known, where = np.unique(calls.callee, return_inverse=True)
    found = [deck.look_up(str(number)) for number in known.tolist()]
    rates = np.array([destination.rate for destination in found], np.int64)
    connects = np.array([destination.connect_micro for destination in found], np.int64)
    talked = calls.talk_ms.astype(np.int64)
    cost = rates[where] * talked // MINUTE_MS + connects[where]
    return np.where((talked >= 0) & (calls.direction != IN), cost, 0)


def truth_rows(attack: Attack, deck: Deck) -> Iterator[dict[str, Any]]:
    """One object a case: what, who, when, how much, and which numbers, ranges, sources and User-Agents."""
    cost = cost_micro(attack.calls, deck)
    order = np.argsort(attack.calls.case, kind="stable")
    edges = np.searchsorted(attack.calls.case[order], np.arange(len(attack.cases) + 1))
    for place, case in enumerate(attack.cases):
        mine = order[edges[place] : edges[place + 1]]
        calls = attack.calls.take(mine)
        outgoing = calls.take(calls.direction != IN)
        targets = np.unique(outgoing.callee)
        answered = calls.talk_ms >= 0
        rings = np.unique(calls.caller[calls.direction == IN])
        accounts = [str(number) for number in np.unique(outgoing.account).tolist()]
        tried = sorted({str(number) for number in case.victims} - set(accounts))
        row: dict[str, Any] = {"case_id": case.case_id, "scenario": case.scenario, "variant": case.variant}
        if len(accounts) == 1:
            row["account"] = accounts[0]
        yield row | {
            "accounts": accounts,
            "accounts_tried": tried,
            "first_at": _moment(int(calls.started_ms[0])),
            "last_at": _moment(int((calls.started_ms + calls.ring_ms + np.maximum(calls.talk_ms, 0)).max())),
            "calls": calls.length,
            "calls_out": int((calls.direction == OUT).sum()),
            "calls_forwarded": int((calls.direction == FORWARDED).sum()),
            "calls_in": int((calls.direction == IN).sum()),
            "answered": int(answered.sum()),
            "minutes": round(float(outgoing.talk_ms[outgoing.talk_ms >= 0].sum()) / MINUTE_MS, 1),
            "cost_eur": round(int(cost[mine].sum()) / 1_000_000, 2),
            "numbers": [f"+{number}" for number in targets.tolist()],
            "ranges": sorted({str(number)[:-3] for number in targets.tolist()}),
            "calling_numbers": [f"+{number}" for number in rings.tolist()],
            "sources": [dotted(address) for address in np.unique(outgoing.source).tolist()],
            "user_agents": sorted({USER_AGENTS[place] for place in np.unique(outgoing.user_agent).tolist()}),
        }


def ordinary_rows(who: Population) -> Iterator[dict[str, str]]:
    """One object for each hard life of an account."""
    for life, places in sorted(population.hard_lives(who).items()):
        for number in who.number[places].tolist():
            yield {"account": str(number), "life": life}


def dotted(address: int) -> str:
    """An IPv4 address as text."""
    return ".".join(str(address >> shift & 255) for shift in (24, 16, 8, 0))


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
