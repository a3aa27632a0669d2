"""The site runs with what requirements.lock pins, and needs nothing that only its tests bring."""

from __future__ import annotations

import subprocess
import sys

from tests.support.site_fixture import ROOT

# Imports every module of the site where packages that are not in the lock file cannot be found.
SCRIPT = r"""
import importlib.metadata, pkgutil, re, sys

def name_of(text):
    return re.sub(r"[-_.]+", "-", text).lower()

locked = {name_of(line.partition("==")[0].partition("[")[0]) for line in open("requirements.lock") if "==" in line}
brought = importlib.metadata.packages_distributions()
kept = {module for module, names in brought.items() if locked & {*map(name_of, names)}} | {"church"}
missing = brought.keys() - kept

class Bare:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

assert "pytest" in missing and "flask" in kept
sys.meta_path.insert(0, Bare())
import church
for found in pkgutil.walk_packages(church.__path__, "church."):
    if ".migrations." not in found.name:
        __import__(found.name)
        print(found.name)
"""


def test_every_module_of_the_site_needs_only_what_is_locked() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "church.server.gunicorn_worker" in done.stdout.splitlines()
