"""Topics of help that are data: the table of error codes, and the exit codes."""

from aeroctl.errors import KINDS, Exit
from aeroctl.output.output import Output
from aeroctl.views.blocks import Grid


def show_errors(output: Output) -> None:
    """Every error code with its domain, its exit code and what it means."""
    codes = [
        {
            "code": code,
            "domain": kind.domain,
            "exit": int(kind.exit),
            "means": kind.means,
            "invariants": list(kind.invariants),
            "next": kind.next,
        }
        for code, kind in KINDS.items()
    ]
    rows = tuple((code, kind.domain, int(kind.exit), kind.means) for code, kind in KINDS.items())
    output.topic({"errors": codes}, Grid("CODE DOMAIN EXIT MEANS", rows))


def show_exit_codes(output: Output) -> None:
    """Every exit code and what it means."""
    rows = tuple((int(code), code.means) for code in Exit)
    document = {"exit_codes": [{"exit": code, "means": means} for code, means in rows]}
    output.topic(document, Grid("EXIT MEANS", rows))
