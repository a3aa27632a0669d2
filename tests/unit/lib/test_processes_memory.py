"""Memory of threads comes from one place, and what is free goes back to the system."""

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


_ARENAS = """
import ctypes, os, sys, threading
from church.lib.processes import use_one_arena
if sys.argv[1] == "one":
    use_one_arena()
barrier, kept = threading.Barrier(4), []
def work():
    kept.append(bytearray(100_000))
    barrier.wait()
if os.fork() == 0:
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    barrier.wait()
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    libc.malloc_info(0, ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w")))
    libc.fflush(None)
    os._exit(0)
os.wait()
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="this C library has no arenas")
@pytest.mark.parametrize(("arenas", "is_one"), [("one", True), ("many", False)])
def test_threads_of_a_forked_process_take_memory_from_one_arena(arenas: str, is_one: bool) -> None:
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", _ARENAS, arenas], cwd=root, capture_output=True, text=True, check=True, env={}
    )
    assert (done.stdout.count("<heap nr=") == 1) is is_one
