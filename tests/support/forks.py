"""Run something in a forked child of the test, as gunicorn's master forks its workers."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable
from typing import Any


def in_child(work: Callable[[], Any]) -> Any:
    """Call ``work`` in a forked child, and return what it returned, by JSON. A child that fails fails the test."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            with os.fdopen(writer, "w") as answer:
                json.dump(work(), answer)
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a child must never go on with its parent's tests
            traceback.print_exc()
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 0, f"the child ended with {code}"
    return json.loads(text)
