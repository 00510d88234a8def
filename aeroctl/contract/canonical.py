"""The canonical form of JSON values, and its SHA-256. Pure."""

import hashlib
import json


def canonical_json(document: object) -> str:
    """JSON with sorted keys, without spaces, in ASCII alone."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def canonical_digest(document: object) -> str:
    """Of the canonical form, in hexadecimal."""
    return hashlib.sha256(canonical_json(document).encode()).hexdigest()
