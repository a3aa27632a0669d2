"""Fill the site that the environment describes: ``python -m ops.seed``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields

from church.config import load_settings
from ops.seed.fill import PASSWORD, NotEmptyError, fill_site
from ops.seed.size import MILLION, SMALL, Size


def main() -> int:
    """Fill the site, and print how long each table took."""
    options = _parse()
    base = SMALL if options.small else MILLION.scaled(options.scale)
    size = Size(**{one.name: getattr(options, one.name) or getattr(base, one.name) for one in fields(Size)})
    try:
        counts = fill_site(load_settings(), size, derive=options.derive, anyway=options.anyway, say=_say)
    except NotEmptyError as error:
        print(f"Not filled: {error}.", file=sys.stderr)
        return 1
    print(f"{sum(counts.values()):,} rows. Sign in as admin-1@church.example with: {PASSWORD}")
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ops.seed",
        description="Fill an empty site: the one of CHURCH_INSTANCE, CHURCH_CONTENT and DATABASE_URL.",
    )
    for one in fields(Size):
        parser.add_argument(f"--{one.name}", type=int, help=f"default: {one.default:,}")
    share = parser.add_mutually_exclusive_group()
    share.add_argument("--scale", type=float, default=1.0, help="a share of every default: 0.01 is a hundredth")
    share.add_argument("--small", action="store_true", help="a site that fills one part of each list")
    parser.add_argument("--no-derived", action="store_false", dest="derive", help="leave out search indexes and sums")
    parser.add_argument("--anyway", action="store_true", help="fill a site that has members or pages, too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
