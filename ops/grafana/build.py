"""Write the dashboards: `python -m ops.grafana.build`. With --check only list those that differ from the code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ops.grafana.boards import auth, dora, http, security, slo, stripe, websocket
from ops.grafana.parts import render_board

FOLDER = Path(__file__).resolve().parent / "dashboards"
BOARDS = (http.BOARD, auth.BOARD, stripe.BOARD, dora.BOARD, security.BOARD, websocket.BOARD, slo.BOARD)


def render_dashboards() -> dict[str, str]:
    """Return the content of each dashboard's file, by file name."""
    return {f"{board.uid.removeprefix('church-')}.json": render_board(board) for board in BOARDS}


def list_stale_files(folder: Path = FOLDER) -> list[str]:
    """List the files that are missing, superfluous, or differ from the code."""
    current = {path.name: path.read_text() for path in folder.glob("*.json")}
    fresh = render_dashboards()
    return sorted(name for name in current.keys() | fresh.keys() if current.get(name) != fresh.get(name))


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the dashboards, or list those that differ and return 1."""
    parser = argparse.ArgumentParser(prog="python -m ops.grafana.build", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, only list differences")
    check = parser.parse_args(arguments).check
    names = list_stale_files()
    for name in names:
        print(f"{name}: {'differs; run python -m ops.grafana.build' if check else 'written'}")
        if not check:
            _write(FOLDER / name)
    return 1 if names and check else 0


def _write(path: Path) -> None:
    text = render_dashboards().get(path.name)
    if text is None:
        path.unlink()
    else:
        path.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
