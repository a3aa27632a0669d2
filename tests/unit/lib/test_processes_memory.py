"""Memory that is free goes back to the system."""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from pathlib import Path

import pytest

_GIVES_BACK = """
import gc
from church.lib.processes import free_memory
gc.disable()
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
class Block:
    def __init__(self):
        self.me, self.data = self, bytearray(50_000)
blocks = [Block() for _ in range(2000)]
blocks = blocks[1999:]  # the last one keeps the C library from giving back what is below
before = resident()
free_memory()
print(before - resident())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this C library gives back by itself")
def test_garbage_below_a_used_block_goes_back_to_the_system() -> None:
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", _GIVES_BACK], cwd=root, capture_output=True, text=True, check=True, env={}
    )
    assert re.fullmatch(r"\d+\n", done.stdout)
    assert int(done.stdout) > 50_000_000
