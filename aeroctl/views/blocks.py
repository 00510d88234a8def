"""Text layout as data: a view says what stands where, a renderer says how it looks."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """A number of bytes: exact in plain text, in binary units on a terminal."""

    bytes: int


@dataclass(frozen=True, slots=True)
class Flagged:
    """A cell that contradicts what should hold."""

    cell: "str | int | bool | Size | None"


Cell = str | int | bool | Size | Flagged | None


@dataclass(frozen=True, slots=True)
class Facts:
    """Labelled single facts."""

    rows: tuple[tuple[str, Cell], ...]
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Grid:
    """A table. `columns`: its headings, a space between two. `empty`: said in place of no rows."""

    columns: str
    rows: tuple[tuple[Cell, ...], ...]
    title: str | None = None
    empty: str = "none"


@dataclass(frozen=True, slots=True)
class Branch:
    """A row of a tree: for each level down to it, whether that is the last of its siblings."""

    last: tuple[bool, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """A table whose first column is drawn as a tree; `columns` as in Grid."""

    columns: str
    branches: tuple[Branch, ...]


@dataclass(frozen=True, slots=True)
class Lanes:
    """A table with a picture to its left: a lane per name, drawn from top to bottom.

    `marks`: for each of the rows a character for each lane, with one between every two.
    """

    names: tuple[str, ...]
    marks: tuple[str, ...]
    grid: Grid


Block = Facts | Grid | Tree | Lanes


def sized(count: int | None) -> Size | None:
    """A cell for a number of bytes that may not be known."""
    return None if count is None else Size(count)
