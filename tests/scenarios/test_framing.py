"""A stranger wants the victim blocked and has everything but the victim's password and the agent's key. It must fail, end to end.

After each attack a real fraud is blocked: by then everything before it in the log was judged, so what is not there will not come.
"""

import itertools
from collections.abc import Iterator

import msgspec
import pytest

from ringfence.base.clock import system_clock
from ringfence.base.ids import new_token
from ringfence.base.secret import Secret
from ringfence.detection.model import Alert
from ringfence.enforcement.model import Block
from ringfence.protocols.hep import HepPacket, decode, encode
from ringfence.simulators.caller import Caller
from tests.scenarios.stage import Stage, eventually, open_stage

pytestmark = [pytest.mark.peer("kamailio"), pytest.mark.timeout(300)]

STRANGER = "127.0.0.66"
TURNED_AWAY = {401, 403, 404, 407, 603}
"""What a stranger hears; 603 once guessing made its own address a blocked source."""
CALLS = 12
"""Of a class of which two at once are a fraud."""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with open_stage(tapped=True) as stage:
        yield stage


async def harm(stage: Stage, victim: str) -> tuple[list[Alert], list[Block]]:
    """What there is against a victim when everything so far was judged."""
    await stage.judged()
    return await stage.alerts(victim), await stage.blocks(victim)


async def unharmed(stage: Stage, victim: str) -> None:
    """No alert, no block, and the victim calls whom it likes."""
    assert await harm(stage, victim) == ([], [])
    assert stage.at_edge(f"a:{victim}") == ""
    assert await stage.dial(victim, "03012345678") == 200
    assert await stage.dial(victim, "112") == 200


@pytest.mark.parametrize("claim", ["from", "asserted_identity", "wrong_password", "stale_nonce", "foreign_domain", "request_uri_domain"])
def test_a_strangers_invites_in_the_victims_name_do_the_victim_no_harm(stage: Stage, claim: str) -> None:
    async def play() -> None:
        victim = stage.account()
        stranger = await stage.caller(
            victim, address=STRANGER, password="guessed", domain="evil.example" if claim == "foreign_domain" else "edge.test"
        )
        arrived = len(stage.gateway.invites)
        codes = {await one_claim(stage, stranger, victim, claim) for _ in range(CALLS)}
        assert codes <= TURNED_AWAY, codes
        assert len(stage.gateway.invites) == arrived, "none went on to the gateway"
        await unharmed(stage, victim)

    stage.run(play())


async def one_claim(stage: Stage, stranger: Caller, victim: str, claim: str) -> int:
    number = stage.expensive_number()
    if claim in ("wrong_password", "foreign_domain", "request_uri_domain"):
        target = f"sip:{number}@evil.example" if claim == "request_uri_domain" else number
        return (await stranger.invite(target)).answer.status_code
    if claim == "stale_nonce":
        made_up = (
            f'Digest username="{victim}", realm="edge.test", nonce="{new_token()}", uri="sip:{number}@edge.test", '
            f'response="{"0" * 32}", algorithm=MD5, qop=auth, nc=00000001, cnonce="0a4f113b"'
        )
        return (await stranger.invite(number, credentials=False, extra=(("Proxy-Authorization", made_up),))).answer.status_code
    name = f"<sip:{victim}@edge.test>"
    extra = (
        (("P-Asserted-Identity", name), ("P-Preferred-Identity", name), ("Remote-Party-ID", name)) if claim == "asserted_identity" else ()
    )
    return (await stranger.invite(number, credentials=False, extra=extra)).answer.status_code


def test_a_stranger_who_knows_the_victims_call_id_and_tag_adds_nothing_to_it(stage: Stage) -> None:
    """The callee knows both. It calls in their name, within and without the dialog, and sends answers nobody asked for."""

    async def play() -> None:
        victim = stage.account()
        real = await (await stage.caller(victim)).invite("+4312345678")
        assert real.answer.status_code == 200
        stranger = await stage.caller(victim, address=STRANGER, password="guessed")
        for number in range(CALLS):
            extra = (("From", f"<sip:{victim}@edge.test>;tag={real.from_tag}"), ("CSeq", f"{5 + number} INVITE"))
            answer = await stranger.invite(stage.expensive_number(), call_id=real.call_id, credentials=number % 2 == 0, extra=extra)
            assert answer.answer.status_code in TURNED_AWAY, answer.answer.status_code
            within = (*extra, ("To", real.to))
            await stranger.request("INVITE", real.target, credentials=False, extra=within)
        await real.hang_up()
        await unharmed(stage, victim)

    stage.run(play())


