"""A cluster's keys in a real etcd, with an agent that does to them what Patroni would be told to.

The kernel under test is the whole server. What the engine decides is a test's own script: what a
real one does is for tests/live to see.
"""

import asyncio
import base64
import json
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from aeroctl.contract.audit import AuditRecord
from aeroctl.kernel import callers
from aeroctl.kernel.audit import ledger
from aeroctl.kernel.patroni.rest_api import Engine
from aeroctl.kernel.postgres.queries import Access
from aeroctl.kernel.server.routes import application
from aeroctl.kernel.source import Source
from aeroctl.kernel.store.etcd import Delete, Etcd, Put
from tests.support.agents import Act, Agent, listening
from tests.support.etcd import Store
from tests.support.keyspaces import STORED, member, stored, text

SYSTEM_ID = STORED["initialize"]
NOWHERE = "postgres://127.0.0.1:{}/postgres"
Spoil = Callable[[httpx.Request], Coroutine[Any, Any, httpx.Response | None]]


class Wire(httpx.AsyncHTTPTransport):
    """The way from the kernel to etcd; `spoil` may answer, or fail, in etcd's place."""

    spoil: Spoil | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self.spoil(request) if self.spoil else None
        return answer or await super().handle_async_request(request)


def saying(status: int, text: str) -> Act:
    """An agent that says that."""

    async def act(_: Any) -> tuple[int, str]:
        return status, text

    return act


def writes(request: httpx.Request) -> bool:
    """Whether it is a transaction that writes."""
    return request.url.path == "/v3/kv/txn" and b"request_put" in request.content


def puts(request: httpx.Request, key: str) -> bool:
    """Whether it writes a key whose name begins so."""
    changes = json.loads(request.content)["success"] if writes(request) else []
    names = [
        base64.b64decode(each["request_put"]["key"]) for each in changes if "request_put" in each
    ]
    return any(name.startswith(key.encode()) for name in names)


@dataclass
class World:
    """`script` is what the agents do when they are asked for a change, one after the other, whoever
    it is; `accounts` what each does when it is asked who it is, `views` whom its store names.
    `agent`: what all were asked.

    `clients`: of one server, by authority. `beside`: of another one at its side.
    """

    scope: str
    store: Etcd
    agent: Agent
    agents: dict[str, Agent]
    wire: Wire
    source: Source
    clients: dict[str | None, httpx.AsyncClient]
    beside: dict[str | None, httpx.AsyncClient]
    script: list[Act] = field(default_factory=list)
    accounts: dict[str, Act] = field(default_factory=dict)
    views: dict[str, Act] = field(default_factory=dict)

    async def put(self, **changes: Any) -> int:
        """Write keys as Patroni would; None deletes. The revision."""
        revision = await self.store.transact(
            [],
            [
                Delete(self.key(name)) if value is None else Put(self.key(name), text(value))
                for name, value in changes.items()
            ],
        )
        assert revision is not None
        return revision

    def key(self, name: str) -> str:
        return f"/service/{self.scope}/{name.replace('__', '/')}"

    def member(self, name: str, role: str = "replica", **changes: Any) -> dict[str, Any]:
        base = self.agents[name].base if name in self.agents else self.agent.base
        url = f"{base}/patroni"
        return member(name, role, api_url=url, conn_url=NOWHERE.format(name[1:]), **changes)

    def account(self, node: str, **changes: Any) -> dict[str, Any]:
        """What Patroni says of that node; `None` leaves a key out."""
        software = {"version": "4.1.5", "scope": self.scope, "name": node} | changes
        told = {"database_system_identifier": software.pop("system_id", SYSTEM_ID)}
        known = {key: value for key, value in software.items() if value is not None}
        told = {key: value for key, value in told.items() if value is not None}
        return {"state": "running", "role": "replica", "timeline": 1, **told, "patroni": known}

    async def view(self, _: Any) -> tuple[int, str]:
        """What Patroni says of its store: here, of this one."""
        keys = (await self.store.read(f"/service/{self.scope}/")).keys
        members = [
            {"name": name.removeprefix("members/"), "api_url": json.loads(pair.value)["api_url"]}
            for name, pair in sorted(keys.items())
            if name.startswith("members/") and "api_url" in pair.value
        ]
        return 200, json.dumps({"members": members, "scope": self.scope})

    async def arrive(self, asked: dict[str, str]) -> None:
        """What a request that is taken up leaves in the store (patroni dcs, manual_failover)."""
        found = {"leader": asked.get("leader"), "member": asked.get("candidate")}
        await self.put(failover={name: value for name, value in found.items() if value})

    async def switch(self, asked: dict[str, str], holder: str, target: str) -> None:
        """What a transfer leaves there."""
        await self.arrive(asked)
        await self.put(leader=None)
        await self.put(leader=target)
        await self.put(failover={})
        await self.put(
            **{
                f"members__{target}": self.member(target, "primary", timeline=2),
                f"members__{holder}": self.member(holder, "replica", timeline=2),
            }
        )

    async def explain(self, command: str, target: str | None) -> dict[str, Any]:
        answer = await self.clients["operator"].post(
            f"/v1/explain/{command}", json={"target": target}
        )
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data

    async def request(self, command: str, target: str | None) -> dict[str, Any]:
        """A complete and confirmed request in the state as it is."""
        shown = await self.explain(command, target)
        override = shown["confirmation"] == "override"
        return {
            "request_id": str(uuid.uuid4()),
            "target": target,
            "reason": "the rack burns" if override else None,
            "state_digest": shown["observed_snapshot"]["state_digest"],
            "revision": shown["observed_snapshot"]["revision"],
            "confirmation": {
                "kind": shown["confirmation"],
                "given": "flags" if override else "yes",
                "token": shown["confirmation_token"],
                "acknowledged": [each["invariant"] for each in shown["overrides"]],
                "accepts_responsibility": override,
            },
            "client": {"user": "ann", "host": None, "version": None},
        }

    async def send(
        self, command: str, body: Any, authority: str | None = "operator"
    ) -> httpx.Response:
        return await self.clients[authority].post(f"/v1/commands/{command}", json=body)

    async def records(self, request_id: str | None = None) -> list[AuditRecord]:
        found = await self.clients["auditor"].get("/v1/audit")
        assert found.status_code == 200, found.text
        records = [
            AuditRecord.model_validate_json(json.dumps(record))
            for record in found.json()["data"]["records"]
        ]
        return [record for record in records if request_id in (None, record.request_id)]

    async def kinds(self, request_id: str) -> list[str]:
        return [record.kind for record in await self.records(request_id)]

    async def kept(self, request_id: str) -> ledger.Ledger:
        return (await self.source.keys_and_ledger(request_id))[1]


