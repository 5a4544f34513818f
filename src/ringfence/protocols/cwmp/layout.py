"""Which element holds which field, message by message, in the order of the schema. Reader and writer both consult this table.

The schemas are cwmp-1-0.xsd to cwmp-1-2.xsd of the Broadband Forum; 1.3 and 1.4 add nothing to the messages named here. The limits are
those of the schema: for what is sent by the ACS they are law, for what is read they are not even asked.
"""

from enum import Enum
from typing import Any

import msgspec

from ringfence.protocols.cwmp import messages as m


class Kind(Enum):
    """What an element holds."""

    TEXT = 1
    """As it stands, blanks included."""
    WORD = 2
    """A name, key or code: blanks around it are no part of it."""
    PROSE = 3
    """For people: shortened to fit instead of refused."""
    UNSIGNED = 4
    FLAG = 5
    TIME = 6
    WORDS = 7
    """An array of strings."""
    ITEMS = 8
    """An array of structs."""
    STRUCT = 9
    VALUE = 10
    """The value of a parameter, with xsi:type."""
    REPEATED = 11
    """Structs that stand side by side, without an array around them."""


class Element(msgspec.Struct, frozen=True):
    """One element: its name, the field it fills, and its schema limit in characters or in items (0: none).

    `item` is the struct inside, `item_name` its element. FaultStruct has no field of its own: its parts are fields of the message.
    """

    name: str
    field: str
    kind: Kind
    limit: int = 0
    item: Any = None
    item_name: str = ""
    pattern: str = ""


OBJECT_NAME = r".*\."
# DownloadFileType and its like: "1 Firmware Upgrade Image", "X 00040E Something".
FILE_TYPE = r"[1-9]\d*( \S+)+|X \S+ .+"

_command_key = Element("CommandKey", "command_key", Kind.WORD, 32)
_parameter_key = Element("ParameterKey", "parameter_key", Kind.WORD, 32)
_object_name = Element("ObjectName", "object_name", Kind.WORD, 256, pattern=OBJECT_NAME)
_status = Element("Status", "status", Kind.UNSIGNED, 1)
_file_type = Element("FileType", "file_type", Kind.WORD, 64, pattern=FILE_TYPE)
_file_size = Element("FileSize", "file_size", Kind.UNSIGNED)
_target_file_name = Element("TargetFileName", "target_file_name", Kind.TEXT, 256)
_times = (Element("StartTime", "start_time", Kind.TIME), Element("CompleteTime", "complete_time", Kind.TIME))
_fault_struct = Element("FaultStruct", "", Kind.STRUCT)
_names = Element("ParameterNames", "names", Kind.WORDS, 256)
_values = Element("ParameterList", "parameters", Kind.ITEMS, item=m.ParameterValue, item_name="ParameterValueStruct")
_transfer = (
    _command_key,
    _file_type,
    Element("URL", "url", Kind.TEXT, 256),
    Element("Username", "username", Kind.TEXT, 256),
    Element("Password", "password", Kind.TEXT, 256),
)
_delay_seconds = Element("DelaySeconds", "delay_seconds", Kind.UNSIGNED)
_access_list = Element("AccessList", "access_list", Kind.WORDS, 64, pattern="Subscriber")
# Up to 6 from CWMP 1.2 on (lightweight notifications); nothing here asks for those.
_notification = Element("Notification", "notification", Kind.UNSIGNED, 2)
_state = Element("State", "state", Kind.UNSIGNED, 3)

FAULT_PARTS = (Element("FaultCode", "fault_code", Kind.UNSIGNED), Element("FaultString", "fault_string", Kind.PROSE, 256))
"""What FaultStruct holds."""

STRUCTS: dict[Any, tuple[Element, ...]] = {
    m.DeviceId: (
        Element("Manufacturer", "manufacturer", Kind.WORD, 64),
        Element("OUI", "oui", Kind.WORD, 6),
        Element("ProductClass", "product_class", Kind.WORD, 64),
        Element("SerialNumber", "serial_number", Kind.WORD, 64),
    ),
    m.Event: (Element("EventCode", "event_code", Kind.WORD, 64), _command_key),
    m.ParameterValue: (Element("Name", "name", Kind.WORD, 256), Element("Value", "value", Kind.VALUE)),
    m.ParameterInfo: (Element("Name", "name", Kind.WORD, 256), Element("Writable", "writable", Kind.FLAG)),
    m.ParameterAttributes: (Element("Name", "name", Kind.WORD, 256), _notification, _access_list),
    m.AttributeChange: (
        Element("Name", "name", Kind.WORD, 256),
        Element("NotificationChange", "notification_change", Kind.FLAG),
        _notification,
        Element("AccessListChange", "access_list_change", Kind.FLAG),
        _access_list,
    ),
    m.QueuedTransfer: (_command_key, _state),
    m.AnyQueuedTransfer: (
        _command_key,
        _state,
        Element("IsDownload", "is_download", Kind.FLAG),
        _file_type,
        _file_size,
        _target_file_name,
    ),
    m.Argument: (Element("Name", "name", Kind.WORD, 64), Element("Value", "value", Kind.TEXT, 256)),
    m.ParameterFault: (
        Element("ParameterName", "name", Kind.WORD, 256),
        Element("FaultCode", "code", Kind.UNSIGNED),
        Element("FaultString", "text", Kind.PROSE, 256),
    ),
}

