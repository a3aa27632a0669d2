"""A minimal file of objectives, and the rules that are generated from it."""

from __future__ import annotations

from typing import Any

import yaml

from church.services.slo import rule_files

MINIMAL: dict[str, Any] = {
    "service": "shop",
    "runbooks": "https://shop.example/runbooks",
    "slos": [
        {
            "name": "orders",
            "objective": 99.9,
            "description": "Orders are taken.",
            "alert": "Orders",
            "minimum": 50,
            "sli": {"total": "orders_total", "errors": 'orders_total{outcome!="done"}'},
            "samples": {"good": ['orders_total{outcome="done"}'], "error": ['orders_total{outcome="lost"}']},
        }
    ],
}


def write_spec(place: str = "", value: object = None) -> str:
    """Write the minimal file as YAML with another value in one place, such as ``slos.0.sli.total``; None removes it."""
    text = yaml.safe_dump(MINIMAL)
    whole = yaml.safe_load(text)
    part, (*way, last) = whole, place.split(".")
    for step in way:
        part = part[int(step)] if isinstance(part, list) else part[step]
    if place and value is None:
        del part[last]
    elif place:
        part[last] = value
    return yaml.safe_dump(whole)


def rules_of(text: str) -> dict[str, Any]:
    """Generate the rules of a file, by the series or alert they make; a page comes before its ticket."""
    groups = yaml.safe_load(rule_files.generate_files(text)[rule_files.RULES])["groups"]
    found: dict[str, Any] = {}
    for rule in (rule for group in groups for rule in group["rules"]):
        name = rule.get("record") or f"{rule['alert']} {rule['labels']['sloth_severity']}"
        found.setdefault(name, rule)
    return found
