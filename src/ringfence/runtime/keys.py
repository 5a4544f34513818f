"""Keys, tokens and passwords on disk: `<data_dir>/keys/`, folder 0700, files 0600, one secret a file.

Made once and never changed here. A file that others could read is refused, because a secret that leaked silently is worse than
a start that fails.
"""

import os
import stat
from pathlib import Path

from ringfence.base.errors import OperatorError
from ringfence.base.ids import new_token
from ringfence.base.secret import Secret

HASH_KEY = "hash.key"
"""Key of the 64-bit account and call keys of the log. Losing it means that no old key can be computed again."""

ACS_KEY = "acs.key"
"""Key of the ACS's session cookies and Digest nonces; the same in every process that serves the same devices."""

_SECRET_BYTES = 4096


def key_folder(data_dir: Path) -> Path:
    """Where the secrets of an installation are."""
    return data_dir / "keys"


def nats_password_file(user: str) -> str:
    """File name of the password of a NATS user."""
    return f"nats-{user}.password"


def ensure_key(path: Path) -> bool:
    """Make a secret of 160 random bits unless the file exists; whether it was made. Safe against a crash in the middle."""
    if path.exists():
        return False
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(new_token() + "\n")
            file.flush()
            os.fsync(handle)
        draft.rename(path)
    except OSError as error:
        raise OperatorError(f"{path} cannot be written ({error.strerror}); give the user write access.", reason="no_write") from error
    return True


def read_key(path: Path) -> Secret:
    """Read a secret; OperatorError with a sentence when it is missing, empty or readable by others."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(_SECRET_BYTES + 1)
    except FileNotFoundError:
        raise OperatorError(f"Key file {path} does not exist; run `ringfence up` once, or create it.", reason="key_missing") from None
    except OSError as error:
        raise OperatorError(f"Key file {path} cannot be read ({error.strerror}).", reason="key_unreadable") from error
    if mode & 0o077:
        raise OperatorError(f"Key file {path} can be read by others; run `chmod 600 {path}`.", reason="key_exposed")
    text = content.decode("utf-8", "replace").strip()
    if not text or len(content) > _SECRET_BYTES:
        raise OperatorError(f"Key file {path} must hold one line with the secret.", reason="key_malformed")
    return Secret(text)
