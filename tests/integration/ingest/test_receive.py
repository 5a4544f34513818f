import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from ringfence.apps.ingest.datagrams import MANY, ManyReader, OneReader, Reader, reader_of
from ringfence.apps.ingest.receive import UdpReceiver, open_udp
from ringfence.base.clock import system_clock
from ringfence.base.errors import OperatorError

RMEM_MAX = int(Path("/proc/sys/net/core/rmem_max").read_text("utf-8"))


def test_a_small_buffer_is_a_warning_with_the_command_and_a_refusal_when_it_was_set() -> None:
    opened, warning = open_udp("127.0.0.1", 0, buffer_bytes=RMEM_MAX, required=True)
    assert warning == ""
    opened.close()
    opened, warning = open_udp("127.0.0.1", 0, buffer_bytes=RMEM_MAX * 2, required=False)
    assert f"sysctl -w net.core.rmem_max={RMEM_MAX * 2}" in warning
    opened.close()
    with pytest.raises(OperatorError, match="receive_buffer_bytes"):
        open_udp("127.0.0.1", 0, buffer_bytes=RMEM_MAX * 2, required=True)


def test_what_arrives_comes_out_in_order_and_what_the_kernel_drops_is_counted() -> None:
    async def scenario() -> None:
        opened, _ = open_udp("127.0.0.1", 0, buffer_bytes=65_536, required=False)
        receiver = UdpReceiver(opened, system_clock)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect(opened.getsockname())
            # Nobody reads yet: the buffer holds some, the kernel drops the rest.
            for number in range(1_000):
                sender.send(b"%04d" % number + bytes(1_000))
            receiver.start()
            await asyncio.wait_for(receiver.arrived.wait(), 5)
            await asyncio.sleep(0.2)
            sender.send(b"last")
            found: list[bytes] = []
            async with asyncio.timeout(5):
                while not found or found[-1] != b"last":
                    found += [payload[:4] for payload, _source in receiver.portion().datagrams]
                    await asyncio.sleep(0.01)
        receiver.stop()
        assert found[:-1] == [b"%04d" % number for number in range(len(found) - 1)]
        assert receiver.lost == 1_001 - len(found) > 0
        assert receiver.received == len(found)

    asyncio.run(scenario())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("kind", [ManyReader, OneReader])
def test_every_reader_gives_payloads_in_order_with_their_senders_and_what_was_dropped(
    host: str, kind: Callable[[socket.socket], Reader]
) -> None:
    opened, _ = open_udp(host, 0, buffer_bytes=65_536, required=False)
    assert isinstance(reader_of(opened), ManyReader)
    reader = kind(opened)
    with opened, socket.socket(opened.family, socket.SOCK_DGRAM) as sender:
        sender.connect(opened.getsockname()[:2])
        lengths = [0, 1, 1_200, 60_000, 3]
        for number in range(2 * MANY + 10):
            sender.send(bytes([number % 251]) * lengths[number % 5] if number < 5 else b"%d" % number)
        # Then more than the buffer holds: a datagram that comes after the loss tells of it.
        for _ in range(200):
            sender.send(bytes(2_000))
        found: list[tuple[bytes, str]] = []
        while received := reader.read():
            found += received
        sender.send(b"after")
        found += reader.read()
    assert [payload for payload, _ in found[:5]] == [bytes([number]) * length for number, length in enumerate(lengths)]
    whole = [payload for payload, _ in found[5:] if len(payload) < 2_000]
    assert whole == [*(b"%d" % number for number in range(5, 5 + len(whole) - 1)), b"after"]
    assert {source for _, source in found} == {host}
    assert reader.lost == 2 * MANY + 10 + 200 + 1 - len(found) > 0
