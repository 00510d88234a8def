"""Only the node's own agent is asked for a change: by its name, its scope and its system id."""

import asyncio
import contextlib
import json
import re
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from aeroctl.contract.errors import EngineReply, Error, ErrorBody
from aeroctl.kernel.audit import ledger
from aeroctl.kernel.change import watch
from aeroctl.kernel.patroni import rest_api
from aeroctl.kernel.patroni.agent import ExpectedAgent, Identity, evidence, identity
from aeroctl.kernel.patroni.rest_api import Engine
from tests.support.agents import listening
from tests.support.etcd import Store
from tests.support.world import SYSTEM_ID, World, puts, run, saying

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
MEMBERS = {"n1": "http://a:8008/patroni", "n2": "http://b:8008/patroni"}
EXPECTED = ExpectedAgent("n1", "demo", "77", MEMBERS)
RIGHT = {"name": "n1", "scope": "demo", "system_id": "77", "version": "4.1.5"}
Test = Callable[[World], Coroutine[Any, Any, None]]
In = Callable[[Test], None]


@pytest.fixture
def inside(etcd_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> In:
    monkeypatch.setattr(watch, "LAST_WORDS_SECONDS", 0.2)
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.02)
    return lambda test: run(etcd_store, tmp_path, test)


def told(**changes: Any) -> EngineReply:
    """What Patroni answers; None leaves a key out."""
    said = {key: value for key, value in (RIGHT | changes).items() if value is not None}
    body: dict[str, Any] = {"state": "running"}
    if "system_id" in said:
        body["database_system_identifier"] = said.pop("system_id")
    return EngineReply(status=200, body=json.dumps(body | {"patroni": said}))


def viewed(**changes: str | None) -> EngineReply:
    """Whom its store names, and where; None leaves one out."""
    named = MEMBERS | changes
    members = [{"name": name, "api_url": url} for name, url in named.items() if url is not None]
    return EngineReply(status=200, body=json.dumps({"members": members, "scope": "demo"}))


