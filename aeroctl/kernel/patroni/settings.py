"""The cluster's settings in `config`, and what follows from them, as Patroni reads them. Pure."""

from collections.abc import Mapping
from typing import Any

from aeroctl.contract.terms import SynchronousMode
from aeroctl.kernel.failures import unreadable
from aeroctl.kernel.patroni.keys import ClusterKeys

DEFAULT_TTL = 30
DEFAULT_LOOP_WAIT = 10
DEFAULT_RETRY_TIMEOUT = 10
DEFAULT_MAXIMUM_LAG = 1024 * 1024
SECONDS, BYTES = 2**31, 2**53
"""Settings are less than that."""
PERMANENT_SLOTS = ("slots", "permanent_slots", "permanent_replication_slots")
"""Settings that name slots which are no member's."""


def paused(keys: ClusterKeys) -> bool:
    """Whether automatic failover is switched off for the cluster."""
    return flag((keys.config or {}).get("pause"))


def check_timeline(keys: ClusterKeys) -> bool:
    """Whether Patroni refuses a candidate that is on an older timeline; it doesn't by default."""
    return flag((keys.config or {}).get("check_timeline"))


def deadline_seconds(keys: ClusterKeys) -> int:
    """Within this time the engine is done with a transfer, or has given it up.

    Patroni waits for its outcome in `2 * max(10, loop_wait)` steps of a second, each of which reads
    the store (api.py, poll_failover_result); ten more for reaching it and for what comes after.
    """
    config = keys.config or {}
    retry_timeout = setting(config, "retry_timeout", DEFAULT_RETRY_TIMEOUT, SECONDS)
    return 2 * max(10, loop_wait(keys)) + retry_timeout + 10


def loop_wait(keys: ClusterKeys) -> int:
    """Seconds between two looks of an agent at its node and at the store."""
    return setting(keys.config or {}, "loop_wait", DEFAULT_LOOP_WAIT, SECONDS)


def settling_seconds(keys: ClusterKeys) -> int:
    """Within this time a living agent describes its node in the store anew (ha.py, touch_member):
    the time between two looks, and one more for the look itself.
    """
    return loop_wait(keys) + 1


def ttl(keys: ClusterKeys) -> int:
    """Seconds that an agent's lease lasts: its node's entry, and the leader key."""
    return setting(keys.config or {}, "ttl", DEFAULT_TTL, SECONDS)


def synchronous_mode(config: dict[str, Any]) -> SynchronousMode:
    if standby_cluster(config):
        return "off"
    if str(config.get("synchronous_mode")).lower() == "quorum":
        return "quorum"
    return "on" if flag(config.get("synchronous_mode")) else "off"


def standby_cluster(config: dict[str, Any]) -> bool:
    upstream = config.get("standby_cluster")
    return isinstance(upstream, dict) and any(
        upstream.get(key) for key in ("host", "port", "restore_command")
    )


def flag(value: object) -> bool:
    """A switch in the configuration, as Patroni reads it."""
    return str(value).lower() in ("on", "true", "yes", "1")


def _integer(value: object) -> int | None:
    try:
        return int(str(value))
    except ValueError:
        return None


def setting(config: Mapping[str, Any], name: str, default: int, limit: int) -> int:
    """Patroni reads what is not a number as its default. Raises Failure KERNEL_STATE_UNREADABLE
    for one that the contract or a lease can't hold: another number would be a lie.
    """
    number = _integer(config.get(name))
    if number is not None and number >= limit:
        raise unreadable("config", f"{name} is not less than {limit}")
    return default if number is None else max(0, number)
