"""What the site derives from its rows and pages, filled by the site's own code after the rows are there.

A feature that keeps something beside the rows (a search index, sums) has its line in ``STEPS``.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask

from church.server import prepare

Step = Callable[[Flask], object]

STEPS: dict[str, Step] = {
    "index of pages": prepare.index_pages,
}
