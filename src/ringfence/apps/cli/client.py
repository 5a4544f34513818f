"""What every command that talks to the API shares: address and token, errors, tables and JSON.

Answers go to stdout, everything else to stderr. An error of the API comes back as the same kind of error, so that its exit code is that of
`base.errors`. The one thing to know: a token travels only over TLS or to this machine.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TypeVar
from urllib.parse import quote, urlsplit

import httpx
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ringfence.access.model import Permission
from ringfence.base.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    OperatorError,
    PeerError,
    RingfenceError,
    UnavailableError,
)

DEFAULT_URL = "http://127.0.0.1:8081"
TOKEN_FILE = Path("~/.config/ringfence/token")
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 30.0
CHUNK_BYTES = 256 * 1024
LONG = frozenset({"reason", "message", "note"})
"""Sentences: shown where the terminal has room for them, always with `show` and `--json`."""
WIDE, UNBOUND = 150, 2000

Url = Annotated[str, typer.Option("--url", envvar="RINGFENCE_API_URL", help="Address of the API.")]
Token = Annotated[str, typer.Option("--token", envvar="RINGFENCE_API_TOKEN", hidden=True, help="Bearer token.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

_KINDS: Mapping[str, type[RingfenceError]] = {
    "permission": ForbiddenError,
    "not_found": NotFoundError,
    "peer": PeerError,
    "operator": OperatorError,
    "conflict": ConflictError,
    "unavailable": UnavailableError,
}

Command = TypeVar("Command", bound=Callable[..., None])
Row = Mapping[str, Any]


class ClientApp:
    """A group of commands that are clients of the API; each names the permission that its route checks."""

    def __init__(self, *, help: str) -> None:  # noqa: A002  # Typer's own word.
        self.app = typer.Typer(no_args_is_help=True, help=help, add_completion=False)
        self.declared: dict[str, tuple[Permission | None, str, str]] = {}

    def command(
        self,
        name: str,
        *,
        permission: Permission | None,
        route: str,
        help: str,  # noqa: A002
    ) -> Callable[[Command], Command]:
        """Add a command. `route` is `METHOD /path` of the API; `permission` None: open to everybody."""
        method, _, path = route.partition(" ")
        self.declared[name] = (permission, method, path)
        needs = f" Needs {permission.value}." if permission else ""

        def decorate(function: Command) -> Command:
            return self.app.command(name, help=f"{help}{needs}")(function)

        return decorate

    def include(self, other: "ClientApp", *, name: str = "") -> None:
        """Take over the commands of another group, as a group of their own (`name`) or among one's own."""
        self.app.add_typer(other.app, name=name or None)
        self.declared |= {f"{name} {verb}".strip(): said for verb, said in other.declared.items()}


