"""`make bench`: whole processes, in turn, so that a machine that slows down slows both alike."""

import base64
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import yaml

from tests.live import load

RUNS = 15
REVISIONS = 20_000
HERE = Path(__file__).parent
BIN = Path(sys.executable).parent

PATRONICTL = [
    str(BIN / "patronictl"),
    "-c",
    f"{os.environ['AEROKERNEL_SANDBOX_DIR']}/nodes/n1/patroni.yml",
    "list",
]
AEROCTL = str(BIN / "aeroctl")
PAIRS = (
    ("aeroctl --help", [AEROCTL, "--help"], "python", [sys.executable, "-c", "pass"], 5.0),
    ("inspect nodes -o json", [AEROCTL, "inspect", "nodes", "-o", "json"],
     "floor script", [sys.executable, str(HERE / "floor.py")], 1.1),
    ("inspect nodes -o json", [AEROCTL, "inspect", "nodes", "-o", "json"],
     "patronictl list", PATRONICTL, 0.30),
    ("inspect nodes", [AEROCTL, "inspect", "nodes"], "patronictl list", PATRONICTL, 0.30),
    ("inspect wal -o json", [AEROCTL, "inspect", "wal", "-o", "json"],
     "patronictl list", PATRONICTL, None),
    ("health", [AEROCTL, "health"], "patronictl list", PATRONICTL, None),
)  # fmt: skip


def seconds(command: list[str]) -> float:
    """Wall time of one run, which must succeed."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """The pairs, bursts of readers, then long histories."""
    pairs()
    bursts()
    streams()


def bursts() -> None:
    """Readers all at once, some of whom hang up, and when the next one is answered as ever."""
    sys.stdout.write("\nbursts of readers\n")
    token = Path(os.environ["AEROCTL_TOKEN_FILE"]).read_text().strip()
    for readers, hanging_up in ((50, 0.0), (350, 0.0), (350, 0.5), (1000, 0.3)):
        found = load.burst(os.environ["AEROCTL_KERNEL"], token, readers, hanging_up=hanging_up)
        sys.stdout.write(f"{found.line()}\n")
        sys.stdout.flush()


def streams() -> None:
    """A million entries as jsonl: memory must not grow with them, the first line not wait.

    Made up page by page for aeroctl alone; then a real history, through aerokernel and etcd.
    """
    line = "{:<24} {:>9} {:>12} {:>12} {:>9}\n"
    sys.stdout.write("\n" + line.format("as jsonl", "lines", "first line", "all", "memory"))

    def show(name: str, command: str, url: str) -> None:
        first, whole, lines, peak = streamed(command, url)
        times = f"{first * 1000:.0f} ms", f"{whole:.1f} s"
        sys.stdout.write(line.format(name, lines, *times, f"{peak >> 10} MB"))
        sys.stdout.flush()

    for command, largest in (("timeline", 1_000_000), ("audit", 2_000_000)):
        for entries in (20_000, largest):
            with made_up(entries) as url:
                show(command, command, url)
    write_history()
    show(f"timeline, {REVISIONS} revisions", "timeline", os.environ["AEROCTL_KERNEL"])


def streamed(command: str, url: str) -> tuple[float, float, int, int]:
    """Seconds to the first line and to the last, lines, and the process's peak memory in KiB."""
    started = time.perf_counter()
    reading = [AEROCTL, command, "--kernel", url, "-o", "jsonl", "--timeout", "60"]
    with subprocess.Popen(reading, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        lines = int(bool(client.stdout.readline()))
        first = time.perf_counter() - started
        lines += sum(1 for _ in client.stdout)
        _, status, usage = os.wait4(client.pid, 0)
        client.returncode = os.waitstatus_to_exitcode(status)
    assert client.returncode == 0
    return first, time.perf_counter() - started, lines, usage.ru_maxrss


@contextmanager
def made_up(entries: int) -> Iterator[str]:
    """The address of a server with so many events and records in all."""
    serving = [sys.executable, "-m", "tests.tools.millions", str(entries)]
    with subprocess.Popen(serving, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.terminate()


def write_history() -> None:
    """REVISIONS writes of a node's entry into the sandbox's etcd, every tenth one a change."""
    directory = Path(os.environ["AEROKERNEL_SANDBOX_DIR"])
    patroni = yaml.safe_load((directory / "nodes" / "n1" / "patroni.yml").read_text())
    key = base64.b64encode(b"/service/demo/members/n9").decode()
    with httpx.Client(base_url=f"http://{patroni['etcd3']['host']}", trust_env=False) as store:
        for number in range(REVISIONS):
            state = "running" if number // 10 % 2 else "stopped"
            entry = {"role": "replica", "state": state, "xlog_location": number}
            value = base64.b64encode(json.dumps(entry).encode()).decode()
            store.post("/v3/kv/put", json={"key": key, "value": value}).raise_for_status()


def pairs() -> None:
    """A line per pair: both medians, the median of the ratios, and the budget."""
    line = "{:<24} {:>9}   {:<16} {:>9}   {:>6} {:>7}\n"
    sys.stdout.write(line.format("A", "median", "B", "median", "A/B", "budget"))
    for name, command, other_name, other, budget in PAIRS:
        seconds(command), seconds(other)  # the first run compiles and fills the page cache
        timed = [(seconds(command), seconds(other)) for _ in range(RUNS)]
        mine, others = (statistics.median(times) for times in zip(*timed, strict=True))
        ratio = statistics.median(a / b for a, b in timed)
        over = "" if budget is None or ratio <= budget else " over"
        sys.stdout.write(
            line.format(
                name,
                f"{mine * 1000:.0f} ms",
                other_name,
                f"{others * 1000:.0f} ms",
                f"{ratio:.2f}",
                f"{'-' if budget is None else f'{budget:.2f}'}{over}",
            )
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
