"""What one member's entry says: its role, its tags, its addresses. Pure."""

import json
import re
from typing import Any, get_args
from urllib.parse import urlsplit

from aeroctl.contract.terms import Role
from aeroctl.kernel.patroni.keys import Member

POSTGRESQL_PORT = 5432


def slot_name(member: str) -> str:
    """The replication slot that Patroni keeps for a member (dcs, slot_name_from_member_name)."""
    return re.sub(
        "[^a-z0-9_]",
        lambda match: "_" if match[0] in "-." else f"u{ord(match[0]):04d}",
        member.lower(),
    )[:63]


def host_and_port(url: str | None) -> tuple[str | None, int | None]:
    """Host and port of a connection URL, and nothing else of it: it may hold a password.

    (None, None) unless it names exactly one host that is reached over TCP.
    """
    try:
        parts = urlsplit(url or "")
        port = POSTGRESQL_PORT if parts.port is None else parts.port
    except ValueError:
        return None, None
    stray = "@" in parts.path + parts.query + parts.fragment  # an unescaped password cut in two
    if not parts.hostname or stray or re.search(r"[\s,/%\\]", parts.hostname):
        return None, None
    return parts.hostname, port


def agent_url(url: str | None) -> str | None:
    """The base address of a node's agent, `scheme://host:port` and nothing else of its api_url.

    None unless it is http or https, and names exactly one host and a port.
    """
    try:
        parts = urlsplit(url or "")
        port = parts.port
    except ValueError:
        return None
    host, _ = host_and_port(url)
    if parts.scheme not in ("http", "https") or host is None or not port:
        return None
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def member_role(member: Member) -> Role:
    if member.role == "master":  # Patroni before 4
        return "primary"
    return next((role for role in get_args(Role) if role == member.role), "unknown")


def no_failover(tags: dict[str, Any]) -> bool:
    """As Patroni reads the two tags (tags.py): `nofailover` wins where both are given."""
    if tags.get("nofailover") is not None:
        return bool(tags["nofailover"])
    priority = _rounded(tags.get("failover_priority"))
    return priority is not None and priority <= 0


INTEGERS = ((r"[-+]?0x[0-9a-fA-F]+", 16), (r"[-+]?0[0-7]*", 8), (r"[-+]?[1-9][0-9]*", 10))
REAL = r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?"


def _rounded(value: object) -> int | None:
    """A number as Patroni's parse_int reads it (utils.py): as PostgreSQL's settings are, so that
    0.4 is 0 and 010 is 8; None for what is none.
    """
    text = str(value).strip()
    found = ((re.match(pattern, text, re.ASCII), base) for pattern, base in INTEGERS)
    match, base = next(((match, base) for match, base in found if match), (None, 10))
    number: float | None = int(match[0], base) if match else None
    rest = text[match.end() :] if match else text
    if rest[:1] == "." or (match and rest[:1] in ("e", "E")):
        match = re.match(REAL, text, re.ASCII)
        number, rest = (float(match[0]), text[match.end() :]) if match else (None, text)
    try:
        return None if number is None or rest.strip() else round(number)
    except OverflowError:  # 1e999
        return None


def tag(value: Any) -> str | int | float | bool | None:
    if isinstance(value, int | float) and not -(2**53) < value < 2**53:  # NaN, too
        return str(value)
    if value is None or isinstance(value, str | int | float):
        return value
    return json.dumps(value, sort_keys=True)
