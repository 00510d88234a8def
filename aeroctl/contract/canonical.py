"""The one digest of JSON values: SHA-256 of their canonical form. Pure."""

import hashlib
import json


def canonical_digest(document: object) -> str:
    """In hexadecimal, of JSON with sorted keys, without spaces, in ASCII alone."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
