"""The table of error codes and the source agree: no code is missing, and none is unused."""

import ast
from pathlib import Path

import pytest

import aeroctl
from aeroctl.contract.error_codes import ERROR_CODES

ROOT = Path(str(aeroctl.__file__)).parent
KERNEL = ROOT / "kernel"
TABLE = ROOT / "contract" / "error_codes.py"
RAISING = {"Failure", "failure", "_unavailable"}
"""What is called with a code as its first argument."""


def trees(*, kernel: bool) -> list[ast.AST]:
    return [
        ast.parse(path.read_text())
        for path in ROOT.rglob("*.py")
        if path.is_relative_to(KERNEL) == kernel and path != TABLE
    ]


def strings(tree: ast.AST) -> set[str]:
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def raised(tree: ast.AST) -> set[str]:
    """The codes that stand in a call as what it raises."""
    return {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in RAISING
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }


@pytest.mark.parametrize("kernel", [True, False])
def test_every_code_that_is_raised_is_in_the_table(kernel: bool) -> None:
    found = set().union(*(raised(tree) for tree in trees(kernel=kernel)))
    assert len(found) > 10
    assert found <= set(ERROR_CODES)


def test_the_kernel_raises_only_codes_that_have_a_status() -> None:
    found = set().union(*(raised(tree) for tree in trees(kernel=True)))
    assert not {code for code in found if ERROR_CODES[code].status is None}


def test_every_code_with_a_status_is_one_that_the_kernel_uses() -> None:
    used = set().union(*(strings(tree) for tree in trees(kernel=True)))
    with_status = {code for code, row in ERROR_CODES.items() if row.status is not None}
    assert with_status == used & set(ERROR_CODES)


def test_every_other_code_is_one_that_aeroctl_uses() -> None:
    used = set().union(*(strings(tree) for tree in trees(kernel=False)))
    assert {code for code, row in ERROR_CODES.items() if row.status is None} <= used
