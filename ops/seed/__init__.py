"""Fill an empty site, by default with a million members: ``python -m ops.seed --help``.

Rows are written through the models' tables in bulk, not through the services, which would take days. The same size
and day give the same site. What the site derives from its rows and pages (search indexes, kept sums) is filled
afterwards by the site's own code: see ``derived``.
"""

from __future__ import annotations

from ops.seed.fill import PASSWORD, fill_site
from ops.seed.size import MILLION, SMALL, Size

__all__ = ["MILLION", "PASSWORD", "SMALL", "Size", "fill_site"]
