"""Read and check the file of objectives. Errors name the place in the file, such as ``slos[1].objective``."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from church.lib.field_errors import make_field_errors, to_field_errors

HIGHEST_BURN_RATE = Decimal("14.4")
"""Highest burn rate of an alert: at this pace, an hour spends 2% of the budget of 30 days."""
LOWEST_OBJECTIVE = 93.1
"""Lowest objective. Below it, ``FASTEST`` times the budget is more than 100%, so not even an outage would alert."""
_LINE = 80
_MATCHER = r'[a-zA-Z_][a-zA-Z0-9_]*(?:=~|!~|!=|=)"(?:[^"\\\n]|\\.)*"'
_SELECTOR = re.compile(rf"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{{{_MATCHER}(?:, ?{_MATCHER})*\}})?")
_SERIES = re.compile(r'[a-zA-Z_:][a-zA-Z0-9_:]*(?:\{\w+="[^"]*"(?:, ?\w+="[^"]*")*\})?')
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_ALERT = re.compile(r"[A-Z][A-Za-z0-9]{0,59}")
_LABEL = re.compile(r"(?!__|sloth_|severity$|alertname$)[a-zA-Z_][a-zA-Z0-9_]{0,39}")


def _like(pattern: re.Pattern[str], message: str) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(message)
        return value

    return AfterValidator(check)


def _is_objective(value: float) -> float:
    if not LOWEST_OBJECTIVE <= value < 100:
        raise ValueError(f"This must be a percentage of at least {LOWEST_OBJECTIVE} and below 100.")
    return value


def _is_line(value: str) -> str:
    if not value.strip() or not value.isprintable() or "{{" in value:
        raise ValueError("This must be one line of text, without Prometheus' templates.")
    return value


Selector = Annotated[str, _like(_SELECTOR, 'This must be a selector of a counter such as asked_total{job="church"}.')]
Series = Annotated[str, _like(_SERIES, 'This must be one series such as asked_total{job="church"}.')]
Name = Annotated[str, _like(_NAME, "This must be a short word of small letters, digits and hyphens.")]
AlertName = Annotated[str, _like(_ALERT, "This must be letters and digits, and begin with a capital.")]
LabelName = Annotated[str, _like(_LABEL, "This is not a label name, or the rules set it themselves.")]
Line = Annotated[str, AfterValidator(_is_line)]
Objective = Annotated[float, AfterValidator(_is_objective)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Sli(_Part):
    """What an objective counts: all events, and either the failed or the good ones."""

    total: Selector
    errors: Selector | None = None
    good: Selector | None = None
    absent: Selector | None = None

    @model_validator(mode="after")
    def _has_one_of_two(self) -> Sli:
        if (self.errors is None) == (self.good is None):
            raise ValueError("This needs either errors or good.")
        return self

    @property
    def measured_by(self) -> str:
        """Return the selector whose series exist whenever the site is scraped."""
        return self.absent or self.total


class Samples(_Part):
    """For the generated tests: series that a good, a failed or an ignored event increases."""

    good: list[Series] = Field(min_length=1)
    error: list[Series] = Field(min_length=1)
    ignored: list[Series] = []


class Slo(_Part):
    """One objective, in percent of the events of 30 days."""

    name: Name
    objective: Objective
    description: Line
    alert: AlertName
    minimum: int = Field(ge=1, le=1_000_000)
    sli: Sli
    samples: Samples

    @property
    def budget(self) -> Decimal:
        """Return the share of events that may fail, as an exact decimal."""
        return ((100 - Decimal(str(self.objective))) / 100).normalize()

    @property
    def metrics(self) -> frozenset[str]:
        """Return the names of the metrics that it counts."""
        sli = self.sli
        return frozenset(one.partition("{")[0] for one in (sli.total, sli.errors, sli.good, sli.absent) if one)


class Slos(_Part):
    """All objectives of a service."""

    service: Name
    runbooks: Line
    labels: dict[LabelName, Line] = {}
    slos: list[Slo] = Field(min_length=1, max_length=50)

    def ids(self, slo: Slo) -> dict[str, str]:
        """Return the labels that identify an objective in every series, sloth's first."""
        of_sloth = {"sloth_id": f"{self.service}-{slo.name}", "sloth_service": self.service, "sloth_slo": slo.name}
        return of_sloth | self.labels


def read_spec(text: str) -> Slos:
    """Read the objectives from a file's text. Raises FieldErrors with all its errors."""
    try:
        slos = Slos.model_validate(_parsed(text))
    except ValidationError as error:
        raise to_field_errors(error) from None
    if duplicates := _find_duplicates(slos):
        raise make_field_errors(duplicates)
    return slos


def _parsed(text: str) -> dict[Any, Any]:
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # an impossible date is a ValueError
        raise make_field_errors({"file": f"This is not valid YAML: {' '.join(str(error).split())}"}) from None
    if not isinstance(content, dict):
        raise make_field_errors({"file": "This must have service, runbooks and slos."})
    return content


def break_selector(selector: str) -> str:
    """Break a long selector into lines, one for each matcher."""
    matchers = re.findall(_MATCHER, selector)
    if len(selector) <= _LINE or not matchers:
        return selector
    return selector.partition("{")[0] + "{\n  " + ",\n  ".join(matchers) + "\n}"


def _find_duplicates(slos: Slos) -> dict[str, str]:
    errors: dict[str, str] = {}
    for name in ("name", "alert"):
        seen: dict[Any, int] = {}
        for at, slo in enumerate(slos.slos):
            first = seen.setdefault(getattr(slo, name), at)
            if first != at:
                errors[f"slos[{at}].{name}"] = f"slos[{first}] has it too."
    return errors
