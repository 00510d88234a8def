"""What can go wrong, once: four domains, stable codes, exit codes.

A failure has exactly one domain and one code. The codes that a kernel sends are in the same table,
so that a script sees one vocabulary; a code that is not in it (a newer kernel's) gets the exit code
of its domain.
"""

from dataclasses import dataclass, field
from enum import IntEnum

from aeroctl.contract.terms import Domain, Outcome


class Exit(IntEnum):
    """What the process says to the shell. Part of the contract with scripts."""

    DONE = 0
    BUG = 1
    INPUT = 2
    REFUSED = 3
    REJECTED = 4
    TRANSPORT = 5
    UNKNOWN = 6
    NO_SNAPSHOT = 7
    CHECK_FAILED = 8
    NOT_AS_ASKED = 9
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Kind:
    """One code: whose fault, how it ends, and where to look next."""

    domain: Domain
    exit: Exit
    next: str | None = None
    invariants: tuple[str, ...] = ()


_SEE_URL = "Check --kernel or AEROCTL_KERNEL, and that aerokernel serve runs there."

KINDS: dict[str, Kind] = {
    # operator_input: the words of the command
    "USAGE": Kind("operator_input", Exit.INPUT),
    "UNKNOWN_NODE": Kind("operator_input", Exit.INPUT),
    "UNKNOWN_FIELD": Kind("operator_input", Exit.INPUT),
    "BAD_KERNEL_URL": Kind("operator_input", Exit.INPUT),
    "BAD_TLS_FILE": Kind("operator_input", Exit.INPUT),
    "TOKEN_UNREADABLE": Kind("operator_input", Exit.INPUT),
    "TOKEN_EXPOSED": Kind(
        "operator_input", Exit.INPUT, "Make it yours alone: chmod 600.", ("P7-A1",)
    ),
    "BAD_PARAMETER": Kind("operator_input", Exit.INPUT),
    "FUTURE_COMMIT": Kind("operator_input", Exit.INPUT),
    "NOT_FOUND": Kind("operator_input", Exit.INPUT, _SEE_URL),
    "METHOD_NOT_ALLOWED": Kind("operator_input", Exit.INPUT, _SEE_URL),
    "BAD_REQUEST": Kind("operator_input", Exit.INPUT, _SEE_URL),
    # control_plane_validation: refused before or after the kernel was asked
    "TOKEN_OVER_PLAINTEXT": Kind(
        "control_plane_validation", Exit.REFUSED, "Use an https:// address.", ("P7-F1",)
    ),
    "UNAUTHENTICATED": Kind(
        "control_plane_validation",
        Exit.REFUSED,
        "Give a token: --token-file or AEROCTL_TOKEN_FILE.",
        ("P7-A1",),
    ),
    "NOT_AUTHORIZED": Kind("control_plane_validation", Exit.REFUSED, None, ("P7-A1",)),
    "TOKEN_FILE_UNREADABLE": Kind(
        "control_plane_validation",
        Exit.REFUSED,
        "See the log of aerokernel serve: its token file is damaged.",
        ("P7-F1",),
    ),
    "UNKNOWN_API_VERSION": Kind(
        "control_plane_validation",
        Exit.NO_SNAPSHOT,
        "Use an aeroctl that speaks the kernel's version.",
        ("P7-F1",),
    ),
    "CONTRACT_BROKEN": Kind("control_plane_validation", Exit.NO_SNAPSHOT, _SEE_URL, ("P7-F1",)),
    "ANSWER_TOO_LARGE": Kind("control_plane_validation", Exit.NO_SNAPSHOT, None, ("P7-F1",)),
    # kernel_rejection: no consistent state to be had
    "SNAPSHOT_UNSTABLE": Kind(
        "kernel_rejection", Exit.NO_SNAPSHOT, "Authority is changing; ask again.", ("P7-D1",)
    ),
    "KERNEL_BUSY": Kind("kernel_rejection", Exit.NO_SNAPSHOT, "Ask again."),
    "SECTION_NOT_IN_HISTORY": Kind(
        "kernel_rejection",
        Exit.NO_SNAPSHOT,
        "History holds what the consensus store held: cluster, nodes, promotion.",
        ("P7-D1",),
    ),
    "COMMIT_COMPACTED": Kind("kernel_rejection", Exit.NO_SNAPSHOT, None, ("P7-D1",)),
    "CLUSTER_NOT_FOUND": Kind(
        "kernel_rejection", Exit.NO_SNAPSHOT, "Check --namespace and --scope of aerokernel serve."
    ),
    "STORE_UNAVAILABLE": Kind(
        "transport", Exit.NO_SNAPSHOT, "See whether etcd runs, and whether the kernel reaches it."
    ),
    "STORE_REFUSED": Kind(
        "kernel_rejection", Exit.NO_SNAPSHOT, "Check the kernel's credentials for its store."
    ),
    "KERNEL_STATE_UNREADABLE": Kind("kernel_rejection", Exit.NO_SNAPSHOT, None, ("P7-D1",)),
    "INTERNAL": Kind("kernel_rejection", Exit.NO_SNAPSHOT, "See the log of aerokernel serve."),
    "BUG": Kind("control_plane_validation", Exit.BUG, "Report what --debug says."),
    # transport: the kernel was not reached, or its answer did not arrive
    "KERNEL_UNREACHABLE": Kind("transport", Exit.TRANSPORT, _SEE_URL),
    "KERNEL_TIMEOUT": Kind("transport", Exit.TRANSPORT, "Allow more with --timeout."),
    "CONNECTION_LOST": Kind("transport", Exit.TRANSPORT),
    "TLS_FAILED": Kind("transport", Exit.TRANSPORT, "Check --ca-file, --cert and --key."),
    "REDIRECT_REFUSED": Kind("transport", Exit.TRANSPORT, _SEE_URL),
    "OUTPUT_FAILED": Kind("transport", Exit.TRANSPORT),
}

_DOMAIN_EXIT: dict[Domain, Exit] = {
    "operator_input": Exit.INPUT,
    "control_plane_validation": Exit.REFUSED,
    "kernel_rejection": Exit.REJECTED,
    "transport": Exit.TRANSPORT,
}


@dataclass
class Failure(Exception):
    """Why a command ends without what it was asked for. `message` is shown verbatim (P7-E3)."""

    code: str
    message: str
    domain: Domain = field(default="transport")
    invariants: tuple[str, ...] = ()
    outcome: Outcome = "not_executed"
    request_id: str | None = None

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @property
    def exit(self) -> Exit:
        """The exit code: the code's own, else its domain's; never success (P7-E2)."""
        if self.outcome == "unknown":
            return Exit.UNKNOWN
        kind = KINDS.get(self.code)
        return kind.exit if kind and kind.domain == self.domain else _DOMAIN_EXIT[self.domain]

    @property
    def next(self) -> str | None:
        """Where to look next, if there is something to say."""
        kind = KINDS.get(self.code)
        return kind.next if kind else None


def failure(code: str, message: str) -> Failure:
    """A failure that aeroctl itself found; its domain and invariants are the code's."""
    kind = KINDS[code]
    return Failure(code, message, kind.domain, kind.invariants)
