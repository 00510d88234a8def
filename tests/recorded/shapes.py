"""Where volatile values stand in the kernel's answers: the only place that names the keys.

A rule's evidence, a row of `name` and `value`, counts as a key and its value.
"""

OBSERVATIONS = {"observed_at", "observed_snapshot"}
"""What holds the revision that an answer was read at."""
REVISION = "commit_id"
READ_REVISIONS = {
    "observed_commit_id", "commit", "history_from_commit", "history_to_commit", "future",
    "before", "calm", "at", "since",
}  # fmt: skip
"""Revisions that something was read at: in answers, in URLs and among a scenario's words."""
WRITTEN_REVISIONS = {"reign", "requested", "dispatched", "outcome", "next"}
WRITTEN_PARTS = ("_commit", "reign_")
"""Revisions that something was written at. The latter: what such a key ends or begins with."""
REVISION_IN_TEXT = r"\b(?:commit|revision) (\d+)"
EVENTS = "/v1/events"
BASE = "base"
STATE_DIGEST = "epoch"
ANSWER_TIME = ("observed_at", "time")
REPORT_TIMES = {"last_message_at", "reply_at", "last_replayed_at"}
"""When nodes last heard of each other: every few seconds."""
EXPIRY, TERM = "confirmation_expires_at", "confirmation_term_seconds"
LAST_SEEN, SECONDS_AGO = "dcs_last_seen", "seconds_ago"
TOKENS = {"confirmation_token", "token"}
TOKEN_DIGEST = "token_digest"
FAILOVER_REVISION = "failover_commit"
DISTANCES = {"lag_bytes", "retained_bytes"}
PROCESS = "holder"
CLIENT = "client"
