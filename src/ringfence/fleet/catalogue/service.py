"""The firmware catalogue: which file is which version of which model, what is known of its signature, and what stock is brought to.

The file comes first and then its entry, so an entry always has its file. The one thing to know: a file's hash is computed here and never
taken from whoever brings it; what they say it is can only be compared.
"""

import asyncio
import re

from ringfence.base.errors import ConflictError, NotFoundError, OperatorError
from ringfence.fleet.catalogue.adapters import Incoming
from ringfence.fleet.catalogue.store import CatalogueStore
from ringfence.fleet.model import Firmware
from ringfence.fleet.store import FleetStore
from ringfence.fleet.wanting.service import WantingService

SIGNATURES = ("vendor_checked", "vendor_unchecked", "none")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+ -]{0,127}", re.ASCII)
_VERSION_CHARS = 64


class CatalogueService(WantingService):
    """Files that devices may be given."""

    async def add_firmware(
        self, by: str, incoming: Incoming, *, oui: str, product_class: str, version: str, file_name: str, signature: str, sha256: str = ""
    ) -> Firmware:
        """Keep a file that has arrived and put it into the catalogue. `sha256`: what it must be, as the vendor says; empty: unknown.

        OperatorError when it is something else; ConflictError when the model is not known, or has this version or file already. A file that
        the catalogue refuses stays on disk, where nothing names it.
        """
        try:
            _check(version, file_name, signature)
            digest, size = await asyncio.to_thread(incoming.finish, sha256)
        finally:
            incoming.abandon()
        firmware = Firmware(
            sha256=digest,
            oui=oui,
            product_class=product_class,
            version=version,
            size_bytes=size,
            file_name=file_name,
            signature=signature,
            added_ms=self._clock(),
        )
        await self.put_firmware(by, firmware)
        return firmware

    async def put_firmware(self, by: str, firmware: Firmware) -> None:
        """Add a file to the catalogue; its hash is its name. ConflictError when model and version have another file already."""
        _check(firmware.version, firmware.file_name, firmware.signature)
        fields = {name: getattr(firmware, name) for name in Firmware.__dataclass_fields__ if name != "added_ms"}
        async with self._db.transaction() as connection:
            row = await CatalogueStore(connection).row("put_firmware", **fields, now_ms=self._clock(), person=by)
            if row is None:
                raise ConflictError("the model is not known, or this file or version is in the catalogue already", reason="firmware")
            told = f"{firmware.oui} {firmware.product_class} {firmware.version} ({firmware.signature})"
            await FleetStore(connection).note([(0, self._clock(), "firmware", firmware.sha256, "", told, by)])

    async def firmware(self) -> tuple[Firmware, ...]:
        """The catalogue."""
        async with self._db.transaction() as connection:
            return tuple(Firmware(**row) for row in await CatalogueStore(connection).rows("list_firmware"))

    async def set_stock_firmware(self, by: str, sha256: str) -> None:
        """Bring this model's devices in stock to the version of this file, each at its next Inform."""
        async with self._db.transaction() as connection:
            row = await CatalogueStore(connection).row("set_stock_firmware", sha256=sha256)
            if row is None:
                raise NotFoundError("there is no such file in the catalogue; name it by its SHA-256", reason="no_firmware")
            await FleetStore(connection).note([(0, self._clock(), "stock", str(row["model_id"]), "", row["version"], by)])

    async def clear_stock_firmware(self, by: str, model_id: int) -> None:
        """Leave this model's devices in stock as they are."""
        async with self._db.transaction() as connection:
            if await CatalogueStore(connection).row("clear_stock_firmware", model_id=model_id) is None:
                raise NotFoundError("nothing is wanted of this model's stock", reason="no_model")
            await FleetStore(connection).note([(0, self._clock(), "stock", str(model_id), "", "nothing", by)])


def _check(version: str, file_name: str, signature: str) -> None:
    if not version or len(version) > _VERSION_CHARS or not version.isprintable():
        raise OperatorError(f"a version is a text of 1 to {_VERSION_CHARS} characters, as the device reports it", reason="version")
    if _FILE_NAME.fullmatch(file_name) is None:
        raise OperatorError("a file's name has letters, digits, and . _ + - or blanks, 128 at the most, and no folder", reason="file_name")
    if signature not in SIGNATURES:
        raise OperatorError(f"of a signature is known: {', '.join(SIGNATURES)}", reason="signature")
