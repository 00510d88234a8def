"""The audit trail, page by page, all of one commit."""

from typing import TYPE_CHECKING

from aeroctl.contract.chain import Chain
from aeroctl.errors import failure
from aeroctl.views import audit

if TYPE_CHECKING:
    from aeroctl.cli import App
    from aeroctl.contract.audit import AuditRecord


def show_trail(app: "App", request_id: str | None, verify: bool, at: int | None) -> bool:
    """Print the records, of one request or of all; False if `verify` finds the chain broken.

    Later pages are asked for at the first one's commit, so that all are of one state (P7-D1).
    Raises Failure.
    """
    chain = Chain()
    records: list[AuditRecord] = []
    after = checked = 0
    page, raw = app.kernel.audit(after, at)
    envelope = page
    while True:
        chain.follow(raw)
        checked += len(raw)
        records += [each for each in page.data.records if request_id in (None, each.request_id)]
        if page.data.next is None:
            break
        if page.data.next <= after:  # or it would never end
            raise failure("CONTRACT_BROKEN", "the next page does not follow this one")
        after = page.data.next
        page, raw = app.kernel.audit(after, envelope.observed_at.commit_id)
    head = page.data.head
    found = chain.end(head.sequence, head.hash) if verify else None
    verdict = audit.verification(checked, found) if verify else None
    view = audit.AuditView(tuple(records), verdict)
    app.output.records(envelope, view, records, verdict, audit.layout(view))
    return found is None
