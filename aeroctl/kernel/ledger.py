"""Where the kernel keeps what it must not forget, below `/aerodb/<cluster>/` in the store.

| key | holds |
|---|---|
| `head` | `{"sequence", "hash"}`: the end of the audit trail's chain |
| `audit/<16 digits>` | one audit record, written once |
| `requests/<request id>` | `{"records": [sequence, ...]}`: the id is used up (P7-F3) |
| `inflight` | the id of the request that is being carried out; it lives on a lease |
"""

ROOT = "/aerodb/"
