"""The command line against the real API in this process: everything but the socket between them."""

import asyncio
from typing import Any

import httpx
import pytest
import typer.testing
from httpx import Client


class CommandLine:
    """Runs commands in a thread, while the API answers in this loop. `program`: a client of the API that has a token."""

    def __init__(self, patch: pytest.MonkeyPatch, program: httpx.AsyncClient) -> None:
        loop = asyncio.get_running_loop()

        async def answer(request: httpx.Request) -> httpx.Response:
            headers = {name: value for name, value in request.headers.items() if name in {"content-type", "accept"}}
            found = await program.request(request.method, request.url.raw_path.decode(), content=request.content, headers=headers)
            return httpx.Response(found.status_code, headers={"Content-Type": found.headers.get("content-type", "")}, content=found.content)

        def through(request: httpx.Request) -> httpx.Response:
            request.read()
            return asyncio.run_coroutine_threadsafe(answer(request), loop).result(60)

        def made(**given: Any) -> httpx.Client:
            return Client(**given | {"transport": httpx.MockTransport(through)})

        patch.setattr("ringfence.apps.cli.client.httpx.Client", made)

    async def run(self, app: typer.Typer, *arguments: str, typed: str = "") -> typer.testing.Result:
        """The outcome of a command; `typed` is what the person types when asked."""
        return await asyncio.to_thread(lambda: typer.testing.CliRunner().invoke(app, [*arguments], input=typed))
