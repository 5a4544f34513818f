"""Call records and registration records of other systems, one row at a time: text fields to typed values, strictly.

Formats: our own call records and registrations, Kamailio's `acc_cdrs` with a column map, Asterisk's `Master.csv`, FreeSWITCH's JSON. Each
reader takes one record that somebody else fetched and either returns a `CallRecord` or refuses it with a reason; nothing is guessed. The
one thing to know: a record gives a row only for a call that the wire did not show, and only when it is the account's own outgoing call.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from urllib.parse import unquote

import msgspec

from ringfence.base.errors import OperatorError, PeerError
from ringfence.base.ids import keyed_hash, slot_of
from ringfence.telephony import model
from ringfence.telephony.model import AccountRow, Flag, Kind, account_key_of, call_key_of
from ringfence.telephony.pricing import Pricing
from ringfence.telephony.senders import NOBODY, Senders

MAX_FIELD_CHARS = 1_024
MAX_JSON_BYTES = 1_048_576
EARLIEST_MS = 946_684_800_000
"""The year 2000: a time before it is a mistake."""
LATEST_MS = 4_102_444_800_000
"""The year 2100."""
LONGEST_CALL_MS = 31 * 86_400_000


class Direction(StrEnum):
    """Which way a call went, seen from the account."""

    OUT = "out"
    IN = "in"
    FORWARDED = "forwarded"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One whole call. Times are Unix milliseconds, 0 when it did not happen."""

    call_id: str
    account: str
    caller: str = ""
    callee: str = ""
    source_ip: str = ""
    user_agent: str = ""
    edge: str = ""
    started_ms: int
    answered_ms: int = 0
    ended_ms: int = 0
    status_code: int = 0
    direction: Direction = Direction.OUT
    forwarded_by: str = ""
    authenticated: bool = True
    trunk: str = ""
    carrier: str = ""
    ring_seconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationRecord:
    """One REGISTER with credentials and its verdict."""

    at_ms: int
    account: str
    source_ip: str = ""
    user_agent: str = ""
    contact: str = ""
    expires: int = 0
    status_code: int
    auth_code: int = 0


CALL_COLUMNS = (
    "call_id",
    "account",
    "caller",
    "callee",
    "source_ip",
    "user_agent",
    "edge",
    "started_at",
    "answered_at",
    "ended_at",
    "status_code",
)
"""Columns that a file of call records must have."""
REGISTRATION_COLUMNS = ("at", "account", "source_ip", "user_agent", "contact", "expires", "status_code")


def read_call(fields: Mapping[str, object]) -> CallRecord:
    """One row of the call record format, by column name. PeerError with a reason when it cannot be read."""
    started_ms = _time(fields, "started_at")
    if not started_ms:
        raise PeerError("started_at is empty.", reason="no_start")
    direction = _text(fields, "direction").lower() or "out"
    if direction not in {kind.value for kind in Direction}:
        raise PeerError(f"direction {direction[:20]!r} is none of out, in, forwarded.", reason="bad_direction")
    return _checked(
        CallRecord(
            call_id=_text(fields, "call_id"),
            account=_text(fields, "account"),
            caller=_text(fields, "caller"),
            callee=_text(fields, "callee"),
            source_ip=_text(fields, "source_ip"),
            user_agent=_text(fields, "user_agent"),
            edge=_text(fields, "edge"),
            started_ms=started_ms,
            answered_ms=_time(fields, "answered_at"),
            ended_ms=_time(fields, "ended_at"),
            status_code=_status(fields),
            direction=Direction(direction),
            forwarded_by=_text(fields, "forwarded_by"),
            authenticated=_truth(fields, "authenticated", default=True),
            trunk=_text(fields, "trunk"),
            carrier=_text(fields, "carrier"),
            ring_seconds=_whole(fields, "ring_seconds", 86_400),
        )
    )


