"""Prepare text for the search index, and split queries alike.

Chinese, Japanese, Korean, Thai and others are written without blanks between words, or with endings joined to them. To
both databases a run of their letters would be one word, found by its beginning alone. So each letter is put apart, and
a run of a query is a phrase of letters: it matches anywhere in a run.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from church.models.base import plain

SEPARATOR = "\x1f"
"""Stands between the letters of unspaced scripts. No page has it: front matter and text refuse control characters."""
MAX_QUERY = 200  # characters; the rest is ignored
_MOST_WORDS = 10
_MOST_PIECES = 30
_BETWEEN_WORDS = re.compile(r"[\s\x00-\x2f:-@\[-`{-\x9f]+")
_ACCENT = re.compile("[\u0300-\u036f]")
_INVISIBLE = re.compile("[\x1f\u00ad\u2060\ufeff\ufe00-\ufe0f\U000e0100-\U000e01ef]")
# Letters of full and half width, ligatures and other forms of presentation, which NFKC makes plain. Only these: a
# snippet shows the stored text, in which a superscript 2 should stay one.
_FORMS = re.compile("[\u2f00-\u2fdf\ufb00-\ufb17\ufb1d-\ufdfb\ufe70-\ufefc\u3000\uff01-\uffee]+")

_EAST_ASIAN = (
    "\u1100-\u11ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303c\u3041-\u3096\u309d-\u309f"
    "\u30a1-\u30fa\u30fc-\u312f\u3131-\u318e\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\ua48f\ua960-\ua97c"
    "\uac00-\ud7fb\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
# Thai, Lao, Burmese, Khmer, the Tai scripts, Balinese, Javanese: with marks, which belong to the letter before.
_SOUTH_EAST_ASIAN = (
    (0x0E01, 0x0EDF), (0x1000, 0x109F), (0x1780, 0x17D3), (0x1950, 0x19DF), (0x1A20, 0x1AAD), (0x1B00, 0x1B4C),
    (0xA980, 0xA9C0), (0xA9E0, 0xA9FE), (0xAA60, 0xAADF),
)  # fmt: skip


def _of_south_east_asia(*, marks: bool) -> str:
    letters = (chr(code) for first, last in _SOUTH_EAST_ASIAN for code in range(first, last + 1))
    kinds = "M" if marks else "LN"
    return "".join(letter for letter in letters if unicodedata.category(letter)[0] in kinds)


_MARKS = "\u0300-\u036f\u3099\u309a" + _of_south_east_asia(marks=True)
_LETTER = f"[{_EAST_ASIAN}{_of_south_east_asia(marks=False)}][{_MARKS}]*"
_UNSPACED = re.compile(f"({_LETTER})\u200b*")  # Khmer and Thai may have blanks of no width between words
_RUN = re.compile(f"(?:{_LETTER}\u200b*)+")
_PIECE = re.compile(f"({_RUN.pattern})|((?:(?!{_LETTER}).)+)")
_HAS_MARK = re.compile(f"[{_MARKS}]")
_JOINED = re.compile(f"[{_MARKS}\u200b]")


@dataclass(frozen=True)
class Piece:
    """A part of a query that must match: a word, or a run of letters that may be anywhere in a longer run."""

    text: str
    letters: tuple[str, ...] = ()

    @property
    def indexed(self) -> str:
        """The piece as it is in the index."""
        return SEPARATOR.join(self.letters) if self.letters else self.text

    @property
    def has_marks(self) -> bool:
        """Whether some of its letters differ only in marks, which SQLite's tokenizer drops."""
        return bool(self.letters) and _HAS_MARK.search(self.text) is not None


def index_text(text: str) -> str:
    """Return ``text`` for the index: one form for equal letters, and those of unspaced scripts apart."""
    if text.isascii():
        return text.replace(SEPARATOR, "")
    return _RUN.sub(_put_apart, _unify(text))


def _put_apart(run: re.Match[str]) -> str:
    letters = _UNSPACED.findall(run[0]) if _JOINED.search(run[0]) else run[0]
    return f"{SEPARATOR}{SEPARATOR.join(letters)}{SEPARATOR}"


def show_text(indexed: str) -> str:
    """Return text of the index without the separators."""
    return indexed.replace(SEPARATOR, "")


def search_words(query: str) -> list[str]:
    """Split a query into words, at most ten, without ASCII punctuation.

    Inside quotes, the words can't be syntax to FTS5 or to a tsquery.
    """
    typed = _unify(plain(query[:MAX_QUERY])).lower()
    return [word for word in _BETWEEN_WORDS.split(typed) if any(c.isalnum() for c in word)][:_MOST_WORDS]


def split_query(query: str) -> list[Piece]:
    """Split a query into the pieces that must all match, at most thirty."""
    pieces = []
    for word in search_words(query):
        for run, other in _PIECE.findall(word):
            if run:
                letters = tuple(_UNSPACED.findall(run))
                pieces.append(Piece("".join(letters), letters))
            elif any(c.isalnum() for c in other):
                pieces.append(Piece(other))
    return pieces[:_MOST_PIECES]


def remove_accents(text: str) -> str:
    """Like church_fold of the migrations. SQLite's tokenizer removes accents itself, fewer in Greek."""
    return unicodedata.normalize("NFC", _ACCENT.sub("", unicodedata.normalize("NFD", text)))


def fold_letters(text: str) -> str:
    """Return ``text`` without case and accents, letter by letter: of the same length."""
    folded = (remove_accents(letter).lower() if ord(letter) > 127 else letter.lower() for letter in text)
    return "".join(new if len(new) == 1 else old for old, new in zip(text, folded, strict=True))


def _unify(text: str) -> str:
    visible = _INVISIBLE.sub("", text)
    return unicodedata.normalize("NFC", _FORMS.sub(lambda form: unicodedata.normalize("NFKC", form[0]), visible))
