"""Speed up the tests by caching work that every site repeats, with the same results.

Nearly every test creates a site. Most of that time goes to Werkzeug, which generates and compiles two functions for
each route, and to Jinja, which compiles each template again for each site.
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
    """Werkzeug's URL builder, cached: it depends only on the rule's parts and defaults, not on the rule object."""
    if rule.defaults:
        return _compile_builder(rule, append_unknown)
    key = (rule.rule, append_unknown, *rule._trace)
    if key not in _builders:
        _builders[key] = _compile_builder(rule, append_unknown)
    return _builders[key]


class _CompiledTemplates(BytecodeCache):
    """Compiled templates, shared by all sites of this process while their source is unchanged."""

    def __init__(self) -> None:
        self._code: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._code.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code is not None:
            self._code[bucket.key, bucket.checksum] = bucket.code


def make_sites_cheap() -> None:
    """Cache URL builders and compiled templates from now on in this process."""
    Rule._compile_builder = _builder  # type: ignore[method-assign]
    options: dict[str, Any] = {**Flask.jinja_options, "bytecode_cache": _CompiledTemplates()}
    Flask.jinja_options = options


def collect_garbage_less_often() -> None:
    """Exclude everything imported so far from garbage collection, and collect less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
