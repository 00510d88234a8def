"""What changed in a view's text since the frame before, for whoever looks at it again and again."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from aeroctl.views.blocks import Block, Cell, Facts, Flagged, Lanes, Size, Tree

Row = tuple[Cell, ...]
Marks = frozenset[tuple[int, int]]
"""Cells of a block, by row and column; a fact is a row of its label and its cell."""
Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class Compared:
    """For each block the cells that changed, and the rows that are gone, by their first cell."""

    changed: tuple[Marks, ...]
    gone: tuple[str, ...]


def compared(before: Sequence[Block], now: Sequence[Block]) -> Compared:
    """Rows are the same where their first cells are, or their first two where one is not enough.

    What was not there before has changed in every cell.
    """
    earlier = dict(_numbered((_name(block), block) for block in before))
    changed, gone = [], []
    for name, block in _numbered((_name(block), block) for block in now):
        old = earlier.pop(name, None)
        marks, lost = _rows_compared(_rows(old) if old is not None else (), _rows(block))
        changed.append(marks)
        gone += lost
    gone += [_words(row[0]) for block in earlier.values() for row in _rows(block)]
    return Compared(tuple(changed), tuple(gone))


def _rows_compared(before: Sequence[Row], now: Sequence[Row]) -> tuple[Marks, list[str]]:
    enough = all(len({row[0] for row in rows}) == len(rows) for rows in (before, now))
    wide = 1 if enough else 2
    earlier = dict(_numbered((row[:wide], row) for row in before))
    marks = set()
    for number, (name, row) in enumerate(_numbered((row[:wide], row) for row in now)):
        old = earlier.pop(name, None)
        columns = range(len(row))
        marks |= {(number, at) for at in columns if old is None or row[at] != old[at]}
    return frozenset(marks), [_words(row[0]) for row in earlier.values()]


def _rows(block: Block) -> tuple[Row, ...]:
    if isinstance(block, Tree):
        return tuple(branch.cells for branch in block.branches)
    return block.grid.rows if isinstance(block, Lanes) else block.rows


def _name(block: Block) -> object:
    """What makes it the same block in the next frame."""
    if isinstance(block, Facts | Lanes):
        return block.title if isinstance(block, Facts) else block.names
    return block.columns, None if isinstance(block, Tree) else block.title


def _numbered(named: Iterable[tuple[object, Thing]]) -> Iterator[tuple[object, Thing]]:
    """Things by their name, and by a number as well, for those that share one."""
    met: Counter[object] = Counter()
    for name, thing in named:
        met[name] += 1
        yield (name, met[name]), thing


def _words(cell: Cell) -> str:
    if isinstance(cell, Flagged):
        return _words(cell.cell)
    return str(cell.bytes if isinstance(cell, Size) else cell)
