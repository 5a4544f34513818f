"""One second of the whole network, edge by edge: what the network view of the log holds instead of rows.

`NetworkTotals` counts the rows that ingest makes and gives a `NetworkSecond` for each edge when a second is over. Running calls cost while
they run: the rates of all answered calls are one sum per edge and class, so a second costs the same work however many calls there are. The
one thing to know: these are figures for a rule about the sum of everything, not a bill; a call that fell silent has cost up to the moment
that it was given up.
"""

import msgspec

from ringfence.base.errors import PeerError
from ringfence.telephony.model import AccountRow, Kind

CLASSES = 6
MAX_EDGES = 1_000
"""Edges that are told apart; rows of further ones count under an edge without a name."""
LATE_MS = 15 * 60_000
"""A call record counts when its call ended no longer ago than this: yesterday's records are no spending of now."""
MAX_SECOND_BYTES = 4_096

Classes = tuple[int, int, int, int, int, int]
"""A figure for each destination class, C0 to C5."""

# Plain integers: a member is looked up and compared at several times the cost, and this happens for every row.
_ATTEMPT, _ANSWER, _END, _CALL = int(Kind.ATTEMPT), int(Kind.ANSWER), int(Kind.END), int(Kind.CALL)
_REGISTRATION, _AUTH_FAILURE = int(Kind.REGISTRATION), int(Kind.AUTH_FAILURE)
_UNAUTHENTICATED, _BLOCKED = int(Kind.UNAUTHENTICATED), int(Kind.BLOCKED)

_NOTHING: Classes = (0, 0, 0, 0, 0, 0)


class NetworkSecond(msgspec.Struct, frozen=True, kw_only=True):
    """What happened at an edge in the second that ended at `at_ms` (Unix milliseconds). Money is micro-euro."""

    at_ms: int
    edge: str
    attempts: Classes = _NOTHING
    answered: Classes = _NOTHING
    cost_micro: Classes = _NOTHING
    """Cost that accrued in this second, running calls included."""
    registrations: int = 0
    """Registrations that were news, not refreshments."""
    auth_failures: int = 0
    unauthenticated: int = 0
    blocked: int = 0


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(NetworkSecond)


def encode_second(second: NetworkSecond) -> bytes:
    """JSON of a second: the payload of a message with the header `Rf-Kind: second`."""
    return _encoder.encode(second)


def decode_second(payload: bytes) -> NetworkSecond:
    """The second in a message. PeerError (`bad_second`) for anything that `encode_second` did not write."""
    if len(payload) > MAX_SECOND_BYTES:
        raise PeerError(f"A second has more than {MAX_SECOND_BYTES} bytes.", reason="bad_second")
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise PeerError("A second is not the JSON that ingest writes.", reason="bad_second") from None


class _Edge:
    """Running sums of an edge."""

    __slots__ = ("answered", "attempts", "auth_failures", "blocked", "cost", "parts", "rates", "registrations", "unauthenticated")

    def __init__(self) -> None:
        self.rates = [0] * CLASSES
        """Micro-euro a minute of all calls that run."""
        self.parts = [0] * CLASSES
        """What is left of a micro-euro, in 1/60,000: nothing is lost by rounding each second."""
        self.clear()

    def clear(self) -> None:
        self.attempts = [0] * CLASSES
        self.answered = [0] * CLASSES
        self.cost = [0] * CLASSES
        self.registrations = self.auth_failures = self.unauthenticated = self.blocked = 0

    def accrue(self, elapsed_ms: int) -> None:
        for class_, rate in enumerate(self.rates):
            whole, self.parts[class_] = divmod(self.parts[class_] + rate * elapsed_ms, 60_000)
            self.cost[class_] += whole


class NetworkTotals:
    """Counts rows; `seconds` closes a second. One for a process."""

    def __init__(self) -> None:
        self._edges: dict[str, _Edge] = {}
        self._last_ms = 0
        self.late = 0
        """Call records that came too late to be spending of now."""

    def take(self, row: AccountRow) -> None:
        """Count a row of the account view."""
        edge = self._edges.get(row.edge) or self._edge(row.edge)
        kind, class_ = row.kind, row.destination_class if row.destination_class < CLASSES else CLASSES - 1
        if kind == _ATTEMPT:
            edge.attempts[class_] += 1
        elif kind == _ANSWER:
            edge.answered[class_] += 1
            edge.rates[class_] += row.rate
            edge.cost[class_] += row.connect_micro
        elif kind == _END:
            if row.answered_ms:
                edge.rates[class_] = max(0, edge.rates[class_] - row.rate)
        elif kind == _CALL:
            self._take_record(edge, class_, row)
        elif kind == _REGISTRATION:
            edge.registrations += row.status_code == 200
        elif kind == _AUTH_FAILURE:
            edge.auth_failures += 1
        elif kind == _UNAUTHENTICATED:
            edge.unauthenticated += 1
        elif kind == _BLOCKED:
            edge.blocked += 1

    def restore(self, row: AccountRow) -> None:
        """Take up a call that runs, from its ANSWER row in the log."""
        if row.kind == Kind.ANSWER and row.destination_class < CLASSES:
            self._edge(row.edge).rates[row.destination_class] += row.rate

    def seconds(self, at_ms: int) -> list[NetworkSecond]:
        """Close the second that ends now: one for each edge that had anything, and one without a name when none had."""
        # Longer than a second when the process was held up; a clock that was set back costs nothing.
        elapsed_ms = max(0, at_ms - self._last_ms) if self._last_ms else 0
        self._last_ms = at_ms
        found = []
        for name, edge in list(self._edges.items()):
            edge.accrue(elapsed_ms)
            second = NetworkSecond(
                at_ms=at_ms,
                edge=name,
                attempts=_classes(edge.attempts),
                answered=_classes(edge.answered),
                cost_micro=_classes(edge.cost),
                registrations=edge.registrations,
                auth_failures=edge.auth_failures,
                unauthenticated=edge.unauthenticated,
                blocked=edge.blocked,
            )
            if second == NetworkSecond(at_ms=at_ms, edge=name):
                if not any(edge.rates):
                    del self._edges[name]
                continue
            found.append(second)
            edge.clear()
        return found or [NetworkSecond(at_ms=at_ms, edge="")]

    def _take_record(self, edge: _Edge, class_: int, row: AccountRow) -> None:
        edge.attempts[class_] += 1
        if not row.answered_ms:
            return
        edge.answered[class_] += 1
        if row.ended_ms < row.received_ms - LATE_MS:
            self.late += 1
            return
        edge.cost[class_] += row.connect_micro + row.rate * max(0, row.ended_ms - row.answered_ms) // 60_000

    def _edge(self, name: str) -> _Edge:
        edge = self._edges.get(name)
        if edge is None:
            if len(self._edges) >= MAX_EDGES:
                name = ""
                if (edge := self._edges.get(name)) is not None:
                    return edge
            edge = self._edges[name] = _Edge()
        return edge


def _classes(figures: list[int]) -> Classes:
    c0, c1, c2, c3, c4, c5 = figures
    return (c0, c1, c2, c3, c4, c5)
