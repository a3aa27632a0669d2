"""Benchmark the price of a page: CPU a request of all processes of the site, beside a bare Flask view.

The bare view returns the same body, already compressed, under the same worker class. Rounds alternate.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ops.bench.client import browser_headers, drive, pinned_to_one_core
from ops.bench.server import ROOT, serving
from ops.bench.whole_site import WholeSite, running

_CONNECTIONS = 16
_CODING = "gzip, br"
_SENT_ON = ("content-type", "content-encoding", "cache-control", "vary", "etag")


@dataclass(frozen=True)
class _Case:
    """A page, and whether a member asks for it."""

    path: str
    signed_in: bool = False


CASES = {
    "page_anonymous": _Case("/pages/what-this-site-is"),
    "list_anonymous": _Case("/pages/"),
    "feed": _Case("/feed.xml"),
    "health": _Case("/health"),
    "page_member": _Case("/pages/what-this-site-is", signed_in=True),
    "account": _Case("/auth/account", signed_in=True),
}


@dataclass(frozen=True)
class _Target:
    """Something that answers: its port, and a clock of the CPU that it has used."""

    port: int
    cpu: Callable[[], float]
    cookie: str = "theme=dark"

    def cost(self, path: str, signed_in: bool, requests: int) -> float:
        """CPU seconds a request."""
        headers = browser_headers(coding=_CODING, cookie=self.cookie if signed_in else "theme=dark")
        before = self.cpu()
        with pinned_to_one_core():
            drive(self.port, path, requests, _CONNECTIONS, headers)
        return (self.cpu() - before) / requests


@contextmanager
def _site(root: Path) -> Iterator[tuple[WholeSite, _Target]]:
    with running(root, WEB_CONCURRENCY="1") as site:
        cookie = site.sign_in()
        site.settle()
        yield site, _Target(site.port, site.cpu, cookie)


@contextmanager
def _bare(site: WholeSite, cookie: str) -> Iterator[_Target]:
    """A bare app that returns what the site returns for each case."""
    with TemporaryDirectory(prefix="church-bench-") as folder:
        _save_answers(site, cookie, Path(folder))
        with serving("ops.bench.bare:app", CHURCH_TELEMETRY="false", CHURCH_BENCH_ANSWERS=folder) as server:
            yield _Target(server.port, server.cpu)


def _save_answers(site: WholeSite, cookie: str, folder: Path) -> None:
    saved: dict[str, Mapping[str, str]] = {}
    for name, case in CASES.items():
        headers = {"Accept-Encoding": "br", **({"Cookie": cookie} if case.signed_in else {})}
        body, sent = site.get(case.path, headers)
        (folder / name).write_bytes(body)
        saved[name] = {key: value for key, value in sent.items() if key in _SENT_ON}
    (folder / "answers.json").write_text(json.dumps(saved))


def measure(rounds: int, requests: int, before: Path | None = None) -> dict[str, float]:
    """Return for each case the CPU of this site over that of the bare view; ``before`` is a checkout to measure too."""
    ratios: dict[str, float] = {}
    with ExitStack() as stack:
        site, own = stack.enter_context(_site(ROOT))
        targets = {"bare": stack.enter_context(_bare(site, own.cookie)), "site": own}
        if before is not None:
            targets["before"] = stack.enter_context(_site(before))[1]
        for name, case in CASES.items():
            costs = _alternate(targets, name, case, rounds, requests)
            medians = "  ".join(f"{key} {statistics.median(values) * 1e6:7.1f}" for key, values in costs.items())
            print(f"  {name:15} {medians} µs of CPU per request")
            for key in [key for key in targets if key != "bare"]:
                pairs = zip(costs[key], costs["bare"], strict=True)
                ratios[name if key == "site" else f"{name}_{key}"] = statistics.median(a / b for a, b in pairs)
    return ratios


def _alternate(
    targets: Mapping[str, _Target], name: str, case: _Case, rounds: int, requests: int
) -> dict[str, list[float]]:
    """Return the costs of each target, by round; the first round is not counted."""
    costs: dict[str, list[float]] = {key: [] for key in targets}
    for number in range(rounds + 1):
        for key, target in targets.items():
            path = f"/{name}" if key == "bare" else case.path
            cost = target.cost(path, case.signed_in, requests)
            if number:
                costs[key].append(cost)
    return costs


if __name__ == "__main__":
    for ratio, value in measure(3, 1000, Path(sys.argv[1]) if len(sys.argv) > 1 else None).items():
        print(f"RATIO {ratio} {value:.2f}")
