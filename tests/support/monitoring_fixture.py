"""A real Prometheus and Alertmanager with the shipped rules and routes, a hundred times faster: 5 min are 3 s."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tests.support import promql
from tests.support.mail_fixture import PASSWORD, USER, MailServer, lets_in
from tests.support.programs import program
from tests.support.services_fixture import free_port
from tests.support.site_fixture import ROOT, Site

SHIPPED = ROOT / "ops/prometheus"
ROUTES = ROOT / "ops/alertmanager"
BOARDS = ROOT / "ops/grafana/dashboards"
SCRAPE = "500ms"
_PACE, _LONGEST = 100, 8.0


def shorten_seconds(seconds: float) -> float:
    """Shorten a time to a hundredth, but to at least 1 and at most 8 seconds."""
    return min(max(seconds / _PACE, 1.0), _LONGEST)


def shorten_duration(words: str) -> str:
    """Shorten a duration as the configurations write it, such as ``5m``."""
    return promql.with_durations(f"[{words}]", shorten_seconds).strip("[]")


@dataclass(frozen=True)
class Expression:
    """An expression of a dashboard or a rule; ``place`` is where it is."""

    place: str
    expr: str
    legend: str = ""


def rules() -> list[dict[str, Any]]:
    """Load all shipped rules."""
    files = sorted((SHIPPED / "rules").glob("*.yml"))
    return [rule for file in files for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def boards() -> list[dict[str, Any]]:
    """Load all shipped dashboards."""
    return [json.loads(path.read_text()) for path in sorted(BOARDS.glob("*.json"))]


def panels() -> list[Expression]:
    """List every expression of every panel."""
    return [
        Expression(f"{board['title']}: {panel['title']}", target["expr"], target.get("legendFormat", ""))
        for board in boards()
        for panel in board["panels"]
        for target in panel.get("targets", ())
    ]


def annotations() -> list[Expression]:
    """List every expression of an annotation, each once."""
    found = {one["expr"]: one["name"] for board in boards() for one in board["annotations"]["list"] if "expr" in one}
    return [Expression(name, expr) for expr, name in found.items()]


def as_grafana_asks(expr: str, life: float) -> str:
    """Replace Grafana's variables, with All chosen; ``life`` is the length of the time shown, in seconds.

    Rates are those of the whole time, and intervals long: on a busy machine, scrapes fail for some seconds.
    """
    shown = round(life * _PACE)
    for name, value in (("__rate_interval", f"{shown}s"), ("__range", f"{shown}s"), ("__interval", "10m")):
        expr = expr.replace(f"${name}", value)
    for board in boards():
        for variable in board["templating"]["list"]:
            expr = expr.replace(f"${variable['name']}", ".+")
    return promql.with_durations(expr, lambda seconds: life if seconds == shown else shorten_seconds(seconds))


def _paced_rules(folder: Path) -> None:
    """Write the shipped rules, with shortened times."""
    folder.mkdir()
    for path in (SHIPPED / "rules").glob("*.yml"):
        shipped = yaml.safe_load(path.read_text())
        for group in shipped["groups"]:
            group.pop("interval", None)
            for rule in group["rules"]:
                rule["expr"] = promql.with_durations(rule["expr"], shorten_seconds)
                for name in {"for", "keep_firing_for"} & rule.keys():
                    rule[name] = shorten_duration(rule[name])
        (folder / path.name).write_text(yaml.safe_dump(shipped))


class Prometheus:
    """Scrapes ``site`` by the shipped configuration, and sends alerts to ``alertmanager``."""

    def __init__(self, folder: Path, site: Site, token: str, alertmanager: str) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        folder.mkdir()
        (folder / "token").write_text(token)
        (folder / "targets").mkdir()
        (folder / "targets/church.yml").write_text(yaml.safe_dump([{"targets": [f"127.0.0.1:{site.port}"]}]))
        _paced_rules(folder / "rules")
        config = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
        config["global"] |= {"scrape_interval": SCRAPE, "scrape_timeout": SCRAPE, "evaluation_interval": SCRAPE}
        config["alerting"]["alertmanagers"][0]["static_configs"] = [{"targets": [alertmanager]}]
        (job,) = config["scrape_configs"]
        job["authorization"]["credentials_file"] = str(folder / "token")
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        words = [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}"]
        words += [f"--web.listen-address={self.address}", "--log.level=warn", "--rules.alert.resend-delay=1s"]
        self._console = (folder / "console.txt").open("wb")
        self.process = subprocess.Popen([program("prometheus"), *words], stdout=self._console, stderr=self._console)

    def ask(self, what: str, **parameters: Any) -> Any:
        """Query its API. Raises OSError while it does not answer, AssertionError for an invalid query."""
        address = f"http://{self.address}/api/v1/{what}?{urllib.parse.urlencode(parameters, doseq=True)}"
        try:
            with urllib.request.urlopen(address, timeout=60) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code == 503:  # it is still starting
                raise
            with error:
                raise AssertionError(f"{parameters}: {error.read().decode()}") from None

    def now(self, expr: str) -> float | None:
        """Return the current value of the first series."""
        with suppress(OSError):
            found = self.ask("query", query=expr)["result"]
            return float(found[0]["value"][1]) if found else None
        return None

    def course(self, expr: str, start: float, end: float) -> list[dict[str, Any]]:
        """Return the series of a panel: labels, and values once a second."""
        found: list[dict[str, Any]] = self.ask("query_range", query=expr, start=start, end=end, step=1)["result"]
        return found

    def firing(self, name: str) -> bool:
        """Whether the alert fires."""
        return self.now(f'ALERTS{{alertname="{name}", alertstate="firing"}}') == 1

    def stop(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.wait(60)
        self._console.close()


class Receivers:
    """Alertmanager's other receivers: a chat and a heartbeat that record what they get, and a mail server."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.heard.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: Any) -> None:
                """The tests are quiet."""

        # Alertmanager knows only the LOGIN prompts of other mail servers.
        plain = {"auth_require_tls": False, "auth_exclude_mechanism": ["LOGIN"]}
        self.mail = MailServer(authenticator=lets_in, **plain).start()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def received(self, path: str, words: str) -> bool:
        """Whether ``path`` got a message with these words."""
        return any(words in json.dumps(body) for where, body in self.heard if where == path)

    def stop(self) -> None:
        """Stop the receivers."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.mail.stop()


class Alertmanager:
    """Alertmanager with the shipped routes, inhibitions and receivers, but other addresses, secrets and times."""

    def __init__(self, folder: Path, site: Site, token: str, ears: Receivers) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        folder.mkdir()
        secrets = {"church-token": token, "slack-url": f"{ears.url}/chat", "smtp-password": PASSWORD}
        for name, secret in secrets.items():
            (folder / name).write_text(secret)
        shutil.copytree(ROUTES / "templates", folder / "templates")
        config = (ROUTES / "alertmanager.yml").read_text()
        for shipped, own in (
            ("https://church.example/api", f"{site.url}/api"),
            ("https://heartbeat.example", ears.url),
            ("/etc/alertmanager", str(folder)),
            ("mail.church.example:587", f"127.0.0.1:{ears.mail.port}"),
        ):
            assert shipped in config
            config = config.replace(shipped, own)
        made = yaml.safe_load(config)
        made["global"] |= {"smtp_require_tls": False, "smtp_auth_username": USER}
        for route in (made["route"], *made["route"]["routes"]):
            for name in {"group_wait", "group_interval"} & route.keys():
                route[name] = "0s" if route[name] == "0s" else shorten_duration(route[name])
        (folder / "alertmanager.yml").write_text(yaml.safe_dump(made))
        words = [f"--config.file={folder / 'alertmanager.yml'}", f"--storage.path={folder / 'data'}"]
        words += [f"--web.listen-address={self.address}", "--cluster.listen-address=", "--log.level=warn"]
        self._console = (folder / "console.txt").open("wb")
        self.process = subprocess.Popen(
            [program("prometheus-alertmanager"), *words], stdout=self._console, stderr=self._console
        )

    def stop(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.wait(60)
        self._console.close()


@dataclass(frozen=True)
class Watch:
    """The monitoring of a site."""

    prometheus: Prometheus
    alertmanager: Alertmanager
    ears: Receivers


@contextmanager
def watching(folder: Path, site: Site, token: str) -> Iterator[Watch]:
    """Run Prometheus, which needs some seconds until it scrapes ``site``, and Alertmanager."""
    ears = Receivers()
    started: list[Alertmanager | Prometheus] = []
    try:
        alertmanager = Alertmanager(folder / "alertmanager", site, token, ears)
        started.append(alertmanager)
        prometheus = Prometheus(folder / "prometheus", site, token, alertmanager.address)
        started.append(prometheus)
        yield Watch(prometheus, alertmanager, ears)
    finally:
        for one in reversed(started):
            one.stop()
        ears.stop()
