"""Types of a check's result."""

from __future__ import annotations

from typing import Literal

State = Literal["ok", "warn", "fail"]
# State, finding, and the fix ("" if nothing is wrong).
Finding = tuple[State, str, str]