MESSAGES: dict[Any, tuple[Element, ...]] = {
    m.Inform: (
        Element("DeviceId", "device_id", Kind.STRUCT, item=m.DeviceId),
        Element("Event", "events", Kind.ITEMS, 64, item=m.Event, item_name="EventStruct"),
        Element("MaxEnvelopes", "max_envelopes", Kind.UNSIGNED),
        Element("CurrentTime", "current_time", Kind.TIME),
        Element("RetryCount", "retry_count", Kind.UNSIGNED),
        _values,
    ),
    m.InformResponse: (Element("MaxEnvelopes", "max_envelopes", Kind.UNSIGNED),),
    m.TransferComplete: (_command_key, _fault_struct, *_times),
    m.TransferCompleteResponse: (),
    m.AutonomousTransferComplete: (
        Element("AnnounceURL", "announce_url", Kind.TEXT, 1024),
        Element("TransferURL", "transfer_url", Kind.TEXT, 1024),
        Element("IsDownload", "is_download", Kind.FLAG),
        _file_type,
        _file_size,
        _target_file_name,
        _fault_struct,
        *_times,
    ),
    m.AutonomousTransferCompleteResponse: (),
    m.RequestDownload: (
        _file_type,
        Element("FileTypeArg", "arguments", Kind.ITEMS, 16, item=m.Argument, item_name="ArgStruct"),
    ),
    m.RequestDownloadResponse: (),
    m.GetRPCMethods: (),
    m.GetRPCMethodsResponse: (Element("MethodList", "methods", Kind.WORDS, 64),),
    m.GetParameterValues: (_names,),
    m.GetParameterValuesResponse: (_values,),
    m.SetParameterValues: (_values, _parameter_key),
    m.SetParameterValuesResponse: (_status,),
    m.GetParameterNames: (Element("ParameterPath", "path", Kind.WORD, 256), Element("NextLevel", "next_level", Kind.FLAG)),
    m.GetParameterNamesResponse: (
        Element("ParameterList", "parameters", Kind.ITEMS, item=m.ParameterInfo, item_name="ParameterInfoStruct"),
    ),
    m.GetParameterAttributes: (_names,),
    m.GetParameterAttributesResponse: (
        Element("ParameterList", "parameters", Kind.ITEMS, item=m.ParameterAttributes, item_name="ParameterAttributeStruct"),
    ),
    m.SetParameterAttributes: (
        Element("ParameterList", "parameters", Kind.ITEMS, item=m.AttributeChange, item_name="SetParameterAttributesStruct"),
    ),
    m.SetParameterAttributesResponse: (),
    m.AddObject: (_object_name, _parameter_key),
    m.AddObjectResponse: (Element("InstanceNumber", "instance_number", Kind.UNSIGNED), _status),
    m.DeleteObject: (_object_name, _parameter_key),
    m.DeleteObjectResponse: (_status,),
    m.Download: (
        *_transfer,
        _file_size,
        _target_file_name,
        _delay_seconds,
        Element("SuccessURL", "success_url", Kind.TEXT, 256),
        Element("FailureURL", "failure_url", Kind.TEXT, 256),
    ),
    m.DownloadResponse: (_status, *_times),
    m.Upload: (*_transfer, _delay_seconds),
    m.UploadResponse: (_status, *_times),
    m.Reboot: (_command_key,),
    m.RebootResponse: (),
    m.FactoryReset: (),
    m.FactoryResetResponse: (),
    m.ScheduleInform: (_delay_seconds, _command_key),
    m.ScheduleInformResponse: (),
    m.GetQueuedTransfers: (),
    m.GetQueuedTransfersResponse: (
        Element("TransferList", "transfers", Kind.ITEMS, 16, item=m.QueuedTransfer, item_name="QueuedTransferStruct"),
    ),
    m.GetAllQueuedTransfers: (),
    m.GetAllQueuedTransfersResponse: (
        Element("TransferList", "transfers", Kind.ITEMS, 16, item=m.AnyQueuedTransfer, item_name="AllQueuedTransferStruct"),
    ),
}

FAULT = (*FAULT_PARTS, Element("SetParameterValuesFault", "parameter_faults", Kind.REPEATED, item=m.ParameterFault))
"""What the element Fault in the detail of a SOAP fault holds."""

BY_NAME: dict[str, Any] = {message.__name__: message for message in MESSAGES}
"""Message by element name: the class is named as the standard names the element."""

RESPONSES: dict[Any, Any] = {
    message: BY_NAME[f"{message.__name__}Response"] for message in MESSAGES if f"{message.__name__}Response" in BY_NAME
}
"""Request -> its response."""

FROM_ACS: frozenset[Any] = frozenset(
    message for message in MESSAGES if message in m.AcsRequest.__args__ or message in m.AcsResponse.__args__
)
"""What the ACS sends: written to the letter of the schema. The rest only a simulated device sends, and devices break it."""

FROM_DEVICE: frozenset[Any] = frozenset(m.DeviceRequest.__args__)
"""Requests that a device may send."""
