from pathlib import Path

import pytest

from ringfence.base.errors import OperatorError, PeerError
from ringfence.protocols.cwmp.messages import AttributeChange, Fault, ParameterValue
from ringfence.simulators.devices.behaviour import chunks, draw, read_behaviour, retry_wait
from ringfence.simulators.devices.models import built_in, read_model, read_models
from ringfence.simulators.devices.tree import Tree
from ringfence.simulators.devices.wire import take_reply, target_of

SHARED = Path(__file__).resolve().parents[5] / "shared/data/devices"
OLD, NEW = built_in()


def test_what_one_device_changes_no_other_sees() -> None:
    one, other = Tree(NEW, {}), Tree(NEW, {})
    name = "Device.DeviceInfo.ProvisioningCode"
    assert one.set((ParameterValue(name, "x"),)) is None
    assert (one.value(name), other.value(name)) == ("x", "")
    one.reset()
    assert one.value(name) == ""


def test_a_set_is_all_or_nothing_and_names_each_mistake() -> None:
    tree = Tree(NEW, {})
    good, port = "Device.DeviceInfo.ProvisioningCode", "Device.NAT.PortMapping.1.ExternalPort"
    fault = tree.set(
        (
            ParameterValue(good, "x"),
            ParameterValue(port, "-1"),
            ParameterValue("Device.No", "1"),
            ParameterValue("Device.DeviceInfo.UpTime", "1"),
        )
    )
    assert isinstance(fault, Fault)
    assert [item.code for item in fault.parameter_faults] == [9007, 9005, 9008]
    assert tree.value(good) == ""


def test_objects_come_and_go_with_their_counter() -> None:
    tree = Tree(NEW, {})
    assert tree.add("Device.NAT.PortMapping.") == 2
    assert tree.value("Device.NAT.PortMapping.2.ExternalPort") == ""
    assert tree.value("Device.NAT.PortMappingNumberOfEntries") == "2"
    assert tree.set((ParameterValue("Device.NAT.PortMapping.2.ExternalPort", "80"),)) is None
    assert tree.delete("Device.NAT.PortMapping.2.") is None
    assert tree.value("Device.NAT.PortMapping.2.ExternalPort") is None
    assert tree.value("Device.NAT.PortMappingNumberOfEntries") == "1"
    assert isinstance(tree.delete("Device.NAT.PortMapping.2."), Fault)
    assert tree.delete("Device.NAT.PortMapping.1.") is None
    assert isinstance(tree.get(("Device.NAT.PortMapping.1.Enable",)), Fault)
    assert isinstance(tree.add("Device.DeviceInfo."), Fault)


def test_names_one_level_deep_and_whole() -> None:
    tree = Tree(OLD, {})
    level = tree.infos("InternetGatewayDevice.", next_level=True)
    assert not isinstance(level, Fault)
    assert "InternetGatewayDevice.DeviceInfo." in {info.name for info in level}
    assert all(info.name.count(".") <= 2 for info in level)
    whole = tree.infos("", next_level=False)
    assert not isinstance(whole, Fault)
    assert [info.name for info in whole] == list(OLD.names)


def test_notifications_are_kept_per_parameter() -> None:
    tree = Tree(NEW, {})
    assert tree.set_attributes((AttributeChange("Device.ManagementServer.", True, 2),)) is None
    assert tree.notify("Device.ManagementServer.URL") == 2
    assert tree.notify("Device.DeviceInfo.UpTime") == 0


@pytest.mark.skipif(not SHARED.is_dir(), reason="trees of real devices are not here")
def test_trees_of_real_devices_are_read() -> None:
    models = read_models(SHARED)
    assert len(models) >= 6
    for model in models:
        values = Tree(model, {}).get((model.root,))
        assert not isinstance(values, Fault)
        assert len(values) > 100
        assert all(name.startswith(model.root) for name in model.names)


def test_a_file_that_is_no_tree_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("parameter,value\nDevice.,1\n", "utf-8")
    with pytest.raises(OperatorError, match="needs the columns"):
        read_model(file)
    with pytest.raises(OperatorError):
        read_behaviour("brick = 2.0")
    with pytest.raises(OperatorError):
        target_of("ftp://127.0.0.1/")


def test_draws_depend_on_seed_device_and_event_alone() -> None:
    assert draw(1, 2, "boot") == draw(1, 2, "boot")
    assert len({draw(seed, device, what) for seed in (1, 2) for device in (1, 2) for what in ("a", "b")}) == 8
    mean = sum(draw(1, device, "x") for device in range(2_000)) / 2_000
    assert 0.45 < mean < 0.55


def test_retries_wait_as_the_standard_says() -> None:
    assert [(retry_wait(attempt, 0), retry_wait(attempt, 1)) for attempt in (1, 2, 10, 99)] == [
        (5, 10),
        (10, 20),
        (2560, 5120),
        (2560, 5120),
    ]


@pytest.mark.parametrize("cut", range(1, 40))
def test_answers_are_whole_or_not_taken(cut: int) -> None:
    for head, tail in ((b"Content-Length: 9", b"<a>b</a>\n"), (b"Transfer-Encoding: chunked", chunks(b"<a>b</a>\n"))):
        whole = b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + tail
        buffer = bytearray(whole[:-cut] if cut < len(tail) else whole[: len(whole) - len(tail)])
        assert take_reply(buffer, ended=False) is None
        buffer[:] = bytearray(whole)
        reply = take_reply(buffer, ended=False)
        assert reply is not None
        assert reply.body == b"<a>b</a>\n"
        assert not buffer


@pytest.mark.parametrize("answer", [b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", b"a" * 20_000])
def test_what_is_no_answer_is_refused(answer: bytes) -> None:
    with pytest.raises(PeerError):
        take_reply(bytearray(answer), ended=False)
