"""The queue of devices that somebody wants awake, and the credential that wakes each.

A device leaves the queue by informing: an Inform that is younger than the wish is what was wanted, whatever made the device send it. The
one thing to know: a sleeper that was taken is nobody else's until its next try is due, so one process at a time sends to a device.
"""

import base64
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from ringfence.base.errors import OperatorError
from ringfence.base.secret import Secret
from ringfence.fleet.desired import Wish
from ringfence.fleet.model import Link, Sleeper
from ringfence.fleet.store import FleetStore, columns
from ringfence.fleet.wake import RequestCredential
from ringfence.fleet.wanting.service import WantingService

WAKE_AGAIN_MS = 60_000
USERNAME, PASSWORD = "acs.request_username", "acs.request_password"
STUN_USERNAME, STUN_PASSWORD = "acs.stun_username", "acs.stun_password"
_NAME_BYTES, _PASSWORD_BYTES = 10, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """How credentials of connection requests are made: from which chance, and whether for STUN too."""

    random_bytes: Callable[[int], bytes]
    stun: bool = False


class WakingService(WantingService):
    """Waking, as people and the ACS need it."""

    async def want_awake(self, by: str, device_id: int) -> None:
        """Ask for a connection request. Asking again before the device informed changes nothing."""
        async with self._db.transaction() as connection:
            store, now = FleetStore(connection), self._clock()
            await self._held(store, device_id)
            if await store.run("want_awake", device_id=device_id, now_ms=now, person=by):
                await store.note([(device_id, now, "wake", "asked", "", "", by)])

    async def sleepers(self, limit: int, again_ms: int = WAKE_AGAIN_MS) -> tuple[Sleeper, ...]:
        """Devices to wake now; each comes again after `again_ms`. Those that informed since they were wanted leave the queue instead."""
        now = self._clock()
        async with self._db.transaction() as connection:
            store = FleetStore(connection)
            rows = await store.rows("take_sleepers", now_ms=now, again_ms=now + again_ms, limit=limit)
            woken = [row["device_id"] for row in rows if row["informed"]]
            if woken:
                await store.run("awake", devices=woken)
        return tuple(
            Sleeper(
                device_id=row["device_id"],
                tries=row["tries"],
                link=Link(row["link"]),
                line=row["line"],
                peer_ip=row["peer_ip"],
                request_url=row["request_url"] or "",
                udp_address=row["udp_address"] or "",
                seen_udp=row["seen_udp"] or "",
            )
            for row in sorted(rows, key=lambda row: row["device_id"])
            if not row["informed"]
        )

    async def awake(self, devices: Sequence[int]) -> None:
        """They informed after they were wanted: nothing more is sent to them. One that was wanted again since stays."""
        async with self._db.transaction() as connection:
            await FleetStore(connection).run("awake_informed", devices=list(devices))

    async def put_back(self, devices: Sequence[int], at_ms: int) -> None:
        """They were taken and nothing was sent: that was no try, and they come again at this time."""
        async with self._db.transaction() as connection:
            await FleetStore(connection).run("put_back_sleepers", devices=list(devices), at_ms=at_ms)

    async def give_up(self, reasons: Sequence[tuple[int, str]]) -> None:
        """They cannot be reached: each leaves the queue and waits for its next Inform, and its history says why."""
        async with self._db.transaction() as connection:
            store, now = FleetStore(connection), self._clock()
            await store.run("awake", devices=[device_id for device_id, _ in reasons])
            await store.note([(device_id, now, "wake", "given_up", "", reason, "") for device_id, reason in reasons])

    async def request_credentials(self, devices: Sequence[int]) -> dict[int, RequestCredential]:
        """What a connection request to each of these devices is signed with; a device without one is not in the answer."""
        return await self._credentials(devices, USERNAME, PASSWORD)

    async def stun_credentials(self, devices: Sequence[int]) -> dict[int, RequestCredential]:
        """What each of these devices signs its STUN requests with."""
        return await self._credentials(devices, STUN_USERNAME, STUN_PASSWORD)

    async def bound(self, seen: Mapping[int, str]) -> None:
        """Address and port that a device's signed STUN request came from."""
        rows = sorted(seen.items())
        async with self._db.transaction() as connection:
            await FleetStore(connection).run("put_bindings", now_ms=self._clock(), **columns(rows, ("devices", "addresses")))

    async def _credentials(self, devices: Sequence[int], name_meaning: str, meaning: str) -> dict[int, RequestCredential]:
        found: dict[int, RequestCredential] = {}
        async with self._db.transaction() as connection:
            store = FleetStore(connection)
            wanted = await store.rows("wanted_of_devices", devices=list(devices))
            secrets = await store.rows("secrets_of_devices", devices=list(devices))
        names = {row["device_id"]: row["value"] for row in wanted if row["meaning"] == name_meaning}
        for row in secrets:
            if row["meaning"] == meaning:
                try:
                    password = await self._sealer.open(row["sealed"], row["device_id"], meaning, row["instance"])
                except OperatorError:
                    continue  # One seal that does not open must not keep others asleep; its own session says why.
                found[row["device_id"]] = RequestCredential(username=names.get(row["device_id"], ""), password=password)
        return found

    async def _make_credentials(self, store: FleetStore, held: Mapping[int, Collection[str]], making: Making) -> dict[int, list[Wish]]:
        """Names and passwords for the devices that lack one: random, never made from what is printed on the device. The wishes to add.

        `held`: the secrets that each device has. A name holds our own number of the device, so that a STUN request finds its password
        without a search.
        """
        now, made = self._clock(), dict[int, list[Wish]]()
        pairs = [(USERNAME, PASSWORD), *([(STUN_USERNAME, STUN_PASSWORD)] if making.stun else [])]
        for device_id, meanings in sorted(held.items()):
            for name_meaning, meaning in pairs:
                if meaning in meanings:
                    continue
                name = f"rf-{device_id}-{base64.b32encode(making.random_bytes(_NAME_BYTES)).decode().lower()}"
                password = Secret(base64.urlsafe_b64encode(making.random_bytes(_PASSWORD_BYTES)).decode().rstrip("="))
                sealed = await self._sealer.seal(password, device_id, meaning, "")
                await store.run("put_secret", device_id=device_id, meaning=meaning, instance="", sealed=sealed, now_ms=now, person="")
                await store.run("put_own_wish", device_id=device_id, meaning=name_meaning, instance="", value=name, now_ms=now, person="")
                await store.note([(device_id, now, "secret", meaning, "", "(secret)", "")])
                made.setdefault(device_id, []).append(Wish(meaning=name_meaning, instance="", value=name))
        return made