def read_registration(fields: Mapping[str, object]) -> RegistrationRecord:
    """One row of the registration format, by column name. PeerError with a reason when it cannot be read."""
    at_ms = _time(fields, "at")
    if not at_ms:
        raise PeerError("at is empty.", reason="no_time")
    account = _text(fields, "account")
    status_code = _status(fields)
    if not account:
        raise PeerError("account is empty.", reason="no_account")
    if status_code not in (200, 401, 403, 404):
        raise PeerError(f"status_code {status_code} is none of 200, 401, 403, 404.", reason="bad_status")
    code = _text(fields, "auth_code")
    if code and not (code.lstrip("-").isascii() and code.lstrip("-").isdigit() and len(code) < 5):
        raise PeerError(f"auth_code {code[:20]!r} is no whole number.", reason="bad_number")
    return RegistrationRecord(
        at_ms=at_ms,
        account=account,
        source_ip=_text(fields, "source_ip"),
        user_agent=_text(fields, "user_agent"),
        contact=_text(fields, "contact"),
        expires=_whole(fields, "expires", 2**31 - 1),
        status_code=status_code,
        auth_code=int(code) if code else 0,
    )


KAMAILIO_NEEDED = frozenset({"call_id", "account", "callee", "started_at", "duration"})
KAMAILIO_FIELDS = KAMAILIO_NEEDED | {"caller", "ended_at", "source_ip", "user_agent", "status_code"}


def check_column_map(columns: Mapping[str, str]) -> None:
    """Refuse a map of our names to columns of `acc_cdrs` that lacks one we need: the stock table has neither caller nor callee."""
    missing = KAMAILIO_NEEDED - columns.keys()
    if missing:
        raise OperatorError(
            f"The column map lacks {', '.join(sorted(missing))}; add them to acc_cdrs by cdr_extra and name them", reason="column_map"
        )
    unknown = columns.keys() - KAMAILIO_FIELDS
    if unknown:
        raise OperatorError(
            f"The column map names {', '.join(sorted(unknown))}; known are {', '.join(sorted(KAMAILIO_FIELDS))}", reason="column_map"
        )


def read_kamailio(row: Mapping[str, object], columns: Mapping[str, str], *, edge: str, zone: tzinfo = UTC) -> CallRecord:
    """One row of `acc_cdrs`: it exists for answered calls only, so its start is the answer. `columns` maps our names to the table's.

    Kamailio writes the local time of its host; `zone` says which that is for times that do not say it themselves. In the hour that a
    clock repeats in autumn, the first one is meant.
    """
    fields = {name: row.get(column) for name, column in columns.items()}
    answered_ms = _time(fields, "started_at", zone)
    if not answered_ms or str(fields["started_at"]).startswith(_UNSET):
        raise PeerError("The start time is empty.", reason="no_start")
    duration_ms = _duration_ms(fields, "duration")
    return _checked(
        CallRecord(
            call_id=_text(fields, "call_id"),
            account=_text(fields, "account"),
            caller=_text(fields, "caller"),
            callee=_text(fields, "callee"),
            source_ip=_text(fields, "source_ip"),
            user_agent=_text(fields, "user_agent"),
            edge=edge,
            started_ms=answered_ms,
            answered_ms=answered_ms,
            ended_ms=answered_ms + duration_ms,
            status_code=_status(fields) or 200,
        )
    )


ASTERISK_COLUMNS = (
    *("accountcode", "src", "dst", "dcontext", "clid", "channel", "dstchannel", "lastapp", "lastdata", "start", "answer", "end"),
    *("duration", "billsec", "disposition", "amaflags", "uniqueid", "userfield"),
)
_UNSET = "2000-01-01 00:00:00"
"""Default of the stock table: nothing was written."""
_DISPOSITIONS = {"ANSWERED": 200, "NO ANSWER": 408, "BUSY": 486, "FAILED": 503, "CONGESTION": 503}


def read_asterisk(values: list[str], *, edge: str, zone: tzinfo = UTC) -> CallRecord:
    """One line of `Master.csv` (asterisk: cdr/cdr_csv.c). A call belongs to its accountcode.

    Times are UTC with `usegmtime=yes`, else the local time of that host, which `zone` names.
    """
    if len(values) < 16:
        raise PeerError(f"The line has {len(values)} fields; Master.csv has 16 and more.", reason="too_few_fields")
    fields = dict(zip(ASTERISK_COLUMNS, values, strict=False))
    started_ms = _time(fields, "start", zone)
    if not started_ms:
        raise PeerError("start is empty.", reason="no_start")
    disposition = _text(fields, "disposition").upper()
    if disposition not in _DISPOSITIONS:
        raise PeerError(f"disposition {disposition[:20]!r} is not known.", reason="bad_status")
    answered = disposition == "ANSWERED"
    return _checked(
        CallRecord(
            call_id=_text(fields, "uniqueid") or f"{edge}/{_text(fields, 'channel')}/{started_ms}",
            account=_text(fields, "accountcode"),
            caller=_text(fields, "src"),
            callee=_text(fields, "dst"),
            edge=edge,
            started_ms=started_ms,
            answered_ms=_time(fields, "answer", zone) if answered else 0,
            ended_ms=_time(fields, "end", zone),
            status_code=_DISPOSITIONS[disposition],
            trunk=_text(fields, "dstchannel").partition("-")[0],
        )
    )


