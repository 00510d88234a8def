"""The client of the consensus store: against etcd's own words (copied from etcd 3.5) where a wire
breaks, and against a real etcd for what it writes and remembers."""

import asyncio
import base64
import itertools
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from aeroctl.kernel.failures import Failure
from aeroctl.kernel.sandbox.waiting import wait_until
from aeroctl.kernel.store.etcd import Etcd
from aeroctl.kernel.store.keyspace import Event, History, Keyspace, KeyValue, MultiRead
from aeroctl.kernel.store.replay import REVISIONS
from aeroctl.kernel.store.requests import Compare, Delete, Put
from tests.support.etcd import Store, etcd
from tests.support.keyspaces import COMPACTED, FUTURE, PREFIX, STORED, etcd_answer, refusal

Handler = Callable[[httpx.Request], httpx.Response]
Result = TypeVar("Result")


def read(
    handler: Handler,
    *,
    at: int | None = None,
    endpoints: tuple[str, ...] = ("http://a:2379",),
    user: str | None = None,
    times: int = 1,
) -> Keyspace:
    async def run() -> Keyspace:
        async with httpx.AsyncClient(transport=httpx.MockTransport(handler)) as client:
            store = Etcd(client, endpoints, seconds=0.2, user=user, password="secret")
            for _ in range(times - 1):
                await store.read(PREFIX, at)
            return await store.read(PREFIX, at)

    return asyncio.run(run())


def failure(handler: Handler, **options: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        read(handler, **options)
    return caught.value


def test_one_range_read_of_the_prefix() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        return httpx.Response(200, json=etcd_answer(STORED))

    keyspace = read(answer)
    assert asked == [
        {
            "key": base64.b64encode(b"/service/demo/").decode(),
            "range_end": base64.b64encode(b"/service/demo0").decode(),
        }
    ]
    assert keyspace.revision == 57
    assert keyspace.keys["leader"].value == "n3"
    assert (keyspace.keys["leader"].created, keyspace.keys["leader"].modified) == (12, 40)


def test_history_is_dated_by_the_revision_that_was_asked_for() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert json.loads(request.content)["revision"] == "41"
        return httpx.Response(200, json=etcd_answer(STORED))

    assert read(answer, at=41).revision == 41


def test_no_keys() -> None:
    assert read(lambda _: httpx.Response(200, json=etcd_answer({}))).keys == {}


@pytest.mark.parametrize(
    ("answer", "status", "code", "domain"),
    [
        (refusal(400, 11, COMPACTED), 410, "REVISION_COMPACTED", "kernel_rejection"),
        (refusal(400, 11, FUTURE), 400, "FUTURE_REVISION", "operator_input"),
        (
            refusal(403, 7, "etcdserver: permission denied"),
            502,
            "STORE_REFUSED",
            "kernel_rejection",
        ),
        (
            refusal(400, 3, "etcdserver: user name is empty"),
            502,
            "STORE_REFUSED",
            "kernel_rejection",
        ),
        (refusal(503, 14, "etcdserver: no leader"), 503, "STORE_UNAVAILABLE", "transport"),
        (httpx.Response(502, text="<html>"), 503, "STORE_UNAVAILABLE", "transport"),
        (httpx.Response(200, text="[]"), 503, "STORE_UNAVAILABLE", "transport"),
        (httpx.Response(302, headers={"location": "/"}), 503, "STORE_UNAVAILABLE", "transport"),
        (httpx.Response(200, json={}), 502, "KERNEL_STATE_UNREADABLE", "kernel_rejection"),
    ],
)
def test_refusals(answer: httpx.Response, status: int, code: str, domain: str) -> None:
    refused = failure(lambda _: answer, at=41)
    assert (refused.status, refused.error.code, refused.error.domain) == (status, code, domain)
    assert refused.error.outcome == "not_executed"
    if answer.headers.get("content-type") == "application/json" and status != 502:
        assert answer.json()["message"] in refused.error.message  # verbatim (P7-E3)


def test_a_value_that_is_not_text_is_named() -> None:
    answer = etcd_answer({"members/n1": "x"})
    answer["kvs"][0]["value"] = base64.b64encode(b"\xff").decode()
    refused = failure(lambda _: httpx.Response(200, json=answer))
    assert refused.error.code == "KERNEL_STATE_UNREADABLE"
    assert "/service/demo/members/n1" in refused.error.message


class TestEndpoints:
    @pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ReadTimeout, httpx.ReadError])
    def test_the_next_is_tried(self, kind: type[httpx.TransportError]) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            if request.url.host == "a":
                raise kind("down", request=request)
            return httpx.Response(200, json=etcd_answer(STORED))

        assert read(answer, endpoints=("http://a:1", "http://b:1")).revision == 57

    def test_one_that_hangs_is_left(self) -> None:
        async def answer(request: httpx.Request) -> httpx.Response:
            if request.url.host == "a":
                await asyncio.Event().wait()
            return httpx.Response(200, json=etcd_answer(STORED))

        assert read(answer, endpoints=("http://a:1", "http://b:1")).revision == 57  # type: ignore[arg-type]

    def test_all_are_told_when_all_fail(self) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("refused", request=request)

        message = failure(answer, endpoints=("http://a:1", "http://b:1")).error.message
        assert "http://a:1: refused; http://b:1: refused" in message

    def test_a_refusal_is_final(self) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            assert request.url.host == "a"
            return refusal(400, 11, COMPACTED)

        assert failure(answer, endpoints=("http://a:1", "http://b:1")).status == 410


