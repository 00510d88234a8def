"""What Patroni's agents do with their keys, step by step, as its ha.py has it (3.0 to 4.1).

Every agent has a view of the keys that trails behind them, one loop, and at most one action beside
it. Whoever steps them decides in which order anything happens, and may write the keys himself.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from aeroctl.kernel.store.keyspace import Event, Keyspace, KeyValue
from tests.support.keyspaces import PREFIX, text

NAMES = ("n1", "n2", "n3")
EMPTY = "{}"


@dataclass
class Seen:
    """A key in an agent's view. `hand`: it was written without a lease."""

    value: str
    revision: int
    hand: bool = False


@dataclass
class Node:
    """A node, and the steps of its agent that are under way."""

    role: str
    timeline: int = 1
    state: str = "running"
    written: int = 0
    view: dict[str, Seen] = field(default_factory=dict)
    delivered: int = 0
    loaded: int = 0
    loop: Iterator[None] | None = None
    looping: bool = False
    action: Iterator[None] | None = None


class Agents:
    """Three of them; n1 leads. `idle`: nobody writes to the databases. `prompt`: a view is never
    older than a whole loop.
    """

    def __init__(self, *, idle: bool, prompt: bool) -> None:
        self.idle, self.prompt = idle, prompt
        self.healthy = True
        self.revision = 100
        self.keys: dict[str, KeyValue] = {"failover": KeyValue(EMPTY, 20, 90)}
        self.hands: set[int] = set()
        self.events: list[Event] = []
        self.nodes = {name: Node("primary" if name == "n1" else "replica") for name in NAMES}
        self.keys["leader"] = KeyValue("n1", 40, 40, 7)
        for name in NAMES:
            self.keys[f"members/{name}"] = KeyValue(self._entry(name), 30, 80)
        self.base = Keyspace(PREFIX, 100, dict(self.keys))
        for node in self.nodes.values():
            node.view = {key: Seen(pair.value, pair.modified) for key, pair in self.keys.items()}
        self.acted: list[tuple[str, int, int]] = []
        """Who began to step down, for which revision of the failover key, and when."""
        self.refused: set[int] = set()
        """The revisions of the failover key that an agent cleared, and would not act on."""
        self.primaries: list[tuple[str, int]] = []
        self.renewed: list[tuple[str, int]] = []

    # what anybody may do

    def write(self, key: str, value: str | None, *, by: str | None = None) -> int:
        """One key, at one revision; `by` whom: that agent sees it at once."""
        if value is None and key not in self.keys:
            return self.revision
        self.revision += 1
        if by is None:
            self.hands.add(self.revision)
        if value is None:
            del self.keys[key]
            self.events.append(Event(self.revision, key, None, 0))
        else:
            created = self.keys[key].created if key in self.keys else self.revision
            self.keys[key] = KeyValue(value, created, self.revision, 7)
            self.events.append(Event(self.revision, key, value, created, 7))
        if by is not None:
            self._see(by, self.events[-1])
        return self.revision

    def deliver(self, name: str) -> None:
        """The next event reaches an agent's view."""
        node = self.nodes[name]
        if node.delivered < len(self.events):
            node.delivered += 1
            self._see(name, self.events[node.delivered - 1])

    def step(self, name: str) -> None:
        """Its loop goes on."""
        node = self.nodes[name]
        if node.loop is None:
            node.loop = self._loop(name)
        next(node.loop)

    def act(self, name: str) -> None:
        """So does what it does beside it."""
        node = self.nodes[name]
        if node.action is not None:
            next(node.action, None)

    def gone(self, name: str) -> bool:
        """In its view no transfer is asked for, and n1 leads (api.py, poll_failover_result)."""
        view = self.nodes[name].view
        leads = "leader" in view and view["leader"].value == "n1"
        return leads and not _names(view.get("failover"))

    # what an agent does

    def _loop(self, name: str) -> Iterator[None]:
        node = self.nodes[name]
        while True:
            while self.prompt and node.delivered < node.loaded:
                self.deliver(name)
            node.loaded = len(self.events)
            view, node.looping = dict(node.view), True
            leader = view.get("leader")
            yield
            if f"members/{name}" not in view:
                self._touch(name)
            if node.action is not None:
                if leader and leader.value == name:
                    self.renewed.append((name, self.revision))
            elif leader is None:
                yield from self._race(name, view)
            elif leader.value != name:
                node.role = "replica"
            elif self._renew(name, leader):
                yield
                if not self._asked(name, view):
                    self._lead(name)
            else:
                node.role = "demoted"
            yield
            self._touch(name)
            node.looping = False
            yield

    def _renew(self, name: str, leader: Seen) -> bool:
        """Its lease; the key itself only where that is not on it."""
        if leader.hand:
            found = self.keys.get("leader")
            if found is not None and found.value != name:
                return False
            self.write("leader", name, by=name)
        self.renewed.append((name, self.revision))
        return True

    def _asked(self, name: str, view: dict[str, Seen]) -> bool:
        """Patroni: process_manual_failover_from_leader. Whether it begins to step down."""
        failover = view.get("failover")
        asked = _names(failover)
        if failover is None or not asked:
            return False
        if asked.get("leader", name) == name and asked.get("member") != name and self.healthy:
            self.acted.append((name, failover.revision, self.revision))
            self.nodes[name].action = self._step_down(name)
            return True
        found = self.keys.get("failover")
        if found is not None and found.modified == failover.revision:
            self.write("failover", EMPTY, by=name)
            self.refused.add(failover.revision)
        while self.nodes[name].delivered < len(self.events):
            self.deliver(name)  # a comparison that fails has the view made anew (_restart_watcher)
        return False

    def _step_down(self, name: str) -> Iterator[None]:
        """Patroni: demote("graceful"), in a thread of its own."""
        node = self.nodes[name]
        yield
        node.state = "stopping"
        yield
        while node.looping:  # the executor's lock
            yield
        found = self.keys.get("leader")
        if found is not None and found.value == name:
            self.write("leader", None, by=name)
        node.role = "demoted"
        self._touch(name)
        yield
        node.state, node.role, node.action = "running", "replica", None

    def _race(self, name: str, view: dict[str, Seen]) -> Iterator[None]:
        asked = _names(view.get("failover"))
        may = name == asked["member"] if "member" in asked else name != asked.get("leader")
        if not may:
            self.nodes[name].role = "replica"
            return
        yield
        if "leader" not in self.keys:
            self.write("leader", name, by=name)
            self.write("failover", EMPTY, by=name)
            self._lead(name)

    def _lead(self, name: str) -> None:
        node = self.nodes[name]
        if node.role == "promoted":
            node.role = "primary"
            node.timeline = 1 + max(each.timeline for each in self.nodes.values())
        elif node.role != "primary":
            node.role = "promoted"

    def _touch(self, name: str) -> None:
        node, key = self.nodes[name], f"members/{name}"
        if not self.idle and node.action is None:
            node.written += 1
        value, seen = self._entry(name), node.view.get(key)
        if seen is None or seen.value != value:
            self.write(key, value, by=name)
            if node.role == "primary" and node.action is None:
                self.primaries.append((name, self.revision))

    def _entry(self, name: str) -> str:
        node = self.nodes[name]
        entry = {"state": node.state, "role": node.role, "xlog_location": node.written}
        return text(entry if node.action is not None else {**entry, "timeline": node.timeline})

    def _see(self, name: str, event: Event) -> None:
        view = self.nodes[name].view
        if event.key in view and view[event.key].revision > event.revision:
            return
        if event.value is None:
            view.pop(event.key, None)
        else:
            hand = event.revision in self.hands
            view[event.key] = Seen(event.value, event.revision, hand)


def _names(failover: Seen | None) -> dict[str, str]:
    found: dict[str, str] = {} if failover is None else json.loads(failover.value)
    return found