class Api:
    """One conversation with the API."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        _refuse_clear_text(self._url)
        token = token or _read_token()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        self._client = httpx.Client(base_url=f"{self._url}/v1", headers=headers, timeout=timeout, trust_env=False)

    def get(self, path: str, **query: object) -> Any:
        """Read something; empty values of the query are left out."""
        given = {name.rstrip("_"): str(value) for name, value in query.items() if value not in ("", None)}
        return self._answer(lambda: self._client.get(path, params=given))

    def post(self, path: str, body: Mapping[str, Any], *, seconds: float = ANSWER_SECONDS) -> Any:
        """Order something; its answer may take so long."""
        return self._answer(lambda: self._client.post(path, json=body, timeout=httpx.Timeout(seconds, connect=CONNECT_SECONDS)))

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        """Say how something shall be."""
        return self._answer(lambda: self._client.put(path, json=body))

    def delete(self, path: str, **query: str) -> Any:
        """Say that something shall be no more; empty values of the query are left out."""
        given = {name: value for name, value in query.items() if value}
        return self._answer(lambda: self._client.delete(path, params=given))

    def take(self, path: str, body: Mapping[str, Any], *, seconds: float = ANSWER_SECONDS) -> str:
        """Order a file; its text."""
        told: list[str] = []

        def ask() -> httpx.Response:
            response = self._client.post(path, json=body, timeout=httpx.Timeout(seconds, connect=CONNECT_SECONDS))
            if response.is_success:
                told.append(response.text)
                return httpx.Response(204)
            return response

        self._answer(ask)
        return told[0]

    def upload(self, path: str, file: Path, *, content_type: str = "text/csv", **query: object) -> Any:
        """Send a file, CSV unless said, with a progress bar on stderr."""
        try:
            with file.open("rb") as source, _progress(file.stat().st_size) as step:
                return self.send(path, _chunks(source, step), content_type=content_type, **query)
        except OSError as error:
            raise OperatorError(f"{file} cannot be read ({error.strerror})", reason="unreadable") from error

    def send(self, path: str, content: Iterable[bytes], *, content_type: str = "text/csv", **query: object) -> Any:
        """Send something as it comes."""
        given = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in query.items()}
        headers = {"Content-Type": content_type}
        return self._answer(
            lambda: self._client.post(path, content=content, params=given, headers=headers, timeout=httpx.Timeout(None, connect=5))
        )

    def _answer(self, ask: Callable[[], httpx.Response]) -> Any:
        try:
            response = ask()
        except httpx.TransportError as error:
            raise UnavailableError(
                f"the API at {self._url} does not answer ({type(error).__name__}); is Ringfence running there?", reason="api_down"
            ) from error
        if response.is_success:
            return response.json() if response.content else None
        try:
            told = response.json()["error"]
            kind, reason, message = str(told["kind"]), str(told["reason"]), str(told["message"])
        except (ValueError, KeyError, TypeError):
            raise UnavailableError(f"{self._url} answered {response.status_code} and is no Ringfence API", reason="not_the_api") from None
        if reason == "not_signed_in":
            message = "sign in first: `ringfence user login`, or set RINGFENCE_API_TOKEN to a token made in the console"
        raise _KINDS.get(kind, UnavailableError)(message, reason=reason)


def part(value: str) -> str:
    """A value as one part of a path."""
    return quote(value, safe="")


def tell(data: Any, *, as_json: bool, columns: Sequence[tuple[str, str]], empty: str) -> None:
    """Print rows as a table of `(field, heading)`, or the answer as it came."""
    if as_json:
        sys.stdout.write(json.dumps(data, ensure_ascii=False) + "\n")
        return
    rows: Sequence[Row] = data if isinstance(data, list) else [data]
    if not rows:
        sys.stderr.write(f"{empty}\n")
        return
    console = _console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    chosen = [column for column in columns if column[0] not in LONG or console.width >= WIDE]
    for field, heading in chosen:
        here = f" {datetime.now().astimezone().tzname()}" if field.endswith("_at") else ""  # noqa: TID251  # The reader's zone.
        table.add_column(heading + here, no_wrap=field not in LONG, overflow="fold", justify="right" if field.endswith("_eur") else "left")
    for row in rows:
        table.add_row(*(Text(shown(row.get(field), field)) for field, _ in chosen))
    console.print(table)


def tell_facts(data: Row, *, as_json: bool) -> None:
    """Print one thing, a fact a line."""
    if as_json:
        sys.stdout.write(json.dumps(data, ensure_ascii=False) + "\n")
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in data.items():
        if value not in ("", None, [], {}, 0):
            table.add_row(name, Text(shown(value, name)))
    _console().print(table)


def _console() -> Console:
    """As wide as the terminal; into a file or a pipe nothing is cut or folded."""
    return Console() if sys.stdout.isatty() else Console(width=UNBOUND)


def shown(value: Any, field: str) -> str:  # noqa: PLR0911  # One line a kind of value.
    """A value for people; what does not print is escaped, so that a name cannot move the cursor."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if field.endswith("_at") or field == "at":
        return datetime.fromisoformat(str(value)).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if field.endswith("_eur") and isinstance(value, int | float):
        return f"EUR {value:,.2f}"
    if isinstance(value, list):
        return ", ".join(shown(each, field) for each in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {shown(each, name)}" for name, each in value.items())
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in str(value))


def keep_token(token: str) -> Path:
    """Write the token where the next command finds it, readable by its owner only."""
    file = TOKEN_FILE.expanduser()
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.chmod(0o600)
        file.write_text(token + "\n")
    except OSError as error:
        raise OperatorError(f"{file} cannot be written ({error.strerror})", reason="no_write") from error
    return file


def _read_token() -> str:
    file = TOKEN_FILE.expanduser()
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise OperatorError(f"{file} cannot be read ({error.strerror})", reason="unreadable") from error


def _refuse_clear_text(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise OperatorError(f"{url!r} is no address of an API; write it like https://ringfence.example.net:8081", reason="bad_url")
    try:
        here = parts.hostname == "localhost" or ip_address(parts.hostname).is_loopback
    except ValueError:
        here = False
    if parts.scheme == "http" and not here:
        raise OperatorError(f"{url} would send the token over the network in the clear; use https", reason="clear_text")


@contextmanager
def _progress(size: int) -> Iterator[Callable[[int], None]]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("sending", total=size)

        def step(count: int) -> None:
            progress.update(task, advance=count)
            if progress.tasks[0].completed >= size:
                progress.update(task, description="importing", total=None)

        yield step


def _chunks(source: BinaryIO, step: Callable[[int], None]) -> Iterator[bytes]:
    while chunk := source.read(CHUNK_BYTES):
        step(len(chunk))
        yield chunk
