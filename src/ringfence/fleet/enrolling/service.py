"""The credential by which a device proves who it is: brought by a delivery list, or made here and handed over in the bootstrap lane.

Kept is HA1 alone, sealed; the password itself stands sealed among the device's secrets while the ACS has to set it. The one thing to know:
a credential of ours is made once. After a factory reset the device gets the same one again, on its own line and nowhere else.
"""

import base64
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from ringfence.base.errors import ConflictError
from ringfence.base.secret import Secret
from ringfence.fleet.desired import Wish
from ringfence.fleet.inventory.sheets import DeviceRow
from ringfence.fleet.model import REALM, names_of
from ringfence.fleet.store import FleetStore, columns
from ringfence.fleet.wanting.service import WantingService
from ringfence.protocols.cwmp.messages import DeviceId
from ringfence.protocols.digest import ha1_of

URL, USERNAME, PASSWORD = "acs.url", "acs.username", "acs.password"
PREVIOUS_MS = 30 * 86_400_000
"""How long a replaced credential opens the bootstrap lane."""
_PASSWORD_BYTES = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """How credentials of devices are made: from which chance, and which URL of the managed lane goes with them."""

    random_bytes: Callable[[int], bytes]
    url: str


class EnrollingService(WantingService):
    """Credentials of devices at the ACS."""

    async def put_credential(self, device_id: int, username: str, ha1: Secret) -> None:
        """Give a device its credential; the one before opens the bootstrap lane for another 30 days. ConflictError: another's name."""
        async with self._db.transaction() as connection:
            await self._put_credential(FleetStore(connection), device_id, username, ha1)

    async def _put_credential(self, store: FleetStore, device_id: int, username: str, ha1: Secret) -> None:
        now, sealed = self._clock(), await self._sealer.seal(ha1, "ha1", username)
        row = await store.row(
            "put_credential", username=username, device_id=device_id, sealed=sealed, now_ms=now, until_ms=now + PREVIOUS_MS
        )
        if row is None:
            raise ConflictError(f"{username[:60]!a} is the user name of another device", reason="username_taken")

    async def _add_credentials(self, store: FleetStore, rows: Sequence[DeviceRow]) -> None:
        """Passwords that devices came with, under both names that a device may use. A device that has a credential keeps it."""
        known = []
        for row in rows:
            if row.password is not None:
                device = DeviceId(manufacturer="", oui=row.oui, product_class=row.product_class, serial_number=row.serial_number)
                for username in dict.fromkeys(names_of(device)):
                    ha1 = ha1_of(username=username, realm=REALM, password=row.password)
                    sealed = await self._sealer.seal(ha1, "ha1", username)
                    known.append((username, row.oui, row.product_class, row.serial_number, sealed))
        if known:
            names = ("usernames", "ouis", "product_classes", "serial_numbers", "sealed")
            await store.run("add_credentials", now_ms=self._clock(), **columns(known, names))

    async def _enrol(self, store: FleetStore, held: Mapping[int, tuple[DeviceId, Collection[str]]], enrolment: Enrolment) -> set[int]:
        """Make a name and a random password for each device that lacks them; those that got one. `held`: who it is, its secrets."""
        now, made = self._clock(), set[int]()
        for device_id, (device, meanings) in sorted(held.items()):
            if PASSWORD in meanings:
                continue
            password = Secret(base64.urlsafe_b64encode(enrolment.random_bytes(_PASSWORD_BYTES)).decode())
            try:
                # Under neither of its names the password it came with is good for more than the bootstrap lane from now on.
                for username in dict.fromkeys(names_of(device)):
                    await self._put_credential(store, device_id, username, ha1_of(username=username, realm=REALM, password=password))
            except ConflictError:
                # Hyphens let two identities share a name. Whoever had it first keeps it, and the sessions beside this one go on.
                await store.note([(device_id, now, "secret", "name_taken", "", username, "")])
                continue
            sealed = await self._sealer.seal(password, device_id, PASSWORD, "")
            await store.run("put_secret", device_id=device_id, meaning=PASSWORD, instance="", sealed=sealed, now_ms=now, person="")
            name = names_of(device)[1]
            await store.run("put_own_wish", device_id=device_id, meaning=USERNAME, instance="", value=name, now_ms=now, person="")
            await store.note([(device_id, now, "secret", PASSWORD, "", "(secret)", "")])
            made.add(device_id)
        return made


def enrolled(device: DeviceId, wishes: Sequence[Wish], enrolment: Enrolment) -> tuple[Wish, ...]:
    """What the bootstrap lane hands out beside the password: the device's user name, and the managed lane's URL unless a group has one."""
    stated = {wish.meaning for wish in wishes}
    added = ((URL, enrolment.url), (USERNAME, names_of(device)[1]))
    return (*wishes, *(Wish(meaning=meaning, value=value) for meaning, value in added if meaning not in stated))
