"""Styles as escape sequences, and whether a stream gets them.

rich renders the styles; it is loaded only where there is colour, so a pipe and JSON never pay for
it. Layout is by hand (see text.py).
"""

from collections.abc import Callable, Mapping

Paint = Callable[[str, str], str]
"""From a text and a style to the text in that style."""


def wants_color(flag_no_color: bool, environment: Mapping[str, str], terminal: bool) -> bool:
    """Flag, then NO_COLOR, FORCE_COLOR or CLICOLOR_FORCE, CLICOLOR=0, dumb terminal, terminal."""
    if flag_no_color or environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR") or environment.get("CLICOLOR_FORCE", "0") != "0":
        return True
    if environment.get("CLICOLOR") == "0" or environment.get("TERM") == "dumb":
        return False
    return terminal


def painter(color: bool) -> Paint:
    """What puts text into a style; without colour it leaves text as it is, and rich unloaded."""
    if not color:
        return lambda text, _: text
    from rich.style import Style

    def paint(text: str, style: str) -> str:
        return Style.parse(style).render(text) if style else text

    return paint
