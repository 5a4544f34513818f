"""HEP version 3: the copies of SIP messages that SIP servers send to a capture server. Sans-IO."""

from ringfence.protocols.hep.build import encode
from ringfence.protocols.hep.connection import HepConnection
from ringfence.protocols.hep.messages import ChunkType, Family, HepPacket, PayloadType
from ringfence.protocols.hep.parse import decode

__all__ = ["ChunkType", "Family", "HepConnection", "HepPacket", "PayloadType", "decode", "encode"]
