"""Untrusted text, made harmless for a terminal without losing what it says."""

import unicodedata


def safe(text: str) -> str:
    """`text` with everything that a terminal might obey or hide written as an escape.

    Control characters (C0, C1, DEL), bidirectional and zero-width marks, blanks that pass for
    letters, stray combining marks, line separators and lone surrogates become `\\x1b`, `\\u202e`,
    ...; a backslash becomes two, so that no two texts are shown by the same characters.
    """
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return "".join(
        char if _is_seen(char, before) else char.encode("unicode_escape").decode()
        for before, char in zip(" " + text, text, strict=False)
    )


# Letters and marks that are printable by their category, and show nothing.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")


def _is_seen(char: str, before: str) -> bool:
    """Whether a character shows, as itself: a combining mark only on a letter before it."""
    if not char.isprintable() or char == "\\" or char in _BLANK or "\ufe00" <= char <= "\ufe0f":
        return False
    if "\U000e0100" <= char <= "\U000e01ef" or "\u180b" <= char <= "\u180f":
        return False
    return unicodedata.category(char) not in ("Mn", "Me") or before.isalpha()


def width(text: str) -> int:
    """Terminal columns of a safe text: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
