"""The file of objectives, read and checked; whatever is wrong is told by its place, such as ``slos[1].objective``."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from church.errors import FieldErrors

FASTEST = Decimal("14.4")
"""The highest factor of an alert: at this pace an hour spends 2% of the budget of 30 days."""
LOWEST = 93.1
"""Below it ``FASTEST`` times the budget is more than everything, and a full outage could not raise the alert."""
_LINE = 80
_MATCHER = r'[a-zA-Z_][a-zA-Z0-9_]*(?:=~|!~|!=|=)"(?:[^"\\\n]|\\.)*"'
_SELECTOR = re.compile(rf"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{{{_MATCHER}(?:, ?{_MATCHER})*\}})?")
_SERIES = re.compile(r'[a-zA-Z_:][a-zA-Z0-9_:]*(?:\{\w+="[^"]*"(?:, ?\w+="[^"]*")*\})?')
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_ALERT = re.compile(r"[A-Z][A-Za-z0-9]{0,59}")
_LABEL = re.compile(r"(?!__|sloth_|severity$|alertname$)[a-zA-Z_][a-zA-Z0-9_]{0,39}")


def _like(pattern: re.Pattern[str], words: str) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(words)
        return value

    return AfterValidator(check)


def _is_objective(value: float) -> float:
    if not LOWEST <= value < 100:
        raise ValueError(f"This must be a percentage of at least {LOWEST} and below 100.")
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
    """What is counted: all events, and either those that failed or those that were good."""

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
        """The selector that has series whenever the site is scraped."""
        return self.absent or self.total


class Samples(_Part):
    """The series that go up with a good event, a failed one, one that counts for neither: the tests' material."""

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
        """The share of events that may fail, exactly as the file means it."""
        return ((100 - Decimal(str(self.objective))) / 100).normalize()

    @property
    def metrics(self) -> frozenset[str]:
        """The names of what it counts."""
        sli = self.sli
        return frozenset(one.partition("{")[0] for one in (sli.total, sli.errors, sli.good, sli.absent) if one)


class Slos(_Part):
    """All objectives of a service."""

    service: Name
    runbooks: Line
    labels: dict[LabelName, Line] = {}
    slos: list[Slo] = Field(min_length=1, max_length=50)

    def ids(self, slo: Slo) -> dict[str, str]:
        """The labels that name an objective in every series, sloth's first."""
        known = {"sloth_id": f"{self.service}-{slo.name}", "sloth_service": self.service, "sloth_slo": slo.name}
        return known | self.labels


def read(text: str) -> Slos:
    """The objectives of a file's text. Raises FieldErrors with all that is wrong."""
    try:
        slos = Slos.model_validate(_parsed(text))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise _refused({_place(one["loc"]): _words(one["msg"]) for one in found}) from None
    if twice := _twice(slos):
        raise _refused(twice)
    return slos


def _parsed(text: str) -> dict[Any, Any]:
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date that is none is a ValueError
        raise _refused({"file": f"This is not valid YAML: {' '.join(str(error).split())}"}) from None
    if not isinstance(found, dict):
        raise _refused({"file": "This has to have service, runbooks and slos."})
    return found


def broken(selector: str) -> str:
    """The same selector, a matcher a line where it is long."""
    matchers = re.findall(_MATCHER, selector)
    if len(selector) <= _LINE or not matchers:
        return selector
    return selector.partition("{")[0] + "{\n  " + ",\n  ".join(matchers) + "\n}"


def _twice(slos: Slos) -> dict[str, str]:
    wrong: dict[str, str] = {}
    for name in ("name", "alert"):
        seen: dict[Any, int] = {}
        for at, slo in enumerate(slos.slos):
            first = seen.setdefault(getattr(slo, name), at)
            if first != at:
                wrong[f"slos[{at}].{name}"] = f"This is that of slos[{first}] too."
    return wrong


def _place(loc: tuple[int | str, ...]) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc if part != "[key]")
    return place.lstrip(".")


def _words(message: str) -> str:
    return message.removeprefix("Value error, ")


def _refused(wrong: dict[str, str]) -> FieldErrors:
    return FieldErrors(wrong, "Some fields are invalid: " + ", ".join(wrong) + ".")
