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

    @property
    def means(self) -> str:
        """The code in words."""
        return _EXIT_MEANS[self]


_EXIT_MEANS: dict[int, str] = {
    Exit.DONE: "done; also when the reader of a pipe had enough",
    Exit.BUG: "a bug in aeroctl",
    Exit.INPUT: "usage or operator input: an unknown node, a bad option",
    Exit.REFUSED: "refused by the control plane: no confirmation, declined, no authority, state "
    "changed since, a token at risk; nothing was executed",
    Exit.REJECTED: "the kernel rejected it; nothing was executed",
    Exit.TRANSPORT: "transport failure; nothing was executed",
    Exit.UNKNOWN: "outcome unknown, or still in progress",
    Exit.NO_SNAPSHOT: "no consistent snapshot; refused to render, and nothing was executed",
    Exit.CHECK_FAILED: "`--check` or `--verify` not satisfied",
    Exit.NOT_AS_ASKED: "executed, but not as asked, not complete, or its outcome could not be "
    "written",
    Exit.INTERRUPTED: "interrupted; nothing was sent",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """One code: whose fault, how it ends, what it means, and where to look next."""

    domain: Domain
    exit: Exit
    means: str
    next: str | None = None
    invariants: tuple[str, ...] = ()


_SEE_URL = "Check --kernel or AEROCTL_KERNEL, and that aerokernel serve runs there."

KINDS: dict[str, Kind] = {
    # operator_input: the words of the command
    "USAGE": Kind("operator_input", Exit.INPUT, "the words of the command are off"),
    "UNKNOWN_NODE": Kind("operator_input", Exit.INPUT, "the cluster has no such node"),
    "UNKNOWN_FIELD": Kind(
        "operator_input", Exit.INPUT, "a filter or sort key that the view does not have"
    ),
    "BAD_KERNEL_URL": Kind("operator_input", Exit.INPUT, "not scheme, host and port"),
    "BAD_TLS_FILE": Kind("operator_input", Exit.INPUT, "a certificate or key that can't be loaded"),
    "TOKEN_UNREADABLE": Kind("operator_input", Exit.INPUT, "no token where one was said to be"),
    "TOKEN_EXPOSED": Kind(
        "operator_input",
        Exit.INPUT,
        "a token file that others can read",
        "Make it yours alone: chmod 600.",
        ("P7-A1",),
    ),
    "CASE_UNREADABLE": Kind("operator_input", Exit.INPUT, "`--from` names no file to be read"),
    "BAD_PARAMETER": Kind("operator_input", Exit.INPUT, "the kernel does not know a parameter"),
    "FUTURE_REVISION": Kind(
        "operator_input", Exit.INPUT, "`--at` or `--until` names a revision that has not happened"
    ),
    "NOT_FOUND": Kind("operator_input", Exit.INPUT, "the kernel has no such path", _SEE_URL),
    "METHOD_NOT_ALLOWED": Kind(
        "operator_input", Exit.INPUT, "nor does it take that method", _SEE_URL
    ),
    "BAD_REQUEST": Kind(
        "operator_input", Exit.INPUT, "the kernel can't make sense of the request", _SEE_URL
    ),
    "UNKNOWN_COMMAND": Kind("operator_input", Exit.INPUT, "the kernel has no such command"),
    # control_plane_validation: refused before or after the kernel was asked
    "TOKEN_OVER_PLAINTEXT": Kind(
        "control_plane_validation",
        Exit.REFUSED,
        "the token would travel unencrypted",
        "Use an https:// address.",
        ("P7-F1",),
    ),
    "UNAUTHENTICATED": Kind(
        "control_plane_validation",
        Exit.REFUSED,
        "the kernel does not know the token",
        "Give a token: --token-file or AEROCTL_TOKEN_FILE.",
        ("P7-A1",),
    ),
    "NOT_AUTHORIZED": Kind(
        "control_plane_validation",
        Exit.REFUSED,
        "the token's authority does not cover this",
        None,
        ("P7-A1",),
    ),
    "TOKEN_FILE_UNREADABLE": Kind(
        "control_plane_validation",
        Exit.REFUSED,
        "the kernel's token file is damaged, so it lets nobody in",
        "See the log of aerokernel serve: its token file is damaged.",
        ("P7-F1",),
    ),
    "CONFIRMATION_MISSING": Kind(
        "control_plane_validation",
        Exit.REFUSED,
        "nobody confirmed: no terminal to ask at, and no flag",
        "At a terminal you are asked. Elsewhere: --yes, or --confirm TOKEN from aeroctl explain; "
        "for an override --acknowledge and --accept-responsibility.",
        ("P7-A2",),
    ),
    "DECLINED": Kind(
        "control_plane_validation",
        Exit.REFUSED,
        "the answer at the prompt was not the one asked for",
        None,
        ("P7-A2",),
    ),
    "CONFIRMATION_STALE": Kind(
        "control_plane_validation",
        Exit.REFUSED,
        "the token of `--confirm` is for another command or another state",
        "Look again: aeroctl explain.",
        ("P7-A2", "P7-D2"),
    ),
    "OVERRIDE_INCOMPLETE": Kind(
        "control_plane_validation",
        Exit.REFUSED,
        "an override without exactly its acknowledgements, or without accepting responsibility",
        "See aeroctl explain for the invariants to acknowledge.",
        ("P7-A2", "P6-A1a"),
    ),
    "INTERRUPTED": Kind(
        "control_plane_validation",
        Exit.INTERRUPTED,
        "interrupted at the prompt (130), or while waiting for the answer (6)",
        None,
        ("P7-A2",),
    ),
    "CONFIRMATION_INVALID": Kind(
        "control_plane_validation",
        Exit.REFUSED,
        "the kernel was given no valid confirmation for this command and state",
        "Look again: aeroctl explain.",
        ("P7-A2",),
    ),
    "CONFIRMATION_EXPIRED": Kind(
        "control_plane_validation",
        Exit.REFUSED,
        "the explanation that was confirmed is older than the kernel allows, or from its future",
        "Look again: aeroctl explain.",
        ("P7-A2",),
    ),
    "CONFIRMATION_REUSED": Kind(
        "control_plane_validation",
        Exit.REFUSED,
        "the confirmation has served another request already, whatever came of that one",
        "Look again: aeroctl explain.",
        ("P7-A2", "P7-F3"),
    ),
    "ACKNOWLEDGEMENT_MISMATCH": Kind(
        "control_plane_validation",
        Exit.REFUSED,
        "the kernel was given other acknowledgements than it asks for",
        "See aeroctl explain for the invariants to acknowledge.",
        ("P7-A2", "P6-A1a"),
    ),
    "STATE_CHANGED": Kind(
        "control_plane_validation",
        Exit.REFUSED,
        "state that decides who leads is no longer what was confirmed",
        "Look again: aeroctl explain.",
        ("P7-D2",),
    ),
    "REQUEST_SEEN": Kind(
        "control_plane_validation",
        Exit.REFUSED,
        "the kernel has had a request of this id",
        None,
        ("P7-F3",),
    ),
    "CALLER_GONE": Kind(
        "control_plane_validation",
        Exit.REFUSED,
        "the caller had hung up before the kernel acted, so it did not",
        None,
        ("P7-A2",),
    ),
    "UNKNOWN_API_VERSION": Kind(
        "control_plane_validation",
        Exit.NO_SNAPSHOT,
        "the kernel speaks another version",
        "Use an aeroctl that speaks the kernel's version.",
        ("P7-F1",),
    ),
    "CONTRACT_BROKEN": Kind(
        "control_plane_validation",
        Exit.NO_SNAPSHOT,
        "the answer is not what the contract promises",
        _SEE_URL,
        ("P7-F1",),
    ),
    "EVIDENCE_DAMAGED": Kind(
        "control_plane_validation",
        Exit.NO_SNAPSHOT,
        "the file is not what aeroctl wrote: cut short, altered, or something else",
        "aeroctl snapshot --full writes such a file.",
        ("P7-D1",),
    ),
    "NOT_IN_EVIDENCE": Kind(
        "control_plane_validation",
        Exit.NO_SNAPSHOT,
        "the file does not hold that revision, section or log",
        "aeroctl snapshot --full holds all of one revision.",
        ("P7-D1",),
    ),
    "NOTHING_TO_COMPARE": Kind(
        "control_plane_validation",
        Exit.NO_SNAPSHOT,
        "two snapshots have no section in common",
        None,
        ("P7-D1",),
    ),
    "ANSWER_TOO_LARGE": Kind(
        "control_plane_validation",
        Exit.NO_SNAPSHOT,
        "the answer exceeds 32 MiB or 500,000 values, or a million entries that had to be held "
        "together",
        None,
        ("P7-F1",),
    ),
    # kernel_rejection: no consistent state to be had, or the kernel says no
    "SNAPSHOT_UNSTABLE": Kind(
        "kernel_rejection",
        Exit.NO_SNAPSHOT,
        "the leader kept changing while the nodes were read",
        "The leader is changing; ask again.",
        ("P7-D1",),
    ),
    "KERNEL_BUSY": Kind(
        "kernel_rejection",
        Exit.NO_SNAPSHOT,
        "the kernel has more requests than it can answer, or the nodes or the store could not be "
        "read in time",
        "Ask again.",
    ),
    "RULE_NOT_MET": Kind(
        "kernel_rejection",
        Exit.REJECTED,
        "a rule that the kernel enforces does not hold",
        "See aeroctl explain for the evidence.",
        ("P7-E3",),
    ),
    "AGENT_MISMATCH": Kind(
        "kernel_rejection",
        Exit.REJECTED,
        "at the node's address answers the Patroni of another node or another cluster",
        "Check restapi.connect_address in the configuration of that node's Patroni.",
        ("P7-A2", "P7-F1"),
    ),
    "AGENT_UNREACHABLE": Kind(
        "kernel_rejection",
        Exit.REJECTED,
        "the Patroni that would be asked did not answer, or did not say who it is",
        "See whether Patroni runs there; check the --patroni options of aerokernel serve.",
        ("P7-F1",),
    ),
    "COMMAND_IN_FLIGHT": Kind(
        "kernel_rejection",
        Exit.REJECTED,
        "another request is being carried out",
        "See aeroctl audit for what is under way.",
        ("P7-E1",),
    ),
    "ENGINE_REJECTED": Kind(
        "kernel_rejection",
        Exit.REJECTED,
        "the database engine refused; the message is its own",
        None,
        ("P7-E3",),
    ),
    "SECTION_NOT_IN_HISTORY": Kind(
        "kernel_rejection",
        Exit.NO_SNAPSHOT,
        "history does not hold what only nodes can tell",
        "History holds what the consensus store held: cluster, nodes, promotion.",
        ("P7-D1",),
    ),
    "REVISION_COMPACTED": Kind(
        "kernel_rejection",
        Exit.NO_SNAPSHOT,
        "the store no longer holds that revision",
        None,
        ("P7-D1",),
    ),
    "TIME_NOT_PINNED": Kind(
        "kernel_rejection",
        Exit.NO_SNAPSHOT,
        "it is not known which state stood at that time: no logged time bounds it, or the state "
        "changed in between",
        "Give a revision instead of a time; aeroctl timeline lists the revisions.",
        ("P7-D1",),
    ),
    "CLUSTER_NOT_FOUND": Kind(
        "kernel_rejection",
        Exit.NO_SNAPSHOT,
        "no cluster of that name in the store",
        "Check --namespace and --scope of aerokernel serve.",
    ),
    "CLUSTER_IS_CITUS": Kind(
        "kernel_rejection",
        Exit.NO_SNAPSHOT,
        "the store holds a Citus cluster of several groups, which this version does not read",
        None,
        ("P7-F1",),
    ),
    "STORE_UNAVAILABLE": Kind(
        "transport",
        Exit.NO_SNAPSHOT,
        "the kernel can't reach its consensus store",
        "See whether etcd runs, and whether the kernel reaches it.",
    ),
    "STORE_TLS_FAILED": Kind(
        "transport",
        Exit.NO_SNAPSHOT,
        "the kernel and its consensus store do not trust each other's certificates",
        "Check the options --etcd-ca-file, --etcd-cert and --etcd-key of aerokernel serve, and "
        "whether a certificate has expired.",
        ("P7-F1",),
    ),
    "STORE_REFUSED": Kind(
        "kernel_rejection",
        Exit.NO_SNAPSHOT,
        "the store refused the kernel",
        "Check the kernel's credentials for its store, and whether the store is full.",
    ),
    "KERNEL_STATE_UNREADABLE": Kind(
        "kernel_rejection", Exit.NO_SNAPSHOT, "a key in the store can't be parsed", None, ("P7-D1",)
    ),
    "INTERNAL": Kind(
        "kernel_rejection",
        Exit.NO_SNAPSHOT,
        "a bug in the kernel service",
        "See the log of aerokernel serve.",
    ),
    "BUG": Kind(
        "control_plane_validation", Exit.BUG, "aeroctl itself failed", "Report what --debug says."
    ),
    # transport: the kernel was not reached, or its answer did not arrive
    "KERNEL_UNREACHABLE": Kind("transport", Exit.TRANSPORT, "nobody listens there", _SEE_URL),
    "KERNEL_TIMEOUT": Kind(
        "transport", Exit.TRANSPORT, "no complete answer in time", "Allow more with --timeout."
    ),
    "CONNECTION_LOST": Kind("transport", Exit.TRANSPORT, "the connection broke"),
    "TLS_FAILED": Kind(
        "transport",
        Exit.TRANSPORT,
        "no trust, or no TLS at the other end",
        "Check --ca-file, --cert and --key.",
    ),
    "REDIRECT_REFUSED": Kind(
        "transport", Exit.TRANSPORT, "the address redirects elsewhere", _SEE_URL
    ),
    "OUTPUT_FAILED": Kind("transport", Exit.TRANSPORT, "stdout could not be written"),
}

OWN = frozenset(
    {
        "USAGE", "UNKNOWN_FIELD", "BAD_KERNEL_URL", "BAD_TLS_FILE", "TOKEN_UNREADABLE",
        "TOKEN_EXPOSED", "CASE_UNREADABLE", "TOKEN_OVER_PLAINTEXT", "CONFIRMATION_MISSING",
        "DECLINED", "CONFIRMATION_STALE", "OVERRIDE_INCOMPLETE", "INTERRUPTED",
        "UNKNOWN_API_VERSION", "CONTRACT_BROKEN", "EVIDENCE_DAMAGED", "NOT_IN_EVIDENCE",
        "NOTHING_TO_COMPARE", "ANSWER_TOO_LARGE", "BUG", "KERNEL_UNREACHABLE", "KERNEL_TIMEOUT",
        "CONNECTION_LOST", "TLS_FAILED", "REDIRECT_REFUSED", "OUTPUT_FAILED",
    }
)  # fmt: skip
"""Codes that only aeroctl itself can mean. From a kernel they are words like any other: its exit
code is then its domain's, never that of a bug or an interrupt here."""

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
    engine_reply: tuple[int | None, str] | None = None
    """What the database engine answered: its own code, its words."""
    from_kernel: bool = False
    """The kernel sent it; else aeroctl found it."""

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @property
    def exit(self) -> Exit:
        """The exit code: the code's own, else its domain's; never success (P7-E2)."""
        if self.outcome == "unknown":
            return Exit.UNKNOWN
        if self.outcome == "executed":
            return Exit.NOT_AS_ASKED
        kind = self._kind
        return kind.exit if kind and kind.domain == self.domain else _DOMAIN_EXIT[self.domain]

    @property
    def next(self) -> str | None:
        """Where to look next, if there is something to say."""
        if self.outcome == "unknown" and self.request_id:
            return f"To learn what happened: aeroctl outcome {self.request_id}"
        kind = self._kind
        return kind.next if kind else None

    @property
    def _kind(self) -> Kind | None:
        return None if self.from_kernel and self.code in OWN else KINDS.get(self.code)


def failure(code: str, message: str) -> Failure:
    """A failure that aeroctl itself found; its domain and invariants are the code's."""
    kind = KINDS[code]
    return Failure(code, message, kind.domain, kind.invariants)
