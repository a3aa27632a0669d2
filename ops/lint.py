"""Check the configuration files in ops/ with the tools that read them, and the GitHub workflows by their schema.

The tools: hadolint, yamllint, the schemas of Compose and Kubernetes, promtool, amtool, nginx, systemd and logrotate.
They read copies in which paths and users of the real host are replaced, because the checking machine has neither.

A check whose tool is not installed is skipped with a note; with CHURCH_REQUIRE_SERVICES=1 it fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

OPS = Path(__file__).resolve().parent
ROOT = OPS.parent
BIN = Path(sys.executable).parent
SEARCH_PATH = f"{BIN}:{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
GENERATED = {"prometheus/rules/slo.yml", "prometheus/tests/slo_test.yml"}
NGINX = """
{user}daemon off; pid {folder}/nginx.pid; error_log stderr warn;
events {{}}
http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
types {{ text/css css; text/javascript js; image/svg+xml svg; }}
include {folder}/conf.d/*.conf; }}
"""


class ToolMissingError(Exception):
    """A tool is not installed."""


class ToolFailedError(Exception):
    """A tool found a problem; the message is its output."""


def run_tool(*command: str | Path, **environment: str) -> str:
    """Run a tool and return its output. Raises ComplaintError if it fails, MissingError if it is not installed."""
    program = shutil.which(command[0], path=SEARCH_PATH)
    if program is None:
        raise ToolMissingError(str(command[0]))
    arguments = [program, *(str(argument) for argument in command[1:])]
    env = {**os.environ, **environment}
    result = subprocess.run(arguments, check=False, capture_output=True, text=True, cwd=ROOT, env=env)
    if result.returncode:
        raise ToolFailedError(result.stdout + result.stderr)
    return result.stdout + result.stderr


def run_silent_tool(*command: str | Path, **environment: str) -> None:
    """Run a tool that exits with 0 even when it warns. Raises ComplaintError if it prints anything."""
    if output := run_tool(*command, **environment).strip():
        raise ToolFailedError(output)


def dockerfile(folder: Path) -> None:
    run_tool("hadolint", OPS / "Dockerfile")


def yaml(folder: Path) -> None:
    """Check all YAML except the large generated rules: they would take seconds, and promtool checks them."""
    files = [path for path in OPS.rglob("*.y*ml") if path.suffix in {".yml", ".yaml"}]
    files = [path for path in files if path.relative_to(OPS).as_posix() not in GENERATED]
    run_tool("yamllint", "--strict", *files)


def compose(folder: Path) -> None:
    run_tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", *sorted(OPS.glob("docker-compose*.yml")))


def kubernetes(folder: Path) -> None:
    """Check Kubernetes' own kinds by the oldest supported version, and the operator's kind by our schema of it."""
    service_monitor = OPS / "kubernetes" / "servicemonitor.yaml"
    own_kinds = [path for path in sorted((OPS / "kubernetes").glob("*.yaml")) if path != service_monitor]
    run_tool("kubernetes-validate", "--strict", "--quiet", "--kubernetes-version", "1.30", *own_kinds)
    run_tool("check-jsonschema", "--schemafile", OPS / "kubernetes" / "schema" / "servicemonitor.json", service_monitor)


def prometheus(folder: Path) -> None:
    """Check the configuration in a copy of its folder in place of /etc/prometheus, with a token file."""
    shutil.copytree(OPS / "prometheus", folder / "etc")
    (folder / "etc" / "church-token").write_text("-")
    config = folder / "etc" / "prometheus.yml"
    config.write_text(read_replacing(config, {"/etc/prometheus/": f"{folder / 'etc'}/"}))
    run_tool("promtool", "check", "config", "--lint=all", "--lint-fatal", config)


def alertmanager(folder: Path) -> None:
    shutil.copytree(OPS / "alertmanager", folder / "etc")
    config = folder / "etc" / "alertmanager.yml"
    config.write_text(read_replacing(config, {"/etc/alertmanager/": f"{folder / 'etc'}/"}))
    run_tool("amtool", "check-config", config)


def workflows(folder: Path) -> None:
    files = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    run_tool("yamllint", "--strict", *files)
    run_tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *files)


def nginx(folder: Path) -> None:
    run_tool("nginx", "-t", "-q", "-c", write_nginx_config(folder, "127.0.0.1:8000"), "-p", folder)


def write_nginx_config(
    folder: Path, upstream: str, http: int = 80, https: int = 443, static: Path = ROOT / "static"
) -> Path:
    """Write the real files with a new certificate, the given ports and ``upstream``; return the main file."""
    (folder / "conf.d").mkdir()
    certificate, key = folder / "cert.pem", folder / "key.pem"
    make = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=church.example")
    run_tool("openssl", *make, "-addext", "subjectAltName=DNS:church.example", "-keyout", key, "-out", certificate)
    swaps = {
        "/etc/letsencrypt/live/church.example/fullchain.pem": str(certificate),
        "/etc/letsencrypt/live/church.example/privkey.pem": str(key),
        "/opt/church/static/": f"{static}/",
        "/srv/church/videos/": f"{folder}/videos/",
        "/var/log/nginx/access.log": str(folder / "access.log"),
        "/var/log/nginx/error.log": str(folder / "error.log"),
        "app:8000": upstream,
        "127.0.0.1:8000": upstream,
        "listen 80;": f"listen 127.0.0.1:{http};",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{https} ssl http2;",
        "    listen [::]:80;\n": "",
        "    listen [::]:443 ssl http2;\n": "",
    }
    for name in ("church.conf", "church-upstream.conf"):
        (folder / "conf.d" / name).write_text(read_replacing(OPS / "nginx" / name, swaps))
    main = folder / "nginx.conf"
    main.write_text(NGINX.format(folder=folder, user="user root;\n" if os.geteuid() == 0 else ""))
    return main


def compose_upstream(folder: Path) -> None:
    main = write_nginx_config(folder, "127.0.0.1:8000")
    swaps = {"app:8000": "127.0.0.1:8000"}
    (folder / "conf.d" / "church-upstream.conf").write_text(
        read_replacing(OPS / "nginx" / "compose-upstream.conf", swaps)
    )
    run_tool("nginx", "-t", "-q", "-c", main, "-p", folder)


def units(folder: Path) -> None:
    shutil.copytree(OPS / "systemd", folder / "units")
    programs = folder / "bin"
    programs.mkdir()
    for name in ("gunicorn", "flask", "python"):
        (programs / name).symlink_to("/bin/true")
    names = []
    for path in (folder / "units").rglob("*"):
        if path.is_file():
            path.write_text(read_replacing(path, {"/opt/church/.venv/bin": str(programs)}))
        if path.suffix in {".service", ".socket", ".target"}:
            names.append(path)
    run_silent_tool("systemd-analyze", "verify", "--man=no", *names, SYSTEMD_UNIT_PATH=f"{folder / 'units'}:")


def rotation(folder: Path) -> None:
    logs = folder / "logs"
    logs.mkdir(mode=0o755)
    (logs / "combined.log").write_text("{}\n")
    rules = folder / "rules"
    swaps = {"church church": "root root", "/var/log/church/": f"{logs}/"}
    rules.write_text(read_replacing(OPS / "logrotate" / "church", swaps))
    rules.chmod(0o644)
    output = run_tool("logrotate", "--debug", "--state", folder / "state", rules)
    lines = [line for line in output.splitlines() if "debug mode does nothing" not in line]
    if errors := [line for line in lines if line.startswith(("error:", "warning:"))]:
        raise ToolFailedError("\n".join(errors))


def read_replacing(path: Path, swaps: dict[str, str]) -> str:
    """Read a file and replace each key of ``swaps`` by its value."""
    text = path.read_text()
    for old, new in swaps.items():
        text = text.replace(old, new)
    return text


CHECKS: Sequence[Callable[[Path], None]] = (
    dockerfile,
    yaml,
    compose,
    kubernetes,
    prometheus,
    alertmanager,
    workflows,
    nginx,
    compose_upstream,
    units,
    rotation,
)


def run_checks(checks: Sequence[Callable[[Path], None]] = CHECKS) -> Iterator[str]:
    """Run the checks and yield a line for each that fails."""
    strict = os.environ.get("CHURCH_REQUIRE_SERVICES") == "1"
    for run in checks:
        with tempfile.TemporaryDirectory(prefix="church-lint-") as folder:
            try:
                run(Path(folder))
            except ToolMissingError as missing:
                if strict:
                    yield f"{run.__name__}: {missing} is not installed"
                else:
                    print(f"ops lint: {run.__name__} skipped, {missing} is not installed")
            except ToolFailedError as complaint:
                yield f"{run.__name__}: {complaint}"


def main() -> int:
    failures = list(run_checks())
    for problem in failures:
        print(f"ops lint: {problem}", file=sys.stderr)
    print(f"ops lint: {len(CHECKS)} checks, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
