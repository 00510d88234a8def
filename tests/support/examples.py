"""How many examples hold a property: the number given, and a share of it in the quick profile."""

from typing import Any

from hypothesis import settings

USUAL = 100
"""How many a profile has that does not say otherwise."""


def examples(number: int, **more: Any) -> settings:
    """Settings of a test. How long an example takes says something about the machine alone."""
    share = settings().max_examples / USUAL
    return settings(max_examples=max(1, round(number * share)), deadline=None, **more)
