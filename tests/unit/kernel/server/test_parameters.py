"""The table of routes: the kernel serves every one of them, and what a query may say."""

from typing import Any

import pytest
from starlette.requests import Request
from starlette.routing import Route

from aeroctl.contract.error_codes import ERROR_CODES
from aeroctl.contract.queries import AuditQuery, EventsQuery, NoQuery, RevisionsQuery, SnapshotQuery
from aeroctl.contract.routes import ROUTES
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.server import parameters
from aeroctl.kernel.server.routes import application

UNUSED: Any = None


def parse(model: type[NoQuery], query: str) -> Any:
    return parameters.query(Request({"type": "http", "query_string": query.encode()}), model)


def test_the_kernel_serves_exactly_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aeroctl.kernel.server.routes.replace", lambda source, **_: source)
    app = application(UNUSED, UNUSED, None)
    served = {
        (method, route.path)
        for route in app.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert served == {(route.method, route.path) for route in ROUTES}
    assert len(app.routes) == len(ROUTES)


def test_every_error_of_a_route_is_one_of_the_kernel() -> None:
    codes = {code for route in ROUTES for code in route.errors}
    assert all(ERROR_CODES[code].status for code in codes)


@pytest.mark.parametrize(
    ("model", "query", "fields"),
    [
        (SnapshotQuery, "", {"include": None, "at": None}),
        (SnapshotQuery, "include=nodes,cluster&at=7", {"include": ("nodes", "cluster"), "at": 7}),
        (EventsQuery, "", {"after": 0, "window": 2000, "at": None}),
        (AuditQuery, "limit=5", {"after": 0, "limit": 5, "at": None, "since": None}),
        (RevisionsQuery, "ago=0", {"time": None, "ago": 0, "at": None, "purpose": "state"}),
    ],
)
def test_defaults_and_values(model: type[NoQuery], query: str, fields: dict[str, Any]) -> None:
    assert parse(model, query).model_dump() == fields


@pytest.mark.parametrize(
    ("model", "query", "says"),
    [
        (NoQuery, "a=1", "this path has no query parameter 'a'; it takes none"),
        (RevisionsQuery, "a=1&ago=1", "it takes time, ago, at, for"),
        (AuditQuery, "at=1&at=1", "a query parameter is given twice"),
        (AuditQuery, "at=0", "the query parameter at='0' is not valid: Input should be greater"),
        (AuditQuery, "at=%2B1", "it must be a whole number in decimal digits"),
        (AuditQuery, "at=1_0", "it must be a whole number in decimal digits"),
        (AuditQuery, "at=%201", "it must be a whole number in decimal digits"),
        (AuditQuery, "limit=1001", "less than or equal to 1000"),
        (AuditQuery, f"at={2**53}", "less than"),
        (AuditQuery, "at=", "it must be a whole number"),
        (SnapshotQuery, "include=", "include='' is not valid"),
        (SnapshotQuery, "include=nodes,clusters", "'snapshots'"),
        (RevisionsQuery, "", "exactly one of the parameters time and ago is required"),
        (RevisionsQuery, "ago=1&time=2026-11-23T10:15:19Z", "exactly one of the parameters"),
        (RevisionsQuery, "time=2026-02-30T10:15:19Z", "time='2026-02-30T10:15:19Z' is not valid"),
        (RevisionsQuery, "ago=1&for=all", "'state' or 'edge'"),
    ],
)
def test_what_is_refused(model: type[NoQuery], query: str, says: str) -> None:
    with pytest.raises(Failure, match="BAD_PARAMETER") as refused:
        parse(model, query)
    assert says in refused.value.error.message