class _FreeswitchCdr(msgspec.Struct):
    variables: dict[str, object] = {}


_freeswitch = msgspec.json.Decoder(_FreeswitchCdr)


def read_freeswitch(payload: bytes, *, edge: str) -> CallRecord:
    """One document of mod_json_cdr. Values may be percent-encoded (`encode-values`), times are Unix seconds or microseconds."""
    if len(payload) > MAX_JSON_BYTES:
        raise PeerError(f"The document has more than {MAX_JSON_BYTES} bytes.", reason="too_long")
    try:
        raw = _freeswitch.decode(payload).variables
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise PeerError("The document is no JSON of mod_json_cdr.", reason="bad_json") from None
    fields = {name: unquote(value) if isinstance(value, str) and "%" in value else value for name, value in raw.items()}
    started_ms = _epoch_ms(fields, "start")
    if not started_ms:
        raise PeerError("start_epoch is empty.", reason="no_start")
    answered_ms = _epoch_ms(fields, "answer")
    direction = Direction.OUT if _text(fields, "direction") in ("inbound", "") else Direction.IN
    # FreeSWITCH names directions from its own side: the leg on which a subscriber calls out is inbound.
    return _checked(
        CallRecord(
            call_id=_text(fields, "sip_call_id") or _text(fields, "uuid"),
            account=_text(fields, "sip_auth_username"),
            caller=_text(fields, "sip_from_user") or _text(fields, "caller_id_number"),
            callee=_text(fields, "sip_req_user") or _text(fields, "destination_number"),
            source_ip=_text(fields, "sip_network_ip") or _text(fields, "sip_received_ip"),
            user_agent=_text(fields, "sip_user_agent"),
            edge=edge,
            started_ms=started_ms,
            answered_ms=answered_ms,
            ended_ms=_epoch_ms(fields, "end"),
            status_code=200 if answered_ms else _whole(fields, "sip_term_status", 699) or 487,
            direction=direction,
        )
    )


_DIRECTIONS = {
    Direction.OUT: model.Direction.OUT,
    Direction.IN: model.Direction.IN,
    Direction.FORWARDED: model.Direction.FORWARDED,
}