class TestAuthentication:
    def test_the_token_is_kept_until_it_is_refused(self) -> None:
        paths = []

        def answer(request: httpx.Request) -> httpx.Response:
            paths.append(request.url.path)
            if request.url.path == "/v3/auth/authenticate":
                assert json.loads(request.content) == {"name": "root", "password": "secret"}
                return httpx.Response(200, json={"header": {}, "token": f"token{len(paths)}"})
            if len(paths) == 4:
                return refusal(401, 16, "etcdserver: invalid auth token")
            assert request.headers["authorization"] == ("token1" if len(paths) < 5 else "token5")
            return httpx.Response(200, json=etcd_answer(STORED))

        read(answer, user="root", times=3)
        authenticate, ranged = "/v3/auth/authenticate", "/v3/kv/range"
        assert paths == [authenticate, ranged, ranged, ranged, authenticate, ranged]

    def test_wrong_credentials(self) -> None:
        words = "etcdserver: authentication failed, invalid user ID or password"
        refused = failure(lambda _: refusal(400, 3, words), user="root")
        assert (refused.status, refused.error.code) == (502, "STORE_REFUSED")
        assert refused.error.message == words


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """Keys that no other test has."""
    return f"/{request.node.name}/"


def on(store: Store, work: Callable[[Etcd], Awaitable[Result]], **options: Any) -> Result:
    """Do `work` with a client of a real etcd."""

    async def run() -> Result:
        async with httpx.AsyncClient(trust_env=False) as client:
            endpoints = options.pop("endpoints", [store.url])
            return await work(Etcd(client, endpoints, **{"seconds": 5, **options}))

    return asyncio.run(run())


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


real = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])


