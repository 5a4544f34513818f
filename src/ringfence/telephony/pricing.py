"""What a dialled destination is: number, range, class and price, stamped on every row of a call once.

Joins dial plan, emergency grammar, rate deck and the list of test numbers. The one thing to know: the emergency verdict comes from the
dialled text alone, so that no deck, plan or list can turn a call for help into something that counts.
"""

from typing import NamedTuple

from ringfence.telephony.emergency import EmergencyCalls
from ringfence.telephony.hot_numbers import Allocations, HotNumbers
from ringfence.telephony.model import DestinationClass, number_key_of
from ringfence.telephony.numbers import DialPlan, split_uri
from ringfence.telephony.rates import Deck

MAX_REMEMBERED = 32_768
"""Priced destinations that are remembered; beyond, the memory starts anew."""
MAX_NUMBER_CHARS = 64
"""Of a text that is no number, as much is kept."""


class Priced(NamedTuple):
    """The callee's fields of a row. `rate` is micro-euro a minute, `connect_micro` micro-euro a call."""

    callee: str
    range_key: int
    number_tail: int
    country: int
    destination_class: int
    rate: int
    connect_micro: int
    flags: int


class Pricing:
    """Prices by the deck in force. `use_deck` changes it; calls that run keep the price they started with."""

    __slots__ = ("_allocations", "_deck", "_emergency", "_hot", "_key", "_plan", "_remembered")

    def __init__(self, *, key: bytes, plan: DialPlan, emergency: EmergencyCalls, deck: Deck, hot: HotNumbers | None = None) -> None:
        self._key = key
        self._plan = plan
        self._emergency = emergency
        self._deck = deck
        self._hot = hot or HotNumbers()
        self._allocations = Allocations()
        self._remembered: dict[str, Priced] = {}

    def use_deck(self, deck: Deck) -> None:
        """Price what begins from now on by another deck."""
        self._deck = deck
        self._remembered = {}

    def price(self, request_uri: str) -> Priced:
        """The destination of a request URI or a dialled number."""
        found = self._remembered.get(request_uri)
        if found is None:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered = {}
            found = self._remembered[request_uri] = self._price(request_uri)
        return found

    def number(self, uri: str) -> str:
        """A caller or callee as rows show it: E.164 with `+`, or as dialled when it is no number."""
        user, context = split_uri(uri)
        digits = self._plan.e164(user, context)
        return f"+{digits}" if digits else user[:MAX_NUMBER_CHARS]

    def _price(self, request_uri: str) -> Priced:
        user, context = split_uri(request_uri)
        digits = self._plan.e164(user, context)
        destination = self._deck.look_up(digits)
        range_key, tail = number_key_of(self._key, digits or user)
        callee = f"+{digits}" if digits else user[:MAX_NUMBER_CHARS] or request_uri[:MAX_NUMBER_CHARS]
        if self._emergency.recognises(request_uri):
            return Priced(callee, range_key, tail, destination.country, int(DestinationClass.C0), 0, 0, 0)
        return Priced(
            callee,
            range_key,
            tail,
            destination.country,
            int(destination.destination_class),
            destination.rate,
            destination.connect_micro,
            destination.flags | self._suspect(digits, int(destination.destination_class)),
        )

    def _suspect(self, digits: str, destination_class: int) -> int:
        """What lists and numbering plans say of a number abroad."""
        if not digits or destination_class < DestinationClass.C2:
            return 0
        flags = self._hot.flags(digits)
        return flags | self._allocations.flags(digits) if destination_class >= DestinationClass.C3 else flags