def row_of_call(record: CallRecord, pricing: Pricing, *, key: bytes, now_ms: int, senders: Senders | None = None) -> AccountRow | None:
    """The CALL row of a call that an account made or forwarded, the INBOUND row of one towards it, or None: nobody's, or unauthenticated.

    A forwarded leg is charged to the account whose forwarding made it. Without `senders` the columns about the source stay empty.
    """
    forwarded, inbound = record.direction is Direction.FORWARDED, record.direction is Direction.IN
    account = record.forwarded_by or record.account if forwarded else record.account
    if not account or not (record.authenticated or inbound):
        return None
    # What counts of an inbound call is the number that would be called back; a caller without one has no range.
    priced = pricing.price(record.caller if inbound else record.callee)
    if inbound and not priced.callee.startswith("+"):
        priced = priced._replace(range_key=0, number_tail=0)
    sender = senders.of(record.source_ip, record.user_agent, keyed=True) if senders is not None else NOBODY
    account_key = account_key_of(key, account, keyed=True)
    ended_ms = record.ended_ms or record.answered_ms or record.started_ms
    return AccountRow(
        kind=int(Kind.INBOUND if inbound else Kind.CALL),
        at_ms=record.started_ms,
        received_ms=now_ms,
        account=account,
        account_key=account_key,
        slot=slot_of(account_key),
        call_id=record.call_id,
        call_key=keyed_hash(key, record.call_id, "inbound") if inbound else call_key_of(key, record.call_id),
        caller=pricing.number(record.caller),
        callee=pricing.number(record.callee) if inbound else priced.callee,
        range_key=priced.range_key,
        number_tail=priced.number_tail,
        country=priced.country,
        destination_class=priced.destination_class,
        rate=priced.rate,
        connect_micro=priced.connect_micro,
        flags=priced.flags | sender.flags | Flag.CDR | (Flag.FORWARDED if forwarded else 0),
        started_ms=record.started_ms,
        answered_ms=record.answered_ms,
        ended_ms=ended_ms,
        status_code=record.status_code,
        source_ip=record.source_ip,
        user_agent=record.user_agent,
        edge=record.edge,
        trunk=record.trunk,
        carrier=record.carrier,
        ring_seconds=record.ring_seconds or (max(0, (record.answered_ms or ended_ms) - record.started_ms) // 1000 if inbound else 0),
        direction=int(_DIRECTIONS[record.direction]),
        source_key=sender.source_key,
        network_key=sender.network_key,
        network_kind=sender.network_kind,
        source_country=sender.source_country,
        family_key=sender.family_key,
        network=sender.network,
        forwarded_by=account if forwarded else "",
    )


def _checked(record: CallRecord) -> CallRecord:
    """What no call can be is refused: without identity, ended before it began, longer than a month."""
    if not record.call_id:
        raise PeerError("call_id is empty.", reason="no_call_id")
    if not record.callee:
        raise PeerError("callee is empty.", reason="no_callee")
    first, last = record.started_ms, record.ended_ms
    if record.answered_ms and (record.answered_ms < first or (last and record.answered_ms > last)):
        raise PeerError("answered_at is not between start and end.", reason="bad_order")
    if last and not first <= last <= first + LONGEST_CALL_MS:
        raise PeerError("ended_at is before the start or more than 31 days after it.", reason="bad_order")
    return record


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    if len(text) > MAX_FIELD_CHARS:
        raise PeerError(f"{name} has more than {MAX_FIELD_CHARS} characters.", reason="too_long")
    return text.strip()


def _time(fields: Mapping[str, object], name: str, zone: tzinfo = UTC) -> int:
    """ISO 8601, Unix seconds (with a fraction), or a datetime; without an offset it is of `zone`. 0 when empty."""
    value = fields.get(name)
    if isinstance(value, datetime):
        moment = value
    else:
        text = _text(fields, name)
        if not text:
            return 0
        if text.replace(".", "", 1).isdigit() and text.isascii():
            return _in_range(int(Decimal(text) * 1000), name)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise PeerError(f"{name} {text[:40]!r} is neither ISO 8601 nor Unix seconds.", reason="bad_time") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return _in_range(round(moment.timestamp() * 1000), name)


def _epoch_ms(fields: Mapping[str, object], name: str) -> int:
    micro = _text(fields, f"{name}_uepoch")
    if micro.isascii() and micro.isdigit() and int(micro):
        return _in_range(int(micro) // 1000, name)
    seconds = _text(fields, f"{name}_epoch")
    return _in_range(int(seconds) * 1000, name) if seconds.isascii() and seconds.isdigit() and int(seconds) else 0


def _in_range(at_ms: int, name: str) -> int:
    if not EARLIEST_MS <= at_ms <= LATEST_MS:
        raise PeerError(f"{name} is not between the years 2000 and 2100.", reason="bad_time")
    return at_ms


def _status(fields: Mapping[str, object]) -> int:
    return _whole(fields, "status_code", 699)


def _whole(fields: Mapping[str, object], name: str, limit: int) -> int:
    text = _text(fields, name)
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 12 or int(text) > limit:
        raise PeerError(f"{name} {text[:20]!r} is no whole number up to {limit}.", reason="bad_number")
    return int(text)


def _duration_ms(fields: Mapping[str, object], name: str) -> int:
    text = _text(fields, name)
    try:
        seconds = Decimal(text)
    except InvalidOperation:
        raise PeerError(f"{name} {text[:20]!r} is no number of seconds.", reason="bad_number") from None
    if not seconds.is_finite() or not 0 <= seconds * 1000 <= LONGEST_CALL_MS:
        raise PeerError(f"{name} {text[:20]!r} is no possible number of seconds.", reason="bad_number")
    return int(seconds * 1000)


def _truth(fields: Mapping[str, object], name: str, *, default: bool) -> bool:
    text = _text(fields, name).lower()
    if not text:
        return default
    if text in ("true", "1", "yes", "t"):
        return True
    if text in ("false", "0", "no", "f"):
        return False
    raise PeerError(f"{name} {text[:20]!r} is neither true nor false.", reason="bad_truth")
