"""Waiting for a condition, never for a time."""

import http.client
import time
from collections.abc import Callable
from typing import TypeVar

from aeroctl.kernel.sandbox.ports import HOST

Value = TypeVar("Value")
INTERVAL = 0.05


def wait_until(what: str, predicate: Callable[[], Value | None], deadline: float = 30) -> Value:
    """Ask again and again until the answer is true, and return it.

    Raises TimeoutError that says `what` was waited for, after `deadline` seconds.
    """
    end = time.monotonic() + deadline
    while not (value := predicate()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: timed out after {deadline:g} s")
        time.sleep(INTERVAL)
    return value


def answers(port: int, path: str) -> bool:
    """Whether a GET of that path on loopback is answered with 200."""
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
