"""Failures of a command: exit codes, and the step to take next.

A failure has exactly one domain and one code. aeroctl and kernel share one table of codes; a code
that is not in it (a newer kernel's) gets the exit code of its domain.
"""

from dataclasses import dataclass, field
from enum import IntEnum

from aeroctl.contract.error_codes import ERROR_CODES, ErrorCode
from aeroctl.contract.terms import Domain, Outcome


class Exit(IntEnum):
    """The exit codes of aeroctl; part of the contract with scripts."""

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

    @property
    def means(self) -> str:
        """What the code means."""
        return _EXIT_MEANS[self]


_EXIT_MEANS: dict[int, str] = {
    Exit.DONE: "done; also when the reader of a pipe closed it early",
    Exit.BUG: "a bug in aeroctl",
    Exit.INPUT: "the command line is wrong, for example an unknown node or option",
    Exit.REFUSED: "refused by aeroctl or by the kernel's checks, for example without confirmation; "
    "nothing was executed",
    Exit.REJECTED: "rejected by the kernel or by Patroni; nothing was executed",
    Exit.TRANSPORT: "the kernel could not be reached; nothing was executed",
    Exit.UNKNOWN: "the outcome is unknown, or the request is still in progress",
    Exit.NO_SNAPSHOT: "there is no consistent snapshot to show; nothing was executed",
    Exit.CHECK_FAILED: "--check or --verify failed",
    Exit.NOT_AS_ASKED: "executed, but not as asked or not completely, or the outcome could not be "
    "written",
    Exit.INTERRUPTED: "interrupted; nothing was sent",
}


CHECK_ADDRESS = "Check --kernel or AEROCTL_KERNEL, and that aerokernel serve runs there."
EXPLAIN_AGAIN = "Run aeroctl explain again, and confirm what it shows."
_NEXT: dict[str, str] = {
    "TOKEN_EXPOSED": "Make the file readable by you alone: chmod 600 FILE.",
    "NOT_FOUND": CHECK_ADDRESS,
    "METHOD_NOT_ALLOWED": CHECK_ADDRESS,
    "BAD_REQUEST": CHECK_ADDRESS,
    "TOKEN_OVER_PLAINTEXT": "Use an https:// address.",
    "UNAUTHENTICATED": "Give a token with --token-file or AEROCTL_TOKEN_FILE.",
    "TOKEN_FILE_UNREADABLE": "See the log of aerokernel serve; repair its token file.",
    "CONFIRMATION_MISSING": "Run it at a terminal, or give --yes or --confirm TOKEN (from "
    "aeroctl explain); an override needs --acknowledge and --accept-responsibility.",
    "CONFIRMATION_STALE": EXPLAIN_AGAIN,
    "CONFIRMATION_INVALID": EXPLAIN_AGAIN,
    "CONFIRMATION_EXPIRED": EXPLAIN_AGAIN,
    "CONFIRMATION_REUSED": EXPLAIN_AGAIN,
    "STATE_CHANGED": EXPLAIN_AGAIN,
    "OVERRIDE_INCOMPLETE": "Run aeroctl explain to list the invariants to acknowledge.",
    "ACKNOWLEDGEMENT_MISMATCH": "Run aeroctl explain to list the invariants to acknowledge.",
    "UNKNOWN_API_VERSION": "Use the aeroctl of the kernel's version.",
    "CONTRACT_BROKEN": CHECK_ADDRESS,
    "EVIDENCE_DAMAGED": "Write a new file with aeroctl snapshot --full.",
    "NOT_IN_EVIDENCE": "A file of aeroctl snapshot --full holds everything of one revision.",
    "SNAPSHOT_UNSTABLE": "Try again when the leader is stable.",
    "KERNEL_BUSY": "Try again.",
    "RULE_NOT_MET": "Run aeroctl explain to see each rule with its evidence.",
    "AGENT_MISMATCH": "Check restapi.connect_address in the Patroni configuration of that node.",
    "AGENT_UNREACHABLE": "Check that Patroni runs on that node, and the --patroni options of "
    "aerokernel serve.",
    "COMMAND_IN_FLIGHT": "Run aeroctl audit to see the request in progress.",
    "SECTION_NOT_IN_HISTORY": "An earlier state holds the sections cluster, nodes and promotion.",
    "TIME_NOT_PINNED": "Give a revision in place of a time; aeroctl timeline lists the revisions.",
    "CLUSTER_NOT_FOUND": "Check --namespace and --scope of aerokernel serve.",
    "STORE_UNAVAILABLE": "Check that etcd runs, and that the kernel can connect to it.",
    "STORE_TLS_FAILED": "Check --etcd-ca-file, --etcd-cert and --etcd-key of aerokernel serve, "
    "and whether a certificate has expired.",
    "STORE_REFUSED": "Check the kernel's credentials for etcd, and whether etcd is out of space.",
    "INTERNAL": "See the log of aerokernel serve.",
    "BUG": "Report it with the output of --debug.",
    "KERNEL_UNREACHABLE": CHECK_ADDRESS,
    "KERNEL_TIMEOUT": "Allow more time with --timeout.",
    "TLS_FAILED": "Check --ca-file, --cert and --key.",
    "REDIRECT_REFUSED": CHECK_ADDRESS,
}

_DOMAIN_EXIT: dict[Domain, Exit] = {
    "operator_input": Exit.INPUT,
    "control_plane_validation": Exit.REFUSED,
    "kernel_rejection": Exit.REJECTED,
    "transport": Exit.TRANSPORT,
}


@dataclass
class Failure(Exception):
    """Why a command ends without its result. `message` is shown verbatim (P7-E3)."""

    code: str
    message: str
    domain: Domain = field(default="transport")
    invariants: tuple[str, ...] = ()
    outcome: Outcome = "not_executed"
    request_id: str | None = None
    engine_reply: tuple[int | None, str] | None = None
    """Patroni's answer: its HTTP status, its words."""
    from_kernel: bool = False
    """The kernel sent it; else it is aeroctl's own."""

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @property
    def exit(self) -> Exit:
        """The exit code: the code's own, else its domain's; never success (P7-E2)."""
        if self.outcome == "unknown":
            return Exit.UNKNOWN
        if self.outcome == "executed":
            return Exit.NOT_AS_ASKED
        code = self._code
        return Exit(code.exit) if code and code.domain == self.domain else _DOMAIN_EXIT[self.domain]

    @property
    def next(self) -> str | None:
        """What the operator can do next, if there is something."""
        if self.outcome == "unknown" and self.request_id:
            return f"To learn what happened: aeroctl outcome {self.request_id}"
        return _NEXT.get(self.code) if self._code else None

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed a moment later."""
        return self._code is not None and self._code.transient

    @property
    def _code(self) -> ErrorCode | None:
        """The row of the table; None for a code of aeroctl alone that came from a kernel."""
        row = ERROR_CODES.get(self.code)
        return None if row and row.status is None and self.from_kernel else row


def failure(code: str, message: str) -> Failure:
    """A failure of aeroctl itself; its domain and invariants are the code's."""
    row = ERROR_CODES[code]
    return Failure(code, message, row.domain, row.invariants)


def next_step(code: str) -> str | None:
    """What an operator can do about an error of this code."""
    return _NEXT.get(code)
