"""Untrusted text, made harmless for a terminal without losing what it says."""

import unicodedata


def safe(text: str) -> str:
    """`text` with everything that a terminal might obey or hide written as an escape.

    Control characters (C0, C1, DEL), bidirectional and zero-width marks, line separators and lone
    surrogates become `\\x1b`, `\\u202e`, ...; a backslash becomes two, so that no two texts look
    alike. Everything printable stays as it is.
    """
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return "".join(
        char if char.isprintable() and char != "\\" else char.encode("unicode_escape").decode()
        for char in text
    )


def width(text: str) -> int:
    """Terminal columns of a safe text: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
