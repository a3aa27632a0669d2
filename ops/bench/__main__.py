"""``python -m ops.bench``: see the package."""

from __future__ import annotations

import argparse

from ops.bench import costs, enumeration, fairness, live, logins, scrapes, soak, starts, state_scrape, video, webhooks


def main() -> None:
    """Measure, and end with a line for each ratio."""
    options = argparse.ArgumentParser(prog="make bench")
    options.add_argument("--rounds", type=int, default=7, help="alternated rounds; the median counts")
    options.add_argument("--requests", type=int, default=3000, help="requests a round and variant")
    options.add_argument("--minutes", type=float, default=0, help="soak the site instead, and say how memory went")
    chosen = options.parse_args()
    if chosen.minutes:
        soak.run(chosen.minutes)
        return
    print("starts")
    starts.measure()
    print("telemetry, by CPU a request")
    ratios = costs.measure(chosen.rounds, chosen.requests)
    ratios["usual_stack"] = (ratios.pop("usual_page") + ratios.pop("usual_json")) / 2
    print("fairness between connections")
    ratios["p99_over_p50"] = fairness.measure(max(3, chosen.rounds // 2), chosen.requests)
    print("logins beside everybody else")
    ratios["login_p99"] = logins.measure(max(3, chosen.rounds // 2), chosen.requests)
    print("known and unknown addresses")
    ratios["known_address"] = enumeration.measure(10 * max(3, chosen.rounds // 2))
    print("webhooks")
    ratios["webhook_p99_seconds"] = webhooks.measure()
    print("scrapes")
    ratios["scrape_500_recycles"] = scrapes.measure(max(3, chosen.rounds // 2))
    ratios["state_scrape_ms"] = state_scrape.measure()
    print("streams, beside nginx")
    ratios |= video.measure(max(3, chosen.rounds // 2), chosen.requests)
    print("live connections")
    ratios |= live.measure(max(3, chosen.rounds // 2))
    for name, value in ratios.items():
        print(f"RATIO {name} {value:.2f}")


if __name__ == "__main__":
    main()
