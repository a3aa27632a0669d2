"""Write YAML as a person would: lists indented, expressions in blocks."""

from __future__ import annotations

from typing import Any

import yaml

_HEAD = "# Generated from ops/slo.yml by `flask church slo generate`; do not edit. See docs/slo.md.\n"


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def dump_yaml(content: Any) -> str:
    """Write ``content`` as YAML that passes yamllint, the same text for the same content."""
    return _HEAD + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=80, allow_unicode=True)
