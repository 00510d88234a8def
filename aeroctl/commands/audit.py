"""aeroctl audit."""

import re
from typing import Any

import click

from aeroctl.commands.reading import ReadOptions, reading_options, show
from aeroctl.errors import Exit
from aeroctl.options import option, shared_options


class HeadType(click.ParamType):  # type: ignore[type-arg]
    """The head of an audit trail, as audit --verify prints it, or only its hash."""

    name = "head"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int | None, str]:
        """Sequence and hash. Raises BadParameter."""
        match = re.fullmatch(r"(?:([0-9]{1,16}):)?([0-9a-f]{64})", str(value).strip().lower())
        if match is None:
            self.fail("expected what audit --verify prints: SEQUENCE:HASH, or HASH", param, ctx)
        return (int(match[1]) if match[1] else None), match[2]


@click.command()
@option("--verify", is_flag=True, help="Check the hash chain; exit 8 if it is broken.")
@option(
    "--head",
    type=HeadType(),
    metavar="HEAD",
    help="With --verify: a head that --verify printed earlier. Exit 8 unless the trail holds it.",
)
@option("--request", type=click.UUID, metavar="ID", help="Only this request's records.")
@reading_options
@shared_options
@click.pass_context
def audit(
    ctx: click.Context,
    verify: bool,
    head: tuple[int | None, str] | None,
    request: object,
    options: ReadOptions,
) -> Exit:
    """Every request: the operator, the order, how it was confirmed, its outcome.

    For operators and auditors. The trail is append-only, and each record holds the hash of the
    previous one. --verify checks that chain from the first record to the stored head and names the
    first record that does not fit. Keep the head that it prints outside of the cluster: given with
    --head later, it shows whether records were deleted from the end.
    """
    from aeroctl.workflows.audit import show_trail

    if head is not None and not verify:
        raise click.UsageError("--head needs --verify")

    chosen = None if request is None else str(request)
    intact = show(ctx, options, lambda reader: show_trail(reader, chosen, verify, options.at, head))
    return Exit.DONE if intact else Exit.CHECK_FAILED
