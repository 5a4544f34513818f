"""The messages of CWMP (TR-069 Annex A) as frozen values, with names and fields as the standard has them, in snake_case.

Values are the wire's own: texts, also where a parameter is a number, because only the data model knows what a text means. Passwords
are plain text here and nowhere else; `redact` makes the form that may be kept. Every field has a default: real devices leave out any.
"""

from typing import TypeAlias

import msgspec

UNKNOWN_TIME = "0001-01-01T00:00:00Z"
"""The standard's word for a time that is not known (TR-069 3.2.1: the Unknown Time)."""


class DeviceId(msgspec.Struct, frozen=True):
    """Who a device says it is."""

    manufacturer: str = ""
    oui: str = ""
    product_class: str = ""
    serial_number: str = ""


class Event(msgspec.Struct, frozen=True):
    """Why a session was opened: `0 BOOTSTRAP`, `2 PERIODIC`, `M Download`, ..."""

    event_code: str = ""
    command_key: str = ""


class ParameterValue(msgspec.Struct, frozen=True):
    """A parameter by full path, its value as text, and the type it was sent with (`xsd:string`, `xsd:boolean`, ...)."""

    name: str = ""
    value: str = ""
    type: str = "xsd:string"


class ParameterInfo(msgspec.Struct, frozen=True):
    """A name of the tree; an object ends in a dot."""

    name: str = ""
    writable: bool = False


class ParameterAttributes(msgspec.Struct, frozen=True):
    """Notification: 0 off, 1 passive, 2 active."""

    name: str = ""
    notification: int = 0
    access_list: tuple[str, ...] = ()


class AttributeChange(msgspec.Struct, frozen=True):
    """What SetParameterAttributes changes of one parameter or subtree (SetParameterAttributesStruct)."""

    name: str = ""
    notification_change: bool = False
    notification: int = 0
    access_list_change: bool = False
    access_list: tuple[str, ...] = ()


class QueuedTransfer(msgspec.Struct, frozen=True):
    """A transfer of GetQueuedTransfers. State: 1 not started, 2 in progress, 3 completed."""

    command_key: str = ""
    state: int = 1


class AnyQueuedTransfer(msgspec.Struct, frozen=True):
    """A transfer of GetAllQueuedTransfers: also those the device began by itself."""

    command_key: str = ""
    state: int = 1
    is_download: bool = True
    file_type: str = ""
    file_size: int = 0
    target_file_name: str = ""


class Argument(msgspec.Struct, frozen=True):
    """A pair of RequestDownload (ArgStruct)."""

    name: str = ""
    value: str = ""


class ParameterFault(msgspec.Struct, frozen=True):
    """What was wrong with one parameter of a SetParameterValues."""

    name: str = ""
    code: int = 0
    text: str = ""


# Requests of the device -----------------------------------------------------------------------------------------------


class Inform(msgspec.Struct, frozen=True):
    """Opens a session."""

    device_id: DeviceId = DeviceId()
    events: tuple[Event, ...] = ()
    max_envelopes: int = 1
    current_time: str = UNKNOWN_TIME
    retry_count: int = 0
    parameters: tuple[ParameterValue, ...] = ()


class InformResponse(msgspec.Struct, frozen=True):
    """The events of the Inform are delivered."""

    max_envelopes: int = 1


class TransferComplete(msgspec.Struct, frozen=True):
    """A Download or Upload is over. `fault_code` 0 is success."""

    command_key: str = ""
    fault_code: int = 0
    fault_string: str = ""
    start_time: str = UNKNOWN_TIME
    complete_time: str = UNKNOWN_TIME


class TransferCompleteResponse(msgspec.Struct, frozen=True):
    """Noted."""


class AutonomousTransferComplete(msgspec.Struct, frozen=True):
    """A transfer that the ACS did not ask for is over: the owner's own update, for one."""

    announce_url: str = ""
    transfer_url: str = ""
    is_download: bool = False
    file_type: str = ""
    file_size: int = 0
    target_file_name: str = ""
    fault_code: int = 0
    fault_string: str = ""
    start_time: str = UNKNOWN_TIME
    complete_time: str = UNKNOWN_TIME


