"""The files for monitoring fit each other and the site: networks, users, ports, settings, fields of log records."""

from __future__ import annotations

import logging
import re
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from church import create_app
from church.config import Settings
from church.lib.log_fields import OTEL_NAMES, SCHEMES, Scheme, to_plain, to_scheme
from church.observability.logs import records
from tests.support.services_fixture import site_settings

OPS = Path(__file__).resolve().parents[2] / "ops"
LOOPBACK = re.compile(r"127\.0\.0\.1:\d+:\d+")


def load(name: str) -> Any:
    return yaml.safe_load((OPS / name).read_text())


def kubernetes() -> dict[str, Any]:
    """Load the Kubernetes objects, by kind."""
    files = sorted((OPS / "kubernetes").glob("*.yaml"))
    return {made["kind"]: made for path in files for made in yaml.safe_load_all(path.read_text())}


@pytest.fixture(scope="module")
def app_compose() -> Any:
    return load("docker-compose.yml")


@pytest.fixture(scope="module")
def compose() -> Any:
    return load("docker-compose.monitoring.yml")


def user_of_the_image() -> int:
    found = re.search(r"^USER (\d+):\1$", (OPS / "Dockerfile").read_text(), re.MULTILINE)
    assert found
    return int(found[1])


def test_images_are_pinned_to_a_version(app_compose: Any, compose: Any) -> None:
    images = [service["image"] for stack in (app_compose, compose) for service in stack["services"].values()]
    images += [c["image"] for c in kubernetes()["Deployment"]["spec"]["template"]["spec"]["containers"]]
    loose = [image for image in images if not re.search(r":v?\d+\.\d+[\w.-]*$", image)]
    assert set(loose) == {"church:latest"}  # built here, from this very checkout


