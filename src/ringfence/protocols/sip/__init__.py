"""SIP messages (RFC 3261) for an observer: a tolerant, bounded reader of heads, URIs, and a builder for simulators. Sans-IO."""

from ringfence.protocols.sip.build import build, request, response
from ringfence.protocols.sip.messages import Contact, SipMessage
from ringfence.protocols.sip.parse import parse
from ringfence.protocols.sip.uri import Uri

__all__ = ["Contact", "SipMessage", "Uri", "build", "parse", "request", "response"]
