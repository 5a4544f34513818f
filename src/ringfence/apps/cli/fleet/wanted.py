"""`ringfence fleet meanings|wanted|want|unwant|secret`. A secret is asked for or read from a file, never an argument."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ringfence.access.model import Permission
from ringfence.apps.cli.client import DEFAULT_URL, Api, AsJson, ClientApp, Token, Url, part, shown, tell
from ringfence.apps.cli.fleet.sought import Device, number_of
from ringfence.base.errors import OperatorError

client = ClientApp(help="What is wanted of devices.")

MEANINGS = (("meaning", "meaning"), ("type", "type"), ("secret", "secret"), ("tr098", "TR-098"), ("tr181", "TR-181"))
MAX_SECRET_BYTES = 1024

Meaning = Annotated[str, typer.Argument(help="What is meant; `ringfence fleet meanings` lists them.")]
Instance = Annotated[str, typer.Option(help="Which one, where a device has several: numbers such as 1.5, or * for each.")]


@client.command("meanings", permission=Permission.DEVICE_READ, route="GET /v1/fleet/meanings", help="What can be wanted of a device.")
def list_meanings(url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """List meanings."""
    tell(Api(url, token).get("/fleet/meanings"), as_json=as_json, columns=MEANINGS, empty="Nothing.")


@client.command(
    "wanted",
    permission=Permission.DEVICE_READ,
    route="GET /v1/devices/{device_id}/wanted",
    help="What is wanted of a device and what of it is not so.",
)
def show_wanted(device: Device, url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """Groups, own wishes, secrets by name, differences."""
    api = Api(url, token)
    found = api.get(f"/devices/{number_of(api, device)}/wanted")
    if as_json:
        tell(found, as_json=True, columns=(), empty="")
        return
    typer.echo(f"groups: {shown(found['groups'], '') or '-'}")
    for wish in found["own"]:
        typer.echo(f"its own: {_named(wish)} = {shown(wish['value'], '')}")
    for secret in found["secrets"]:
        typer.echo(f"secret: {_named(secret)}, sealed {shown(secret['sealed_at'], 'sealed_at')}")
    for entry in found["differences"]:
        reported = "was never reported" if entry["reported"] is None else f"is {shown(entry['reported'], '')}"
        typer.echo(f"not so: {shown(entry['name'], '')} shall be {shown(entry['wanted'], '')} and {reported}")
    for meaning in found["impossible"]:
        typer.echo(f"impossible: its data model has no name for {shown(meaning, '')}")


@client.command(
    "want",
    permission=Permission.DESIRED_WRITE,
    route="PUT /v1/devices/{device_id}/wishes/{meaning}",
    help="Want something of one device.",
)
def want(
    device: Device,
    meaning: Meaning,
    value: Annotated[str, typer.Argument(help="What it shall be. For a secret use `ringfence fleet secret`.")],
    instance: Instance = "",
    url: Url = DEFAULT_URL,
    token: Token = "",
) -> None:
    """Want."""
    api = Api(url, token)
    api.put(f"/devices/{number_of(api, device)}/wishes/{part(meaning)}", {"value": value, "instance": instance})
    sys.stderr.write("Wanted; it is set at the next Inform. `ringfence fleet wanted` says what is not so yet.\n")


@client.command(
    "unwant",
    permission=Permission.DESIRED_WRITE,
    route="DELETE /v1/devices/{device_id}/wishes/{meaning}",
    help="Take a wish or a secret of one device away.",
)
def unwant(device: Device, meaning: Meaning, instance: Instance = "", url: Url = DEFAULT_URL, token: Token = "") -> None:
    """Unwant."""
    api = Api(url, token)
    api.delete(f"/devices/{number_of(api, device)}/wishes/{part(meaning)}", instance=instance)
    sys.stderr.write("No longer wanted; the device keeps what was set until something else is.\n")


@client.command(
    "secret",
    permission=Permission.DESIRED_WRITE,
    route="PUT /v1/devices/{device_id}/secrets/{meaning}",
    help="Seal a secret for one device.",
)
def put_secret(
    device: Device,
    meaning: Meaning,
    file: Annotated[Path | None, typer.Option(help="File whose first line is the secret; without it you are asked.")] = None,
    instance: Instance = "",
    url: Url = DEFAULT_URL,
    token: Token = "",
) -> None:
    """Ask for a secret, or read it; never an argument, which every process of the machine could read."""
    api = Api(url, token)
    number = number_of(api, device)
    secret = _first_line(file) if file else typer.prompt("Secret", hide_input=True, confirmation_prompt=True, err=True)
    api.put(f"/devices/{number}/secrets/{part(meaning)}", {"secret": secret, "instance": instance})
    sys.stderr.write("Sealed; it is written at the device's next session and shown to nobody.\n")


def _first_line(file: Path) -> str:
    try:
        with file.open("rb") as source:
            line = source.read(MAX_SECRET_BYTES).decode("utf-8").partition("\n")[0].removesuffix("\r")
    except OSError as error:
        raise OperatorError(f"{file} cannot be read ({error.strerror})", reason="unreadable") from error
    except UnicodeDecodeError:
        raise OperatorError(f"{file} is not UTF-8; the secret is its first line", reason="not_utf8") from None
    if not line:
        raise OperatorError(f"the first line of {file} is empty; the secret stands there", reason="no_secret")
    return line


def _named(entry: dict[str, str]) -> str:
    return shown(entry["meaning"], "") + (f" {shown(entry['instance'], '')}" if entry["instance"] else "")
