"""A server with a long history, made up page by page: for measuring the client, nothing else.

`python -m tests.tools.millions ENTRIES` prints its address, then serves half of them as events and
half as audit records.
"""

import http.server
import json
import sys
from urllib.parse import parse_qs, urlsplit

from aeroctl.contract.chain import NO_HASH

EVENTS_A_PAGE, RECORDS_A_PAGE = 5000, 1000
EVENT = {
    "revision": 0, "index": 0, "kind": "state_changed", "node": "n1", "subject": None,
    "before": "running", "after": "stopped", "since": None, "cause": None, "detail": None,
    "exact": True, "time": None, "clock": None, "not_before": None, "not_after": None,
}  # fmt: skip
STANDING = {
    "revision": 1, "leader": None, "paused": False, "pending": None, "synchronous": None,
    "system_id": "7",
    "nodes": [{"name": "n1", "role": "replica", "state": "running", "replication_state": None,
               "timeline": 1}],
}  # fmt: skip
RECORD = {
    "kind": "refused", "request_id": "5443d3c4-630f-53c3-9aab-7559b424e0f1",
    "time": "2026-11-23T10:15:19Z", "clock": "aerokernel on kernel.test", "cluster": "demo",
    "system_id": "7", "command": "request_promotion", "target": "n2", "identity": "ada",
    "authority": "operator", "client": {"user": "ada", "host": "laptop", "version": "1"},
    "reason": "drill", "state_digest": "bc015039d99bd4bac9b56aa36da3278f", "observed_revision": 1,
    "token_digest": None,
    "confirmation": None, "leader_before": None, "leader_after": None, "dispatch": None,
    "outcome": "rejected", "code": "RULE_NOT_MET", "message": "no", "engine_reply": None,
    "sequence": 0, "revision": 0, "previous_hash": NO_HASH, "hash": NO_HASH,
}  # fmt: skip


def page(path: str, entries: int) -> dict[str, object]:
    """An answer. Even revisions hold an event each, odd ones a record."""
    parts = urlsplit(path)
    after = int(parse_qs(parts.query)["after"][0])
    live = "at=" not in parts.query
    if parts.path == "/v1/events":
        last = min(after + 2 * EVENTS_A_PAGE, entries)
        revisions = range(after + 1 + after % 2, last + 1, 2)
        data: dict[str, object] = {
            "base": {**STANDING, "revision": max(after, 1)},
            "events": [{**EVENT, "revision": revision} for revision in revisions],
            "pins": [],
            "next": None if last == entries else last,
        }
    else:
        ends = min(after + RECORDS_A_PAGE, entries // 2)
        data = {
            "records": [
                {**RECORD, "sequence": number, "revision": 2 * number}
                for number in range(after + 1, ends + 1)
            ],
            "broken": [],
            "head": {"sequence": entries // 2, "hash": NO_HASH},
            "next": None if ends == entries // 2 else ends,
        }
    seen = {
        "kind": "live" if live else "historical", "revision": entries, "state_digest": "e",
        "time": "2026-11-23T10:15:19Z" if live else None, "clock": "here" if live else None,
    }  # fmt: skip
    return {"api_version": "v1", "observed_at": seen, "data": data, "notes": []}


class Answers(http.server.BaseHTTPRequestHandler):
    """Computed for each request, as a kernel's are."""

    protocol_version = "HTTP/1.1"
    entries = int(sys.argv[1]) if len(sys.argv) > 1 else 0

    def do_GET(self) -> None:
        body = json.dumps(page(self.path, self.entries)).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def main() -> None:
    """Serve until ended."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