class TestIdentity:
    def test_a_copy_of_everything_in_another_store(self) -> None:
        """Name, scope and system id are the same where a cluster was made from a copy of the data;
        the members of its store are elsewhere.
        """
        other = viewed(n2="http://copy:8008/patroni")
        found = identity(EXPECTED, told(), other)
        assert (found.proved, found.same_members) == (False, False)
        assert "another store" in (found.problem or "")

    @pytest.mark.parametrize(
        "view",
        [
            viewed(n2=None),  # a copy with one node
            viewed(n3="http://c:8008/patroni"),
            EngineReply(status=200, body="{}"),
            EngineReply(status=200, body='{"members": [{"api_url": "http://a:8008/patroni"}]}'),
            EngineReply(status=503, body=""),
            EngineReply(status=None, body="no answer within 3 seconds"),
        ],
    )
    def test_a_store_that_may_be_another_one(self, view: EngineReply) -> None:
        """Or a member has just come or gone; asked again, it is told apart."""
        found = identity(EXPECTED, told(), view)
        assert (found.proved, bool(found.problem)) == (None, True)

    def test_the_nodes_own(self) -> None:
        found = identity(EXPECTED, told(), viewed())
        assert found == Identity(True, None, "n1", "demo", "77", "4.1.5", True)
        assert evidence(EXPECTED, found) == {
            "node": "n1",
            "agent_name": "n1",
            "cluster": "demo",
            "agent_scope": "demo",
            "system_id": "77",
            "agent_system_id": "77",
            "agent_version": "4.1.5",
            "same_members": True,
            "problem": None,
        }

    @pytest.mark.parametrize(
        "changes",
        [
            {"name": "n2"},
            {"scope": "other"},
            {"system_id": "78"},  # a copied configuration: same name and scope
            {"name": "n2", "scope": None, "system_id": None},
            {"name": None, "scope": None, "system_id": "78"},
            {"name": None, "version": "3.0.2", "system_id": "78"},
            {"name": None, "version": "3.0.2", "scope": "other"},
            {"name": "N1"},
            {"name": ""},
            {"scope": "demo "},
        ],
    )
    def test_another_one_s(self, changes: dict[str, Any]) -> None:
        assert identity(EXPECTED, told(**changes), viewed()).proved is False

    @pytest.mark.parametrize(
        ("changes", "missing"),
        [
            ({"name": None}, "name"),
            ({"scope": None}, "scope"),
            ({"system_id": None}, "system id"),
            ({"name": None, "scope": None, "system_id": None}, "name and scope and system id"),
            ({"name": None, "version": None}, "name"),
            ({"name": None, "version": "3.2.0"}, "name"),
            ({"name": None, "version": "4"}, "name"),
            ({"name": None, "version": "3.0.2", "system_id": None}, "system id"),
        ],
    )
    def test_what_is_not_said_proves_nothing(self, changes: dict[str, Any], missing: str) -> None:
        found = identity(EXPECTED, told(**changes), viewed())
        assert (found.proved, found.problem) == (None, f"it does not report its {missing}")

    @pytest.mark.parametrize("version", ["3.0.0", "3.0.2", "3.1.1", "2.1.7", "1.6.5"])
    def test_an_old_patroni_tells_no_name(self, version: str) -> None:
        """Its scope and its system id prove it; before 3.2 the answer has no name."""
        found = identity(EXPECTED, told(name=None, version=version), viewed())
        assert (found.proved, found.name) == (True, None)

    def test_a_store_without_a_system_id(self) -> None:
        assert identity(replace(EXPECTED, system_id=None), told(), viewed()).proved is None
        assert (
            identity(replace(EXPECTED, system_id=None), told(scope="other"), viewed()).proved
            is False
        )

    @pytest.mark.parametrize(
        "body",
        [
            "",
            "ok",
            "[]",
            "null",
            "{}",
            '{"patroni": null}',
            '{"patroni": []}',
            '{"patroni": {"name": 1, "scope": "demo"}}',
            '{"patroni": {"name": "n1", "scope": ["demo"]}, "database_system_identifier": "77"}',
            '{"patroni": {"name": "n1", "scope": "demo"}, "database_system_identifier": 77}',
            "[" * 60000,
            told().body[:-1],
            "\ufffd" + told().body,
        ],
    )
    def test_an_answer_that_is_none_of_patronis(self, body: str) -> None:
        found = identity(EXPECTED, EngineReply(status=200, body=body), viewed())
        assert found.proved is None
        assert "not what Patroni answers" in (found.problem or "")

    @pytest.mark.parametrize("status", [204, 301, 307, 401, 403, 404, 500, 503, None])
    def test_another_status_proves_nothing(self, status: int | None) -> None:
        """Not even with the right words beside it."""
        reply = EngineReply(status=status, body=told().body)
        assert identity(EXPECTED, reply, viewed()).proved is None

    def test_who_wants_something_else_first_is_quoted(self) -> None:
        reply = EngineReply(status=403, body="client certificate required")
        problem = "it answered 403 to GET /patroni: client certificate required"
        assert identity(EXPECTED, reply, viewed()).problem == problem
        hidden = EngineReply(status=500, body="internal words of who knows what")
        assert "internal" not in (identity(EXPECTED, hidden, viewed()).problem or "")

    @given(st.text(max_size=60), st.sampled_from([200, 200, 401, None]))
    def test_whatever_is_said_is_not_believed_by_chance(self, body: str, status: Any) -> None:
        found = identity(EXPECTED, EngineReply(status=status, body=body), viewed())
        assert found.proved is None
        assert len(found.problem or "") < 300


def refusal(answer: httpx.Response, code: str) -> Error:
    found = ErrorBody.model_validate_json(answer.text).error
    assert (answer.status_code, found.code, found.outcome) == (409, code, "not_executed")
    assert found.domain == "kernel_rejection"
    return found


