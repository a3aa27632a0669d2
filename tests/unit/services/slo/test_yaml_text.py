"""YAML as a person writes it."""

from __future__ import annotations

import yaml

from church.services.slo.yaml_text import dump_yaml


def test_dump_is_read_back_as_the_same_content() -> None:
    content = {"z": [1, "two", {"three": "a\nb\n"}], "a": "Größe: 5%", "n": None}
    assert yaml.safe_load(dump_yaml(content)) == content


def test_dump_says_first_that_it_is_generated() -> None:
    assert dump_yaml({}).startswith("# Generated from ops/slo.yml")


def test_dump_keeps_the_order_and_indents_lists() -> None:
    assert dump_yaml({"z": ["one"], "a": 1}).splitlines()[1:] == ["z:", "  - one", "a: 1"]


def test_dump_writes_expressions_of_many_lines_as_blocks() -> None:
    assert dump_yaml({"expr": "a\n/\nb\n"}).splitlines()[1:] == ["expr: |", "  a", "  /", "  b"]


def test_dump_writes_repeated_content_out() -> None:
    labels = {"team": "shop"}
    assert "&" not in dump_yaml([labels, labels])
