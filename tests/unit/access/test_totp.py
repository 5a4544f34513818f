"""Codes of RFC 6238."""

import pytest

from ringfence.access.totp import matching_step, provisioning_uri

# RFC 6238 appendix B: the secret `12345678901234567890` in base32; the last six digits of the eight there.
SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (2000000000, "279037")],
)
def test_vectors_of_the_standard(seconds: int, code: str) -> None:
    assert matching_step(SECRET, code, seconds * 1000) == seconds // 30


def test_one_step_of_drift_is_accepted_and_the_step_is_told() -> None:
    now = 1_111_111_111_000
    step = now // 30_000
    assert matching_step(SECRET, "050471", now + 30_000) == step
    assert matching_step(SECRET, "050471", now - 30_000) == step
    assert matching_step(SECRET, "050471", now + 60_000) is None


@pytest.mark.parametrize("code", ["", "05047", "0504711", "05047a", "٠٥٠٤٧١", " 50471", "-50471"])
def test_what_is_no_code_is_refused(code: str) -> None:
    assert matching_step(SECRET, code, 1_111_111_111_000) is None


def test_address_for_an_application_names_product_and_person() -> None:
    assert provisioning_uri(SECRET, "anna") == f"otpauth://totp/Ringfence:anna?secret={SECRET}&issuer=Ringfence"
