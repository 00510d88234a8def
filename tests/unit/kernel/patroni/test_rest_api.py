"""The engine is asked once, and whether the request may have left is never guessed (P7-F3)."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from aeroctl.contract.errors import EngineReply
from aeroctl.kernel.patroni.rest_api import LARGEST, SEND_SECONDS, Engine, Sent
from aeroctl.kernel.timing import uptime
from tests.support.agents import Act, Agent, listening

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
BODY = {"leader": "n1", "candidate": "n2"}


def ask(
    act: Act,
    *,
    seconds: float = 5,
    late: float = 0,
    base: Callable[[Agent], str] = lambda agent: agent.base,
) -> tuple[Sent, Agent]:
    async def run() -> tuple[Sent, Agent]:
        async with listening(act) as agent, httpx.AsyncClient(trust_env=False) as client:
            began = uptime() - late
            sent = await Engine(client).ask(base(agent), "/switchover", BODY, seconds, began)
            return sent, agent

    return asyncio.run(run())


def saying(*reply: Any) -> Act:
    async def act(_: Any) -> Any:
        return reply if len(reply) == 2 else reply[0]

    return act


@pytest.mark.parametrize(
    ("status", "text"),
    [(200, 'Successfully switched over to "n2"'), (412, "leader name does not match"), (503, "")],
)
def test_the_reply_is_verbatim(status: int, text: str) -> None:
    sent, agent = ask(saying(status, text))
    assert sent.sent
    assert sent.reply is not None
    assert (sent.reply.status, sent.reply.body) == (status, text)
    assert agent.asked == [("POST /switchover", BODY)]


def test_nothing_listens_so_nothing_left() -> None:
    sent, agent = ask(saying(200, ""), base=lambda _: "http://127.0.0.1:1")
    assert not sent.sent
    assert sent.reply is not None
    assert sent.reply.status is None
    assert sent.reply.body
    assert agent.connections == 0


@pytest.mark.parametrize("base", ["http://[", "http://xn--a:8008", "http://a.xn--:8008"])
def test_an_address_that_is_none(base: str) -> None:
    """As any member key may name it."""
    sent, _ = ask(saying(200, ""), base=lambda _: base)
    assert not sent.sent

    async def account() -> EngineReply:
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await Engine(client).account(base, 5))[0]

    assert asyncio.run(account()).status is None


@pytest.mark.parametrize("reply", [None, b"", b"HTTP/1.1 200 O", b"\x00\xffgarbage\r\n\r\n"])
def test_a_reply_that_is_none(reply: bytes | None) -> None:
    sent, agent = ask(saying(reply))
    assert sent.sent
    assert sent.reply is not None
    assert (sent.reply.status, len(agent.asked)) == (None, 1)
    assert sent.reply.body


def test_a_reply_that_breaks_off_keeps_its_status() -> None:
    sent, agent = ask(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nSucc"))
    assert sent.reply is not None
    assert (sent.reply.status, sent.reply.body, len(agent.asked)) == (200, "Succ", 1)


def test_no_reply_in_time() -> None:
    async def act(_: Any) -> None:
        await asyncio.sleep(30)

    sent, agent = ask(act, seconds=0.3)
    assert sent == Sent(True, sent.reply)
    assert sent.reply is not None
    assert sent.reply.status is None
    assert len(agent.asked) == 1


def test_too_late_to_send() -> None:
    """A process that was frozen since the dispatch record must not act on it."""
    sent, agent = ask(saying(200, ""), late=SEND_SECONDS + 1)
    assert not sent.sent
    assert agent.asked == []
    assert sent.reply is not None
    assert "not sent" in sent.reply.body


def test_no_redirect_is_followed() -> None:
    async def run() -> tuple[Sent, Agent]:
        async with listening(saying(200, "")) as other:
            where = f"HTTP/1.1 307 X\r\nLocation: {other.base}/\r\nContent-Length: 0\r\n\r\n"
            async with listening(saying(where.encode())) as agent, httpx.AsyncClient() as client:
                sent = await Engine(client).ask(agent.base, "/", BODY, 5, time.monotonic())
                return sent, other

    sent, other = asyncio.run(run())
    assert sent.reply is not None
    assert (sent.reply.status, other.connections) == (307, 0)


def test_a_reply_without_end_is_cut() -> None:
    sent, _ = ask(saying(200, "x" * (LARGEST + 5000)))
    assert sent.reply is not None
    assert len(sent.reply.body) == LARGEST


def test_what_is_no_text_is_no_failure() -> None:
    sent, _ = ask(saying(b"HTTP/1.0 503 X\r\n\r\n\xff"))
    assert sent.reply is not None
    assert (sent.reply.status, sent.reply.body) == (503, "\ufffd")


def test_an_account_is_a_read() -> None:
    async def run() -> Agent:
        async with listening(saying(200, "{}")) as agent, httpx.AsyncClient() as client:
            reply, date = await Engine(client).account(agent.base, 5)
            assert (reply.status, reply.body, date) == (200, "{}", None)
            reply, date = await Engine(client).account("http://127.0.0.1:1", 5)
            assert (reply.status, date) == (None, None)
            return agent

    assert asyncio.run(run()).asked == [("GET /patroni", None)]


@pytest.mark.parametrize(
    ("header", "date"),
    [
        (b"Sun, 22 Nov 2026 14:22:27 GMT", datetime(2026, 11, 22, 14, 22, 27, tzinfo=UTC)),
        (b"Sun, 99 Nov 2026 14:22:27 GMT", None),
        (b"yesterday", None),
        (b"", None),
    ],
)
def test_when_an_account_was_given_by_the_agents_own_clock(
    header: bytes, date: datetime | None
) -> None:
    async def run() -> datetime | None:
        words = saying(b"HTTP/1.0 200 OK\r\nDate: " + header + b"\r\n\r\n{}")
        async with listening(words) as agent, httpx.AsyncClient() as client:
            return (await Engine(client).account(agent.base, 5))[1]

    assert asyncio.run(run()) == date
