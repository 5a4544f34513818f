"""The audit chain: each entry's digest covers the entry and the digest before it.

Pure. A changed, removed or inserted entry breaks every digest after it; a cut tail shows against the stored head. Whoever can write the
whole database can still forge a whole new chain, so the head belongs outside it too: the worker logs it every hour.
"""

import hashlib
import json
from collections.abc import Mapping

GENESIS = "0" * 64
"""The digest before the first entry."""

MAX_DETAIL_BYTES = 16_384
MAX_FIELD_CHARACTERS = 400


def canonical_detail(detail: Mapping[str, str | int | bool]) -> str:
    """JSON with sorted keys and no blanks: one text for one content, and what is stored."""
    return json.dumps(dict(detail), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def link(previous: str, *, entry_id: int, at_ms: int, actor: str, action: str, subject: str, detail: str) -> str:
    """Digest of an entry, hexadecimal. Every part goes in with its length, so no two entries share their bytes."""
    digest = hashlib.sha256(b"ringfence-audit-1")
    for part in (previous, str(entry_id), str(at_ms), actor, action, subject, detail):
        piece = part.encode("utf-8")
        digest.update(len(piece).to_bytes(4) + piece)
    return digest.hexdigest()
