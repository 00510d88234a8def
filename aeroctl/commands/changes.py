"""aeroctl promote, demote, force-promote, diagnose: each asks for one action, once."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from aeroctl.commands.reading import sendable
from aeroctl.contract.commands import VERBS
from aeroctl.errors import Exit
from aeroctl.options import app_of, option, shared_options
from aeroctl.workflows.confirm import Consent

Function = TypeVar("Function", bound=Callable[..., Any])


def _reason(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not 0 < len(value.strip()) <= len(value) <= 1000:
        raise click.BadParameter(
            "it must have 1 to 1000 characters, not only blanks", ctx, parameter
        )
    return sendable(ctx, parameter, value)


def _reason_option(required: bool) -> Callable[[Function], Function]:
    return option(
        "--reason",
        metavar="TEXT",
        required=required,
        callback=_reason,
        help="The reason, for the audit trail.",
    )


def _token_option(function: Function) -> Function:
    return option(
        "--confirm",
        "token",
        metavar="TOKEN",
        help="Confirm with the token that aeroctl explain printed; only valid for that state.",
    )(function)


def _standard(function: Function) -> Function:
    """The options of a standard confirmation. No variable can give one (P7-A2)."""
    yes = option("--yes", is_flag=True, help="Confirm without a prompt.")
    return yes(_token_option(_reason_option(required=False)(shared_options(function))))


def _consent(yes: bool, token: str | None) -> Consent:
    if yes and token is not None:
        raise click.UsageError("give either --yes or --confirm, not both")
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
    """Promote the replica NODE; the primary becomes a replica (Patroni: switchover).

    Shows what would happen, asks for confirmation, sends one request, and prints the outcome as
    the cluster proves it. Exit 0: NODE is the new primary and accepts writes.

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
    """Demote the primary NODE; Patroni chooses the new primary (Patroni: switchover).

    aeroctl explain demote NODE lists the candidates.
    """
    return _run(ctx, "demote", node, reason, _consent(yes, token))


@click.command("force-promote")
@click.argument("node", callback=sendable)
@option(
    "--acknowledge",
    "acknowledged",
    multiple=True,
    metavar="ID",
    help="An overridden invariant; give the option once for each that aeroctl explain lists.",
)
@option("--accept-responsibility", is_flag=True, help="Accept responsibility for lost data.")
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
    """Promote the replica NODE although safety checks fail (Patroni: failover).

    Acknowledged writes may be lost. At a terminal a prompt asks for each overridden invariant.
    Elsewhere give --acknowledge for each of them, and --accept-responsibility.
    """
    consent = Consent(False, token, acknowledged, accept_responsibility)
    return _run(ctx, "force-promote", node, reason, consent)


@click.command()
@_standard
@click.pass_context
def diagnose(ctx: click.Context, yes: bool, token: str | None, reason: str | None) -> Exit:
    """Ask PostgreSQL and Patroni on every node for their state, and compare it with etcd's.

    Changes nothing. It runs some queries on every node; aeroctl explain diagnose shows how many.
    """
    return _run(ctx, "diagnose", None, reason, _consent(yes, token))
