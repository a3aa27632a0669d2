"""A day of counters and histograms, with restarts of the site, says the same here as in a real Prometheus."""

from __future__ import annotations

import json
import math
import random
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest

from church.telemetry_store.metrics import sampler
from church.telemetry_store.metrics.thinning import thin
from church.telemetry_store.segments import segment_name, write_segment
from church.telemetry_store.site import Target
from church.telemetry_store.tables import Row
from tests.support.programs import needing, program
from tests.support.samples import add, ask, sample_table
from tests.support.services_fixture import free_port, wait_until

HOUR, SCRAPE, STEP = 3_600, 15, 300
BEGIN = int(time.time()) // (24 * HOUR) * 24 * HOUR - 24 * HOUR
END = BEGIN + 24 * HOUR
FIRST = BEGIN + 7  # scrapes are never at the begin of a step
ROUTES = ("/", "/pages/<slug>", "/video/")
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 1.0, 5.0)
Points = dict[str, dict[int, float]]  # by route, by the second in which a step ends


class Site:
    """A site that counts, and starts anew now and then."""

    def __init__(self) -> None:
        self._random = random.Random(11)
        self.restarts = 0
        self._start()

    def _start(self) -> None:
        self.counts = {route: [0] * (len(BOUNDS) + 1) for route in ROUTES}
        self.sums = dict.fromkeys(ROUTES, 0.0)

    def answer_requests(self, moment: int) -> None:
        """Let 15 seconds pass, most busy at a time of its own for each route."""
        if self._random.random() < 0.004:
            self.restarts += 1
            self._start()
        for place, route in enumerate(ROUTES):
            requests = SCRAPE * 60 * (2 + math.sin(moment / 7_000 + place))
            seconds = NormalDist(-4 + place + math.sin(moment / 11_000), 0.9)
            below = [seconds.cdf(math.log(bound)) for bound in BOUNDS]
            for bucket, share in enumerate(b - a for a, b in zip([0.0, *below], [*below, 1.0], strict=True)):
                more = max(0, round(self._random.gauss(requests * share, math.sqrt(requests * share))))
                self.counts[route][bucket] += more
                self.sums[route] += more * BOUNDS[min(bucket, len(BOUNDS) - 1)]

    def expose(self) -> dict[str, list[tuple[str, float]]]:
        """The lines of each metric, and their numbers."""
        hits, took = [], []
        for route in ROUTES:
            count = 0
            for bound, more in zip((*map(str, BOUNDS), "+Inf"), self.counts[route], strict=True):
                count += more
                took.append((f'took_seconds_bucket{{route="{route}",le="{bound}"}}', float(count)))
            took.append((f'took_seconds_count{{route="{route}"}}', float(count)))
            took.append((f'took_seconds_sum{{route="{route}"}}', self.sums[route]))
            hits.append((f'hits_total{{route="{route}"}}', float(count)))
        return {"hits_total": hits, "took_seconds": took}


