"""What a check of the doctor finds."""

from __future__ import annotations

from typing import Literal

State = Literal["ok", "warn", "fail"]
# State, finding, and the fix ("" where there is nothing to do).
Finding = tuple[State, str, str]
