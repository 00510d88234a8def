"""JSON in ASCII alone, so that no terminal obeys what a text holds."""

import json


def line(document: object) -> str:
    """Plain values as one line of JSON; lone surrogates (of a command line) are escaped."""
    return json.dumps(document, separators=(",", ":")).replace("\x7f", "\\u007f")


def dumped(document: object, indent: int | None) -> str:
    """Models and dataclasses as JSON. DEL is ASCII, but a terminal may obey it: it is escaped."""
    from pydantic_core import to_json

    # `vars`: what the compiled contract makes has attributes and no serializer of its own.
    text = to_json(document, indent=indent, ensure_ascii=True, fallback=vars).decode("ascii")
    return text.replace("\x7f", "\\u007f")
