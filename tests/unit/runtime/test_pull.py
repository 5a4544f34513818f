"""Reading JetStream's reply subjects."""

import asyncio

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from ringfence.runtime.bucket import decode_key, encode_key
from ringfence.runtime.pull import Mailbox, parse_arrival


def message(reply: str) -> Msg:
    return Msg(_client=Client(), subject="log.account.0", reply=reply, data=b"x")


@pytest.mark.parametrize(
    "reply", ["$JS.ACK.LOG.c-1.1.42.7.1700000000123456789.3", "$JS.ACK.hub.ACCHASH.LOG.c-1.1.42.7.1700000000123456789.3.rnd"]
)
def test_both_forms_of_the_metadata_are_read(reply: str) -> None:
    arrival = parse_arrival(message(reply), "c-1")
    assert arrival is not None
    assert (arrival.sequence, arrival.delivery, arrival.at_ms, arrival.pending) == (42, 7, 1_700_000_000_123, 3)


@pytest.mark.parametrize("reply", ["", "_INBOX.x.y", "$JS.FC.LOG.c-1", "$JS.ACK.LOG.c-0.1.42.7.1700000000123456789.3"])
def test_statuses_and_what_an_older_consumer_sent_are_not_arrivals(reply: str) -> None:
    assert parse_arrival(message(reply), "c-1") is None


def test_an_interruption_wakes_the_reader_of_a_mailbox() -> None:
    async def scenario() -> None:
        mailbox = Mailbox(subject="x")
        await mailbox.receive(message(""))
        mailbox.interrupt()
        assert await mailbox.next(1) is not None
        assert await mailbox.next(1) is None
        assert await mailbox.next(0.01) is None

    asyncio.run(scenario())


@pytest.mark.parametrize("key", ["a", "a:+4930@example.com", "2001:db8:1:2::/64", "ünï cödé", "x" * 512])
def test_any_key_survives_its_coding(key: str) -> None:
    encoded = encode_key(key)
    assert set(encoded) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
    assert decode_key(encoded) == key
