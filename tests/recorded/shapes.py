"""Where volatile values stand in the kernel's answers: the only place that names the keys.

A rule's evidence, a row of `name` and `value`, counts as a key and its value.
"""

OBSERVATIONS = {"observed_at", "observed_snapshot"}
"""What holds the revision that an answer was read at."""
REVISION = "revision"
READ_REVISIONS = {
    "observed_revision", "history_from_revision", "history_to_revision", "first", "last", "reached",
}  # fmt: skip
"""Revisions in answers that something was read at, beside those of OBSERVATIONS."""
READ_WORDS = {"revision", "future", "before", "calm", "at", "since"}
"""The same in URLs, and among a scenario's words."""
WRITTEN_REVISIONS = {
    "since", "requested", "dispatched", "outcome", "next", "failover_revision_before",
}  # fmt: skip
WRITTEN_PARTS = ("_revision", "since_")
"""Revisions that something was written at. The latter: what such a key ends or begins with."""
REVISION_IN_TEXT = r"\brevisions? (\d+)"
EVENTS = "/v1/events"
BASE = "base"
STATE_DIGEST = "state_digest"
ANSWER_TIME = ("observed_at", "time")
REPORT_TIMES = {"last_message_at", "reply_at", "last_replayed_at"}
"""When nodes last heard of each other: every few seconds."""
EXPIRY, TERM = "confirmation_expires_at", "confirmation_term_seconds"
LAST_SEEN, SECONDS_AGO = "dcs_last_seen", "seconds_ago"
TOKENS = {"confirmation_token", "token"}
TOKEN_DIGEST = "token_digest"
FAILOVER_REVISION = "failover_revision"
DISTANCES = {"lag_bytes", "retained_bytes"}
PROCESS = "holder"
CLIENT = "client"
