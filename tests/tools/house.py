"""Tables of docs/architecture.md that are made from the code: its rooms, and its invariants."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "aeroctl"
TESTS = ROOT / "tests"
CITED = re.compile(r"\bP[67]-[A-Z]\d\b")
INVARIANTS: Mapping[str, str] = {
    "P7-A1": "no implicit authority: looking at something grants nothing",
    "P7-A2": "explicit human intent: what is not confirmed is not executed",
    "P7-A3": "no delegated decisions: nothing is ranked, recommended or chosen for the operator",
    "P7-E1": "a single explicit action: nothing is chained or done in bulk",
    "P7-E2": "no partial execution: an unknown outcome is never reported as success",
    "P7-E3": "the kernel's decision is final, and its words are passed on as they are",
    "P7-F1": "fail closed: what can't be proved is refused",
    "P7-F2": "a crash of the control plane changes nothing and completes nothing",
    "P7-F3": "no hidden retries: one confirmation, one request",
    "P7-D1": "deterministic presentation: the same state gives the same bytes",
    "P7-D2": "deterministic decisions: the same request in the same state gets the same answer",
    "P7-O1": "observable: every request, decision and outcome can be seen",
    "P7-O2": "explainable: every decision names the rules and evidence that it rests on",
    "P7-O3": "auditable: no record, no execution; a gap is told",
    "P7-S1": "no background activity",
    "P7-S2": "no interference: the cluster behaves the same without a control plane",
    "P7-S3": "no growth of scope: the set of commands is closed",
    "P6-A1": "exactly one node may write",
    "P6-A2": "the leader key passes atomically from one node to the next",
    "P6-A3": "no node claims the leader key implicitly",
    "P6-S1": "no acknowledged write is lost",
    "P6-S2": "every node's write-ahead log is a prefix of the leader's",
    "P6-F1": "the kernel fails closed",
    "P6-F3": "the kernel retries nothing by itself",
}


def rooms() -> str:
    """Every folder of the package, with the first sentence of its docstring."""
    rows = [f"| `{name}/` | {purpose} |" for name, purpose in purposes()]
    return "\n".join(["| room | what it is for |", "|---|---|", *rows]) + "\n"


def purposes() -> Iterator[tuple[str, str]]:
    """A folder's path below the repository and what its `__init__` says that it is for."""
    for init in sorted(PACKAGE.rglob("__init__.py")):
        text = ast.get_docstring(ast.parse(init.read_text())) or ""
        yield init.parent.relative_to(ROOT).as_posix(), text.split("\n\n")[0].replace("\n", " ")


def invariants() -> str:
    """Every invariant, with the files that enforce it and the tests that break it."""
    enforced, tested = citations(PACKAGE), citations(TESTS)
    rows = [
        f"| {name} | {words} | {_links(enforced.get(name))} | {_links(tested.get(name))} |"
        for name, words in INVARIANTS.items()
    ]
    head = ["| id | says | enforced in | tested in |", "|---|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


def citations(folder: Path) -> dict[str, list[str]]:
    """For each invariant the files that cite it, as paths below `folder`, sorted."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*.py")):
        if path.name in ("house.py", "rule_invariants.py", "error_codes.py"):
            continue
        for name in sorted(set(CITED.findall(path.read_text()))):
            found.setdefault(name, []).append(path.relative_to(folder).as_posix())
    return found


def _links(paths: list[str] | None) -> str:
    return ", ".join(f"`{path}`" for path in paths or ()) or "-"