CHANGES = [("request_promotion", "n1", "n3"), ("request_demotion", "n3", "n3"),
           ("force_promotion", "n1", "n1")]  # fmt: skip
"""A command, its target, and the node whose agent is asked."""


class TestBeforeDispatch:
    @pytest.mark.parametrize(("command", "target", "node"), CHANGES)
    @pytest.mark.parametrize(
        "other", [{"name": "n9"}, {"scope": "other"}, {"system_id": "7000000000000000001"}]
    )
    def test_another_ones_agent(
        self, inside: In, command: str, target: str, node: str, other: dict[str, str]
    ) -> None:
        async def test(w: World) -> None:
            w.accounts[node] = saying(200, json.dumps(w.account(node, **other)))
            body = await w.request(command, target)
            found = refusal(await w.send(command, body), "AGENT_MISMATCH")
            assert found.invariants == ["P7-A2", "P7-F1"]
            for word in (w.agents[node].base, node, w.scope, SYSTEM_ID, *other.values()):
                assert word in found.message
            assert w.agent.posts == []
            assert await w.kinds(body["request_id"]) == ["requested", "refused"]
            assert (await w.kept(body["request_id"])).in_flight is None

            shown = await w.explain(command, target)
            assert shown["conclusion"] == "refused"
            rule = rule_of(shown)
            assert (rule["evaluation"], rule["enforced_by"]) == ("does_not_hold", "kernel")

        inside(test)

    @pytest.mark.parametrize(("command", "target", "node"), CHANGES)
    def test_whoever_answers_must_be_the_right_one_of_them(
        self, inside: In, command: str, target: str, node: str
    ) -> None:
        """The others may say what they like: they are not asked."""

        async def test(w: World) -> None:
            for name in w.accounts.keys() - {node}:
                w.accounts[name] = saying(500, "")
            body = await w.request(command, target)
            assert rule_of(await w.explain(command, target))["evaluation"] == "holds"
            w.script.append(saying(412, "no"))
            answer = await w.send(command, body)
            assert answer.json()["error"]["code"] == "ENGINE_REJECTED"
            assert len(w.agent.posts) == 1

        inside(test)

    @pytest.mark.parametrize(
        ("reply", "reason"),
        [
            ((401, "no auth header received"), "no auth header received"),
            ((403, "client certificate required"), "client certificate required"),
            ((503, "{}"), "503"),
            ((200, "hello"), "not what Patroni answers"),
            (
                b"HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
                "307",
            ),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "not what Patroni answers"),
            (b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 200_000, "not what Patroni answers"),
            (None, "disconnected"),
        ],
    )
    def test_an_agent_that_does_not_prove_who_it_is(
        self, inside: In, reply: Any, reason: str
    ) -> None:
        async def test(w: World) -> None:
            async def act(_: Any) -> Any:
                return reply

            w.accounts["n3"] = act
            body = await w.request("request_promotion", "n1")
            found = refusal(await w.send("request_promotion", body), "AGENT_UNREACHABLE")
            assert reason in found.message
            assert found.invariants == ["P7-F1"]
            assert w.agent.posts == []
            assert await w.kinds(body["request_id"]) == ["requested", "refused"]
            rule = rule_of(await w.explain("request_promotion", "n1"))
            assert rule["evaluation"] == "undetermined"
            assert reason in {each["name"]: each["value"] for each in rule["evidence"]}["problem"]

        inside(test)

    def test_nobody_listens(self, inside: In) -> None:
        async def test(w: World) -> None:
            gone = w.member("n3", "primary") | {"api_url": "http://127.0.0.1:1/patroni"}
            await w.put(members__n3=gone)
            body = await w.request("request_promotion", "n1")
            refusal(await w.send("request_promotion", body), "AGENT_UNREACHABLE")

        inside(test)

    def test_a_frozen_agent_takes_no_longer_than_a_node_may(
        self, inside: In, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And holds up neither the explanation nor who writes a record meanwhile."""

        async def test(w: World) -> None:
            stuck = asyncio.Event()

            async def act(_: Any) -> None:
                await stuck.wait()

            w.accounts["n3"] = act
            body = await asyncio.wait_for(w.request("request_promotion", "n1"), 20)
            clock = asyncio.get_running_loop().time
            began = clock()
            waiting = asyncio.create_task(w.send("request_promotion", body))
            other = await w.request("force_promotion", "n1")  # n1's agent is well
            assert not w.source.append_lock.locked()
            w.script.append(saying(412, "no"))
            answer = await w.send("force_promotion", other)
            assert answer.json()["error"]["code"] == "ENGINE_REJECTED"
            refusal(await waiting, "AGENT_UNREACHABLE")
            assert clock() - began < 20  # a node may take 3 s here, and the machine be busy
            stuck.set()

        inside(test)

    def test_the_longest_that_it_may_take(self) -> None:
        async def run() -> float:
            async def act(_: Any) -> None:
                await asyncio.sleep(60)

            async with listening(act) as agent, httpx.AsyncClient(trust_env=False) as client:
                began = asyncio.get_running_loop().time()
                found = await Engine(client).identify("n1", agent.base, 600)
                assert found.reply.status is None
                assert "no answer within" in found.reply.body
                return asyncio.get_running_loop().time() - began

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rest_api, "IDENTIFY_SECONDS", 0.3)
            assert asyncio.run(run()) < 30

    def test_an_agent_that_drips(self) -> None:
        """Each byte comes in time, and the answer never."""

        async def run() -> None:
            hung_up = asyncio.Event()

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                with contextlib.suppress(ConnectionError):
                    while True:
                        writer.write(b" ")
                        await writer.drain()
                        await asyncio.sleep(0.05)
                writer.close()
                hung_up.set()

            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            async with server, httpx.AsyncClient(trust_env=False) as client:
                base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
                found = await asyncio.wait_for(Engine(client).identify("n1", base, 0.5), 20)
                assert identity(EXPECTED, found.reply, viewed()).proved is None
                await asyncio.wait_for(hung_up.wait(), 20)

        asyncio.run(run())

    def test_what_is_refused_anyway_asks_nobody(self, inside: In) -> None:
        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            w.agent.asked.clear()
            for changes, code in (({"state_digest": "other"}, 409), ({"target": "n9"}, 400)):
                again = await w.request("request_promotion", "n1")
                w.agent.asked.clear()
                answer = await w.send("request_promotion", again | changes)
                assert answer.status_code == code
                assert w.agent.asked == []
            await w.send("request_promotion", body, "observer")
            assert w.agent.asked == []

        inside(test)

    def test_another_rule_comes_first(self, inside: In) -> None:
        async def test(w: World) -> None:
            w.accounts["n3"] = saying(500, "")
            body = await w.request("request_promotion", "n3")
            answer = await w.send("request_promotion", body)
            found = ErrorBody.model_validate_json(answer.text).error
            assert found.code == "RULE_NOT_MET"
            assert "target_is_replica" in found.message
            assert "agent_identified" not in found.message

        inside(test)


class TestACopy:
    """Of the data and the configuration, with a store of its own."""

    def test_of_all_nodes(self, inside: In) -> None:
        async def test(w: World) -> None:
            urls = {name: f"{agent.base}/patroni" for name, agent in w.agents.items()}
            urls["n1"] = "http://copy:8008/patroni"
            named = [{"name": name, "api_url": url} for name, url in urls.items()]
            w.views["n3"] = saying(200, json.dumps({"members": named}))
            body = await w.request("request_promotion", "n1")
            found = refusal(await w.send("request_promotion", body), "AGENT_MISMATCH")
            assert "another store" in found.message
            assert w.agent.posts == []

        inside(test)

    def test_of_one_node(self, inside: In) -> None:
        async def test(w: World) -> None:
            named = [{"name": "n3", "api_url": w.member("n3")["api_url"]}]
            w.views["n3"] = saying(200, json.dumps({"members": named}))
            body = await w.request("request_promotion", "n1")
            found = refusal(await w.send("request_promotion", body), "AGENT_UNREACHABLE")
            assert "differ in the member" in found.message
            assert w.agent.posts == []

        inside(test)


class TestTheAddressMoves:
    """The request goes where it was asked who answers, or nowhere."""

    def test_after_the_agent_was_asked(self, inside: In) -> None:
        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            moving = [True]

            async def act(_: Any) -> tuple[int, str]:
                if moving and moving.pop():  # to what answers as somebody else
                    n2 = w.member("n2")["api_url"]
                    await w.put(members__n3=w.member("n3", "primary") | {"api_url": n2})
                return 200, json.dumps(w.account("n3"))

            w.accounts["n3"] = act
            found = refusal(await w.send("request_promotion", body), "AGENT_MISMATCH")
            assert w.agents["n2"].base in found.message
            assert w.agent.posts == []

        inside(test)

    def test_while_it_is_recorded(self, inside: In) -> None:
        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            moving = [True]

            async def spoil(request: httpx.Request) -> None:
                if puts(request, ledger.inflight_key(w.scope)) and moving and moving.pop():
                    n2 = w.member("n2")["api_url"]
                    await w.put(members__n3=w.member("n3", "primary") | {"api_url": n2})

            w.wire.spoil = spoil
            refusal(await w.send("request_promotion", body), "AGENT_MISMATCH")
            assert w.agent.posts == []

        inside(test)

    def test_the_entry_is_only_renewed(self, inside: In) -> None:
        """As every node does all the time: it is decided again, and goes on."""

        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            attempts: list[int] = []

            async def spoil(request: httpx.Request) -> None:
                if puts(request, ledger.inflight_key(w.scope)):
                    attempts.append(1)
                    if len(attempts) == 1:
                        await w.put(members__n3=w.member("n3", "primary", xlog_location=67109000))

            w.wire.spoil = spoil
            w.script.append(saying(412, "no"))
            answer = await w.send("request_promotion", body)
            assert answer.json()["error"]["code"] == "ENGINE_REJECTED"
            assert (len(attempts), len(w.agent.posts)) == (2, 1)

        inside(test)

    def test_it_never_holds_still(self, inside: In) -> None:
        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            bases = [w.agents[name].base for name in ("n1", "n2", "n3")]

            async def act(_: Any) -> tuple[int, str]:
                bases.append(bases.pop(0))
                url = f"{bases[0]}/patroni"
                await w.put(members__n3=w.member("n3", "primary") | {"api_url": url})
                return 200, json.dumps(w.account("n3"))

            w.accounts |= dict.fromkeys(w.accounts, act)
            answer = await w.send("request_promotion", body)
            found = ErrorBody.model_validate_json(answer.text).error
            assert (answer.status_code, found.code) == (503, "KERNEL_BUSY")
            assert (w.agent.posts, await w.records()) == ([], [])

        inside(test)

    def test_what_was_said_long_ago_is_asked_again(
        self, inside: In, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("aeroctl.kernel.change.command.FRESH_SECONDS", -1.0)

        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            answer = await w.send("request_promotion", body)
            assert answer.json()["error"]["code"] == "KERNEL_BUSY"
            assert w.agent.posts == []

        inside(test)


def rule_of(explanation: Any) -> Any:
    rules = [each for each in explanation["rules_applied"] if each["rule_id"] == "agent_identified"]
    (found,) = rules
    return found


def test_explain_posts_nothing(inside: In) -> None:
    async def test(w: World) -> None:
        for command, target, node in CHANGES:
            w.agent.asked.clear()
            rule = rule_of(await w.explain(command, target))
            shown = {each["name"]: each["value"] for each in rule["evidence"]}
            assert shown == {
                "node": node,
                "agent_name": node,
                "cluster": w.scope,
                "agent_scope": w.scope,
                "system_id": SYSTEM_ID,
                "agent_system_id": SYSTEM_ID,
                "agent_version": "4.1.5",
                "same_members": True,
                "problem": None,
                "status": 200,
            }
            assert sorted(path for path, _ in w.agent.asked) == ["GET /cluster", "GET /patroni"]
        w.agent.asked.clear()
        shown = await w.explain("run_diagnostics", None)
        assert (shown["rules_applied"], w.agent.asked) == ([], [])

    inside(test)


class TestTls:
    """What TLS refuses is told in its own words."""

    def asked(self, tmp_path: Path, server: Any, client: Any, host: str = "127.0.0.1") -> Identity:
        """Who answers. `server`, `client`: what is done to their contexts before."""
        leader = trustme.CA()
        issued = leader.issue_cert(host)
        listens = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(listens)
        asks = ssl.create_default_context()
        leader.configure_trust(asks)
        server(listens, leader)
        client(asks, leader)

        async def run() -> Identity:
            async def act(_: Any) -> tuple[int, str]:
                return 200, told().body

            async with (
                listening(act, tls=listens) as agent,
                httpx.AsyncClient(verify=asks, trust_env=False) as http,
            ):
                account = await Engine(http).identify("n1", agent.base, 5)
                return identity(EXPECTED, account.reply, viewed())

        return asyncio.run(run())

    def nothing(self, *_: Any) -> None:
        return None

    def wants_certificate(self, context: ssl.SSLContext, leader: trustme.CA) -> None:
        context.verify_mode = ssl.CERT_REQUIRED
        leader.configure_trust(context)

    def has_certificate(self, context: ssl.SSLContext, leader: trustme.CA) -> None:
        leader.issue_cert("client.test").configure_cert(context)

    def old(self, context: ssl.SSLContext, _: trustme.CA) -> None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2

    def test_all_is_well(self, tmp_path: Path) -> None:
        assert self.asked(tmp_path, self.nothing, self.nothing).proved is True

    def test_a_certificate_of_another_host(self, tmp_path: Path) -> None:
        found = self.asked(tmp_path, self.nothing, self.nothing, host="other.test")
        assert found.proved is None
        assert "certificate is not valid for '127.0.0.1'" in (found.problem or "")

    def test_a_client_certificate_is_wanted(self, tmp_path: Path) -> None:
        """It may be told too late to be heard; then it is what it looks like."""
        found = self.asked(tmp_path, self.wants_certificate, self.nothing)
        assert found.proved is None
        assert re.search("certificate required|--patroni-cert", found.problem or "")
        assert self.asked(tmp_path, self.wants_certificate, self.has_certificate).proved is True

    def test_by_an_older_tls_too(self, tmp_path: Path) -> None:
        found = self.asked(tmp_path, self.wants_certificate, self.old)
        assert found.proved is None
        assert re.search("handshake failure|--patroni-cert", found.problem or "")

    def test_no_trust(self, tmp_path: Path) -> None:
        def strange(context: ssl.SSLContext, _: trustme.CA) -> None:
            trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

        found = self.asked(tmp_path, strange, self.nothing)
        assert found.proved is None
        assert "CERTIFICATE_VERIFY_FAILED" in (found.problem or "")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_nothing_stays_open_to_who_says_nothing(scheme: str) -> None:
    """Neither where an answer is waited for, nor in the middle of TLS's greetings."""

    async def run() -> None:
        hung_up = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()
            hung_up.set()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server, httpx.AsyncClient(trust_env=False) as client:
            base = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            account = await Engine(client).identify("n1", base, 0.5)
            assert (account.reply.status, account.reply.body[:3]) == (None, "no ")
            await asyncio.wait_for(hung_up.wait(), 20)

    asyncio.run(run())
