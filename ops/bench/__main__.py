"""Run all benchmarks: ``python -m ops.bench``."""

from __future__ import annotations

import argparse
from pathlib import Path

from ops.bench import (
    costs,
    enumeration,
    fairness,
    light,
    limits,
    live,
    logins,
    pages,
    scrapes,
    soak,
    state_scrape,
    video,
    webhooks,
)


def main() -> None:
    """Run every benchmark and print a line for each ratio."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--rounds", type=int, default=7, help="alternating rounds; the median counts")
    parser.add_argument("--requests", type=int, default=3000, help="requests per round and variant")
    parser.add_argument("--minutes", type=float, default=0, help="run a soak test instead, and print memory use")
    parser.add_argument("--before", type=Path, help="checkout of the release before, to measure beside this one")
    options = parser.parse_args()
    if options.minutes:
        soak.run(options.minutes)
        return
    print("starts, memory, and CPU while nobody comes")
    ratios = light.measure(max(1, options.rounds // 2), options.before)
    print("pages, compared with a bare Flask view")
    ratios |= pages.measure(options.rounds, options.requests, options.before)
    print("telemetry: CPU per request")
    ratios |= costs.measure(options.rounds, options.requests)
    ratios.pop("usual_kept")
    ratios["usual_stack"] = (ratios.pop("usual_page") + ratios.pop("usual_json")) / 2
    print("rate limits")
    ratios |= limits.measure(options.rounds, options.requests)
    print("fairness between connections")
    ratios["p99_over_p50"] = fairness.measure(max(3, options.rounds // 2), options.requests)
    print("other requests beside logins")
    ratios["login_p99"] = logins.measure(max(3, options.rounds // 2), options.requests)
    print("known and unknown addresses")
    ratios["known_address"] = enumeration.measure(10 * max(3, options.rounds // 2))
    print("webhooks")
    ratios["webhook_p99_seconds"] = webhooks.measure()
    print("scrapes")
    ratios["scrape_500_recycles"] = scrapes.measure(max(3, options.rounds // 2))
    ratios["state_scrape_ms"] = state_scrape.measure()
    print("streams, compared with nginx")
    ratios |= video.measure(max(3, options.rounds // 2), options.requests)
    print("live connections")
    ratios |= live.measure(max(3, options.rounds // 2))
    for name, value in ratios.items():
        print(f"RATIO {name} {value:.2f}")


if __name__ == "__main__":
    main()
