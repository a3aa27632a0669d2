"""What the tests of one process do thousands of times, done once: the same results for a fraction of the work.

A site is made for nearly every test. Most of that is Werkzeug, which writes and compiles two functions for each route,
and Jinja, which compiles each template anew for each site.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from types import CodeType
from typing import Any

from flask import Flask
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from werkzeug.routing import Rule

_compile_builder = Rule._compile_builder
_builders: dict[tuple[object, ...], Callable[..., tuple[str, str]]] = {}


def _builder(rule: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
    """Werkzeug's own builder; it is not tied to a rule, and follows from its parts and its defaults alone."""
    if rule.defaults:
        return _compile_builder(rule, append_unknown)
    key = (rule.rule, append_unknown, *rule._trace)
    if key not in _builders:
        _builders[key] = _compile_builder(rule, append_unknown)
    return _builders[key]


class _CompiledTemplates(BytecodeCache):
    """Templates as they were compiled for the last site of this process, for as long as their source is the same."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._kept.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code is not None:
            self._kept[bucket.key, bucket.checksum] = bucket.code


def make_sites_cheap() -> None:
    """From now on, in this process."""
    Rule._compile_builder = _builder  # type: ignore[method-assign]
    options: dict[str, Any] = {**Flask.jinja_options, "bytecode_cache": _CompiledTemplates()}
    Flask.jinja_options = options


def collect_garbage_less_often() -> None:
    """All that was imported is there to stay: it is not looked through again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
