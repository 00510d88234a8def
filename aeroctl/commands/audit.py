"""aeroctl audit."""

import re
from typing import Any

import click

from aeroctl.cli import option, shared_options
from aeroctl.commands._options import Asked, reading_options, show
from aeroctl.errors import Exit


class HeadType(click.ParamType):  # type: ignore[type-arg]
    """The head of an audit trail, as audit --verify prints it, or its hash alone."""

    name = "head"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int | None, str]:
        """Sequence and hash. Raises BadParameter."""
        found = re.fullmatch(r"(?:([0-9]{1,16}):)?([0-9a-f]{64})", str(value).strip().lower())
        if found is None:
            self.fail("expected what audit --verify prints: SEQUENCE:HASH, or HASH", param, ctx)
        return (int(found[1]) if found[1] else None), found[2]


@click.command()
@option("--verify", is_flag=True, help="Check the hash chain; exit 8 if it is broken.")
@option(
    "--head",
    type=HeadType(),
    metavar="HEAD",
    help="With --verify: the head that --verify printed earlier. Exit 8 unless the trail holds it.",
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
    asked: Asked,
) -> Exit:
    """Who asked for what, when in the kernel's order, how it was confirmed, what came of it.

    For operators and auditors. The trail is append-only; each record holds the hash of the one
    before it. --verify follows the chain from the first record to its kept end and names the first
    record that does not fit. Note the head that it prints, outside of the cluster: with --head it
    tells a trail whose last records were deleted from one that is intact.
    """
    from aeroctl.workflows.audit import show_trail

    if head is not None and not verify:
        raise click.UsageError("--head is what --verify compares with: give both")

    chosen = None if request is None else str(request)
    whole = show(ctx, asked, lambda reader: show_trail(reader, chosen, verify, asked.at, head))
    return Exit.DONE if whole else Exit.CHECK_FAILED
