"""What account takeover promises, in plain Python: every account is a few dictionaries, nothing is packed, nothing is tidied early.

It shares the constants with the product and nothing else. Times that the product keeps coarsely are coarse here too.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import isqrt

from ringfence.detection import identity_layout as lay
from ringfence.detection.identity_layout import DAY, EPOCH, HOME_STEP, HOUR, MINUTE, Said
from ringfence.detection.identity_places import EUROPE, PLACE, cell_of, place_words
from ringfence.detection.rules import SEGMENTS, RuleSet
from ringfence.telephony.control import Segment
from ringfence.telephony.model import AccountRow, Flag, Kind, country_code

EUROPEAN = {country_code(letters) for letters in EUROPE}
WORDS: list[int] = place_words().tolist()


def day(at: int) -> int:
    return (at - EPOCH) // DAY


def coarse(at: int) -> int:
    return at - (at - EPOCH) % HOME_STEP


@dataclass
class Thing:
    """A network or a family."""

    since: int
    last: int
    known: bool = False
    days: int = 1
    score: int = 0
    country: int = 0
    told: bool = False
    registered: bool = False
    ended: int = 0


@dataclass
class Binding:
    until: int
    group: tuple[object, int]
    source: int
    own: bool


@dataclass
class Account:
    since: int = 0
    changed: int = 0
    suspect: int = 0
    home: int = 0
    travel: int = 0
    mismatch: int = 0
    nonce: int = 0
    told: tuple[int, int] = (0, 0)
    devices: int = 0
    registers: bool = False
    dear: int = -100
    networks: dict[int, Thing] = field(default_factory=dict)
    families: dict[int, Thing] = field(default_factory=dict)
    bindings: dict[int, Binding] = field(default_factory=dict)


def impossible(one: int, other: int, elapsed: int, speed: int) -> bool:
    a, b = cell_of(one), cell_of(other)
    if a < 0 or b < 0 or not WORDS[a * PLACE + 3] or not WORDS[b * PLACE + 3]:
        return False
    square = sum((WORDS[a * PLACE + axis] - WORDS[b * PLACE + axis]) ** 2 for axis in range(3))
    reach = WORDS[a * PLACE + 3] + WORDS[b * PLACE + 3] + max(lay.NEAR_KM, speed * elapsed // HOUR)
    return isqrt(square) > reach or (isqrt(square) == reach and square > reach * reach)


class IdentityOracle:
    def __init__(self, rules: RuleSet) -> None:
        self.rules = rules
        self.accounts: dict[int, Account] = {}
        self.segments: dict[int, tuple[Segment, int]] = {}
        self.now = 0
        self.country = 0
        self.events: list[tuple[int, ...]] = []

    def value(self, rule: str, name: str, key: int = 0) -> int:
        return self.rules.value(rule, name, self.segments.get(key, (SEGMENTS[0], 1))[0])

    def suspicion(self, account: Account, at: int) -> None:
        account.suspect = max(account.suspect, at)
        for thing in (*account.networks.values(), *account.families.values()):
            if thing.known and thing.since > at - DAY:
                thing.known, thing.days = False, 1

    def forget(self, account: Account) -> None:
        days = self.value("D30", "forget")
        account.bindings = {key: each for key, each in account.bindings.items() if each.until > self.now}
        account.networks = {key: each for key, each in account.networks.items() if each.last + days * DAY > self.now}
        newest = max(((each.last, key) for key, each in account.families.items()), default=None)
        account.families = {
            key: each for key, each in account.families.items() if each.last + days * DAY > self.now or (each.last, key) == newest
        }
        long_ago = self.now - days * DAY
        account.suspect = account.suspect if account.suspect > long_ago else 0
        account.travel = account.travel if account.travel > long_ago else 0
        if account.told[0] <= long_ago and not account.devices:
            account.told = (0, 0)

    def seen(self, account: Account, thing: Thing, at: int, noted: int, family: bool) -> None:
        if day(at) > day(thing.last):
            thing.days, thing.told = thing.days + 1, False
        scanner = family and thing.score >= self.value("D31", "scanner")
        quiet = at - max(thing.since, account.suspect) >= self.value("D30", "quiet") * DAY
        if not thing.known and thing.days >= lay.CONFIRM_DAYS and not scanner and quiet:
            thing.known, thing.since = True, at
            if family:
                account.changed = max(account.changed, day(at))
        thing.last = max(thing.last, noted)

    @staticmethod
    def room(things: dict[int, Thing], most: int) -> None:
        if len(things) >= most:
            del things[min(things, key=lambda key: (things[key].known, things[key].last, key))]

    def row(self, row: AccountRow, place: int) -> None:
        self.now = max(self.now, row.at_ms)
        if row.kind not in (Kind.ATTEMPT, Kind.CALL, Kind.REGISTRATION) or row.flags & (Flag.FORWARDED | Flag.REFERRED) or row.direction:
            return
        at, key = max(row.at_ms, EPOCH + DAY), row.account_key
        if row.kind == Kind.REGISTRATION and row.status_code != 200:
            if row.status_code == 408 and key in self.accounts:
                self.lapse(self.accounts[key], at)
            return
        own = row.network_kind != 0
        if own and row.source_country:
            self.country = row.source_country
        account = self.accounts.setdefault(key, Account())
        family = max((row.family_key >> 20) & lay.FAMILY_MASK, 1) if row.family_key else 0
        level = 0 if row.kind == Kind.REGISTRATION else min(row.destination_class, 2 if row.flags & Flag.NATIONAL_VALUE else 9)
        odd = row.flags & (Flag.NONCE_REUSED | Flag.USER_MISMATCH)
        foreign = not own and row.network_key
        self.forget(account)
        if len(account.families) == 1:  # The only family of an account is as fresh as the account.
            (only,) = account.families.values()
            only.last = max(only.last, coarse(self.now)) if only.known else only.last
        if not account.since:
            account.since = day(at)
            account.changed = max(account.changed, account.since)
        account.registers = account.registers or row.kind == Kind.REGISTRATION
        segment = SEGMENTS.index(self.segments.get(key, (SEGMENTS[0], 1))[0])

        def say(rule: Said, rise: int, score: int, a: int = 0, b: int = 0, c: int = 0) -> None:
            if score:
                self.events.append((rule, rise, key, at, place, score, a, b, c, segment))

        known = own
        if foreign:
            known = self.network(account, row, at, say)
        if family:
            self.family(account, row, family, at, say)
        if own or foreign:
            self.journey(account, row, at, own, known, say)
        if foreign:
            self.there(account, row, at, say)
        if odd:
            self.oddities(account, odd, at, say)
        if row.kind == Kind.REGISTRATION and row.contact and not self.ordinary(account, key):
            self.devices(account, row, family, own, at, say)
        if own:
            account.home = max(account.home, coarse(at))
        if level >= 3:
            self.sequence(account, row, family, own, at, say)
            account.dear = day(at) // lay.PERIOD_DAYS

    def ordinary(self, account: Account, key: int) -> bool:
        """One known kind of device at home and nothing else to be said of it: of such an account no registrations are kept."""
        odd = (self.now - EPOCH) // MINUTE - self.value("D30", "forget") * 1440
        if account.networks or account.bindings or account.suspect or account.travel or account.devices or account.told != (0, 0):
            return False
        if max(account.mismatch, account.nonce) > max(odd, 0) or self.segments.get(key, (SEGMENTS[0], 1))[1] != 1:
            return False
        if len(account.families) > 1 or not all(each.known for each in account.families.values()):
            return False
        exact = account.since == account.changed and all(each.since == EPOCH + account.since * DAY for each in account.families.values())
        return exact or day(self.now) - account.changed > max(self.value("D30", "learning"), 2)

    def network(self, account: Account, row: AccountRow, at: int, say: Callable[..., None]) -> bool:
        thing = account.networks.get(row.network_key)
        if thing is not None:
            self.seen(account, thing, at, at, family=False)
            return thing.known
        learning = day(at) - account.since < self.value("D30", "learning") and not account.home and not account.suspect
        there = [each for each in account.networks.values() if each.known and each.country == row.source_country]
        if learning or len(there) >= lay.NOMADIC_NETWORKS or (not row.source_country and not account.home):
            score = 0
        elif not row.source_country or there or row.source_country == self.country:
            score = self.value("D30", "same_country", row.account_key)
        else:
            score = self.value("D30", "europe" if row.source_country in EUROPEAN else "other", row.account_key)
        self.room(account.networks, lay.MAX_NETWORKS)
        account.networks[row.network_key] = Thing(since=at, last=at, known=learning, score=score, country=row.source_country)
        say(Said.D30, 0, score, row.source_country)
        return learning

    def family(self, account: Account, row: AccountRow, family: int, at: int, say: Callable[..., None]) -> None:
        scanner, worst = bool(row.flags & Flag.SCANNER), self.value("D31", "scanner")
        thing = account.families.get(family)
        if thing is not None:
            again = day(at) > day(thing.last)
            self.seen(account, thing, at, coarse(at), family=True)
            if scanner:
                first = thing.score < worst
                if first:
                    thing.score, thing.known, thing.since = worst, False, at
                if first or again:
                    self.suspicion(account, at)
                    say(Said.D31, 0, worst, 1)
            return
        stable, alone = day(at) - account.changed, not account.families
        learning = day(at) - account.since < self.value("D30", "learning") and not account.suspect
        learned = not scanner and (alone or learning)
        score = worst if scanner else 0
        if not scanner and not learned and stable >= self.value("D31", "stable"):
            score = self.value("D31", "new_family", row.account_key)
        self.room(account.families, lay.MAX_FAMILIES)
        account.families[family] = Thing(since=at, last=coarse(at), known=learned, score=score)
        if learned:
            account.changed = max(account.changed, day(at))
            account.families[family].since = EPOCH + account.changed * DAY
            if alone:
                account.since = account.changed
        if scanner:
            self.suspicion(account, at)
        say(Said.D31, 0, score, int(scanner), stable)

    def journey(self, account: Account, row: AccountRow, at: int, own: bool, known: bool, say: Callable[..., None]) -> None:
        here = row.source_country
        if not here or at - account.travel < DAY:
            return
        speed = self.value("D32", "speed")
        others = [each for key, each in account.networks.items() if own or key != row.network_key]
        others = [each for each in others if each.country not in (0, here) and abs(at - each.last) < DAY]
        countries = {here, *(each.country for each in others)}
        hits = []
        if not own and account.home and self.country not in (0, here) and abs(at - account.home) < DAY:
            countries.add(self.country)
            if not known and impossible(here, self.country, gap := abs(at - account.home), speed):
                hits.append((self.country, gap))
        hits += [
            (each.country, abs(at - each.last))
            for each in others
            if not (known and each.known) and impossible(here, each.country, abs(at - each.last), speed)
        ]
        doubtful = not known or any(not each.known for each in others)
        if hits or (len(countries) >= lay.COUNTRIES_A_DAY and doubtful):
            account.travel = at
            self.suspicion(account, at)
            say(Said.D32, 0, self.value("D32", "journey", row.account_key), bool(hits), 0, len(countries))

    def there(self, account: Account, row: AccountRow, at: int, say: Callable[..., None]) -> None:
        thing = account.networks[row.network_key]
        if row.kind == Kind.REGISTRATION:
            thing.registered, thing.ended = True, coarse(at) if row.expires <= 0 else 0
            return
        good = thing.registered and (not thing.ended or at - thing.ended <= self.value("D34", "after"))
        if account.registers and day(at) != account.since and not good and not thing.told:
            thing.told = True
            say(Said.D34, 0, self.value("D34", "unregistered", row.account_key), thing.country)

    def oddities(self, account: Account, odd: int, at: int, say: Callable[..., None]) -> None:
        minute, kind = (at - EPOCH) // MINUTE, 0
        if odd & Flag.USER_MISMATCH:
            kind |= 1 if not account.mismatch or minute - account.mismatch > lay.ODD_MINUTES else 0
            account.mismatch = max(account.mismatch, minute)
        if odd & Flag.NONCE_REUSED:
            kind |= 2 if not account.nonce or minute - account.nonce > lay.ODD_MINUTES else 0
            account.nonce = max(account.nonce, minute)
        say(Said.D37, 0, self.value("D37", "odd") if kind else 0, kind)

    def devices(self, account: Account, row: AccountRow, family: int, own: bool, at: int, say: Callable[..., None]) -> None:
        contact, group, source = hash(row.contact), ("own" if own else row.network_key, family), row.source_key
        account.bindings = {
            key: each
            for key, each in account.bindings.items()
            if not (each.group == group and each.source != source) and key != contact and each.until > at
        }
        if row.expires > 0:
            if len(account.bindings) >= lay.MAX_BINDINGS:
                raise AssertionError("more bindings than the tests make")
            lasts = min(max(row.expires, lay.BINDING_SECONDS), lay.MAX_BINDING_SECONDS)
            account.bindings[contact] = Binding(until=at + lasts * 1000, group=group, source=source, own=own)
        held = len(account.bindings)
        if not any(each.own for each in account.bindings.values()) and account.registers and account.home:
            held += 1
        segment, channels = self.segments.get(row.account_key, (SEGMENTS[0], 1))
        more = channels if segment != "residential" else 0
        warn, act = (self.value("D33", name, row.account_key) + more for name in ("warn", "act"))
        rise = 2 if held >= act else 1 if held >= warn else 0
        if rise > account.devices:
            say(Said.D33, rise, 60 if rise == 2 else 40, held, warn, act)
            if rise == 2:
                self.suspicion(account, at)
        account.devices = rise

    def sequence(self, account: Account, row: AccountRow, family: int, own: bool, at: int, say: Callable[..., None]) -> None:
        window, act = self.value("D36", "window"), self.value("D36", "act")
        points, parts, since, fresh = 0, 0, at, False
        things = [(1, account.networks.get(row.network_key) if not own else None), (2, account.families.get(family))]
        for part, thing in things:
            if thing is not None and not thing.known and thing.score:
                points, parts, since = points + thing.score, parts | part, min(since, thing.since)
                fresh = fresh or at - thing.since <= window
        if not own and account.travel and abs(at - account.travel) <= window:
            points, parts, since, fresh = (
                points + self.value("D32", "journey", row.account_key),
                parts | 4,
                min(since, account.travel),
                True,
            )
        if not points:
            return
        habit = (day(at) // lay.PERIOD_DAYS - account.dear) in (0, 1)
        rise = 0
        if fresh:
            points += 0 if habit else self.value("D36", "first_call")
            rise = 2 if points >= act else 1
        elif points >= act:
            rise = 1
        if not rise or (rise <= account.told[1] and at - account.told[0] < lay.SEQUENCE_REST):
            return
        account.told = (max(at, account.told[0]), rise)
        self.suspicion(account, at)
        say(Said.D36, rise, min(points, 99), parts if habit else parts | 8, max(at - since, 0), points)

    def lapse(self, account: Account, at: int) -> None:
        account.bindings.clear()
        for thing in account.networks.values():
            if thing.registered and not thing.ended:
                thing.ended = coarse(at)
