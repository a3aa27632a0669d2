"""The content folder: markdown files with front matter, in a folder for each year."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

from ops.seed.size import Size, Span, dice
from ops.seed.words import TAGS, sentences, title


def write_pages(folder: Path, size: Size, span: Span) -> None:
    """Write the pages. They have some 180 words; one in twenty is long."""
    chosen = dice("pages")
    for number in range(1, size.pages + 1):
        at = span.at(number / (size.pages + 1)) - timedelta(days=1)
        target = folder / f"{at.year}" / f"page-{number:05}.md"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_page(chosen, number, f"{at:%Y-%m-%d}"), encoding="utf-8")


def _page(chosen: random.Random, number: int, date: str) -> str:
    access = "members" if number % 10 == 7 else "premium" if number % 10 == 9 else "public"
    tags = sorted(set(chosen.choices(TAGS, k=3)))
    header = (
        f"---\ntitle: {title(chosen)} {number}\nsummary: {sentences(chosen, 14)}\ndate: {date}\naccess: {access}\n"
        f"tags: [{', '.join(tags)}]\n---\n"
    )
    parts = [sentences(chosen, 40), f"## {title(chosen)}", sentences(chosen, 60), _list(chosen), sentences(chosen, 40)]
    if number % 20 == 0:
        parts += [f"### {title(chosen)}", *(sentences(chosen, 70) for _ in range(10)), _code(chosen), _table(chosen)]
    return header + "\n" + "\n\n".join(parts) + "\n"


def _list(chosen: random.Random) -> str:
    return "\n".join(f"- {sentences(chosen, 6)}" for _ in range(4))


def _code(chosen: random.Random) -> str:
    return f"```python\nprint({title(chosen)!r})\n```"


def _table(chosen: random.Random) -> str:
    rows = [f"| {title(chosen, 2)} | {chosen.randrange(100)} |" for _ in range(5)]
    return "\n".join(["| What | How many |", "| --- | --- |", *rows])
