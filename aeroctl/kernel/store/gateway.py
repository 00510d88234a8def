"""The way to an etcd cluster: which endpoint is asked, and when another one. Knows no key.

Reads may be asked of every endpoint, for they change nothing. A write is sent once: another
endpoint is tried only where the request provably never left (P7-F1, P7-F3).

No call is ever cancelled on its way. Who waits for it may go away; the call ends by itself, by its
own limits of time. A cancelled call would take a place in the HTTP client's pool with it for good
(httpcore issue 1093), and etcd before 3.5.5 panics when a transaction that only reads is broken off
(etcd issue 14110).
"""

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import httpx

from aeroctl.kernel.failures import Failure
from aeroctl.kernel.store.endpoint import Body, Endpoint, Session
from aeroctl.kernel.store.problems import Dropped, NotNow, Unsent, Untrusted, Unusable
from aeroctl.kernel.store.replies import Answer
from aeroctl.kernel.timing import uptime

HEDGE_SECONDS = 0.3
"""Without an answer for so long, a read is asked of the next endpoint too."""
PAUSE_SECONDS = 0.1
"""Before an endpoint is asked again that could not answer just then."""
AVOID_SECONDS = 15.0
"""For how long an endpoint that did not answer is tried last."""

Result = TypeVar("Result")
Problems = dict[Endpoint, Exception | None]
"""Why each endpoint gave no answer; None: it was silent."""


