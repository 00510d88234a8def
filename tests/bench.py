"""`make bench`: whole processes, in turn, so that a machine that slows down slows both alike."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 15
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
    """The pairs, then long histories."""
    pairs()
    streams()


def streams() -> None:
    """A million entries as jsonl: memory must not grow with them, the first line not wait."""
    line = "{:<24} {:>9} {:>12} {:>12} {:>9}\n"
    sys.stdout.write("\n" + line.format("as jsonl", "lines", "first line", "all", "memory"))
    for command in ("timeline", "audit"):
        for entries in (20_000, 2_000_000 if command == "audit" else 1_000_000):
            first, whole, lines, peak = streamed(command, entries)
            sys.stdout.write(
                line.format(
                    command, lines, f"{first * 1000:.0f} ms", f"{whole:.1f} s", f"{peak >> 10} MB"
                )
            )
            sys.stdout.flush()


def streamed(command: str, entries: int) -> tuple[float, float, int, int]:
    """Seconds to the first line and to the last, lines, and the process's peak memory in KiB."""
    serving = [sys.executable, "-m", "tests.millions", str(entries)]
    with subprocess.Popen(serving, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        started = time.perf_counter()
        reading = [AEROCTL, command, "--kernel", url, "-o", "jsonl", "--timeout", "60"]
        if command == "timeline":
            reading += ["--since", "1"]
        with subprocess.Popen(reading, stdout=subprocess.PIPE) as client:
            assert client.stdout is not None
            lines = int(bool(client.stdout.readline()))
            first = time.perf_counter() - started
            lines += sum(1 for _ in client.stdout)
            _, status, usage = os.wait4(client.pid, 0)
            client.returncode = os.waitstatus_to_exitcode(status)
        assert client.returncode == 0
        server.terminate()
    return first, time.perf_counter() - started, lines, usage.ru_maxrss


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
