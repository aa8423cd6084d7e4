"""Which currency the language of a page makes likely, where no sign on it says."""

from __future__ import annotations

import re
from collections.abc import Iterable

FEWEST = 3
"""Fewer words say too little: one dish of a foreign name is on every menu."""

_WORDS_OF = {
    "VND": r"\w*[ạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹđơư]\w*",
    "PLN": r"\w*[łżźśćńąę]\w*|zupy|dania|napoje|desery|ziemniaki",
    "CZK": r"\w*[řůěťď]\w*|polévky|nápoje|dezerty|knedl\w+",
    "HUF": r"\w*[őű]\w*|levesek|italok|desszertek|saláta",
    "RON": r"\w*[țţă]\w*|ciorb\w+|băuturi|deserturi",
    "TRY": r"\w*[ğış]\w*|çorba\w*|tatlılar|içecekler",
    "TWD": r"\w*[麵雞湯飯餃鴨魚蝦豬醬蔥燒滷捲雙塊]\w*",
    "CNY": r"\w*[鸡汤饭饺鸭鱼虾酱烧卤双块]\w*",
    "JPY": r"\w*[ぁ-ゖァ-ヺ]\w*",
    "USD": r"and|with|the|of|or|your|our|served|choice|fresh|chicken|cheese|salad|cream|soup",
    "DKK": r"\w*[æø]\w*|og|retter",
    "SEK": r"\w*å\w*|och|rätter|sås|drycker",
    "EUR": (
        r"\w*[ßüñèêùœìò]\w*|\w{3,}ção|\w{3,}ções|avec|aux?|du|des|et|und|mit|vom|oder|con|del|della|dello|alla|alle|al|ai|"
        r"los|las|el|y|com|ao|da|do|met|van|een|ja|kanssa"
    ),
}
_PATTERNS = {code: re.compile(rf"(?<!\w)(?:{words})(?!\w)") for code, words in _WORDS_OF.items()}


def likely_currency(texts: Iterable[str], among: Iterable[str] = tuple(_WORDS_OF)) -> str | None:
    """The currency of the country whose language the texts are in, ``None`` where they do not say.

    ``among`` are the codes to choose from. Languages of several countries stand for the largest with few dollars: the
    euro for French, Spanish and Portuguese.
    """
    page = "\n".join(texts).lower()
    counts = {code: len(_PATTERNS[code].findall(page)) for code in among}
    best = max(counts, key=lambda code: counts[code], default=None)
    return best if best is not None and counts[best] >= FEWEST else None
