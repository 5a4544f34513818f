"""`ringfence fleet firmware list|add|stock|clear-stock`: files that devices may be given."""

import hashlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from ringfence.access.model import Permission
from ringfence.apps.cli.client import DEFAULT_URL, Api, AsJson, ClientApp, Token, Url, tell, tell_facts
from ringfence.base.errors import OperatorError

client = ClientApp(help="Firmware: files that devices may be given.")

COLUMNS = (
    ("oui", "OUI"),
    ("product_class", "product class"),
    ("version", "version"),
    ("size_bytes", "bytes"),
    ("signature", "signature"),
    ("added_at", "added"),
    ("sha256", "SHA-256"),
)

Model = Annotated[int, typer.Argument(help="Number of the model, as `ringfence fleet models` shows it.")]


@client.command("list", permission=Permission.DEVICE_READ, route="GET /v1/fleet/firmware", help="The firmware catalogue.")
def list_firmware(url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """List firmware."""
    tell(Api(url, token).get("/fleet/firmware"), as_json=as_json, columns=COLUMNS, empty="The catalogue is empty; `firmware add` fills it.")


@client.command("add", permission=Permission.DEVICE_IMPORT, route="POST /v1/fleet/firmware", help="Bring a firmware file in.")
def add_firmware(
    file: Annotated[Path, typer.Argument(help="The file, as its vendor gave it.")],
    oui: Annotated[str, typer.Option(help="Maker of the model: six hexadecimal digits.")],
    product_class: Annotated[str, typer.Option(help="Product class of the model.")],
    version: Annotated[str, typer.Option(help="Version, exactly as the device reports it.")],
    sha256: Annotated[str, typer.Option(help="What the vendor says its SHA-256 is; without it the file as it lies here counts.")] = "",
    signature: Annotated[str, typer.Option(help="Of the vendor: vendor_checked, vendor_unchecked or none.")] = "none",
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """The file is hashed here first, so that one which does not fit is not sent."""
    try:
        with file.open("rb") as source:
            found = hashlib.file_digest(source, "sha256").hexdigest()
    except OSError as error:
        raise OperatorError(f"{file} cannot be read ({error.strerror})", reason="unreadable") from error
    if sha256 and sha256.strip().lower() != found:
        raise OperatorError(f"{file} has the SHA-256 {found}, not the vendor's; it is damaged or another file", reason="image_hash")
    named = {"oui": oui.upper(), "product_class": product_class, "version": version, "signature": signature}
    told = Api(url, token).upload(
        "/fleet/firmware", file, content_type="application/octet-stream", sha256=found, file_name=file.name, **named
    )
    tell_facts(told, as_json=as_json)


@client.command(
    "stock",
    permission=Permission.DEVICE_IMPORT,
    route="PUT /v1/fleet/models/{model_id}/stock-firmware",
    help="Bring a model's stock to the version of a file.",
)
def put_stock(
    model: Model,
    sha256: Annotated[str, typer.Argument(help="SHA-256 of the file, as `ringfence fleet firmware list` shows it.")],
    url: Url = DEFAULT_URL,
    token: Token = "",
) -> None:
    """Stock firmware."""
    Api(url, token).put(f"/fleet/models/{model}/stock-firmware", {"sha256": sha256.strip().lower()})
    sys.stderr.write("Each device in stock gets it at its next Inform; `ringfence fleet stock` says which are ready.\n")


@client.command(
    "clear-stock",
    permission=Permission.DEVICE_IMPORT,
    route="DELETE /v1/fleet/models/{model_id}/stock-firmware",
    help="Leave a model's stock as it is.",
)
def clear_stock(model: Model, url: Url = DEFAULT_URL, token: Token = "") -> None:
    """No stock firmware."""
    Api(url, token).delete(f"/fleet/models/{model}/stock-firmware")
    sys.stderr.write("Its stock is left as it is.\n")
