"""Which agent a packet is from, and how far that agent is believed.

HEP decides blocks, so it is believed only from known sources, and with the right key where the agent has one. Trust is about accounts:
`hlog` agents name them in verdict events, at `challenge` agents an attempt must have answered this server's own challenge, at `none`
nothing belongs to anybody. The one thing to know: an agent without a key is heard and flagged, and what it says can alert but never block.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from ringfence.base.errors import OperatorError, PeerError
from ringfence.base.secret import Secret

MAX_AGENTS = 1_000
MAX_REMEMBERED_SOURCES = 4_096
"""Source addresses whose agents are remembered; beyond, the memory starts anew."""

Network = IPv4Network | IPv6Network


class Trust(StrEnum):
    """Whose word makes a call an account's."""

    HLOG = "hlog"
    CHALLENGE = "challenge"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A SIP server that sends HEP. `key` is None when it has none."""

    name: str
    sources: tuple[Network, ...]
    key: Secret | None
    trust: Trust

    @property
    def keyed(self) -> bool:
        """Whether packets of this agent prove themselves."""
        return self.key is not None


def agent_of(name: str, sources: Sequence[str], *, key: Secret | None, trust: str) -> Agent:
    """An agent from settings; OperatorError when a network or the trust is none, or no source is given."""
    if trust not in {kind.value for kind in Trust}:
        raise OperatorError(f"Agent {name}: trust {trust!r} is none of hlog, challenge, none", reason="bad_trust")
    if not sources:
        raise OperatorError(f"Agent {name} has no source; name its address or network", reason="bad_source")
    try:
        networks = tuple(ip_network(source, strict=False) for source in sources)
    except ValueError:
        raise OperatorError(
            f"Agent {name}: one of {', '.join(sources)} is no network; write 192.0.2.1 or 192.0.2.0/24", reason="bad_source"
        ) from None
    return Agent(name=name, sources=networks, key=key or None, trust=Trust(trust))


class AgentDirectory:
    """The known agents. `identify` for each packet."""

    __slots__ = ("_proven", "_remembered", "agents")

    def __init__(self, agents: Sequence[Agent]) -> None:
        if len(agents) > MAX_AGENTS:
            raise OperatorError(f"More than {MAX_AGENTS} agents; merge their networks", reason="too_many_agents")
        names = [agent.name for agent in agents]
        if len(set(names)) != len(names):
            raise OperatorError("Two agents have the same name; rename one", reason="agent_twice")
        self.agents = tuple(agents)
        self._remembered: dict[str, tuple[Agent, ...]] = {}
        self._proven: dict[str, tuple[Secret, Agent]] = {}
        """By source, the key that matched last: the decoder gives the same object for the same bytes, which needs no second comparison."""

    def known(self, source_ip: str) -> bool:
        """Whether any agent may send from an address; for refusing a connection before it says a word."""
        return bool(self._at(source_ip))

    def identify(self, source_ip: str, auth_key: Secret | None) -> Agent:
        """The agent of a packet. PeerError (`unknown_agent`, `no_key`, `bad_key`) when it is from none.

        Where a source has agents with and without a key, a packet with a key must match one of those with.
        """
        proven = self._proven.get(source_ip)
        if proven is not None and proven[0] is auth_key:
            return proven[1]
        candidates = self._remembered.get(source_ip)
        if candidates is None:
            candidates = self._at(source_ip)
        if not candidates:
            raise PeerError("A packet is from an address that no agent has.", reason="unknown_agent")
        open_agent: Agent | None = None
        for agent in candidates:
            if agent.key is None:
                open_agent = open_agent or agent
            elif auth_key is not None and agent.key == auth_key:  # in constant time: both are Secrets
                self._proven[source_ip] = (auth_key, agent)
                return agent
        if open_agent is not None and (auth_key is None or all(agent.key is None for agent in candidates)):
            return open_agent
        if auth_key is None:
            raise PeerError("A packet has no key and its agent has one.", reason="no_key")
        raise PeerError("A packet has a wrong key.", reason="bad_key")

    def _at(self, source_ip: str) -> tuple[Agent, ...]:
        try:
            address = ip_address(source_ip.partition("%")[0])
        except ValueError:
            return ()
        mapped = getattr(address, "ipv4_mapped", None)
        address = mapped or address
        found = tuple(agent for agent in self.agents if any(address in network for network in agent.sources))
        if len(self._remembered) >= MAX_REMEMBERED_SOURCES:
            self._remembered.clear()
            self._proven.clear()
        self._remembered[source_ip] = found
        return found
