"""Check what is in ops/ with the tools that will read it: hadolint, yamllint, Compose's schema, Kubernetes' schemas,
promtool, amtool, nginx, systemd, logrotate; and the workflows of GitHub Actions by their schema. Paths and users of the
real host are replaced in a copy, since the machine that checks has neither.

A tool that is not installed is named and left out; with CHURCH_REQUIRE_SERVICES=1 that is a failure.
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
PLACES = f"{BIN}:{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
GENERATED = {"prometheus/rules/slo.yml", "prometheus/tests/slo_test.yml"}
NGINX = """
{user}daemon off; pid {folder}/nginx.pid; error_log stderr warn;
events {{}}
http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
types {{ text/css css; text/javascript js; image/svg+xml svg; }}
include {folder}/conf.d/*.conf; }}
"""


class MissingError(Exception):
    """A tool that is not installed."""


class ComplaintError(Exception):
    """What a tool found."""


def check(*command: str | Path, **environment: str) -> str:
    """Run a tool; its output. Raises ComplaintError if it fails, MissingError if it is not there."""
    program = shutil.which(command[0], path=PLACES)
    if program is None:
        raise MissingError(str(command[0]))
    words = [program, *(str(word) for word in command[1:])]
    surroundings = {**os.environ, **environment}
    done = subprocess.run(words, check=False, capture_output=True, text=True, cwd=ROOT, env=surroundings)
    if done.returncode:
        raise ComplaintError(done.stdout + done.stderr)
    return done.stdout + done.stderr


def silent(*command: str | Path, **environment: str) -> None:
    """The same for a tool that exits with 0 although it warns."""
    if said := check(*command, **environment).strip():
        raise ComplaintError(said)


def dockerfile(folder: Path) -> None:
    check("hadolint", OPS / "Dockerfile")


def yaml(folder: Path) -> None:
    """All but what `flask church slo generate` writes: promtool reads that, and by its size it would take seconds."""
    files = [path for path in OPS.rglob("*.y*ml") if path.suffix in {".yml", ".yaml"}]
    files = [path for path in files if path.relative_to(OPS).as_posix() not in GENERATED]
    check("yamllint", "--strict", *files)


def compose(folder: Path) -> None:
    check("check-jsonschema", "--builtin-schema", "vendor.compose-spec", *sorted(OPS.glob("docker-compose*.yml")))


def kubernetes(folder: Path) -> None:
    """Kubernetes' own kinds by the oldest version that is meant; the operator's kind by what we use of it."""
    operators = OPS / "kubernetes" / "servicemonitor.yaml"
    own = [path for path in sorted((OPS / "kubernetes").glob("*.yaml")) if path != operators]
    check("kubernetes-validate", "--strict", "--quiet", "--kubernetes-version", "1.30", *own)
    check("check-jsonschema", "--schemafile", OPS / "kubernetes" / "schema" / "servicemonitor.json", operators)


def prometheus(folder: Path) -> None:
    """The configuration as if its folder were /etc/prometheus, with a token there."""
    shutil.copytree(OPS / "prometheus", folder / "etc")
    (folder / "etc" / "church-token").write_text("-")
    config = folder / "etc" / "prometheus.yml"
    config.write_text(swapped(config, {"/etc/prometheus/": f"{folder / 'etc'}/"}))
    check("promtool", "check", "config", "--lint=all", "--lint-fatal", config)


def alertmanager(folder: Path) -> None:
    shutil.copytree(OPS / "alertmanager", folder / "etc")
    config = folder / "etc" / "alertmanager.yml"
    config.write_text(swapped(config, {"/etc/alertmanager/": f"{folder / 'etc'}/"}))
    check("amtool", "check-config", config)


def workflows(folder: Path) -> None:
    files = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    check("yamllint", "--strict", *files)
    check("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *files)


def nginx(folder: Path) -> None:
    check("nginx", "-t", "-q", "-c", nginx_config(folder, "127.0.0.1:8000"), "-p", folder)


def nginx_config(folder: Path, upstream: str, http: int = 80, https: int = 443, static: Path = ROOT / "static") -> Path:
    """The real files with a certificate made here, the given ports and ``upstream``; returns the main file."""
    (folder / "conf.d").mkdir()
    certificate, key = folder / "cert.pem", folder / "key.pem"
    make = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=church.example")
    check("openssl", *make, "-addext", "subjectAltName=DNS:church.example", "-keyout", key, "-out", certificate)
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
        (folder / "conf.d" / name).write_text(swapped(OPS / "nginx" / name, swaps))
    main = folder / "nginx.conf"
    main.write_text(NGINX.format(folder=folder, user="user root;\n" if os.geteuid() == 0 else ""))
    return main


def compose_upstream(folder: Path) -> None:
    main = nginx_config(folder, "127.0.0.1:8000")
    swaps = {"app:8000": "127.0.0.1:8000"}
    (folder / "conf.d" / "church-upstream.conf").write_text(swapped(OPS / "nginx" / "compose-upstream.conf", swaps))
    check("nginx", "-t", "-q", "-c", main, "-p", folder)


def units(folder: Path) -> None:
    shutil.copytree(OPS / "systemd", folder / "units")
    programs = folder / "bin"
    programs.mkdir()
    for name in ("gunicorn", "flask", "python"):
        (programs / name).symlink_to("/bin/true")
    names = []
    for path in (folder / "units").rglob("*"):
        if path.is_file():
            path.write_text(swapped(path, {"/opt/church/.venv/bin": str(programs)}))
        if path.suffix in {".service", ".socket", ".target"}:
            names.append(path)
    silent("systemd-analyze", "verify", "--man=no", *names, SYSTEMD_UNIT_PATH=f"{folder / 'units'}:")


def rotation(folder: Path) -> None:
    logs = folder / "logs"
    logs.mkdir(mode=0o755)
    (logs / "combined.log").write_text("{}\n")
    rules = folder / "rules"
    swaps = {"church church": "root root", "/var/log/church/": f"{logs}/"}
    rules.write_text(swapped(OPS / "logrotate" / "church", swaps))
    rules.chmod(0o644)
    said = check("logrotate", "--debug", "--state", folder / "state", rules)
    lines = [line for line in said.splitlines() if "debug mode does nothing" not in line]
    if trouble := [line for line in lines if line.startswith(("error:", "warning:"))]:
        raise ComplaintError("\n".join(trouble))


def swapped(path: Path, swaps: dict[str, str]) -> str:
    """The text of ``path`` with each key replaced."""
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


def problems(checks: Sequence[Callable[[Path], None]] = CHECKS) -> Iterator[str]:
    """A line for each check that fails."""
    strict = os.environ.get("CHURCH_REQUIRE_SERVICES") == "1"
    for one in checks:
        with tempfile.TemporaryDirectory(prefix="church-lint-") as folder:
            try:
                one(Path(folder))
            except MissingError as missing:
                if strict:
                    yield f"{one.__name__}: {missing} is not installed"
                else:
                    print(f"ops lint: {one.__name__} left out, {missing} is not installed")
            except ComplaintError as complaint:
                yield f"{one.__name__}: {complaint}"


def main() -> int:
    found = list(problems())
    for problem in found:
        print(f"ops lint: {problem}", file=sys.stderr)
    print(f"ops lint: {len(CHECKS)} checks, {len(found)} failed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
