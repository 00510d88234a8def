"""Which cells of a view's text changed since the frame before (`--watch`). Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from aeroctl.views.blocks import Block, Cell, Facts, Flagged, Lanes, Size, Tree

Row = tuple[Cell, ...]
ChangedCells = frozenset[tuple[int, int]]
"""Cells of a block, by row and column; a fact is a row of its label and its cell."""
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class FrameChanges:
    """For each block the cells that changed, and the rows that are gone, by their first cell."""

    changed: tuple[ChangedCells, ...]
    gone: tuple[str, ...]


def compared(before: Sequence[Block], now: Sequence[Block]) -> FrameChanges:
    """Rows are the same where their first cells are, or their first two where one is not enough.

    What was not there before has changed in every cell.
    """
    earlier = dict(_numbered((_name(block), block) for block in before))
    changed, gone = [], []
    for name, block in _numbered((_name(block), block) for block in now):
        old = earlier.pop(name, None)
        cells, lost = _rows_compared(_rows(old) if old is not None else (), _rows(block))
        changed.append(cells)
        gone += lost
    gone += [_words(row[0]) for block in earlier.values() for row in _rows(block)]
    return FrameChanges(tuple(changed), tuple(gone))


def _rows_compared(before: Sequence[Row], now: Sequence[Row]) -> tuple[ChangedCells, list[str]]:
    one_is_enough = all(len({row[0] for row in rows}) == len(rows) for rows in (before, now))
    width = 1 if one_is_enough else 2
    earlier = dict(_numbered((row[:width], row) for row in before))
    cells = set()
    for number, (name, row) in enumerate(_numbered((row[:width], row) for row in now)):
        old = earlier.pop(name, None)
        columns = range(len(row))
        cells |= {(number, at) for at in columns if old is None or row[at] != old[at]}
    return frozenset(cells), [_words(row[0]) for row in earlier.values()]


def _rows(block: Block) -> tuple[Row, ...]:
    if isinstance(block, Tree):
        return tuple(branch.cells for branch in block.branches)
    return block.grid.rows if isinstance(block, Lanes) else block.rows


def _name(block: Block) -> object:
    """What makes it the same block in the next frame."""
    if isinstance(block, Facts | Lanes):
        return block.title if isinstance(block, Facts) else block.names
    return block.columns, None if isinstance(block, Tree) else block.title


def _numbered(named: Iterable[tuple[object, Item]]) -> Iterator[tuple[object, Item]]:
    """Items by their name and a number, which differs for those that share a name."""
    count: Counter[object] = Counter()
    for name, item in named:
        count[name] += 1
        yield (name, count[name]), item


def _words(cell: Cell) -> str:
    if isinstance(cell, Flagged):
        return _words(cell.cell)
    return str(cell.bytes if isinstance(cell, Size) else cell)
