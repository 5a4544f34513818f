"""TLS of a lane: which versions, whose certificates. Made once at the start; a file that does not load is an OperatorError."""

import ssl

from ringfence.base.errors import OperatorError
from ringfence.runtime.settings import AcsLane


def context_of(lane: AcsLane, *, name: str) -> ssl.SSLContext | None:
    """The context of a lane; None when it speaks plain HTTP. TLS 1.2 and newer, older where `oldest_tls` says so."""
    if lane.certificate_file is None or lane.key_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # A device that asks for handshake after handshake costs more than it pays.
    if lane.oldest_tls == "1.0":
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.set_ciphers("DEFAULT:@SECLEVEL=0")  # OpenSSL 3 has no signatures for TLS 1.0 above level 0.
    try:
        context.load_cert_chain(lane.certificate_file, lane.key_file)
        if lane.client_ca_file is not None:
            context.load_verify_locations(lane.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED if lane.authentication == "certificate" else ssl.CERT_OPTIONAL
    except (OSError, ssl.SSLError) as error:
        raise OperatorError(
            f"acs.{name}: certificate {lane.certificate_file}, key {lane.key_file} or client CA {lane.client_ca_file} cannot be loaded"
            f" ({error}); check the files.",
            reason="bad_certificate",
        ) from error
    return context