@real
class TestTransactions:
    def test_all_is_written_or_nothing(self, etcd_store: Store, prefix: str) -> None:
        async def work(etcd: Etcd) -> None:
            a, b = prefix + "a", prefix + "b"
            first = await etcd.transact([Compare(a, "created", 0)], [Put(a, "1"), Put(b, "ü")])
            assert first is not None
            assert await etcd.transact([Compare(a, "created", 0)], [Put(b, "2")]) is None
            assert await etcd.transact([Compare(a, "modified", first + 1)], [Delete(a)]) is None
            seen = await etcd.read(prefix)
            assert seen.revision == first
            assert seen.keys == {
                "a": KeyValue("1", first, first),
                "b": KeyValue("ü", first, first),
            }
            right = [Compare(a, "modified", first), Compare(b, "created", first)]
            second = await etcd.transact(right, [Delete(a), Put(b, "3")])
            assert second == first + 1
            assert (await etcd.read(prefix)).keys == {"b": KeyValue("3", first, second)}
            assert (await etcd.read(prefix, first)).keys["a"].value == "1"

        on(etcd_store, work)

    def test_of_many_writers_exactly_one_wins(self, etcd_store: Store, prefix: str) -> None:
        """The head of the audit trail, compared as it was read."""

        async def work(etcd: Etcd) -> list[int | None]:
            head = prefix + "head"
            start = await etcd.transact([], [Put(head, "0")])
            bound = [Compare(head, "modified", start or 0)]
            return await asyncio.gather(
                *(etcd.transact(bound, [Put(head, str(writer))]) for writer in range(8))
            )

        revisions = on(etcd_store, work)
        assert len([revision for revision in revisions if revision is not None]) == 1

    def test_one_view_of_prefixes_and_keys(self, etcd_store: Store, prefix: str) -> None:
        async def work(etcd: Etcd) -> None:
            x, y, z = prefix + "x/", prefix + "y/", prefix + "z"
            revision = await etcd.transact([], [Put(x + "1", "a"), Put(y + "1", "b"), Put(z, "c")])
            assert revision is not None
            seen = await etcd.read_together([x, y], [z, prefix + "absent"])
            assert seen == MultiRead(
                revision,
                (
                    Keyspace(x, revision, {"1": KeyValue("a", revision, revision)}),
                    Keyspace(y, revision, {"1": KeyValue("b", revision, revision)}),
                ),
                {z: KeyValue("c", revision, revision)},
            )
            await etcd.transact([], [Delete(z)])
            assert z not in (await etcd.read_together([], [z])).keys
            assert await etcd.read_together([x, y], [z, prefix + "absent"], revision) == seen

        on(etcd_store, work)

    def test_no_view_is_torn(self, etcd_store: Store, prefix: str) -> None:
        """Two keys that are always written together are always read together."""

        async def work(etcd: Etcd) -> None:
            a, b = prefix + "a/1", prefix + "b"

            async def write() -> None:
                for value in range(40):
                    await etcd.transact([], [Put(a, str(value)), Put(b, str(value))])

            writing = asyncio.create_task(write())
            while not writing.done():
                seen = await etcd.read_together([prefix + "a/"], [b])
                first = seen.keyspaces[0].keys.get("1")
                assert (first and first.value) == (seen.keys[b].value if b in seen.keys else None)
            await writing

        on(etcd_store, work)

    def test_a_page(self, etcd_store: Store, prefix: str) -> None:
        async def work(etcd: Etcd) -> None:
            await etcd.transact([], [Put(f"{prefix}{place:03d}", "") for place in range(10)])
            seen = await etcd.read_page(prefix, "004", 3, [])
            assert sorted(seen.keyspaces[0].keys) == ["004", "005", "006"]

        on(etcd_store, work)

    def test_refusals(self, etcd_store: Store, prefix: str) -> None:
        async def work(etcd: Etcd) -> None:
            for call, code in [
                (etcd.read_together([prefix], [], 2**50), "FUTURE_REVISION"),
                (etcd.transact([], [Put(prefix, "", lease=4711)]), "STORE_REFUSED"),
                (etcd.transact([], [Put(prefix, "1"), Put(prefix, "2")]), "STORE_REFUSED"),
            ]:
                with pytest.raises(Failure) as caught:
                    await call
                assert caught.value.error.code == code
                assert caught.value.error.outcome == "not_executed"
            assert (await etcd.read(prefix)).keys == {}

        on(etcd_store, work)


