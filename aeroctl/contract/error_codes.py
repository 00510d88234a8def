"""The one table of error codes: what kernel, aeroctl and OpenAPI know about each of them.

A code is never reused with another meaning. Plain data: nothing here imports pydantic.
"""

from dataclasses import dataclass

from aeroctl.contract.terms import Domain


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """What is fixed for a code. `exit`: of aeroctl, while nothing was executed."""

    domain: Domain
    exit: int
    means: str
    status: int | None = None
    """HTTP status of the kernel's answer; None: a code of aeroctl alone, which no kernel sends."""
    invariants: tuple[str, ...] = ()
    transient: bool = False
    """The same request may succeed a moment later."""


ERROR_CODES: dict[str, ErrorCode] = {
    # operator_input: the command line, or a request, is wrong
    "USAGE": ErrorCode("operator_input", 2, "the command line is not valid"),
    "UNKNOWN_NODE": ErrorCode(
        "operator_input",
        2,
        "the cluster has no node of that name",
        status=400,
        invariants=("P7-A3",),
    ),
    "UNKNOWN_FIELD": ErrorCode(
        "operator_input", 2, "the view has no field of that name to filter or sort by"
    ),
    "BAD_KERNEL_URL": ErrorCode(
        "operator_input", 2, "the kernel's address is not a scheme, host and port"
    ),
    "BAD_TLS_FILE": ErrorCode("operator_input", 2, "a certificate or key can't be loaded"),
    "TOKEN_UNREADABLE": ErrorCode(
        "operator_input", 2, "the token file (or AEROCTL_TOKEN) holds no token"
    ),
    "TOKEN_EXPOSED": ErrorCode(
        "operator_input", 2, "other users can read the token file", invariants=("P7-A1",)
    ),
    "EVIDENCE_UNREADABLE": ErrorCode("operator_input", 2, "the file of --from can't be read"),
    "BAD_PARAMETER": ErrorCode(
        "operator_input", 2, "the kernel does not know a query parameter or its value", status=400
    ),
    "FUTURE_REVISION": ErrorCode(
        "operator_input", 2, "the requested revision is later than the current one", status=400
    ),
    "NOT_FOUND": ErrorCode("operator_input", 2, "the kernel has no such path", status=404),
    "METHOD_NOT_ALLOWED": ErrorCode(
        "operator_input", 2, "the kernel does not support this HTTP method on this path", status=405
    ),
    "BAD_REQUEST": ErrorCode("operator_input", 2, "the kernel can't parse the request", status=400),
    "UNKNOWN_COMMAND": ErrorCode(
        "operator_input",
        2,
        "the kernel has no command of that name",
        status=404,
        invariants=("P7-S3",),
    ),
    # control_plane_validation: refused by aeroctl or by the kernel's own checks
    "TOKEN_OVER_PLAINTEXT": ErrorCode(
        "control_plane_validation", 3, "the token would be sent unencrypted", invariants=("P7-F1",)
    ),
    "UNAUTHENTICATED": ErrorCode(
        "control_plane_validation",
        3,
        "the kernel does not know the token",
        status=401,
        invariants=("P7-A1",),
    ),
    "NOT_AUTHORIZED": ErrorCode(
        "control_plane_validation",
        3,
        "the token's authority does not allow this",
        status=403,
        invariants=("P7-A1",),
    ),
    "TOKEN_FILE_UNREADABLE": ErrorCode(
        "control_plane_validation",
        3,
        "the kernel's token file is damaged, so that the kernel accepts no token",
        status=503,
        invariants=("P7-F1",),
    ),
    "CONFIRMATION_MISSING": ErrorCode(
        "control_plane_validation",
        3,
        "there is neither a terminal for a prompt nor an option that confirms",
        invariants=("P7-A2",),
    ),
    "DECLINED": ErrorCode(
        "control_plane_validation",
        3,
        "the answer at the prompt did not confirm",
        invariants=("P7-A2",),
    ),
    "CONFIRMATION_STALE": ErrorCode(
        "control_plane_validation",
        3,
        "the token of --confirm is for another command or another state",
        invariants=("P7-A2", "P7-D2"),
    ),
    "OVERRIDE_INCOMPLETE": ErrorCode(
        "control_plane_validation",
        3,
        "an override needs exactly the listed acknowledgements and accepted responsibility",
        invariants=("P7-A2", "P6-A1a"),
    ),
    "INTERRUPTED": ErrorCode(
        "control_plane_validation",
        130,
        "interrupted at the prompt (exit 130), or while waiting for the answer (exit 6)",
        invariants=("P7-A2",),
    ),
    "CONFIRMATION_INVALID": ErrorCode(
        "control_plane_validation",
        3,
        "the request has no valid confirmation for this command and state",
        status=403,
        invariants=("P7-A2",),
    ),
    "CONFIRMATION_EXPIRED": ErrorCode(
        "control_plane_validation",
        3,
        "the confirmed explanation is too old, or dated in the future",
        status=403,
        invariants=("P7-A2",),
    ),
    "CONFIRMATION_REUSED": ErrorCode(
        "control_plane_validation",
        3,
        "the confirmation was used by an earlier request, whatever its outcome",
        status=409,
        invariants=("P7-A2", "P7-F3"),
    ),
    "ACKNOWLEDGEMENT_MISMATCH": ErrorCode(
        "control_plane_validation",
        3,
        "the acknowledgements differ from those that the kernel requires",
        status=403,
        invariants=("P7-A2",),
    ),
    "STATE_CHANGED": ErrorCode(
        "control_plane_validation",
        3,
        "the cluster's state is no longer the one that was confirmed",
        status=409,
        invariants=("P7-D2",),
    ),
    "REQUEST_SEEN": ErrorCode(
        "control_plane_validation",
        3,
        "the kernel already has a request of this id",
        status=409,
        invariants=("P7-F3",),
    ),
    "CALLER_GONE": ErrorCode(
        "control_plane_validation",
        3,
        "the client disconnected before the command ran; nothing was executed",
        status=409,
        invariants=("P7-A2",),
    ),
    "UNKNOWN_API_VERSION": ErrorCode(
        "control_plane_validation",
        7,
        "the kernel or the file uses another API version",
        invariants=("P7-F1",),
    ),
    "CONTRACT_BROKEN": ErrorCode(
        "control_plane_validation",
        7,
        "the answer does not follow the API contract",
        invariants=("P7-F1",),
    ),
    "EVIDENCE_DAMAGED": ErrorCode(
        "control_plane_validation",
        7,
        "the evidence file is truncated, altered, or not written by aeroctl",
        invariants=("P7-D1",),
    ),
    "NOT_IN_EVIDENCE": ErrorCode(
        "control_plane_validation",
        7,
        "the evidence file does not hold that revision, section or log",
        invariants=("P7-D1",),
    ),
    "NOTHING_TO_COMPARE": ErrorCode(
        "control_plane_validation",
        7,
        "the two snapshots have no section in common",
        invariants=("P7-D1",),
    ),
    "ANSWER_TOO_LARGE": ErrorCode(
        "control_plane_validation",
        7,
        "the answer exceeds 32 MiB, 500,000 values or a million entries",
        invariants=("P7-F1",),
    ),
    # kernel_rejection: no consistent state, or the cluster does not allow it
    "SNAPSHOT_UNSTABLE": ErrorCode(
        "kernel_rejection",
        7,
        "the leader kept changing while nodes were read",
        status=503,
        invariants=("P7-F1",),
        transient=True,
    ),
    "KERNEL_BUSY": ErrorCode(
        "kernel_rejection",
        7,
        "the kernel is overloaded, or could not read its nodes or etcd in time",
        status=503,
        invariants=("P7-F1",),
        transient=True,
    ),
    "RULE_NOT_MET": ErrorCode(
        "kernel_rejection",
        4,
        "a rule that the kernel enforces does not hold",
        status=409,
        invariants=("P7-E3",),
    ),
    "AGENT_MISMATCH": ErrorCode(
        "kernel_rejection",
        4,
        "the node's address is served by the Patroni of another node or cluster",
        status=409,
        invariants=("P7-A2", "P7-F1"),
    ),
    "AGENT_UNREACHABLE": ErrorCode(
        "kernel_rejection",
        4,
        "the node's Patroni did not answer, or did not prove its identity",
        status=409,
        invariants=("P7-F1",),
    ),
    "COMMAND_IN_FLIGHT": ErrorCode(
        "kernel_rejection", 4, "another request is in progress", status=409, invariants=("P7-E1",)
    ),
    "ENGINE_REJECTED": ErrorCode(
        "kernel_rejection",
        4,
        "Patroni refused; the message is its own",
        status=409,
        invariants=("P7-E3",),
    ),
    "SECTION_NOT_IN_HISTORY": ErrorCode(
        "kernel_rejection",
        7,
        "an earlier state does not hold what only nodes report",
        status=409,
        invariants=("P7-D1",),
    ),
    "REVISION_COMPACTED": ErrorCode(
        "kernel_rejection",
        7,
        "etcd no longer holds that revision",
        status=410,
        invariants=("P7-D1",),
    ),
    "TIME_NOT_PINNED": ErrorCode(
        "kernel_rejection",
        7,
        "the log does not tell which revision was current at that time",
        status=409,
        invariants=("P7-D1",),
    ),
    "CLUSTER_NOT_FOUND": ErrorCode(
        "kernel_rejection", 7, "etcd holds no cluster of that name", status=404
    ),
    "CLUSTER_IS_CITUS": ErrorCode(
        "kernel_rejection",
        7,
        "etcd holds a Citus cluster of several groups, which this version does not read",
        status=502,
        invariants=("P7-F1",),
    ),
    "STORE_UNAVAILABLE": ErrorCode(
        "transport",
        7,
        "the kernel can't reach etcd",
        status=503,
        invariants=("P7-F1",),
        transient=True,
    ),
    "STORE_TLS_FAILED": ErrorCode(
        "transport",
        7,
        "the TLS handshake between the kernel and etcd failed",
        status=503,
        invariants=("P7-F1",),
    ),
    "STORE_REFUSED": ErrorCode(
        "kernel_rejection",
        7,
        "etcd refused the kernel's request",
        status=502,
        invariants=("P7-F1",),
    ),
    "KERNEL_STATE_UNREADABLE": ErrorCode(
        "kernel_rejection", 7, "a key in etcd can't be parsed", status=502, invariants=("P7-F1",)
    ),
    "INTERNAL": ErrorCode(
        "kernel_rejection", 7, "a bug in aerokernel", status=500, invariants=("P7-F1",)
    ),
    "BUG": ErrorCode("control_plane_validation", 1, "a bug in aeroctl"),
    # transport: the kernel was not reached, or its answer did not arrive
    "KERNEL_UNREACHABLE": ErrorCode(
        "transport", 5, "connection refused: is aerokernel running at this address?", transient=True
    ),
    "KERNEL_TIMEOUT": ErrorCode(
        "transport", 5, "the kernel did not answer completely in time", transient=True
    ),
    "CONNECTION_LOST": ErrorCode(
        "transport", 5, "the connection to the kernel broke", transient=True
    ),
    "TLS_FAILED": ErrorCode("transport", 5, "the TLS handshake with the kernel failed"),
    "REDIRECT_REFUSED": ErrorCode(
        "transport", 5, "the address redirects to another one; aeroctl follows no redirect"
    ),
    "OUTPUT_FAILED": ErrorCode("transport", 5, "standard output can't be written"),
}