KINDS = {"hits_total": "counter", "took_seconds": "histogram"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("replay")


@pytest.fixture(scope="module")
def rows(folder: Path) -> list[Row]:
    """The samples of the day. The store starts anew, too; ``backfill`` in the folder has the same for Prometheus."""
    site, kept, text = Site(), list[Row](), [""]
    lines: dict[str, list[str]] = {name: [] for name in KINDS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampler, "fetch", lambda _target: text[0])
        one = sampler.Sampler(Target("127.0.0.1:1"), "a", folder, kept.extend)
        for number, moment in enumerate(range(FIRST, END, SCRAPE)):
            exposed = site.expose()
            text[0] = "".join(
                f"# TYPE {name} {KINDS[name]}\n" + "".join(f"{start} {value!r}\n" for start, value in exposed[name])
                for name in exposed
            )
            for name, now in exposed.items():
                lines[name] += [f"{start} {value!r} {moment}\n" for start, value in now]
            if number % 1_000 == 999:
                one = sampler.Sampler(Target("127.0.0.1:1"), "a", folder, kept.extend)
            one.scrape(moment * 1_000_000)
            site.answer_requests(moment)
    assert site.restarts > 10
    blocks = (f"# TYPE {name.removesuffix('_total')} {KINDS[name]}\n{''.join(lines[name])}" for name in lines)
    (folder / "backfill").write_text(f"{''.join(blocks)}# EOF\n")
    return kept


@pytest.fixture(scope="module")
def segment(rows: list[Row], folder: Path) -> Path:
    path = folder / "raw.parquet"
    with sample_table() as connection:
        add(connection, rows)
        write_segment(connection, "samples", "recent_samples", path)
    return path


@pytest.fixture(scope="module")
@needing("prometheus", "promtool")
def prometheus(rows: list[Row], folder: Path) -> Iterator[Callable[[str, int], Points]]:
    """Run Prometheus with the same samples. Yields a function that evaluates an expression at the end of each step."""
    assert rows
    create = ["tsdb", "create-blocks-from", "openmetrics", "--quiet"]
    subprocess.run([program("promtool"), *create, folder / "backfill", folder / "tsdb"], check=True, timeout=300)
    (folder / "empty.yml").write_text("")
    port = free_port()
    options = [f"--config.file={folder / 'empty.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    options += ["--storage.tsdb.retention.time=10y", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    server = subprocess.Popen([program("prometheus"), *options])
    address = f"http://127.0.0.1:{port}"

    def evaluate(expression: str, step: int) -> Points:
        query = {"query": expression, "start": BEGIN + step, "end": END, "step": step}
        with urllib.request.urlopen(f"{address}/api/v1/query_range?{urllib.parse.urlencode(query)}", timeout=60) as got:
            series = json.load(got)["data"]["result"]
        return {
            one["metric"].get("route", ""): {int(ts): float(value) for ts, value in one["values"]} for one in series
        }

    def answers() -> bool:
        with suppress(OSError):
            return bool(urllib.request.urlopen(f"{address}/-/ready", timeout=5).status == 200)
        return False

    wait_until(answers, "Prometheus is ready")
    yield evaluate
    server.terminate()
    server.wait(60)


def ours(segment: Path, step: int, name: str, fn: str, **more: Any) -> Points:
    args = {"name": name, "fn": fn, "begin": BEGIN * 1_000_000, "end": END * 1_000_000, "step": step, **more}
    with sample_table() as connection:
        answer = ask(connection, "metrics.range", [segment], **args)
    return {
        row["labels"].get("route", ""): {
            ts // 1_000_000 + step: value for ts, value in row["points"] if value is not None
        }
        for row in answer
    }


def differences(one: Points, other: Points) -> list[float]:
    """How far each point is from the other's, as a share of it.

    The first step is left out: Prometheus guesses there when the counters began, and here it is known what was seen.
    """
    assert one.keys() == other.keys()
    later = [(key, ts) for key, points in other.items() for ts in sorted(points)[1:]]
    return [abs(one[key][ts] - other[key][ts]) / other[key][ts] for key, ts in later]


@pytest.mark.parametrize(
    ("expression", "step", "question"),
    [
        ("rate(hits_total[5m])", STEP, {"name": "hits_total", "fn": "rate", "by": ["route"]}),
        ("sum(rate(hits_total[1h]))", HOUR, {"name": "hits_total", "fn": "rate"}),
        ("sum by (route) (increase(hits_total[1h]))", HOUR, {"name": "hits_total", "fn": "increase", "by": ["route"]}),
        ("sum(rate(took_seconds_count[5m]))", STEP, {"name": "took_seconds", "fn": "rate"}),
        (
            "sum by (route) (rate(took_seconds_sum[5m])) / sum by (route) (rate(took_seconds_count[5m]))",
            STEP,
            {"name": "took_seconds", "fn": "mean", "by": ["route"]},
        ),
        *(
            (
                f"histogram_quantile({q}, sum by (le, route) (rate(took_seconds_bucket[1h])))",
                HOUR,
                {"name": "took_seconds", "fn": "quantile", "q": q, "by": ["route"]},
            )
            for q in (0.5, 0.95, 0.99)
        ),
        (
            "histogram_quantile(0.9, sum by (le) (rate(took_seconds_bucket{route=~'/|/video/'}[1h])))",
            HOUR,
            {"name": "took_seconds", "fn": "quantile", "q": 0.9, "where": {"route": ["/", "/video/"]}},
        ),
    ],
)
@pytest.mark.parametrize("is_thinned", [False, True], ids=["every 15 seconds", "thinned"])
def test_range_is_what_prometheus_says(
    prometheus: Callable[[str, int], Points],
    segment: Path,
    expression: str,
    step: int,
    question: dict[str, Any],
    is_thinned: bool,
) -> None:
    expected = prometheus(expression, step)
    assert all(len(points) >= 24 for points in expected.values())
    found = ours(thinned(segment) if is_thinned else segment, step, **question)
    assert max(differences(found, expected)) < 0.01


def thinned(segment: Path) -> Path:
    path = segment.with_name(segment_name("samples", 0, 0, STEP))
    if not path.exists():
        with sample_table() as connection:
            thin(connection, [segment], STEP, path)
    return path
