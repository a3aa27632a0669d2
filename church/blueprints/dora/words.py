"""The figures in words for people."""

from __future__ import annotations

from church.services.dora import Figure

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))

TITLES = {
    "deployment_frequency": ("Deployment frequency", "Successful deployments a day."),
    "lead_time_seconds": ("Lead time for changes", "Median from a commit to the first deployment that delivered it."),
    "change_failure_rate": ("Change failure rate", "Successful deployments that caused an incident."),
    "failed_deployment_recovery_seconds": (
        "Failed deployment recovery time",
        "Median from the deployment that caused an incident to its end.",
    ),
    "deployment_rework_rate": ("Rework rate", "Successful deployments that were hotfixes."),
    "mttr_seconds": ("Time to restore", "Median of all resolved incidents, from opened to resolved."),
}
_COUNTED = {
    "deployment_frequency": ("deployment", "deployments"),
    "lead_time_seconds": ("commit", "commits"),
    "change_failure_rate": ("deployment", "deployments"),
    "failed_deployment_recovery_seconds": ("incident", "incidents"),
    "deployment_rework_rate": ("deployment", "deployments"),
    "mttr_seconds": ("incident", "incidents"),
}


def duration(seconds: float) -> str:
    """The two largest units of a time: ``44 h 10 min`` is ``1 d 20 h``."""
    left = round(seconds)
    for at, (size, unit) in enumerate(_UNITS):
        if left >= size:
            rest = left % size // _UNITS[at + 1][0] if at + 1 < len(_UNITS) else 0
            more = f" {rest} {_UNITS[at + 1][1]}" if rest else ""
            return f"{left // size} {unit}{more}"
    return "0 s"


def value_of(figure: Figure) -> str:
    """A figure's value with its unit; “no data” where there is none."""
    if figure.value is None:
        return "no data"
    if figure.unit == "seconds":
        return duration(figure.value)
    if figure.unit == "ratio":
        return f"{figure.value * 100:.1f}".removesuffix(".0") + " %"
    # Two digits of what is rare: once a year is no zero.
    number = f"{figure.value:.2g}" if 0 < figure.value < 0.1 else f"{figure.value:.2f}".rstrip("0").rstrip(".")
    return f"{number} a day"


def counted(name: str, n: int) -> str:
    """What a figure is made of: ``6 commits``."""
    one, many = _COUNTED[name]
    return f"{n:,} {one if n == 1 else many}"
