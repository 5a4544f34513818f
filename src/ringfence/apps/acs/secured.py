"""TLS of one connection as a layer of our own over OpenSSL's memory buffers: bytes from the wire in, plain bytes out, and back.

The event loop's own `start_tls` loses what a device sends before the loop has changed protocols: the ClientHello of whoever is quick, and
with it the whole session. Here nothing is handed over, so nothing can be lost, and the caps on connections come before the handshake.
"""

import contextlib
import ssl
from typing import cast

from ringfence.base.errors import PeerError

READ_BYTES = 64 * 1024


class Secured:
    """The server's end. `ready` after the handshake; `ended` when the device said that it sends no more."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.ready = False
        self.ended = False

    def receive(self, data: bytes) -> bytes:
        """Plain bytes in what came from the wire; perhaps there is something to send afterwards. PeerError: this is no TLS of ours."""
        self._incoming.write(data)
        plain = bytearray()
        try:
            if not self.ready:
                self._tls.do_handshake()
                self.ready = True
            while not self.ended:
                part = self._tls.read(READ_BYTES)
                plain += part
                self.ended = not part
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as error:
            reason = "tls_record" if self.ready else "tls_handshake"
            raise PeerError(f"The TLS of this connection cannot be read ({error.reason}).", reason=reason) from error
        return bytes(plain)

    def send(self, plain: bytes) -> bytes:
        """The same for the wire."""
        self._tls.write(plain)
        return self._outgoing.read()

    def pending(self) -> bytes:
        """What the layer itself has to say: its half of the handshake, alerts."""
        return self._outgoing.read()

    def close(self) -> bytes:
        """The end of our half (close_notify), for the wire."""
        if self.ready:
            with contextlib.suppress(ssl.SSLError):  # The other half is still open, as always when a reply ends a session.
                self._tls.unwrap()
        return self._outgoing.read()

    def certificate_name(self) -> str:
        """The common name of the device's verified certificate; nothing when it has none or more than one."""
        subject = cast("tuple[tuple[tuple[str, str], ...], ...]", (self._tls.getpeercert() or {}).get("subject", ()))
        names = [value for relative in subject for name, value in relative if name == "commonName"]
        return names[0] if len(names) == 1 else ""