@dataclass(slots=True)
class Attempts(Generic[Result]):
    """One read at several endpoints: those that are asked now, that are still to be asked, and that
    are to be asked again.
    """

    waiting: list[Endpoint]
    calls: dict[asyncio.Task[Result], Endpoint] = field(default_factory=dict)
    again: list[Endpoint] = field(default_factory=list)
    problems: Problems = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether an answer may still come."""
        return bool(self.waiting or self.calls or self.again)


class Gateway:
    """One etcd cluster's JSON gateways, in the order in which they are tried.

    `client` carries TLS, `tls` is its context; `seconds` bounds a whole call, at however many
    endpoints. Endpoints that did not answer lately are tried last.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        endpoints: Sequence[str],
        *,
        seconds: float,
        user: str | None,
        password: str | None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.session = Session(client, tls, seconds, user, password)
        self.endpoints = [Endpoint(self.session, url) for url in endpoints]
        self._avoided: dict[Endpoint, float] = {}
        self._calls: set[asyncio.Task[Any]] = set()

    async def anywhere(self, read: Callable[[Endpoint], Coroutine[Any, Any, Result]]) -> Result:
        """What the first endpoint says that answers. For reads only.

        The next one is asked as well when one lets wait for long, or can't answer. Raises Refused,
        Failure STORE_UNAVAILABLE, STORE_TLS_FAILED; KERNEL_BUSY where it is silent in this, while
        it answers others.
        """
        attempts = Attempts[Result](self._in_order())
        hedge = min(HEDGE_SECONDS, self.session.seconds / (2 * len(self.endpoints)))
        began = uptime()
        ends = began + self.session.seconds
        while attempts and (left := ends - uptime()) > 0:
            if not attempts.waiting and attempts.again:
                await asyncio.sleep(min(left, PAUSE_SECONDS))
                attempts.waiting, attempts.again = attempts.again, []
            # one that has just answered a part of the read is at work
            if attempts.waiting and not any(
                self._answered(endpoint, hedge) for endpoint in attempts.calls.values()
            ):
                endpoint = attempts.waiting.pop(0)
                attempts.calls[self._begun(read(endpoint))] = endpoint
            done, _ = await asyncio.wait(
                attempts.calls,
                timeout=min(left, hedge) if attempts.waiting else left,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for call in done:
                endpoint = attempts.calls.pop(call)
                try:
                    result = call.result()
                except Unusable as problem:
                    self._failed(attempts, endpoint, problem)
                else:
                    self._prefer(endpoint, attempts.calls.values(), hedge)
                    return result
        raise self._unread(attempts, began + hedge)

    async def once(self, path: str, body: Body, model: type[Answer]) -> Answer:
        """Send a write, at most once.

        Raises Refused, Failure STORE_UNAVAILABLE, STORE_TLS_FAILED; its words tell whether it may
        have been written.
        """
        problems: Problems = {}
        ends = uptime() + self.session.seconds
        for endpoint in self._in_order():
            call = self._begun(endpoint.post(path, body, model))
            await asyncio.wait({call}, timeout=max(0, ends - uptime()))
            if not call.done():
                self._avoid(endpoint)
                raise _unknown(f"{endpoint.url}: {self._silence}")
            try:
                return call.result()
            except Unsent as problem:
                problems[endpoint] = problem
                self._avoid(endpoint)
            except Unusable as problem:
                self._avoid(endpoint)
                raise _unknown(f"{endpoint.url}: {problem}") from problem
        raise self._failure(
            "the consensus store can't be written, and nothing was written", problems
        )

    def _begun(self, call: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """A call that goes on to its own end, whether somebody waits for it or not."""
        task = asyncio.create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._calls.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may be there any more who asks for it

    def _failed(self, attempts: Attempts[Any], endpoint: Endpoint, problem: Unusable) -> None:
        """Ask it again later where the problem is one of the moment, otherwise try it last."""
        dropped = isinstance(problem, Dropped) and endpoint not in attempts.problems
        attempts.problems[endpoint] = problem
        if dropped or isinstance(problem, NotNow):
            attempts.again.append(endpoint)
        if not isinstance(problem, NotNow):
            self._avoid(endpoint)

    def _prefer(self, endpoint: Endpoint, others: Iterable[Endpoint], hedge: float) -> None:
        """It answered, before those of the others that are silent."""
        self._avoided.pop(endpoint, None)
        self._avoid(*(slow for slow in others if not self._answered(slow, hedge)))

    def _avoid(self, *endpoints: Endpoint) -> None:
        self._avoided |= dict.fromkeys(endpoints, uptime() + AVOID_SECONDS)

    def _answered(self, endpoint: Endpoint, seconds: float) -> bool:
        """Whether it has answered anything within the last `seconds`."""
        return uptime() - self.session.answered.get(endpoint.url, float("-inf")) < seconds

    def _in_order(self) -> list[Endpoint]:
        """As they were given, but first those that did not fail lately."""
        now = uptime()
        return sorted(self.endpoints, key=lambda endpoint: self._avoided.get(endpoint, 0.0) > now)

    def _unread(self, attempts: Attempts[Any], since: float) -> Failure:
        """No endpoint has answered. `since`: whoever answered others after it is busy."""
        silent = {
            *attempts.calls.values(),
            *(endpoint for endpoint, problem in attempts.problems.items() if _timed_out(problem)),
        }
        if any(self.session.answered.get(endpoint.url, 0.0) > since for endpoint in silent):
            message = (
                f"the consensus store answers other requests, but not this one: {self._silence}"
            )
            return Failure("KERNEL_BUSY", message)
        self._avoid(*silent)
        problems = attempts.problems | dict.fromkeys(attempts.calls.values())
        return self._failure("the consensus store can't be read", problems)

    def _failure(self, what: str, problems: Mapping[Endpoint, Exception | None]) -> Failure:
        """All of them, in the order in which they were given."""
        reasons = "; ".join(
            f"{endpoint.url}: {problems[endpoint] or self._silence}"
            for endpoint in self.endpoints
            if endpoint in problems
        )
        untrusted = any(isinstance(problem, Untrusted) for problem in problems.values())
        return _unavailable(
            f"{what}: {reasons or self._silence}",
            "STORE_TLS_FAILED" if untrusted else "STORE_UNAVAILABLE",
        )

    @property
    def _silence(self) -> str:
        return f"no answer within {self.session.seconds:g} seconds"


def _timed_out(problem: Exception | None) -> bool:
    timeouts = (httpx.TimeoutException, TimeoutError)
    return problem is not None and isinstance(problem.__cause__, timeouts)


def _unavailable(message: str, code: str = "STORE_UNAVAILABLE") -> Failure:
    return Failure(code, message)


def _unknown(problem: str) -> Failure:
    return _unavailable(
        f"it is not known whether the consensus store has written the records: {problem}"
    )