def test_no_default_passwords_and_no_public_ports(compose: Any) -> None:
    text = (OPS / "docker-compose.monitoring.yml").read_text()
    secret = re.findall(r"\$\{(\w*(?:PASSWORD|SECRET|TOKEN)\w*)(:[-?]|\})", text)
    assert {name for name, _ in secret} == {"GRAFANA_PASSWORD", "CHURCH_MONITORING_SECRETS"}
    assert {how for _, how in secret} == {":?"}
    assert compose["services"]["grafana"]["environment"]["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert ports
    assert [port for port in ports if not LOOPBACK.fullmatch(port)] == []


def test_only_services_that_need_it_are_in_the_apps_network(app_compose: Any, compose: Any) -> None:
    project = app_compose["name"]
    assert compose["networks"]["site"] == {"name": f"{project}_inside", "external": True}
    assert "inside" in app_compose["networks"]
    assert compose["volumes"]["logs"] == {"name": f"{project}_logs", "external": True}
    assert "logs" in app_compose["volumes"]
    inside = {name for name, service in compose["services"].items() if "site" in service.get("networks", ())}
    assert inside == {"prometheus", "alertmanager", "collector"}


def test_every_mounted_file_exists(compose: Any) -> None:
    written = [mount for service in compose["services"].values() for mount in service.get("volumes", ())]
    mounts = [re.sub(r"\$\{[^}]+\}", "$", mount).split(":") for mount in written]
    paths = [source for source, *_ in mounts if source.startswith("./")]
    assert len(paths) > 6
    assert [path for path in paths if not (OPS / path).exists()] == []
    targets = [Path(target) for _, target, *_ in mounts if target.startswith("/etc/")]
    for service in ("prometheus", "alertmanager"):
        text = (OPS / service / f"{service}.yml").read_text()
        files = re.findall(r"_file: (\S+)|- ((?:rules|templates|targets)/)|files: \[((?:rules|targets)/)", text)
        for file in (Path("/etc", service, *named) for named in files):
            assert any(file.is_relative_to(target) for target in targets), file
    named = {source for source, *_ in mounts if re.fullmatch(r"[a-z]+", source)}
    assert named == compose["volumes"].keys()


def test_every_configured_address_is_a_service_that_listens(compose: Any) -> None:
    sources = {s["uid"]: s for s in load("grafana/provisioning/datasources/church.yml")["datasources"]}
    collector = load("otel/collector.yml")
    urls = [source["url"] for source in sources.values()]
    urls += [collector["exporters"]["otlphttp/loki"]["endpoint"]]
    listening = {
        ("prometheus", 9090),
        ("loki", load("loki/loki.yml")["server"]["http_listen_port"]),
        ("tempo", load("tempo/tempo.yml")["server"]["http_listen_port"]),
    }
    assert {(urlsplit(url).hostname, urlsplit(url).port) for url in urls} == listening
    receiver = load("tempo/tempo.yml")["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
    assert collector["exporters"]["otlp/tempo"]["endpoint"] == receiver.replace("0.0.0.0", "tempo")
    assert {name for name, _ in listening} <= compose["services"].keys()
    linked = re.findall(r"datasourceUid: (\w+)", (OPS / "grafana/provisioning/datasources/church.yml").read_text())
    assert set(linked) <= sources.keys()
    for pipeline in collector["service"]["pipelines"].values():
        for part, names in pipeline.items():
            assert set(names) <= collector[part].keys(), part


def _names_in(operator: dict[str, Any]) -> set[str]:
    """The fields of records that a step of the collector names."""
    found = re.findall(r"attributes(?:\.(\w+)|\[\"([^\"]+)\"\])", yaml.safe_dump(operator, width=10_000))
    return {plain or quoted for plain, quoted in found}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_collector_parses_the_sites_log_records(tmp_path: Path, compose: Any, scheme: Scheme) -> None:
    static = {"service": "church", "version": "1", "environment": "production"}
    ids = {"trace_id": "1" * 32, "span_id": "2" * 16}
    formatter = records.RecordFormatter(static, lambda: ids, scheme=scheme)
    record = yaml.safe_load(formatter.format(logging.LogRecord("church", logging.WARNING, "", 1, "said", None, None)))
    receiver = load("otel/collector.yml")["receivers"]["filelog"]
    used = [one for one in receiver["operators"] if _names_in(one) <= record.keys()]
    assert {name for one in receiver["operators"] for name in _names_in(one)} <= {*OTEL_NAMES, *OTEL_NAMES.values()}
    operators = {one["type"]: one for one in used}
    fields = {to_plain(name) for one in used for name in _names_in(one)}
    assert fields == {"timestamp", "trace_id", "span_id", "level", "message", "service", "version", "environment"}
    layout = operators["json_parser"]["timestamp"]["layout"].replace(
        "2006-01-02T15:04:05.000Z07:00", "%Y-%m-%dT%H:%M:%S.%f%z"
    )
    assert datetime.strptime(str(record["timestamp"]), layout).utcoffset() is not None
    assert operators["severity_parser"]["mapping"]["warn"] == record[to_scheme("level", scheme)]
    volumes = compose["services"]["collector"]["volumes"]
    assert f"logs:{Path(receiver['include'][0]).parent}:ro" in volumes
    assert compose["services"]["collector"]["user"] == f"{user_of_the_image()}:{user_of_the_image()}"


def test_pods_run_as_the_images_user_and_probe_existing_routes(tmp_path: Path) -> None:
    pod = kubernetes()["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == user_of_the_image()
    web, worker, observe = pod["containers"]
    routes = {rule.rule for rule in create_app(site_settings(tmp_path)).url_map.iter_rules()}
    probes = {name: web[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert probes == {"startupProbe": "/health", "livenessProbe": "/health", "readinessProbe": "/ready"}
    assert set(probes.values()) <= routes
    assert f"EXPOSE {web['ports'][0]['containerPort']}" in (OPS / "Dockerfile").read_text()
    assert not {"readinessProbe", "livenessProbe"} & {*worker, *observe}  # the site runs without them
    for container in (*pod["initContainers"], web, worker, observe):
        assert container["securityContext"]["readOnlyRootFilesystem"], container["name"]
        assert container["volumeMounts"] == web["volumeMounts"]  # /metrics reads the counters of the worker
        assert "memory" in container["resources"]["limits"], container["name"]
    assert pod["terminationGracePeriodSeconds"] > 30 + 5


def test_kubernetes_objects_use_existing_names_and_settings() -> None:
    made = kubernetes()
    deployment, service = made["Deployment"]["spec"], made["Service"]
    assert service["spec"]["selector"] == deployment["selector"]["matchLabels"]
    assert service["spec"]["selector"].items() <= deployment["template"]["metadata"]["labels"].items()
    assert made["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    assert made["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == made["Deployment"]["metadata"]["name"]
    monitor = made["ServiceMonitor"]["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert service["metadata"]["name"] == "church"  # the job name in rules and dashboards
    claims = [
        v["persistentVolumeClaim"]["claimName"]
        for v in deployment["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in v
    ]
    assert claims == [made["PersistentVolumeClaim"]["metadata"]["name"]]
    settings = {field.validation_alias for field in Settings.model_fields.values()}
    names = {*made["ConfigMap"]["data"], monitor["endpoints"][0]["authorization"]["credentials"]["key"]}
    assert {name for name in names if not name.startswith("OTEL_")} <= settings
