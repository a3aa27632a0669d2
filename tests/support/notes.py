"""What the end of a run says: packages that are missing, and tests that failed once and passed alone.

``make test`` runs several pytests side by side. Each writes its notes into the folder of ``--notes``, and this module,
run with that folder, says them once for all. A pytest without ``--notes`` says its own.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

MOST_FLAKY = 2
"""More tests than this that pass only alone fail the run."""


@dataclass
class Flaky:
    """A test that failed among the others and passed alone."""

    test: str
    first: str
    second: str


@dataclass
class Notes:
    """The notes of a run: skipped tests with the package of each program they need, and flaky tests."""

    missing: dict[str, dict[str, str]] = field(default_factory=dict)
    flaky: list[Flaky] = field(default_factory=list)

    @classmethod
    def of(cls, config: pytest.Config) -> Notes:
        """Return the notes of this pytest."""
        return config.stash.setdefault(_KEY, cls())

    @classmethod
    def read(cls, folder: Path) -> Notes:
        """Return the notes of all pytests that wrote into ``folder``."""
        together = cls()
        for path in sorted(folder.glob("*.json")):
            content = json.loads(path.read_text())
            together.missing |= content["missing"]
            together.flaky += [Flaky(**one) for one in content["flaky"]]
        return together

    def write(self, folder: Path, name: str) -> None:
        """Keep these notes in ``folder`` for ``read``."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps(asdict(self)))

    @property
    def too_flaky(self) -> bool:
        """Whether more tests are flaky than a run may have."""
        return len(self.flaky) > MOST_FLAKY

    def lines(self) -> Iterable[str]:
        """Yield what there is to say, most important last."""
        for one in self.flaky:
            yield from (
                f"FLAKY {one.test}",
                "-- among the others it failed:",
                one.first,
                "-- alone it passed:",
                one.second,
            )
        if self.flaky:
            verdict = f", more than {MOST_FLAKY}: the run fails" if self.too_flaky else ""
            yield f"FLAKY, {len(self.flaky)}{verdict}: " + ", ".join(one.test for one in self.flaky)
        if self.missing:
            yield _missing_line(self.missing)


_KEY = pytest.StashKey[Notes]()


def _missing_line(missing: dict[str, dict[str, str]]) -> str:
    packages = {name: package for needed in missing.values() for name, package in needed.items()}
    subject = "1 check needs" if len(missing) == 1 else f"{len(missing)} checks need"
    return f"{subject} {', '.join(sorted(packages))}: apt-get install {' '.join(sorted(set(packages.values())))}"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--notes``."""
    parser.addoption("--notes", type=Path, metavar="FOLDER", help="write the notes of the run there, and say none")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the notes into the folder, named after the process."""
    if folder := session.config.getoption("--notes"):
        Notes.of(session.config).write(folder, str(os.getpid()))


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say the notes last."""
    config = terminalreporter.config
    if config.getoption("--notes") is None and (lines := [*Notes.of(config).lines()]):
        terminalreporter.section("notes")
        for line in lines:
            terminalreporter.line(line)


def main(folder: Path) -> int:
    """Say the notes of all pytests of a run. Returns 1 if too many tests are flaky."""
    notes = Notes.read(folder)
    for line in notes.lines():
        print(line)
    return 1 if notes.too_flaky else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
