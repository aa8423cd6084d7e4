"""From read lines to a menu: the stages in their order, each given only what the one before it found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from worker.extractors.ocr.assemble import assemble
from worker.extractors.ocr.columns import read_in_columns
from worker.extractors.ocr.furniture import furniture_kind
from worker.extractors.ocr.link import Linked, Row, link_prices
from worker.extractors.ocr.menu import Aside, FoundMenu
from worker.extractors.ocr.pieces import Piece, cut_pieces
from worker.extractors.ocr.price_repair import repair_prices
from worker.extractors.ocr.rows import join_rows
from worker.extractors.ocr.second_look import ReadPlaces, look_again
from worker.extractors.ocr.shared_price import share_prices
from worker.extractors.ocr.sizes import label_prices
from worker.extractors.ocr.straighten import Levelling, levelling, straighten
from worker.extractors.ocr.style import PageStyle, page_style
from worker.extractors.ocr.text_line import Line, ReadLine


@dataclass(frozen=True, slots=True)
class Layout:
    """What each stage made of a page, in the order of the stages. All places but those of lines read are level.

    ``page`` turns level places back into those of the picture.
    """

    page: Levelling
    looked_again: list[ReadLine]
    """Prices that only the second look found."""
    lines: list[Line]
    pieces: list[Piece]
    linked: Linked
    blocks: list[list[Row]] = field(default_factory=list)
    """The columns in reading order, without the page's furniture, as they are assembled."""
    style: PageStyle | None = None
    menu: FoundMenu = field(default_factory=FoundMenu)


def understand(read: Sequence[ReadLine], read_places: ReadPlaces | None = None) -> Layout:
    """The menu that the lines of a page show; without any dish its categories are empty.

    ``read_places``, if given, is asked once for prices that the lines lack.
    """
    page = levelling(read)
    lines, pieces, linked = _link(read, page)
    looked_again = look_again(linked, page, read_places) if read_places is not None else []
    if looked_again:
        lines, pieces, linked = _link([*read, *looked_again], page)
    if not linked.rows:
        return Layout(page, looked_again, lines, pieces, linked)
    label_prices(linked.rows)
    # Furniture runs across columns and names sums that are no prices of dishes, so it goes first.
    asides = [Aside(row, kind) for row in linked.rows if (kind := furniture_kind(row.text)) is not None]
    menu = FoundMenu(asides=asides)
    apart = {id(aside.row) for aside in asides}
    blocks = [join_rows(block) for block in read_in_columns([row for row in linked.rows if id(row) not in apart])]
    if not blocks:
        return Layout(page, looked_again, lines, pieces, linked, menu=menu)
    style = page_style([row for block in blocks for row in block], blocks)
    blocks = [share_prices(block, style) for block in blocks]
    assemble(menu, blocks, linked.side, style)
    return Layout(page, looked_again, lines, pieces, linked, blocks, style, menu)


def _link(read: Sequence[ReadLine], page: Levelling) -> tuple[list[Line], list[Piece], Linked]:
    lines = straighten(read, page)
    pieces = repair_prices(cut_pieces(lines))
    return lines, pieces, link_prices(pieces)
