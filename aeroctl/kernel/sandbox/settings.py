"""What the programs are told: pure functions."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from aeroctl.kernel.sandbox.ports import HOST

NAMESPACE = "/service"
SCOPE = "demo"
PREFIX = f"{NAMESPACE}/{SCOPE}/"
KERNEL_ROLE = "aerokernel"

# All that aerokernel needs of a database, and the same statement that its documentation gives.
CREATE_KERNEL_ROLE = f"CREATE ROLE {KERNEL_ROLE} LOGIN IN ROLE pg_monitor"

Settings = Mapping[str, Any]

DYNAMIC: Settings = {
    "ttl": 20,  # Patroni's minimum
    "loop_wait": 2,
    "retry_timeout": 3,
    "maximum_lag_on_failover": 1024 * 1024,
    "postgresql": {
        "use_pg_rewind": True,
        "use_slots": True,
        "parameters": {"max_connections": 50, "wal_log_hints": "on"},
    },
}

PARAMETERS: Settings = {
    # Nothing outside the sandbox's directory: no socket in /tmp, no segment in /dev/shm.
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",
    "shared_buffers": "16MB",
    "min_wal_size": "32MB",
    # A replica that comes up before its slot exists tries again at once, not after five seconds.
    "wal_retrieve_retry_interval": "200ms",
}


def patroni(
    name: str,
    directory: Path,
    *,
    rest_port: int,
    advertised_port: int,
    postgres_port: int,
    etcd_port: int,
    programs: Path,
    dynamic: Settings,
    tags: Settings,
) -> dict[str, Any]:
    """One node's patroni.yml; `dynamic` is laid over the cluster's own settings.

    `advertised_port`: where the others are told that Patroni answers.
    """
    create_role = [str(programs / "psql"), "-X", "-q", "-c", CREATE_KERNEL_ROLE]
    return {
        "namespace": NAMESPACE + "/",
        "scope": SCOPE,
        "name": name,
        "restapi": {
            "listen": f"{HOST}:{rest_port}",
            "connect_address": f"{HOST}:{advertised_port}",
        },
        "etcd3": {"host": f"{HOST}:{etcd_port}"},
        "bootstrap": {
            "dcs": overlay(DYNAMIC, dynamic),
            "initdb": [
                {"encoding": "UTF8"},
                {"locale": "C"},
                {"auth": "trust"},
                {"set": "dynamic_shared_memory_type=mmap"},  # see PARAMETERS; from version 16 on
                "data-checksums",
                "no-sync",
            ],
            "post_bootstrap": shlex.join(create_role),
        },
        "postgresql": {
            "listen": f"{HOST}:{postgres_port}",
            "connect_address": f"{HOST}:{postgres_port}",
            "data_dir": str(directory / "data"),
            "bin_dir": str(programs),
            "pgpass": str(directory / "pgpass"),
            "authentication": {
                "superuser": {"username": "postgres"},
                "replication": {"username": "replicator"},
            },
            "parameters": dict(PARAMETERS),
            "pg_hba": [
                f"host all all {HOST}/32 trust",
                f"host replication all {HOST}/32 trust",
            ],
            "basebackup": [{"checkpoint": "fast"}, "no-sync"],
        },
        "watchdog": {"mode": "off"},
        "tags": dict(tags),
    }


def etcd(client_port: int, peer_port: int) -> list[str]:
    """The arguments of etcd, to be started where its data shall lie."""
    client, peer = f"http://{HOST}:{client_port}", f"http://{HOST}:{peer_port}"
    return [
        "--name=sandbox",
        "--data-dir=data",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=sandbox={peer}",
        "--unsafe-no-fsync",  # the data do not outlive the machine's memory anyway
        "--logger=zap",
        "--log-level=warn",
    ]


def serve(port: int, etcd_port: int, token_file: str | None) -> list[str]:
    """The arguments of aerokernel."""
    return [
        "serve",
        f"--host={HOST}",
        f"--port={port}",
        f"--etcd=http://{HOST}:{etcd_port}",
        f"--namespace={NAMESPACE}",
        f"--scope={SCOPE}",
        f"--pg-user={KERNEL_ROLE}",
        "--pg-dbname=postgres",
        *([f"--token-file={token_file}"] if token_file else []),
    ]


def overlay(below: Settings, above: Settings) -> dict[str, Any]:
    """Two trees of settings as one; where they disagree, `above` holds."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if isinstance(under, Mapping) and isinstance(value, Mapping):
            merged[key] = overlay(under, value)
        else:
            merged[key] = value
    return merged


def parse_setting(text: str) -> dict[str, Any]:
    """`KEY=VALUE`, dots in KEY going down the tree: what `patronictl edit-config --set` takes."""
    path, separator, value = text.partition("=")
    if not separator or not all(path.split(".")):
        raise ValueError(f"{text!r} is not KEY=VALUE")
    try:
        setting = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ValueError(f"{value!r} is not a YAML value") from None
    for key in reversed(path.split(".")):
        setting = {key: setting}
    return dict(setting)


def parse_tag(text: str) -> tuple[str, dict[str, Any]]:
    """`NODE:KEY=VALUE`."""
    node, separator, setting = text.partition(":")
    if not separator:
        raise ValueError(f"{text!r} is not NODE:KEY=VALUE")
    return node, parse_setting(setting)