@asynccontextmanager
async def world(etcd: Store, directory: Any) -> AsyncIterator[World]:
    """n3 leads n1 and n2. The agent is a script: each call is its next act."""
    script: list[Act] = []

    async def act(body: Any) -> Any:
        return await script.pop(0)(body)

    accounts: dict[str, Act] = {}
    views: dict[str, Act] = {}

    def later(acts: dict[str, Act], name: str) -> Act:
        return lambda body: acts[name](body)

    async with AsyncExitStack() as stack:
        agent = Agent("http://127.0.0.1:1")
        each: dict[str, Agent] = {}
        for name in ("n1", "n2", "n3"):
            one = await stack.enter_async_context(
                listening(act, {"/patroni": later(accounts, name), "/cluster": later(views, name)})
            )
            one.asked, each[name] = agent.asked, one
        wire = Wire(verify=False)
        client = await stack.enter_async_context(httpx.AsyncClient(transport=wire, trust_env=False))
        aside = await stack.enter_async_context(httpx.AsyncClient(verify=False, trust_env=False))
        agents = await stack.enter_async_context(httpx.AsyncClient(verify=False, trust_env=False))
        scope = f"w{uuid.uuid4().hex[:8]}"
        source = Source(
            store=Etcd(client, [etcd.url], seconds=2),
            namespace="service",
            scope=scope,
            access=Access(None, None, "postgres", 3),
            seconds=5,
        )
        file = directory / "tokens"
        lines = [callers.line_of(f"the-{name}", name, name) for name in callers.AUTHORITIES]
        file.write_text("\n".join(lines), encoding="ascii")

        async def clients_of(source: Source) -> dict[str | None, httpx.AsyncClient]:
            clients: dict[str | None, httpx.AsyncClient] = {}
            for authority in (*callers.AUTHORITIES, None):
                app = application(source, Engine(agents), file if authority else None)
                clients[authority] = await stack.enter_async_context(
                    httpx.AsyncClient(
                        transport=httpx.ASGITransport(app, raise_app_exceptions=False),
                        base_url="http://kernel",
                        headers={"Authorization": f"Bearer {authority}"} if authority else {},
                        timeout=60,
                        trust_env=False,
                    )
                )
            return clients

        found = World(
            scope,
            Etcd(aside, [etcd.url], seconds=2),
            agent,
            each,
            wire,
            source,
            await clients_of(source),
            await clients_of(replace(source, append_lock=asyncio.Lock())),
            script,
            accounts,
            views,
        )
        views |= dict.fromkeys(each, found.view)
        accounts |= {name: saying(200, json.dumps(found.account(name))) for name in each}
        keys = stored(
            members__n1=found.member("n1"),
            members__n2=found.member("n2"),
            members__n3=found.member("n3", "primary"),
        )
        await found.put(**{name.replace("/", "__"): value for name, value in keys.items()})
        yield found


def run(etcd: Store, directory: Any, test: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def inside() -> None:
        async with world(etcd, directory) as found:
            await test(found)

    asyncio.run(inside())


def names(records: Sequence[AuditRecord]) -> list[str]:
    return [record.kind for record in records]
