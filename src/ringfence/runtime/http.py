"""Serving an ASGI application as a role: the socket, TLS, who may stand in front, an orderly end.

Without a certificate a surface listens on this machine only, unless the address of a proxy that adds TLS is named. The one thing to know: a
port that is taken, or a certificate that does not load, is an OperatorError before anything is served.
"""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Callable, Generator
from typing import Any

import uvicorn

from ringfence.base.errors import OperatorError
from ringfence.runtime.settings import Surface, is_loopback, split_address

HEADER_BYTES = 32 * 1024
"""Request line and headers of one request; more ends the connection."""
CONNECTIONS = 1000
"""Connections at once; further requests are answered with 503."""
KEEP_ALIVE_SECONDS = 20
GOODBYE_SECONDS = 1


class _Server(uvicorn.Server):
    """Leaves signals to the role, and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def serve_http(app: Callable[..., Any], surface: Surface, *, name: str, ready: Callable[[], None]) -> None:
    """Serve until cancelled; `ready` is called once the socket accepts. OperatorError when the settings forbid it."""
    check_surface(surface, name=name)
    server = _Server(_config(app, surface))
    listener = open_listener(surface.listen, name=name)
    with contextlib.closing(listener):
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(server.serve(sockets=[listener]))
            try:
                await server.listening.wait()
                ready()
                await asyncio.shield(serving)
            except asyncio.CancelledError:
                server.should_exit = True
                await serving
                raise


def check_surface(surface: Surface, *, name: str) -> None:
    """Refuse what would send passwords over a network in the clear, and half a certificate."""
    if (surface.certificate_file is None) != (surface.key_file is None):
        raise OperatorError(f"{name}: certificate_file and key_file go together; set both or none.", reason="half_a_certificate")
    if surface.trusted_proxy:
        try:
            ipaddress.ip_network(surface.trusted_proxy)
        except ValueError:
            raise OperatorError(
                f"{name}.trusted_proxy {surface.trusted_proxy!r} is no address; write the proxy's, such as 192.0.2.10.", reason="bad_proxy"
            ) from None
    if surface.certificate_file is None and not surface.trusted_proxy and not is_loopback(surface.listen):
        raise OperatorError(
            f"{name}.listen {surface.listen} can be reached from other machines without TLS: set certificate_file and key_file,"
            f" or name the proxy that adds TLS as trusted_proxy, or listen on 127.0.0.1.",
            reason="open_without_tls",
        )


def open_listener(address: str, *, name: str) -> socket.socket:
    """The listening socket; OperatorError when the address is taken or not ours."""
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(512)
    except OSError as error:
        listener.close()
        raise OperatorError(
            f"{name} cannot listen on {address} ({error.strerror}); stop what uses it, or set {name}.listen to another port.",
            reason="address_taken",
        ) from error
    listener.setblocking(False)
    return listener


def _config(app: Callable[..., Any], surface: Surface) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(surface.trusted_proxy),
        forwarded_allow_ips=surface.trusted_proxy or None,
        limit_concurrency=CONNECTIONS,
        h11_max_incomplete_event_size=HEADER_BYTES,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GOODBYE_SECONDS,
        ssl_certfile=surface.certificate_file,
        ssl_keyfile=surface.key_file,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise OperatorError(
            f"certificate {surface.certificate_file} with key {surface.key_file} cannot be loaded ({error}); check both files.",
            reason="bad_certificate",
        ) from error
    return config
