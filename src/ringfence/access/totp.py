"""Time-based one-time passwords (RFC 6238, SHA-1, 6 digits, 30 s), as every authenticator application makes them.

Pure: the time comes in. A code is good for its own step and one step to either side; which step it was goes back to the caller, who
accepts each step once (RFC 6238 section 5.2: a verifier must not accept the second attempt of a code).
"""

import hmac

import pyotp

STEP_SECONDS = 30
DRIFT_STEPS = 1
ISSUER = "Ringfence"


def provisioning_uri(secret: str, name: str) -> str:
    """The `otpauth://` address that an authenticator application scans."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)


def matching_step(secret: str, code: str, now_ms: int) -> int | None:
    """The time step whose code this is, or None. Looks at every step of the window, whatever the first ones say."""
    if len(code) != 6 or not (code.isascii() and code.isdigit()):
        return None
    totp = pyotp.TOTP(secret)
    current = now_ms // 1000 // STEP_SECONDS
    found: int | None = None
    for step in range(current - DRIFT_STEPS, current + DRIFT_STEPS + 1):
        if hmac.compare_digest(totp.generate_otp(step), code):
            found = step
    return found
