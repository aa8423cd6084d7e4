"""From read lines to a menu: the stages in their order, each given only what the one before it found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker.extractors.ocr.assemble import assemble
from worker.extractors.ocr.columns import read_in_columns
from worker.extractors.ocr.furniture import furniture_kind
from worker.extractors.ocr.link import Linked, link_prices
from worker.extractors.ocr.menu import Aside, FoundMenu
from worker.extractors.ocr.pieces import cut_pieces
from worker.extractors.ocr.price_repair import repair_prices
from worker.extractors.ocr.rows import join_rows
from worker.extractors.ocr.shared_price import share_prices
from worker.extractors.ocr.sizes import label_prices
from worker.extractors.ocr.straighten import straighten
from worker.extractors.ocr.style import page_style
from worker.extractors.ocr.text_line import ReadLine


@dataclass(frozen=True, slots=True)
class Layout:
    """What the layout stages made of a page."""

    menu: FoundMenu
    linked: Linked


def understand(lines: Sequence[ReadLine]) -> Layout:
    """The menu that the lines of a page show; without any dish its categories are empty."""
    linked = link_prices(repair_prices(cut_pieces(straighten(lines))))
    if not linked.rows:
        return Layout(FoundMenu(), linked)
    label_prices(linked.rows)
    # Furniture runs across columns and names sums that are no prices of dishes, so it goes first.
    asides = [Aside(row, kind) for row in linked.rows if (kind := furniture_kind(row.text)) is not None]
    apart = {id(aside.row) for aside in asides}
    blocks = [join_rows(block) for block in read_in_columns([row for row in linked.rows if id(row) not in apart])]
    menu = FoundMenu(asides=asides)
    if blocks:
        style = page_style([row for block in blocks for row in block], blocks)
        assemble(menu, [share_prices(block, style) for block in blocks], linked.side, style)
    return Layout(menu, linked)
