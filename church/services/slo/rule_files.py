"""Generate Prometheus' rule file and its tests from ``ops/slo.yml``, write them, or find those that are out of date."""

from __future__ import annotations

from pathlib import Path

from church.services.slo.rules import groups
from church.services.slo.simulations import trials
from church.services.slo.spec import read
from church.services.slo.yaml_text import dump

RULES = Path("rules/slo.yml")
TRIALS = Path("tests/slo_test.yml")


def generated(spec: str) -> dict[Path, str]:
    """Make the rule and test files from the text of ``ops/slo.yml``, by their path in Prometheus' folder.

    Raises FieldErrors with the place of every error.
    """
    slos = read(spec)
    return {RULES: dump({"groups": groups(slos)}), TRIALS: dump(trials(slos, Path("..") / RULES))}


def write(spec: str, folder: Path) -> list[Path]:
    """Write the files that are missing or out of date in ``folder``. Returns them. Raises FieldErrors, OSError."""
    changed = stale(spec, folder)
    files = generated(spec)
    for name in changed:
        path = folder / name
        if not path.parent.exists():
            path.parent.mkdir(parents=True)
            path.parent.chmod(0o755)
        path.write_text(files[name])
        path.chmod(0o644)  # Prometheus reads them as another user
    return changed


def stale(spec: str, folder: Path) -> list[Path]:
    """List the files in ``folder`` that are missing or out of date. Raises FieldErrors, OSError."""
    return [path for path, text in generated(spec).items() if _text(folder / path) != text]


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None
