"""Topics of help that are data: the table of error codes, and the exit codes."""

from aeroctl.contract.error_codes import ERROR_CODES
from aeroctl.errors import Exit, next_step
from aeroctl.output.output import Output
from aeroctl.views.blocks import Grid


def show_errors(output: Output) -> None:
    """Every error code with its domain, its exit code and what it means."""
    codes = [
        {
            "code": code,
            "domain": row.domain,
            "exit": row.exit,
            "means": row.means,
            "invariants": list(row.invariants),
            "next": next_step(code),
        }
        for code, row in ERROR_CODES.items()
    ]
    rows = tuple((code, row.domain, row.exit, row.means) for code, row in ERROR_CODES.items())
    output.topic({"errors": codes}, Grid("CODE DOMAIN EXIT MEANS", rows))


def show_exit_codes(output: Output) -> None:
    """Every exit code and what it means."""
    rows = tuple((int(code), code.means) for code in Exit)
    document = {"exit_codes": [{"exit": code, "means": means} for code, means in rows]}
    output.topic(document, Grid("EXIT MEANS", rows))
