"""aeroctl promote, demote, force-promote, diagnose: one kernel action, confirmed, sent once."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from aeroctl.cli import app_of, option, shared_options
from aeroctl.commands._options import sendable
from aeroctl.contract.commands import VERBS
from aeroctl.errors import Exit
from aeroctl.workflows.confirm import Consent

Function = TypeVar("Function", bound=Callable[..., Any])


def _reason(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not 0 < len(value.strip()) <= len(value) <= 1000:
        raise click.BadParameter("1 to 1000 characters, not all blank", ctx, parameter)
    return sendable(ctx, parameter, value)


def _reason_option(required: bool) -> Callable[[Function], Function]:
    return option(
        "--reason",
        metavar="TEXT",
        required=required,
        callback=_reason,
        help="Why; it is kept in the audit trail.",
    )


def _token_option(function: Function) -> Function:
    return option(
        "--confirm",
        "token",
        metavar="TOKEN",
        help="Confirm what aeroctl explain showed with this token; refused in any other state.",
    )(function)


def _standard(function: Function) -> Function:
    """What gives a standard confirmation. No variable can (P7-A2)."""
    yes = option("--yes", is_flag=True, help="Confirm without being asked.")
    return yes(_token_option(_reason_option(required=False)(shared_options(function))))


def _consent(yes: bool, token: str | None) -> Consent:
    if yes and token is not None:
        raise click.UsageError("--yes and --confirm are two confirmations: give one")
    return Consent(yes=yes, token=token)


def _run(
    ctx: click.Context, verb: str, target: str | None, reason: str | None, consent: Consent
) -> Exit:
    from aeroctl.workflows.change import change

    return change(app_of(ctx), VERBS[verb], target, reason, consent)


@click.command()
@click.argument("node", callback=sendable)
@_standard
@click.pass_context
def promote(
    ctx: click.Context, node: str, yes: bool, token: str | None, reason: str | None
) -> Exit:
    """Have the kernel transfer the leader key from its holder to the replica NODE.

    Shows what the kernel says of it, asks, sends one request and prints the outcome that the
    cluster proves. Exit 0: NODE holds the leader key in a new leader term and is writable.

    \b
    Example:
      aeroctl promote n2 --yes --reason "kernel update on n1" -o json | jq -r .data.outcome
    """
    return _run(ctx, "promote", node, reason, _consent(yes, token))


@click.command()
@click.argument("node", callback=sendable)
@_standard
@click.pass_context
def demote(ctx: click.Context, node: str, yes: bool, token: str | None, reason: str | None) -> Exit:
    """Have NODE, which holds the leader key, step down. The kernel picks its successor.

    aeroctl explain demote NODE shows among whom.
    """
    return _run(ctx, "demote", node, reason, _consent(yes, token))


@click.command("force-promote")
@click.argument("node", callback=sendable)
@option(
    "--acknowledge",
    "acknowledged",
    multiple=True,
    metavar="ID",
    help="An invariant that is overridden; once for each that aeroctl explain lists.",
)
@option("--accept-responsibility", is_flag=True, help="Take responsibility for what is lost.")
@_token_option
@_reason_option(required=True)
@shared_options
@click.pass_context
def force_promote(
    ctx: click.Context,
    node: str,
    acknowledged: tuple[str, ...],
    accept_responsibility: bool,
    token: str | None,
    reason: str | None,
) -> Exit:
    """Have the kernel give the leader key to the replica NODE although checks are skipped.

    Acknowledged writes may be lost. At a terminal each overridden invariant is asked for in turn;
    elsewhere --acknowledge, for exactly those, and --accept-responsibility say the same.
    """
    consent = Consent(False, token, acknowledged, accept_responsibility)
    return _run(ctx, "force-promote", node, reason, consent)


@click.command()
@_standard
@click.pass_context
def diagnose(ctx: click.Context, yes: bool, token: str | None, reason: str | None) -> Exit:
    """Ask every node's database and agent for their own account, and compare with the store's.

    It changes nothing, and costs every node some queries: aeroctl explain diagnose says how many.
    """
    return _run(ctx, "diagnose", None, reason, _consent(yes, token))