class AutonomousTransferCompleteResponse(msgspec.Struct, frozen=True):
    """Noted."""


class RequestDownload(msgspec.Struct, frozen=True):
    """The device asks to be sent a Download."""

    file_type: str = ""
    arguments: tuple[Argument, ...] = ()


class RequestDownloadResponse(msgspec.Struct, frozen=True):
    """Noted; whether a Download follows is the ACS's own choice."""


# Requests of either side ----------------------------------------------------------------------------------------------


class GetRPCMethods(msgspec.Struct, frozen=True):
    """What can you do?"""


class GetRPCMethodsResponse(msgspec.Struct, frozen=True):
    """The methods that the answering side accepts."""

    methods: tuple[str, ...] = ()


# Requests of the ACS --------------------------------------------------------------------------------------------------


class GetParameterValues(msgspec.Struct, frozen=True):
    """Full names, or partial paths that end in a dot."""

    names: tuple[str, ...] = ()


class GetParameterValuesResponse(msgspec.Struct, frozen=True):
    """The values."""

    parameters: tuple[ParameterValue, ...] = ()


class SetParameterValues(msgspec.Struct, frozen=True):
    """All or nothing. `parameter_key` is reported by the device from then on: the proof of the last set that succeeded."""

    parameters: tuple[ParameterValue, ...] = ()
    parameter_key: str = ""


class SetParameterValuesResponse(msgspec.Struct, frozen=True):
    """Status 0: applied; 1: committed, but not applied before a reboot or the end of the session."""

    status: int = 0


class GetParameterNames(msgspec.Struct, frozen=True):
    """Names below a path; only those one level below it when `next_level`."""

    path: str = ""
    next_level: bool = True


class GetParameterNamesResponse(msgspec.Struct, frozen=True):
    """The names."""

    parameters: tuple[ParameterInfo, ...] = ()


class GetParameterAttributes(msgspec.Struct, frozen=True):
    """Full names, or partial paths that end in a dot."""

    names: tuple[str, ...] = ()


class GetParameterAttributesResponse(msgspec.Struct, frozen=True):
    """The attributes."""

    parameters: tuple[ParameterAttributes, ...] = ()


class SetParameterAttributes(msgspec.Struct, frozen=True):
    """All or nothing."""

    parameters: tuple[AttributeChange, ...] = ()


class SetParameterAttributesResponse(msgspec.Struct, frozen=True):
    """Done."""


class AddObject(msgspec.Struct, frozen=True):
    """A new instance of the object, whose name ends in a dot."""

    object_name: str = ""
    parameter_key: str = ""


class AddObjectResponse(msgspec.Struct, frozen=True):
    """Status as in SetParameterValuesResponse."""

    instance_number: int = 1
    status: int = 0


class DeleteObject(msgspec.Struct, frozen=True):
    """Remove the instance, whose name ends in a dot."""

    object_name: str = ""
    parameter_key: str = ""


class DeleteObjectResponse(msgspec.Struct, frozen=True):
    """Status as in SetParameterValuesResponse."""

    status: int = 0


class Download(msgspec.Struct, frozen=True):
    """Fetch a file. `file_size` in bytes, 0 for unknown."""

    command_key: str = ""
    file_type: str = "1 Firmware Upgrade Image"
    url: str = ""
    username: str = ""
    password: str = ""
    file_size: int = 0
    target_file_name: str = ""
    delay_seconds: int = 0
    success_url: str = ""
    failure_url: str = ""


class DownloadResponse(msgspec.Struct, frozen=True):
    """Status 0: fetched and applied; 1: not yet, a TransferComplete follows. Neither is proof that the file runs."""

    status: int = 1
    start_time: str = UNKNOWN_TIME
    complete_time: str = UNKNOWN_TIME


class Upload(msgspec.Struct, frozen=True):
    """Send a file."""

    command_key: str = ""
    file_type: str = "1 Vendor Configuration File"
    url: str = ""
    username: str = ""
    password: str = ""
    delay_seconds: int = 0


