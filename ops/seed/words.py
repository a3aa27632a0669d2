"""Names and sentences for a seeded site: common words are common, and rare ones are rare."""

from __future__ import annotations

import random
from itertools import accumulate


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES = _split(
    "Ada Alan Alma Anders Anouk Barbara Björn Carmen Chinua Claude Dagny Dmitri Edsger Elif Emmy Farah Femi Grace "
    "Hana Hedy Hugo Ida Ingrid Ivan Jamal João José Joan Kaito Karen Katherine Lars Leyla Linus Lucía Mae Marie Mei "
    "Mira Nadia Niklaus Noor Olga Omar Paolo Priya Radia Ravi Rosa Sana Søren Sofia Tariq Tim Uma Vera Wei Yuki Zoë"
)
SURNAMES = _split(
    "Lovelace Turing Hopper Johnson Liskov Hamilton Okafor Nakamura García Müller Jensen Ivanova Rossi Dubois Novák "
    "Kowalska Silva Santos Andersson Virtanen O'Brien MacLeod Yilmaz Haddad Cohen Singh Patel Sharma Nguyen Tran Kim "
    "Park Chen Wang Li Zhang Tanaka Suzuki Adeyemi Mensah Diallo Mbeki Brown Smith Taylor Wilson Evans Walker"
)
DOMAINS = ("church.example", "post.example.com", "mail.example.org", "letters.example.net")
TAGS = _split(
    "access archive basics billing books bread cellos chapters choir clocks crafts dates design drums essays events "
    "films garden harvest history ink journal keeping letters light maps members music news notes paper people photos "
    "poems quiet rivers songs stories travel winter writing"
)
_COMMON = _split(
    "the and of a to in is that for it with as on be by this are at from or an was not have one you we they but all "
    "which when there what so out up about who time can more some very after then over now new only other into first "
    "people work day long great little own old right see way each just where most know through back much before good "
    "page room light water morning letter reader film garden hand house year night word story music bread river stone"
)
_STARTS = _split("b br c ch d dr f fl g gr h j k l m n p pl qu r s sh st t th tr v w")
_MIDDLES = _split("a ai e ea i ie o oo ou u")
_ENDS = _split("ck d ft l ll m n nd ng nt p r rd rm s st t th x")
_RUDE = frozenset(_split("cock coon cum cunt dick fart fuck prick sex shit tit turd"))


def _make_rare() -> list[str]:
    """Some five thousand words that are no language, nor rude, in an order that mixes their beginnings."""
    made = [start + middle + end for start in _STARTS for middle in _MIDDLES for end in _ENDS]
    random.Random("words").shuffle(made)
    return [word for word in made if word not in _RUDE]


_ALL = [*_COMMON, *_make_rare()]
RAREST = _ALL[-1]
"""The word that is chosen least often."""
_WEIGHTS = list(accumulate(1 / (rank + 3) for rank in range(len(_ALL))))


def words(dice: random.Random, count: int) -> list[str]:
    """Choose words as often as languages use them."""
    return dice.choices(_ALL, cum_weights=_WEIGHTS, k=count)


def title(dice: random.Random, count: int = 4) -> str:
    """A title: one common word, and rare ones."""
    chosen = [dice.choice(_COMMON[20:]), *(dice.choice(_ALL[100:]) for _ in range(count - 1))]
    return " ".join(chosen).capitalize()


def sentences(dice: random.Random, count: int) -> str:
    """Text of about ``count`` words."""
    chosen = words(dice, count)
    lines = []
    while chosen:
        length = 5 + int(dice.random() * 14)
        lines.append(" ".join(chosen[:length]).capitalize() + ".")
        del chosen[:length]
    return " ".join(lines)
