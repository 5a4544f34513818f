"""The fault codes of CWMP: what each means and what it calls for. A table, not a branch.

The class of action follows what operators learnt in rollouts, not the wording of the standard: a full download host is our fault and not
the device's, a corrupt file stops everything.
"""

from enum import StrEnum

import msgspec

from ringfence.protocols.cwmp.messages import Fault


class Remedy(StrEnum):
    """What a fault calls for."""

    NOTHING = "nothing"
    """Note it."""
    SKIP = "skip"
    """This device cannot do it: leave it out and remember."""
    RETRY_ONCE = "retry_once"
    """Refused by its owner or for now: once more in its window, then leave it out."""
    RETRY_LATER = "retry_later"
    """With growing pauses."""
    FIX_REQUEST = "fix_request"
    """What was asked is wrong for this model: stop asking it of the model."""
    SLOW_DOWN = "slow_down"
    """Our side is overloaded or unreachable: fewer at a time, another host."""
    HALT_ACCESS = "halt_access"
    """Our file server refuses: our own mistake; stop until it is put right."""
    HALT_FILE = "halt_file"
    """The file is broken or not trusted: stop now."""


class Meaning(msgspec.Struct, frozen=True):
    """Meaning of a fault code, as the standard words it, and its remedy."""

    code: int
    text: str
    remedy: Remedy
    rediscover: bool = False
    """The tree is not what was believed: read its names anew."""


class AcsFault(msgspec.Struct, frozen=True):
    """A fault that the ACS sends, in the standard's words; soap_code Client blames the device, Server the ACS."""

    code: int
    text: str
    soap_code: str


_CPE = (
    Meaning(9000, "Method not supported", Remedy.SKIP),
    Meaning(9001, "Request denied (no reason specified)", Remedy.RETRY_ONCE),
    Meaning(9002, "Internal error", Remedy.RETRY_LATER),
    Meaning(9003, "Invalid arguments", Remedy.FIX_REQUEST),
    Meaning(9004, "Resources exceeded", Remedy.RETRY_LATER),
    Meaning(9005, "Invalid parameter name", Remedy.FIX_REQUEST, rediscover=True),
    Meaning(9006, "Invalid parameter type", Remedy.FIX_REQUEST),
    Meaning(9007, "Invalid parameter value", Remedy.FIX_REQUEST),
    Meaning(9008, "Attempt to set a non-writable parameter", Remedy.FIX_REQUEST),
    Meaning(9009, "Notification request rejected", Remedy.NOTHING),
    Meaning(9010, "File transfer failure", Remedy.SLOW_DOWN),
    Meaning(9011, "Upload failure", Remedy.SLOW_DOWN),
    Meaning(9012, "File transfer server authentication failure", Remedy.HALT_ACCESS),
    Meaning(9013, "Unsupported protocol for file transfer", Remedy.SKIP),
    Meaning(9014, "File transfer failure: unable to join multicast group", Remedy.SLOW_DOWN),
    Meaning(9015, "File transfer failure: unable to contact file server", Remedy.SLOW_DOWN),
    Meaning(9016, "File transfer failure: unable to access file", Remedy.HALT_ACCESS),
    Meaning(9017, "File transfer failure: unable to complete download", Remedy.SLOW_DOWN),
    Meaning(9018, "File transfer failure: file corrupted", Remedy.HALT_FILE),
    Meaning(9019, "File transfer failure: file authentication failure", Remedy.HALT_FILE),
    Meaning(9020, "File transfer failure: unable to complete download within specified time windows", Remedy.SLOW_DOWN),
    Meaning(9021, "Cancelation of file transfer not permitted in current transfer state", Remedy.RETRY_LATER),
    Meaning(9022, "Invalid UUID Format", Remedy.NOTHING),
    Meaning(9023, "Unknown Execution Environment", Remedy.NOTHING),
    Meaning(9024, "Disabled Execution Environment", Remedy.NOTHING),
    Meaning(9025, "Deployment Unit to Execution Environment Mismatch", Remedy.NOTHING),
    Meaning(9026, "Duplicate Deployment Unit", Remedy.NOTHING),
    Meaning(9027, "System Resources Exceeded", Remedy.NOTHING),
    Meaning(9028, "Unknown Deployment Unit", Remedy.NOTHING),
    Meaning(9029, "Invalid Deployment Unit State", Remedy.NOTHING),
    Meaning(9030, "Invalid Deployment Unit Update: downgrade not permitted", Remedy.NOTHING),
    Meaning(9031, "Invalid Deployment Unit Update: version not specified", Remedy.NOTHING),
    Meaning(9032, "Invalid Deployment Unit Update: version already exists", Remedy.NOTHING),
)

CPE_FAULTS = {meaning.code: meaning for meaning in _CPE}
"""Faults of a device by code."""

TRANSFER_FAULTS = frozenset({9001, 9002, 9010, 9011, 9012, *range(9014, 9021)})
"""What a TransferComplete may carry besides 0 (TransferCompleteCPEFaultCodeType of cwmp-1-2.xsd)."""

ACS_FAULTS = {
    fault.code: fault
    for fault in (
        AcsFault(8000, "Method not supported", "Client"),
        AcsFault(8001, "Request denied", "Server"),
        AcsFault(8002, "Internal error", "Server"),
        AcsFault(8003, "Invalid arguments", "Client"),
        AcsFault(8004, "Resources exceeded", "Server"),
        AcsFault(8005, "Retry request", "Server"),
        AcsFault(8006, "ACS version incompatible with CPE", "Server"),
    )
}
"""Faults that the ACS sends, by code. 8005 makes the device repeat its request in the same session."""


def acs_fault(code: int) -> Fault:
    """The message of a fault that the ACS sends; KeyError for a code outside ACS_FAULTS."""
    fault = ACS_FAULTS[code]
    return Fault(fault.code, fault.text, soap_code=fault.soap_code)


def meaning_of(code: int) -> Meaning:
    """Of any code: vendors' own (9800 to 9899) and unknown ones are tried again later, as the standard says of 9002."""
    return CPE_FAULTS.get(code) or Meaning(
        code, "Fault of the vendor's own" if 9800 <= code <= 9899 else "Unknown fault", Remedy.RETRY_LATER
    )
