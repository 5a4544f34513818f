"""What a device answers to what the ACS asks. A Fault is an answer too."""

from typing import TYPE_CHECKING

from ringfence.protocols.cwmp.messages import (
    AcsRequest,
    AddObject,
    AddObjectResponse,
    AnyQueuedTransfer,
    DeleteObject,
    DeleteObjectResponse,
    DeviceResponse,
    Download,
    DownloadResponse,
    FactoryReset,
    FactoryResetResponse,
    Fault,
    GetAllQueuedTransfers,
    GetAllQueuedTransfersResponse,
    GetParameterAttributes,
    GetParameterAttributesResponse,
    GetParameterNames,
    GetParameterNamesResponse,
    GetParameterValues,
    GetParameterValuesResponse,
    GetQueuedTransfers,
    GetQueuedTransfersResponse,
    GetRPCMethods,
    GetRPCMethodsResponse,
    QueuedTransfer,
    Reboot,
    RebootResponse,
    ScheduleInform,
    ScheduleInformResponse,
    SetParameterAttributes,
    SetParameterAttributesResponse,
    SetParameterValues,
    SetParameterValuesResponse,
    UnknownMessage,
    Upload,
    UploadResponse,
)
from ringfence.simulators.devices.behaviour import SMALL_LIST, SMALL_READ, Oddity

if TYPE_CHECKING:
    from ringfence.simulators.devices.device import Device

METHODS = (
    "GetRPCMethods", "SetParameterValues", "GetParameterValues", "GetParameterNames", "SetParameterAttributes", "GetParameterAttributes",
    "AddObject", "DeleteObject", "Reboot", "Download", "Upload", "ScheduleInform", "FactoryReset", "GetQueuedTransfers",
    "GetAllQueuedTransfers",
)  # fmt: skip
_UPLOADS = frozenset({"1 ", "2 ", "3 ", "4 "})
"""Configuration and logs."""


def answer(device: "Device", request: AcsRequest | UnknownMessage) -> DeviceResponse | Fault:
    """Answer, and change the tree where that was asked. What ends the session (a reboot) is the caller's to do afterwards."""
    device.world.count("requests")
    answered = _answer(device, request)
    if isinstance(answered, Fault):
        device.world.count("faults")
    return answered


def _answer(device: "Device", request: AcsRequest | UnknownMessage) -> DeviceResponse | Fault:  # noqa: PLR0911 - one a method
    tree = device.tree
    match request:
        case GetParameterValues(names):
            values = tree.get(names)
            if isinstance(values, Fault):
                return values
            return _exhausted(device, len(values), SMALL_READ) or GetParameterValuesResponse(values)
        case GetParameterNames(path, next_level):
            if not path and Oddity.NO_ROOT in device.world.settings.behaviour.oddities:
                return Fault(9005, "Invalid parameter name")
            infos = tree.infos(path, next_level=next_level)
            return infos if isinstance(infos, Fault) else _exhausted(device, len(infos), SMALL_LIST) or GetParameterNamesResponse(infos)
        case GetParameterAttributes(names):
            attributes = tree.attributes(names)
            return attributes if isinstance(attributes, Fault) else GetParameterAttributesResponse(attributes)
        case SetParameterAttributes(changes):
            return tree.set_attributes(changes) or SetParameterAttributesResponse()
        case SetParameterValues() | AddObject() | DeleteObject():
            return _change(device, request)
        case _:
            return _order(device, request)


def _exhausted(device: "Device", entries: int, bearable: int) -> Fault | None:
    weak = Oddity.SMALL_READS in device.world.settings.behaviour.oddities
    return Fault(9004, "Resources exceeded") if weak and entries > bearable else None


def _change(device: "Device", request: SetParameterValues | AddObject | DeleteObject) -> DeviceResponse | Fault:
    tree, before = device.tree, device.acs
    answered: DeviceResponse | Fault
    match request:
        case SetParameterValues():
            answered = tree.set(request.parameters) or SetParameterValuesResponse()
        case AddObject():
            number = tree.add(request.object_name)
            answered = AddObjectResponse(number) if isinstance(number, int) else number
        case DeleteObject():
            answered = tree.delete(request.object_name) or DeleteObjectResponse()
    if not isinstance(answered, Fault):
        tree.put(f"{tree.model.root}ManagementServer.ParameterKey", request.parameter_key)
        if device.acs != before:
            device.note("0 BOOTSTRAP")  # TR-069 3.7.1.5: the first session with another ACS.
    return answered


def _order(device: "Device", request: AcsRequest | UnknownMessage) -> DeviceResponse | Fault:  # noqa: PLR0911 - one a method
    match request:
        case GetRPCMethods():
            return GetRPCMethodsResponse(METHODS)
        case Download():
            if not request.file_type.startswith("1 "):
                return Fault(9003, "Invalid arguments")
            return DownloadResponse(1) if device.enqueue(request) else Fault(9004, "Resources exceeded")
        case Upload():
            if request.file_type[:2] not in _UPLOADS:
                return Fault(9003, "Invalid arguments")
            return UploadResponse(1) if device.enqueue(request) else Fault(9004, "Resources exceeded")
        case Reboot():
            return RebootResponse()
        case FactoryReset():
            return FactoryResetResponse()
        case ScheduleInform(seconds, command_key):
            device.world.later(seconds, lambda: _scheduled(device, command_key))
            return ScheduleInformResponse()
        case GetQueuedTransfers():
            return GetQueuedTransfersResponse(tuple(QueuedTransfer(order.command_key, state) for order, state in device.transfers))
        case GetAllQueuedTransfers():
            return GetAllQueuedTransfersResponse(tuple(_queued(order, state) for order, state in device.transfers))
        case _:
            return Fault(9000, "Method not supported")


def _queued(order: Download | Upload, state: int) -> AnyQueuedTransfer:
    download = isinstance(order, Download)
    return AnyQueuedTransfer(order.command_key, state, download, order.file_type, order.file_size if isinstance(order, Download) else 0)


def _scheduled(device: "Device", command_key: str) -> None:
    device.note("M ScheduleInform", command_key)
    device.wake("3 SCHEDULED")