async def real_fraud(stage: Stage, account: str) -> list[HepPacket]:
    """What a real fraud looks like on the wire, verdict events among it, and its account."""
    before = len(stage.tap.passed)
    fraud = await stage.defraud(account)
    await fraud.hang_up()
    return [decode(datagram) for datagram in stage.tap.passed[before:]]


def in_the_name_of(packets: list[HepPacket], account: str, victim: str, key: Secret | None) -> list[bytes]:
    """The same packets as of now, with the victim's name for the account's, fresh Call-IDs and another key."""
    token, now_ms = new_token()[:8].encode(), system_clock()
    forged = []
    for packet in packets:
        payload = packet.payload.replace(account.encode(), victim.encode())
        payload = payload.replace(b"Call-ID: ", b"Call-ID: " + token).replace(b'"call_id":"', b'"call_id":"' + token)
        forged.append(
            encode(
                msgspec.structs.replace(packet, payload=payload, seconds=now_ms // 1000, microseconds=now_ms % 1000 * 1000, auth_key=key)
            )
        )
    return forged


def test_the_forgery_itself_is_good_with_the_right_key_it_would_block(stage: Stage) -> None:
    """Else the next test would show nothing."""

    async def play() -> None:
        stolen, victim = stage.account(), stage.account()
        for datagram in in_the_name_of(await real_fraud(stage, stolen), stolen, victim, stage.hep_key):
            stage.tap.send(datagram)

        async def blocked() -> bool:
            return bool(await stage.blocks(victim))

        await eventually(blocked, "who has the key is believed")

    stage.run(play())


@pytest.mark.parametrize("key", [None, Secret("guessed"), Secret("")], ids=["no_key", "wrong_key", "empty_key"])
def test_forged_hep_from_the_right_address_does_the_victim_no_harm_and_is_counted(stage: Stage, key: Secret | None) -> None:
    async def play() -> None:
        stolen, victim = stage.account(), stage.account()
        packets = await real_fraud(stage, stolen)
        before = await refused(stage)
        forged = [datagram for _ in range(3) for datagram in in_the_name_of(packets, stolen, victim, key)]
        assert len(forged) > 20
        for datagram in forged:
            stage.tap.send(datagram)
        await unharmed(stage, victim)

        async def counted() -> bool:
            return await refused(stage) - before == len(forged)

        await eventually(counted, "each forged packet is counted as refused for its key")

    stage.run(play())


async def refused(stage: Stage) -> int:
    figures = await stage.figures("ingest")
    return int(sum(figures.get(f"refused_{reason}_total", 0) for reason in ("no_key", "bad_key")))


def test_replayed_packets_add_nothing_to_what_happened_once(stage: Stage) -> None:
    """The victim's own call to an expensive number, heard on the wire and sent again and again, whole and in parts."""

    async def play() -> None:
        victim = stage.account()
        before = len(stage.tap.passed)
        call = await (await stage.caller(victim)).invite(stage.expensive_number())
        assert call.answer.status_code == 200
        await stage.judged()
        alerts, packets = (
            await stage.alerts(victim),
            [datagram for datagram in stage.tap.passed[before:] if call.call_id.encode() in datagram],
        )
        assert {alert.severity for alert in alerts} <= {"warning"}, "one call alone proves nothing"
        for _ in range(30):
            for datagram in itertools.chain(packets, reversed(packets)):
                stage.tap.send(datagram)
        assert await harm(stage, victim) == (alerts, [])
        await call.hang_up()
        await stage.judged()
        packets = [datagram for datagram in stage.tap.passed[before:] if call.call_id.encode() in datagram]
        for _ in range(30):
            for datagram in packets:
                stage.tap.send(datagram)
        after, blocks = await harm(stage, victim)
        assert ([alert for alert in after if alert.state != "close"], blocks) == (alerts, [])

    stage.run(play())