class UploadResponse(msgspec.Struct, frozen=True):
    """Status as in DownloadResponse."""

    status: int = 1
    start_time: str = UNKNOWN_TIME
    complete_time: str = UNKNOWN_TIME


class Reboot(msgspec.Struct, frozen=True):
    """Restart; the CommandKey comes back with the event `M Reboot`."""

    command_key: str = ""


class RebootResponse(msgspec.Struct, frozen=True):
    """It will."""


class FactoryReset(msgspec.Struct, frozen=True):
    """Back to the settings of the factory."""


class FactoryResetResponse(msgspec.Struct, frozen=True):
    """It will."""


class ScheduleInform(msgspec.Struct, frozen=True):
    """Open a session in `delay_seconds` (from 1)."""

    delay_seconds: int = 1
    command_key: str = ""


class ScheduleInformResponse(msgspec.Struct, frozen=True):
    """It will."""


class GetQueuedTransfers(msgspec.Struct, frozen=True):
    """Which transfers wait or run? The question of CWMP 1.0."""


class GetQueuedTransfersResponse(msgspec.Struct, frozen=True):
    """At most 16."""

    transfers: tuple[QueuedTransfer, ...] = ()


class GetAllQueuedTransfers(msgspec.Struct, frozen=True):
    """The same from CWMP 1.1, with those the device began by itself."""


class GetAllQueuedTransfersResponse(msgspec.Struct, frozen=True):
    """At most 16."""

    transfers: tuple[AnyQueuedTransfer, ...] = ()


# Neither --------------------------------------------------------------------------------------------------------------


class Fault(msgspec.Struct, frozen=True):
    """The answer instead of the answer. `soap_code` is Client (the asker's fault) or Server. Code 0: a SOAP fault without CWMP's detail."""

    fault_code: int = 0
    fault_string: str = ""
    parameter_faults: tuple[ParameterFault, ...] = ()
    soap_code: str = "Client"


class UnknownMessage(msgspec.Struct, frozen=True):
    """A method that is not spoken here, by its element name. A request of this kind is answered with fault 8000. It cannot be built."""

    method: str


class NoMessage(msgspec.Struct, frozen=True):
    """An envelope whose Body is empty. It hands over as an empty POST does."""


DeviceRequest: TypeAlias = Inform | TransferComplete | AutonomousTransferComplete | RequestDownload | GetRPCMethods
AcsRequest: TypeAlias = (
    GetRPCMethods
    | GetParameterValues
    | SetParameterValues
    | GetParameterNames
    | GetParameterAttributes
    | SetParameterAttributes
    | AddObject
    | DeleteObject
    | Download
    | Upload
    | Reboot
    | FactoryReset
    | ScheduleInform
    | GetQueuedTransfers
    | GetAllQueuedTransfers
)
AcsResponse: TypeAlias = (
    InformResponse | TransferCompleteResponse | AutonomousTransferCompleteResponse | RequestDownloadResponse | GetRPCMethodsResponse
)
DeviceResponse: TypeAlias = (
    GetRPCMethodsResponse
    | GetParameterValuesResponse
    | SetParameterValuesResponse
    | GetParameterNamesResponse
    | GetParameterAttributesResponse
    | SetParameterAttributesResponse
    | AddObjectResponse
    | DeleteObjectResponse
    | DownloadResponse
    | UploadResponse
    | RebootResponse
    | FactoryResetResponse
    | ScheduleInformResponse
    | GetQueuedTransfersResponse
    | GetAllQueuedTransfersResponse
)
Message: TypeAlias = DeviceRequest | AcsRequest | AcsResponse | DeviceResponse | Fault | UnknownMessage | NoMessage


class Envelope(msgspec.Struct, frozen=True):
    """A message with what its SOAP envelope says.

    `version` is the end of the namespace `urn:dslforum-org:cwmp-`, `session_timeout` in seconds.
    """

    message: Message
    id: str = ""
    version: str = "1-0"
    hold_requests: bool = False
    session_timeout: int = 0
    no_more_requests: bool = False
