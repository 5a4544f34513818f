"""Who sent a request, as far as address and User-Agent tell: the columns of a row that say where an account was used and with what.

Joins `networks` and `user_agents`, and remembers what it joined, so that a row costs one look into a dictionary.
"""

from typing import NamedTuple

from ringfence.telephony.model import Flag
from ringfence.telephony.networks import OwnNetworks, SourceBook
from ringfence.telephony.user_agents import AgentFamilies

MAX_REMEMBERED = 65_536
"""Pairs of address and User-Agent that are remembered; beyond, the memory starts anew."""


class Sender(NamedTuple):
    """Columns of a row about its source; `flags` to be added to the row's own."""

    source_key: int
    network_key: int
    network_kind: int
    source_country: int
    network: str
    family_key: int
    flags: int


NOBODY = Sender(0, 0, 0, 0, "", 0, 0)


class Senders:
    """Senders by address and User-Agent."""

    __slots__ = ("_families", "_remembered", "_sources")

    def __init__(self, sources: SourceBook, families: AgentFamilies) -> None:
        self._sources = sources
        self._families = families
        self._remembered: dict[tuple[str, str], Sender] = {}

    def use_networks(self, networks: OwnNetworks) -> None:
        """Judge sources by another list of own networks from now on."""
        self._sources.use(networks)
        self._remembered = {}

    def of(self, source_ip: str, user_agent: str, *, keyed: bool) -> Sender:
        """What rows hold of a sender. What agents without a key say stands under a source key of its own."""
        found = self._remembered.get((source_ip, user_agent))
        if found is None:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered = {}
            source, family = self._sources.of(source_ip), self._families.of(user_agent)
            found = self._remembered[source_ip, user_agent] = Sender(
                source.key,
                source.network_key,
                source.kind,
                source.country,
                source.network,
                family.key,
                int(Flag.SCANNER) if family.scanner else 0,
            )
        return found if keyed else found._replace(source_key=self._sources.of(source_ip).unkeyed_key)

    @classmethod
    def with_key(cls, key: bytes, *, home: str = "") -> "Senders":
        """Senders that know no list and no table yet."""
        return cls(SourceBook(key, home=home), AgentFamilies(key))