class TestSentOnce:
    """P7-F3: a write goes to another endpoint only where it provably never left."""

    def write(self, handler: Handler, **options: Any) -> int | None:
        async def run() -> int | None:
            async with httpx.AsyncClient(transport=httpx.MockTransport(handler)) as client:
                store = Etcd(client, ["http://a:1", "http://b:1"], seconds=0.2, **options)
                return await store.transact([], [Put("/k", "v")])

        return asyncio.run(run())

    @pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout])
    def test_it_never_left(self, kind: type[httpx.TransportError]) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            if request.url.host == "a":
                raise kind("down", request=request)
            return httpx.Response(200, json={"header": {"revision": "9"}, "succeeded": True})

        assert self.write(answer) == 9

    @pytest.mark.parametrize(
        "problem",
        [
            httpx.ReadTimeout("silence"),
            httpx.WriteError("broken pipe"),
            httpx.RemoteProtocolError("cut"),
            httpx.Response(502, text="<html>"),
            refusal(503, 14, "etcdserver: request timed out"),
            refusal(504, 4, "context deadline exceeded"),
        ],
    )
    def test_it_may_have_been_written(self, problem: httpx.Response | Exception) -> None:
        hosts = []

        def answer(request: httpx.Request) -> httpx.Response:
            hosts.append(request.url.host)
            if isinstance(problem, Exception):
                raise problem
            return problem

        with pytest.raises(Failure) as caught:
            self.write(answer)
        assert hosts == ["a"]
        error = caught.value.error
        assert (error.code, error.outcome) == ("STORE_UNAVAILABLE", "not_executed")
        assert "not known whether" in error.message
        assert "dispatched" not in error.message  # it may be an outcome's record

    def test_an_endpoint_that_hangs(self) -> None:
        hosts = []

        async def answer(request: httpx.Request) -> httpx.Response:
            hosts.append(request.url.host)
            await asyncio.Event().wait()
            raise AssertionError

        with pytest.raises(Failure) as caught:
            self.write(answer)  # type: ignore[arg-type]
        assert hosts == ["a"]
        assert "not known whether" in caught.value.error.message

    def test_no_endpoint(self) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("refused", request=request)

        with pytest.raises(Failure) as caught:
            self.write(answer)
        assert (
            "nothing was written: http://a:1: refused; http://b:1: refused"
            in caught.value.error.message
        )

    def test_without_a_session_it_is_not_sent(self) -> None:
        """Authenticating failed, so another endpoint may be asked to write."""
        asked = []

        def answer(request: httpx.Request) -> httpx.Response:
            asked.append(f"{request.url.host} {request.url.path}")
            if request.url.host == "a":
                raise httpx.ReadTimeout("silence", request=request)
            return httpx.Response(
                200, json={"header": {"revision": "9"}, "succeeded": True, "token": "t"}
            )

        assert self.write(answer, user="root", password="") == 9
        assert asked == ["a /v3/auth/authenticate", "b /v3/auth/authenticate", "b /v3/kv/txn"]

    @real
    def test_an_ended_session_is_renewed(self, tmp_path: Path) -> None:
        """A real etcd forgets its sessions when it starts again, and refuses before it writes."""
        with etcd(tmp_path) as store:
            store.ask("auth/user/add", name="root", password="secret")
            store.ask("auth/role/add", name="root")
            store.ask("auth/user/grant", user="root", role="root")
            store.ask("auth/enable")

            async def work(client: Etcd) -> None:
                assert await client.transact([], [Put("/k", "1")])
                store.daemon.kill()
                store.start()
                assert await client.transact([], [Put("/k", "2")])
                found = await client.history("/", 1)
                assert [event.value for event in found.events] == ["1", "2"]

            on(store, work, user="root", password="secret")
            with pytest.raises(Failure, match="user name is empty"):
                on(store, lambda client: client.transact([], [Put("/k", "3")]))

    @real
    def test_a_killed_store(self, tmp_path: Path) -> None:
        with etcd(tmp_path) as store:
            store.daemon.kill()
            with pytest.raises(Failure) as caught:
                on(store, lambda client: client.transact([], [Put("/k", "1")]))
            assert "nothing was written:" in caught.value.error.message
            store.start()
            store.daemon.freeze()
            with pytest.raises(Failure) as caught:
                on(store, lambda client: client.transact([], [Put("/k", "1")]), seconds=0.3)
            assert "not known whether" in caught.value.error.message


@real
class TestLeases:
    def test_a_key_goes_with_its_lease(self, etcd_store: Store, prefix: str) -> None:
        async def grant(etcd: Etcd) -> int:
            lease = await etcd.lease(1)
            revision = await etcd.transact([], [Put(prefix + "inflight", "x", lease)])
            assert revision is not None
            return revision

        revision = on(etcd_store, grant)
        wait_until(
            "the lease has ended",
            lambda: not on(etcd_store, lambda etcd: etcd.read(prefix)).keys,
        )
        found = on(etcd_store, lambda etcd: etcd.history(prefix, revision))
        assert [(event.key, event.value, event.created) for event in found.events] == [
            ("inflight", None, 0)
        ]


