"""Fraud over many accounts at once: each looks harmless alone, and only range, source or calling number show what it is."""

import numpy as np

from ringfence.simulators.traffic.chance import mix
from ringfence.simulators.traffic.columns import IN
from ringfence.simulators.traffic.fraud.case import HOUR_MS, MINUTE_MS, Case, Talk
from ringfence.simulators.traffic.sources import PEER_POOL

RANGE_ACCOUNTS = 300
WANGIRI_REACH = (1_500, 9_000)


def range_attack(case: Case) -> None:
    """Three hundred accounts call into one range, each once to four times and for some minutes only."""
    victims = case.many_victims(RANGE_ACCOUNTS)
    targets = case.targets(
        case.choose({"africa": 3, "island": 2, "baltic": 2, "cuba": 1, "unallocated": 1}), 1, int(case.rng.integers(8, 60))
    )
    start = case.night()
    hours = case.between(2, 12)
    whose = np.repeat(victims, case.rng.integers(1, 5, len(victims)))
    started = start + (case.rng.random(len(whose)) * hours * HOUR_MS).astype(np.int64)
    order = np.lexsort((started, whose))
    whose, started = whose[order], started[order]
    when = case.single(started, case.rng.uniform(2, 9, len(whose)))
    callee = case.rng.choice(targets, len(whose))
    where = case.choose({"own": 0.5, "hosting": 0.3, "botnet": 0.2})
    address, agent = case.own_line(whose, started)
    if where == "own":
        case.call(whose, callee, when, address, agent)
        return
    servers = [case.hideout(where) for _ in range(4)]
    spread = np.choose((mix(whose, case.serial) % np.uint64(4)).astype(np.int64), [server.at(started) for server in servers])
    softphone = case.agent("softphone")
    first = np.unique(whose, return_index=True)[1]
    case.register(whose[first], started[first] - 20_000, spread[first], softphone)
    case.call(whose, callee, when, spread, softphone)


def foreign_source(case: Case) -> None:
    """One address abroad with a leaked list: tries hundreds of accounts, is let in by many, and calls a little on each."""
    victims = case.many_victims(int(case.rng.integers(80, 350)))
    source = case.hideout("hosting")
    source.rotates_ms = 0
    agent = case.agent(case.choose({"softphone": 0.5, "scanner": 0.3, "exchange": 0.2}))
    start = case.night(weekend=0.4)
    tried = start + np.cumsum(case.rng.uniform(1_000, 25_000, len(victims))).astype(np.int64)
    open_to = case.rng.random(len(victims)) < case.between(0.25, 0.7)
    open_to[0] = True
    status = np.where(open_to, 200, case.rng.choice([401, 403, 404], len(victims), p=[0.6, 0.2, 0.2])).astype(np.int16)
    case.register(victims, tried, source.at(tried), agent, status=status)
    users, entered = victims[open_to], tried[open_to]
    each = case.rng.integers(1, 4, len(users))
    whose = np.repeat(users, each)
    turn = np.arange(len(whose)) - np.repeat(np.cumsum(each) - each, each)
    first = entered + 30_000 + (case.rng.random(len(users)) * 3 * HOUR_MS).astype(np.int64)
    started = np.repeat(first, each) + turn * 12 * MINUTE_MS
    targets = case.targets(case.choose({"africa": 1, "island": 1, "baltic": 1, "middle": 1, "satellite": 0.5}), 3, 6)
    when = case.single(started, case.rng.uniform(1, 8, len(whose)))
    case.call(whose, case.rng.choice(targets, len(whose)), when, source.at(started), agent)


def wangiri(case: Case) -> None:
    """One ring from an expensive range to thousands of customers; some call back."""
    reach = min(int(case.rng.integers(*WANGIRI_REACH)), max(20, case.world.who.length // 10))
    kind = case.choose({"africa": 3, "island": 2, "baltic": 2, "cuba": 1})
    numbers = case.targets(kind, int(case.rng.integers(1, 4)), int(case.rng.integers(2, 30)))
    # A ring harms nobody, so it may reach any account, those of other scenarios too.
    called = case.rng.choice(case.world.who.length, reach, replace=False)
    start = case.daytime(9, 19)
    hours = case.between(0.5, 5)
    started = np.sort(start + (case.rng.random(len(called)) * hours * HOUR_MS).astype(np.int64))
    caller = case.rng.choice(numbers, len(called))
    ring = case.rng.integers(900, 3_500, len(called)).astype(np.int32)
    one_ring = Talk(started, ring, np.full(len(called), -1, np.int32), np.full(len(called), 487, np.int16))
    peer = PEER_POOL.addresses(mix(np.full(len(called), case.serial), 3) % np.uint64(64))
    case.call(called, case.world.who.number[called], one_ring, peer, 0, caller=caller, direction=IN)
    curious = np.flatnonzero(case.rng.random(len(called)) < case.between(0.02, 0.07))
    curious = curious if len(curious) else np.array([0])
    back = started[curious] + (case.rng.lognormal(2.8, 1.2, len(curious)) * MINUTE_MS).astype(np.int64)
    when = case.single(back, np.minimum(case.rng.lognormal(0.6, 1.0, len(curious)), 25))
    address, agent = case.own_line(called[curious], back)
    case.call(called[curious], caller[curious], when, address, agent)
    case.victims.extend(called[curious].tolist())
