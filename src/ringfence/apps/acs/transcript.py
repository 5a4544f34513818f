"""What was said in a session, in lines that a person reads: who, which message, names and values shortened, faults with their meaning.

Bounded whatever a device sends. The one thing to know: every message passes `redacted`, which knows secrets by their names, and then every
secret that this session sent is looked for by its value, because devices quote what they did not like.
"""

from collections.abc import Callable, Iterable

from ringfence.fleet.image_urls import PREFIX
from ringfence.protocols.cwmp import HIDDEN, SecretNames, redacted
from ringfence.protocols.cwmp.faults import meaning_of
from ringfence.protocols.cwmp.messages import (
    Download,
    Fault,
    GetAllQueuedTransfersResponse,
    GetParameterNames,
    GetParameterNamesResponse,
    GetParameterValues,
    GetParameterValuesResponse,
    GetQueuedTransfersResponse,
    Inform,
    Message,
    ParameterValue,
    SetParameterValues,
    TransferComplete,
    Upload,
)

MAX_LINES = 600
MAX_LINE_CHARS = 240
MAX_VALUE_CHARS = 80
MAX_LISTED = 32
"""Parameters of one message that are listed."""
SHORTEST_SECRET = 4
"""A shorter one is part of too many words to be looked for."""

_CUT = "…"


class Transcript:
    """The lines of one session."""

    __slots__ = ("_hidden", "_names", "_opening", "lines")

    def __init__(self, names: SecretNames) -> None:
        self._names = names
        self._hidden: tuple[str, ...] = ()
        self._opening: Inform | None = None
        self.lines: list[str] = []

    def opens(self, inform: Inform) -> None:
        """The Inform. Its lines are made when something follows: most sessions are no more than that."""
        self._opening = inform

    def hide(self, values: Iterable[str]) -> None:
        """Values that must not appear, wherever a device repeats them; the longest first, so that a part of one uncovers nothing."""
        fresh = {value for value in values if len(value) >= SHORTEST_SECRET}
        self._hidden = tuple(sorted({*self._hidden, *fresh}, key=lambda value: (-len(value), value)))

    def device(self, message: Message) -> None:
        """What the device said."""
        self._add("device", message)

    def acs(self, message: Message) -> None:
        """What the ACS said."""
        self._add("acs", message)

    def note(self, text: str) -> None:
        """What happened that is no message."""
        self._line(text)

    def shown(self, text: str) -> str:
        """A device's own words without what must not appear."""
        return _cut(self._without_hidden(text), MAX_VALUE_CHARS)

    def taken(self) -> tuple[str, ...]:
        """All lines."""
        self._open()
        return tuple(self.lines)

    def _open(self) -> None:
        if self._opening is not None:
            opening, self._opening = self._opening, None
            self._add("device", opening)

    def _add(self, who: str, message: Message) -> None:
        self._open()
        head, *listed = _lines(redacted(message, self._names), self.shown)
        self._line(f"{who}: {head}")
        for line in listed[:MAX_LISTED]:
            self._line(f"  {line}")
        if len(listed) > MAX_LISTED:
            self._line(f"  and {len(listed) - MAX_LISTED} more")

    def _line(self, text: str) -> None:
        self._open()
        if len(self.lines) >= MAX_LINES:
            return
        text = _cut(self._without_hidden(text), MAX_LINE_CHARS)
        self.lines.append("".join(letter if letter.isprintable() else "?" for letter in text))
        if len(self.lines) == MAX_LINES - 1:
            self.lines.append("The session went on; no more of it is written down.")

    def _without_hidden(self, text: str) -> str:
        for value in self._hidden:
            text = text.replace(value, HIDDEN)
        return text


def _lines(message: Message, shown: Callable[[str], str]) -> list[str]:  # noqa: PLR0911 - one a kind of message
    """The head of a message and what it lists; `shown` is how a device's own words may stand there."""
    name = type(message).__name__
    match message:
        case Inform():
            events = ", ".join(f"{event.event_code}{f' ({event.command_key})' if event.command_key else ''}" for event in message.events)
            retries = f", retry {message.retry_count}" if message.retry_count else ""
            return [f"Inform {events}{retries}", *_values(message.parameters, shown)]
        case GetParameterValuesResponse():
            return [f"{name}, {len(message.parameters)} values", *_values(message.parameters, shown)]
        case SetParameterValues():
            return [f"{name}, ParameterKey {message.parameter_key or 'empty'}", *_values(message.parameters, shown)]
        case GetParameterValues():
            return [f"{name} of {len(message.names)} names", *message.names]
        case GetParameterNames():
            return [f"{name} below {message.path or 'the root'}"]
        case GetParameterNamesResponse():
            return [f"{name}, {len(message.parameters)} names"]
        case GetQueuedTransfersResponse() | GetAllQueuedTransfersResponse():
            keys = [f"{transfer.command_key or 'without a key'}, state {transfer.state}" for transfer in message.transfers]
            return [f"{name}, {len(keys)} transfers", *keys]
        case Download() | Upload():
            return [f"{name} {message.file_type}, CommandKey {message.command_key}", _without_signature(message.url)]
        case TransferComplete():
            outcome = f"fault {_fault(message.fault_code, shown(message.fault_string))}" if message.fault_code else "success"
            return [f"{name} of {message.command_key or 'no CommandKey'}: {outcome}"]
        case Fault():
            parts = [f"{part.name}: {_fault(part.code, shown(part.text))}" for part in message.parameter_faults]
            return [f"Fault {_fault(message.fault_code, shown(message.fault_string))}", *parts]
        case _:
            key = getattr(message, "command_key", "")
            status = getattr(message, "status", None)
            return [f"{name}{f', CommandKey {key}' if key else ''}{f', Status {status}' if status is not None else ''}"]


def _values(parameters: Iterable[ParameterValue], shown: Callable[[str], str]) -> list[str]:
    return [f"{parameter.name} = {shown(parameter.value)}" for parameter in parameters]


def _fault(code: int, text: str) -> str:
    meaning = meaning_of(code).text
    return f"{code} {meaning}" if text in {"", meaning} else f"{code} {meaning} ({text})"


def _without_signature(url: str) -> str:
    """A link to firmware is signed in its last part: without that it opens nothing."""
    return f"{url.rpartition('/')[0]}/{HIDDEN}" if PREFIX in url else url


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + _CUT