@real
class TestHistory:
    def test_every_event_in_order(self, etcd_store: Store, prefix: str) -> None:
        async def work(etcd: Etcd) -> None:
            leader, failover = prefix + "leader", prefix + "failover"
            start = await etcd.transact([], [Put(leader, "n1"), Put(prefix + "status", "1")]) or 0
            await etcd.transact([], [Put(failover, "x")])
            await etcd.transact([], [Put("/elsewhere", "x")])
            await etcd.transact([], [Delete(leader)])
            await etcd.transact([], [Put(leader, "n2")])
            last = await etcd.transact([], [Put(failover, "{}")])
            found = await etcd.history(prefix, start)
            assert found.complete
            assert found.base.revision == start
            assert found.base.keys["leader"].value == "n1"
            assert found.keyspace == await etcd.read(prefix)
            assert found.events == (
                Event(start + 1, "failover", "x", start + 1),
                Event(start + 3, "leader", None, 0),
                Event(start + 4, "leader", "n2", start + 4),
                Event(start + 5, "failover", "{}", start + 1),
            )
            assert last == start + 5
            some = await etcd.history(prefix, start, start + 3)
            assert some.events == found.events[:2]
            assert some.keyspace == await etcd.read(prefix, start + 3)
            assert (await etcd.history(prefix, last)).events == ()

        on(etcd_store, work)

    def test_window_by_window(self, etcd_store: Store, prefix: str) -> None:
        """Together they are the whole; also from where compaction has left it."""

        async def windows(etcd: Etcd, since: int, until: int | None) -> list[History]:
            found = [await etcd.history(prefix, since, until, window=2)]
            while found[-1].events:
                last = found[-1].keyspace.revision
                found.append(await etcd.history(prefix, last, until, window=2))
            return found

        async def work(etcd: Etcd) -> None:
            start = await etcd.transact([], [Put(prefix + "k", "0")]) or 0
            for number in range(1, 6):
                await etcd.transact([], [Put(prefix + "k", str(number))])
            for until in (None, start + 3):
                whole = await etcd.history(prefix, start, until)
                found = await windows(etcd, start, until)
                assert [len(each.events) for each in found[:-1]] == (
                    [2, 2, 1] if not until else [2, 1]
                )
                assert tuple(event for each in found for event in each.events) == whole.events
                assert found[-1].keyspace == whole.keyspace
                assert all(each.complete for each in found)
            etcd_store.ask("kv/compaction", revision=str(start + 1), physical=True)
            found = await windows(etcd, start, None)
            assert [each.complete for each in found] == [False, True, True]
            assert [len(each.events) for each in found] == [2, 2, 0]

        on(etcd_store, work)

    def test_deletions_are_waited_for(self, etcd_store: Store, prefix: str) -> None:
        """Also where nothing that is left was written since, and of what was there before."""

        async def work(etcd: Etcd) -> None:
            a, b = prefix + "a", prefix + "b"
            start = await etcd.transact([], [Put(a, "1")]) or 0
            await etcd.transact([], [Put(b, "1")])
            await etcd.transact([], [Delete(b)])
            last = await etcd.transact([], [Delete(a)])
            found = await etcd.history(prefix, start)
            assert found.keyspace.keys == {}
            assert [(event.key, event.value) for event in found.events] == [
                ("b", "1"),
                ("b", None),
                ("a", None),
            ]
            assert found.events[-1].revision == last

        on(etcd_store, work)

    def test_what_came_and_went_after_a_batch(self, etcd_store: Store, prefix: str) -> None:
        """etcd delivers a backlog in batches of a thousand revisions; here the first one leads to
        what stands in the end, and yet it is not the last.
        """

        async def work(etcd: Etcd) -> None:
            k, gone = prefix + "k", prefix + "gone"
            start = await etcd.transact([], [Put(k, "start")]) or 0
            for count in (99,) * 10 + (8,):
                put = [Put(k, "x")]
                await asyncio.gather(*(etcd.transact([], put) for _ in range(count)))
            for change in (Put(gone, "x"), Delete(gone), Put(gone, "x")):
                await etcd.transact([], [change])
            last = await etcd.transact([], [Delete(gone)]) or 0
            for found in (
                await etcd.history(prefix, start),
                await etcd.replay(prefix, start, last, window=5000),
            ):
                assert found.events[-1].revision == last
                assert len(found.events) == 998 + 4

        on(etcd_store, work)

    def test_it_ends_while_others_write(self, etcd_store: Store, prefix: str) -> None:
        """What is committed after its own read is no part of it."""

        async def work(etcd: Etcd) -> None:
            start = await etcd.transact([], [Put(prefix + "k", "start")]) or 0
            for _ in range(2):
                put = [Put(prefix + "k", "backlog")]
                await asyncio.gather(*(etcd.transact([], put) for _ in range(100)))

            async def write() -> None:
                for number in itertools.count():
                    await etcd.transact([], [Put(prefix + "k", str(number))])

            writing = asyncio.create_task(write())
            found = await etcd.history(prefix, start)
            writing.cancel()
            values = [event.value for event in found.events]
            assert values[:200] == ["backlog"] * 200
            assert values[200:] == [str(number) for number in range(len(values) - 200)]
            assert found.events[-1].revision == found.keyspace.keys["k"].modified

        on(etcd_store, work)

    def test_compaction(self, etcd_store: Store, prefix: str) -> None:
        async def work(etcd: Etcd) -> None:
            k = prefix + "k"
            start = await etcd.transact([], [Put(k, "0")]) or 0
            await etcd.transact([], [Put(k, "1")])
            await etcd.transact([], [Delete(k)])
            await etcd.transact([], [Put(k, "3")])
            await etcd.transact([], [Put(k, "4")])
            for oldest, left in [(start, [1, 2, 3, 4]), (start + 2, [3, 4]), (start + 4, [])]:
                etcd_store.ask("kv/compaction", revision=str(oldest), physical=True)
                found = await etcd.history(prefix, start)
                assert found.complete == (oldest == start)
                assert found.base.revision == oldest
                assert [event.revision - start for event in found.events] == left
                assert found.keyspace.keys["k"].value == "4"
            assert (await etcd.history(prefix, start + 4)).complete
            for call in (etcd.read(prefix, start), etcd.read_together([], [k], start)):
                with pytest.raises(Failure) as caught:
                    await call
                assert caught.value.error.code == "REVISION_COMPACTED"

        on(etcd_store, work)

    def test_it_is_bounded(self, tmp_path: Path) -> None:
        with etcd(tmp_path) as store:
            store.daemon.freeze()
            with pytest.raises(Failure) as caught:
                on(store, lambda client: client.history("/", 1), seconds=0.3)
            assert caught.value.error.code == "STORE_UNAVAILABLE"

    def test_another_endpoint_is_asked(self, etcd_store: Store, prefix: str) -> None:
        async def work(etcd: Etcd) -> History:
            start = await etcd.transact([], [Put(prefix, "1")])
            await etcd.transact([], [Put(prefix, "2")])
            return await etcd.history(prefix, start or 0)

        found = on(etcd_store, work, endpoints=["http://127.0.0.1:1", etcd_store.url])
        assert len(found.events) == 1


