"""HTML and SVG that hold together by construction: a text is escaped unless it is Markup already.

All that a kernel said comes in as text. It passes `safe` like on a terminal, so that a control or
bidirectional character can't rearrange what is read, and then the escaping of HTML. What comes out
is ASCII: the same bytes in every locale (P7-D1).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from aeroctl.safe_text import safe
from aeroctl.views.blocks import Block, Cell, Facts, Flagged, Grid, Size, Tree


class Markup(str):
    """What needs no escaping any more. Only this module makes it of anything but itself."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Link:
    """A cell that leads to another place of the page. `to`: an id."""

    text: str
    to: str


HtmlCell = Cell | Link | Markup


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table that can be pointed at. `id`: unique in the page. `style`: a CSS class."""

    cells: tuple[HtmlCell, ...]
    id: str | None = None
    style: str | None = None


def escaped(text: str) -> Markup:
    """A text as markup; markup as it is."""
    if isinstance(text, Markup):
        return text
    return Markup(escape(safe(text)).encode("ascii", "xmlcharrefreplace").decode("ascii"))


def joined(parts: Iterable[str]) -> Markup:
    """Parts one after the other."""
    return Markup("".join(map(escaped, parts)))


def element(tag: str, /, *children: str, **attributes: str | int | None) -> Markup:
    """An element. `class_` stands for class, `stroke_width` for stroke-width; null: left out."""
    end = "\n" if tag in _LINES else ""
    return Markup(f"<{tag}{_attributes(attributes)}>{joined(children)}</{tag}>{end}")


_LINES = frozenset(["tr", "div", "section", "p", "h1", "h2", "li", "ul", "svg", "head", "style"])
"""Elements after which a new line begins: a page is also read, and compared, as text."""


def void(tag: str, /, **attributes: str | int | None) -> Markup:
    """An element that has no content, and in HTML no end."""
    return Markup(f"<{tag}{_attributes(attributes)}>")


def _attributes(attributes: dict[str, str | int | None]) -> str:
    return "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escaped(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )


def link(text: str, to: str) -> Markup:
    """A link to the element of that id."""
    return element("a", text, href=f"#{to}")


def block(laid_out: Block, caption: str | None = None) -> Markup:
    """What a view lays out, as a table; `caption` where it has no title of its own."""
    if isinstance(laid_out, Facts):
        return facts(laid_out.rows, laid_out.title or caption)
    if isinstance(laid_out, Grid):
        rows = [Row(cells) for cells in laid_out.rows]
        return table(laid_out.columns.split(), rows, laid_out.title or caption, laid_out.empty)
    if isinstance(laid_out, Tree):  # a page draws trees and lanes; here are their rows, in order
        branches = [Row(branch.cells) for branch in laid_out.branches]
        return table(laid_out.columns.split(), branches, caption)
    return block(laid_out.grid, caption)


def facts(rows: Sequence[tuple[str, HtmlCell]], caption: str | None = None) -> Markup:
    """Labelled single facts."""
    lines = (
        element("tr", element("th", label, scope="row"), _data(cell, number=False))
        for label, cell in rows
    )
    return _framed(joined([_caption(caption), element("tbody", *lines)]), "facts")


def table(
    names: Sequence[str], rows: Sequence[Row], caption: str | None = None, empty: str = "none"
) -> Markup:
    """A table with headings; in place of no rows, that there are none."""
    if not rows:
        said = f"{caption}: {empty}" if caption else empty
        return element("p", said, class_="none")
    right = [any(_is_number(row.cells[at]) for row in rows) for at in range(len(names))]
    head = (
        element("th", name.replace("-", " "), scope="col", class_="number" if number else None)
        for name, number in zip(names, right, strict=True)
    )
    body = (
        element(
            "tr",
            *(_data(cell, number=number) for cell, number in zip(row.cells, right, strict=True)),
            id=row.id,
            class_=row.style,
        )
        for row in rows
    )
    inner = [_caption(caption), element("thead", element("tr", *head)), element("tbody", *body)]
    return _framed(joined(inner))


def _framed(inner: Markup, style: str | None = None) -> Markup:
    # A wide table scrolls by itself, so that the page does not; tabindex: also by keyboard.
    return element("div", element("table", inner, class_=style), class_="wide", tabindex=0)


def _caption(text: str | None) -> Markup:
    return Markup() if text is None else element("caption", text)


def _data(cell: HtmlCell, *, number: bool) -> Markup:
    text = cell.text if isinstance(cell, Link) else cell
    style = "number" if number else "none" if cell is None else None
    if style is None and isinstance(text, str) and not isinstance(text, Markup):
        style = "prose" if " " in text else "id" if len(text) <= _WHOLE else None
    return element("td", _shown(cell), class_=style)


_WHOLE = 64
"""A word no longer than this (a time, a request's id, a hash) is not broken on a screen."""


def _shown(cell: HtmlCell) -> Markup:
    if isinstance(cell, Markup):
        return cell
    if isinstance(cell, Link):
        return link(cell.text, cell.to)
    if isinstance(cell, Flagged):
        return element("strong", _shown(cell.cell), class_="flagged")
    return escaped(words(cell))


def words(cell: Cell) -> str:
    """A cell's text, not yet escaped; sizes are exact."""
    if isinstance(cell, Flagged):
        return words(cell.cell)
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, Size):
        return f"{cell.bytes} B"
    if cell in ("", "-"):
        return f'"{cell}"'  # not to be taken for nothing
    return str(cell)


def _is_number(cell: HtmlCell) -> bool:
    inner = cell.cell if isinstance(cell, Flagged) else cell
    return isinstance(inner, int | Size) and not isinstance(inner, bool)
