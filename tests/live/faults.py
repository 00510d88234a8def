"""What aeroctl says when something breaks, and how to find out what happened.

The README's table, and what the tests hold aeroctl to: every row is looked up by a test, which
brings the fault about on a real cluster.
"""

from dataclasses import dataclass

ASK = "aeroctl outcome REQUEST_ID"
WAIT = "aeroctl outcome REQUEST_ID --wait"
NOTHING = "nothing was sent"


@dataclass(frozen=True)
class Row:
    """`says`: the error's code, or the outcome. `then`: what `find_out` says afterwards."""

    says: str
    exit: int
    find_out: str
    then: str


FAULTS: dict[str, Row] = {
    # between the operator and aeroctl
    "Ctrl-C at the prompt": Row("INTERRUPTED", 130, NOTHING, ""),
    "end of input at the prompt": Row("DECLINED", 3, NOTHING, ""),
    "terminal closed at the prompt": Row("INTERRUPTED", 130, NOTHING, ""),
    "aeroctl killed at the prompt": Row("", -9, NOTHING, ""),
    "Ctrl-C after the request left": Row("INTERRUPTED", 6, WAIT, "executed"),
    "aeroctl killed after the request left": Row("", -9, WAIT, "executed"),
    "state changed while the prompt waited": Row("STATE_CHANGED", 3, ASK, "rejected"),
    "prompt waited beyond the confirmation's term": Row("CONFIRMATION_EXPIRED", 3, ASK, "rejected"),
    # between aeroctl and aerokernel
    "aerokernel not there": Row("KERNEL_UNREACHABLE", 5, NOTHING, ""),
    "aerokernel killed while it explains": Row("CONNECTION_LOST", 5, NOTHING, ""),
    "request lost on its way": Row("CONNECTION_LOST", 6, ASK, "not_executed"),
    "reply cut": Row("CONNECTION_LOST", 6, WAIT, "executed"),
    "reply later than --timeout": Row("KERNEL_TIMEOUT", 6, WAIT, "executed"),
    "reply garbled": Row("CONTRACT_BROKEN", 6, ASK, "rejected"),
    "reply cut in the middle": Row("CONNECTION_LOST", 6, ASK, "rejected"),
    "aerokernel frozen until aeroctl has given up": Row("KERNEL_TIMEOUT", 6, ASK, "rejected"),
    "aerokernel killed after it dispatched": Row("CONNECTION_LOST", 6, WAIT, "executed"),
    "aerokernel killed before it recorded the outcome": Row("CONNECTION_LOST", 6, WAIT, "executed"),
    # between aerokernel and the engine
    "request lost on its way to the engine, and --timeout over": Row(
        "KERNEL_TIMEOUT", 6, ASK, "not_executed"
    ),
    "engine's reply cut": Row("executed", 0, ASK, "executed"),
    "engine's reply lost": Row("executed", 0, ASK, "executed"),
    "engine's reply garbled": Row("executed", 0, ASK, "executed"),
    "engine refuses": Row("ENGINE_REJECTED", 4, ASK, "rejected"),
    "engine's agent dead": Row("AGENT_UNREACHABLE", 4, NOTHING, ""),
    "engine's agent frozen": Row("AGENT_UNREACHABLE", 4, NOTHING, ""),
    "another cluster's agent at the address": Row("AGENT_MISMATCH", 4, NOTHING, ""),
    "asked node dies before it takes over": Row("executed_other", 9, ASK, "executed_other"),
    "every other node dies before one takes over": Row("rolled_back", 9, ASK, "rolled_back"),
    "old primary slow to stop": Row("in_progress", 6, WAIT, "executed"),
    # between aerokernel and the store
    "answer to the dispatch transaction lost": Row("STORE_UNAVAILABLE", 7, ASK, "not_executed"),
    "outcome not recorded": Row("executed", 0, ASK, "executed"),
    "etcd frozen after the dispatch": Row(
        "KERNEL_TIMEOUT", 6, WAIT, "executed, rejected or not_executed"
    ),
    "etcd frozen before the dispatch": Row("STORE_UNAVAILABLE", 7, ASK, "not_executed"),
    # between two operators
    "another command in flight": Row("RULE_NOT_MET", 4, NOTHING, ""),
}
