"""The floor: the least that a Python program with these libraries can do for the same answer."""

import os
import sys

import click
import httpx

from aeroctl.contract.envelope import SnapshotEnvelope


@click.command()
def floor() -> None:
    """GET, validate, print."""
    with open(os.environ["AEROCTL_TOKEN_FILE"]) as file:  # noqa: PTH123
        headers = {"authorization": f"Bearer {file.read().strip()}"}
    answer = httpx.get(
        f"{os.environ['AEROCTL_KERNEL']}/v1/snapshot?include=cluster,nodes,replication",
        headers=headers,
        trust_env=False,
    )
    answer.raise_for_status()
    sys.stdout.write(SnapshotEnvelope.model_validate_json(answer.content).model_dump_json())


floor()
