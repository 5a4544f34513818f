"""CWMP, the protocol of TR-069 between devices and the ACS: messages, reader, writer and both ends of a session. Sans-IO."""

from ringfence.protocols.cwmp.build import build
from ringfence.protocols.cwmp.connection import (
    AcsConnection,
    Ended,
    Ending,
    HandedOver,
    InformReceived,
    RequestReceived,
    ResponseReceived,
    SessionEvent,
)
from ringfence.protocols.cwmp.device import Answered, Asked, DeviceConnection, DeviceEvent, Informed, OneMore, SessionEnded
from ringfence.protocols.cwmp.parse import parse
from ringfence.protocols.cwmp.quirks import DEFAULT, Quirks, QuirkTable, built_in, read_quirks
from ringfence.protocols.cwmp.redact import HIDDEN, SecretNames, redacted, without_userinfo

__all__ = [
    "DEFAULT",
    "HIDDEN",
    "AcsConnection",
    "Answered",
    "Asked",
    "DeviceConnection",
    "DeviceEvent",
    "Ended",
    "Ending",
    "HandedOver",
    "InformReceived",
    "Informed",
    "OneMore",
    "QuirkTable",
    "Quirks",
    "RequestReceived",
    "ResponseReceived",
    "SecretNames",
    "SessionEnded",
    "SessionEvent",
    "build",
    "built_in",
    "parse",
    "read_quirks",
    "redacted",
    "without_userinfo",
]