@real
class TestReplay:
    """Revision by revision: the same as a watch tells, and what it can't."""

    def test_the_same_as_a_watch(self, etcd_store: Store, prefix: str) -> None:
        async def work(etcd: Etcd) -> None:
            start = await etcd.transact([], [Put(prefix + "a", "0"), Put(prefix + "b", "0")]) or 0
            lease = await etcd.lease(60)
            await etcd.transact([], [Put("/elsewhere", "x")])
            await etcd.transact([], [Put(prefix + "c", "1", lease), Put(prefix + "b", "1", lease)])
            await etcd.transact([], [Put(prefix + "d", "1"), Delete(prefix + "a")])
            etcd_store.ask("lease/revoke", ID=str(lease))
            last = await etcd.transact([], [Put(prefix + "d", "2")]) or 0
            watched = await etcd.history(prefix, start, last)
            found = await etcd.replay(prefix, start, last, window=5000)
            assert found.events == tuple(
                sorted(watched.events, key=lambda e: (e.revision, e.value is not None, e.key))
            )
            assert (found.keyspace, found.base) == (watched.keyspace, watched.base)
            assert [event.lease for event in found.events] == [lease, lease, 0, 0, 0, 0, 0]
            for window in (1, 2, 200):
                since = start
                events: list[Event] = []
                while since < last:
                    page = await etcd.replay(prefix, since, last, window=window)
                    assert page.keyspace == await etcd.read(prefix, page.keyspace.revision)
                    since = page.keyspace.revision
                    events += page.events
                assert tuple(events) == found.events

        on(etcd_store, work)

    def test_what_came_and_went(self, etcd_store: Store, prefix: str) -> None:
        async def work(etcd: Etcd) -> None:
            start = await etcd.transact([], [Put(prefix + "k", "0")]) or 0
            await etcd.transact([], [Put(prefix + "gone", "1")])
            last = await etcd.transact([], [Delete(prefix + "gone")]) or 0
            found = await etcd.replay(prefix, start, last, window=5000)
            assert [(event.key, event.value) for event in found.events] == [
                ("gone", "1"),
                ("gone", None),
            ]

        on(etcd_store, work)

    def test_compaction(self, etcd_store: Store, prefix: str) -> None:
        async def work(etcd: Etcd) -> None:
            start = await etcd.transact([], [Put(prefix + "k", "0")]) or 0
            for number in range(1, 5):
                await etcd.transact([], [Put(prefix + "k", str(number))])
            for oldest, left in [(start, [1, 2, 3, 4]), (start + 2, [3, 4]), (start + 4, [])]:
                etcd_store.ask("kv/compaction", revision=str(oldest), physical=True)
                found = await etcd.replay(prefix, start, start + 4, window=5000)
                assert found.complete == (oldest == start)
                assert found.base.revision == oldest
                assert [event.revision - start for event in found.events] == left
            await etcd.transact([], [Put(prefix + "k", "5")])
            etcd_store.ask("kv/compaction", revision=str(start + 5), physical=True)
            with pytest.raises(Failure) as caught:
                await etcd.replay(prefix, start, start + 4, window=5000)
            assert caught.value.error.code == "REVISION_COMPACTED"

        on(etcd_store, work)

    def test_it_ends_early_rather_than_late(
        self, etcd_store: Store, prefix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Half of five seconds is there for it, and here each look at the clock takes two."""

        async def work(etcd: Etcd) -> None:
            start = await etcd.transact([], [Put(prefix + "k", "0")]) or 0
            for _ in range(6):
                await asyncio.gather(*(etcd.transact([], [Put(prefix, "x")]) for _ in range(50)))
            clock = itertools.count(0, 2)
            for module in ("etcd", "replay"):
                monkeypatch.setattr(f"aeroctl.kernel.store.{module}.uptime", lambda: next(clock))
            found = await etcd.replay(prefix, start, start + 300, window=5000)
            assert found.keyspace == await etcd.read(prefix, start + 2 * REVISIONS)
            for module in ("etcd", "replay"):
                monkeypatch.setattr(f"aeroctl.kernel.store.{module}.uptime", lambda: 0)
            monkeypatch.setattr(
                "aeroctl.kernel.store.replay.LARGE", 50
            )  # less than any revision holds
            found = await etcd.replay(prefix, start, start + 300, window=5000)
            assert found.keyspace == await etcd.read(prefix, start + 1)
            monkeypatch.setattr("aeroctl.kernel.store.replay.LARGE", 20_000)
            found = await etcd.replay(prefix, start, start + 300, window=5000)
            assert found.keyspace == await etcd.read(prefix, start + 4 * REVISIONS)

        on(etcd_store, work)

    def test_versions(self, etcd_store: Store, prefix: str) -> None:
        async def work(etcd: Etcd) -> None:
            key = prefix + "history"
            await etcd.transact([], [Put(key, "of another cluster")])
            await etcd.transact([], [Delete(key)])
            assert await etcd.versions(key, (await etcd.read(prefix)).revision) == ()
            first = await etcd.transact([], [Put(key, "1")]) or 0
            second = await etcd.transact([], [Put(key, "2")]) or 0
            last = await etcd.transact([], [Put(prefix + "other", "x")]) or 0
            found = (KeyValue("1", first, first), KeyValue("2", first, second))
            assert await etcd.versions(key, last) == found
            assert await etcd.versions(key, first) == found[:1]
            etcd_store.ask("kv/compaction", revision=str(second), physical=True)
            assert await etcd.versions(key, last) == found[1:]
            with pytest.raises(Failure) as caught:
                await etcd.versions(key, first)
            assert caught.value.error.code == "REVISION_COMPACTED"

        on(etcd_store, work)
