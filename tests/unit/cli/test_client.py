"""Commands against the routes that they call, and what the client refuses by itself."""

import importlib
from pathlib import Path
from typing import cast

import pytest

from ringfence.apps.api.app import build_app
from ringfence.apps.api.desk import Desk
from ringfence.apps.api.routing import Open, declared
from ringfence.apps.cli import client
from ringfence.apps.cli.client import ClientApp
from ringfence.apps.cli.main import COMMANDS
from ringfence.base.errors import OperatorError

GROUPS = (
    "alert",
    "block",
    "edge",
    "call",
    "account",
    "customer",
    "line",
    "session",
    "fleet.main",
    "network",
    "rate",
    "rule",
    "user_client",
)


@pytest.mark.parametrize("group", GROUPS)
def test_a_command_names_the_permission_of_its_route(group: str) -> None:
    routes = {(method, path): need for method, path, need in declared(build_app(cast("Desk", None)))}
    module = importlib.import_module(f"ringfence.apps.cli.{group}")
    commands = cast("ClientApp", module.client).declared
    assert commands
    for name, (permission, method, path) in commands.items():
        assert (method, path) in routes, f"{group} {name}: the API has no {method} {path}"
        assert routes[method, path] == (permission or Open.EVERYBODY), f"{group} {name}"


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_is_a_command(group: str) -> None:
    assert f"ringfence.apps.cli.{group}" in {module for module, _ in COMMANDS.values()}


@pytest.mark.parametrize("url", ["http://ringfence.example.net:8081", "http://192.0.2.1:8081", "ftp://127.0.0.1", "8081", ""])
def test_a_token_never_travels_in_the_clear(url: str) -> None:
    with pytest.raises(OperatorError):
        client.Api(url, "secret")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8081", "http://[::1]:8081", "http://localhost:8081", "https://ringfence.example.net"])
def test_this_machine_and_tls_are_fine(url: str) -> None:
    client.Api(url, "secret")


def test_the_token_file_is_its_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TOKEN_FILE", tmp_path / "deep" / "token")
    file = client.keep_token("abc")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text() == "abc\n"


@pytest.mark.parametrize(
    ("value", "field", "expected"),
    [
        (None, "x", "-"),
        (True, "x", "yes"),
        (1234.5, "cost_eur", "EUR 1,234.50"),
        ("a\x1b[2Jb", "account", "a\\x1b[2Jb"),
        ("\u202eevil", "account", "\\u202eevil"),
        ([1, 2], "x", "1, 2"),
        ({"calls": 3}, "x", "calls 3"),
    ],
)
def test_values_are_shown_and_cannot_move_the_cursor(value: object, field: str, expected: str) -> None:
    assert client.shown(value, field) == expected
