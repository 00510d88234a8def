"""Rules of the contract that types alone can't say; models and compiled validator share them."""

from typing import Any, TypeVar

Observed = TypeVar("Observed", bound=Any)


def one_of_two(observation: Observed) -> Observed:
    """Exactly one of `value` and `unavailable` is set. Raises ValueError."""
    if (observation.value is None) == (observation.unavailable is None):
        raise ValueError("exactly one of value and unavailable must be set")
    return observation
