"""Run the attacks: ``python -m ops.faults [NAME ...]``. Ends with 1 if one of them went beyond its bounds."""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ops.bench.server import serving
from ops.faults.attack import Attack, Outcome, list_attacks, repeat

_WORKERS = 2
_WARM_UP = 2.0


def main() -> None:
    """Run the named attacks, or all, and print a row of the table in docs/faults.md for each."""
    attacks = {attack.name: attack for attack in list_attacks()}
    parser = argparse.ArgumentParser(prog="python -m ops.faults")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all of them by default: {', '.join(attacks)}")
    parser.add_argument("--seconds", type=float, default=15, help="how long each attack lasts")
    options = parser.parse_args()
    if unknown := set(options.names) - set(attacks):
        parser.error(f"there is no attack {', '.join(sorted(unknown))}")
    outcomes = [_measure(attacks[name], options.seconds) for name in options.names or attacks]
    raise SystemExit(not all(outcome.is_bounded for outcome in outcomes))


def _measure(attack: Attack, seconds: float) -> Outcome:
    with serving(workers=_WORKERS, **attack.settings) as server:
        prepared = attack.prepare(server)
        attack.other(server.port, prepared).read_for(_WARM_UP)
        idle = attack.other(server.port, prepared).read_for(seconds)
        before = set(server.workers())
        with _attacking(attack, server.port, prepared):
            attacked = attack.other(server.port, prepared).read_for(seconds)
        lost = len(before - set(server.workers()))
    outcome = Outcome(attack.name, idle.times, attacked.times, attacked.refused, lost)
    print(outcome.row(attack.sends), "" if outcome.is_bounded else "BEYOND ITS BOUNDS", flush=True)
    return outcome


@contextmanager
def _attacking(attack: Attack, port: int, prepared: Any) -> Iterator[None]:
    """Attack during the block, from a process that leaves the cores to the site and to the other client."""
    process = multiprocessing.get_context("spawn").Process(target=repeat, args=(attack.name, port, prepared))
    process.start()
    time.sleep(1)  # until it has its imports and its connections
    try:
        yield
        if process.exitcode is not None:
            raise RuntimeError(f"{attack.name} ended early: {process.exitcode}")
    finally:
        process.kill()
        process.join()


if __name__ == "__main__":
    main()
