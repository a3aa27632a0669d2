"""Errors of one class from one place in our code have one fingerprint, whatever their message and line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from church.errors import InvalidError
from church.observability.fingerprints import Problem, identify, name_type, shorten_path

ROOT = Path(__file__).parents[3]


def code_at(path: str, source: str) -> dict[str, Any]:
    """The names that ``source`` defines, as if it were the file ``path`` of the repository."""
    names: dict[str, Any] = {}
    exec(compile(source, str(ROOT / path), "exec"), names)
    return names


def problem_of(call: Callable[[], object]) -> Problem:
    """What the error that ``call`` raises is an occurrence of."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - any error is what is looked at
        return identify(error)
    pytest.fail("nothing was raised")


def test_problem_has_class_place_and_fingerprint() -> None:
    pay = code_at("church/services/billing/shop.py", "def pay():\n    raise ValueError('no')")["pay"]
    problem = problem_of(pay)
    assert problem[:2] == ("ValueError", "church/services/billing/shop.py:pay")
    assert re.fullmatch("[0-9a-f]{16}", problem.fingerprint)


def test_fingerprint_message_and_line_change_stays() -> None:
    shop = code_at(
        "church/shop.py", "def pay(text):\n    if len(text) > 2:\n        raise ValueError(text)\n    raise ValueError"
    )
    assert problem_of(lambda: shop["pay"]("a long text")) == problem_of(lambda: shop["pay"]("b"))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("church/other.py", "def pay():\n    raise ValueError"),
        ("church/shop.py", "def refund():\n    raise ValueError\npay = refund"),
        ("church/shop.py", "def pay():\n    raise KeyError"),
    ],
)
def test_fingerprint_other_file_function_or_class_differs(path: str, source: str) -> None:
    pay = code_at("church/shop.py", "def pay():\n    raise ValueError")["pay"]
    assert problem_of(code_at(path, source)["pay"]).fingerprint != problem_of(pay).fingerprint


def test_place_library_raised_is_where_our_code_called_it() -> None:
    read = code_at("church/shop.py", "import json\ndef read():\n    json.loads('{')")["read"]
    problem = problem_of(read)
    assert problem[:2] == ("json.decoder.JSONDecodeError", "church/shop.py:read")


@pytest.mark.parametrize(
    "passing",
    ["church/observability/spans.py", "church/telemetry.py", "church/database/direct.py", "church/lib/threads.py"],
)
def test_place_code_that_passes_calls_on_is_the_caller(passing: str) -> None:
    inner = code_at(passing, "def run():\n    raise ValueError")["run"]
    outer = code_at("church/shop.py", "def pay(run):\n    run()")["pay"]
    assert problem_of(lambda: outer(inner)).place == "church/shop.py:pay"
    assert problem_of(inner).place == f"{passing}:run"


def test_place_method_and_inner_function_have_short_names() -> None:
    source = "class Shop:\n    def pay(self):\n        def inner():\n            raise ValueError\n        {}"
    assert (
        problem_of(lambda: code_at("church/a.py", source.format("inner()"))["Shop"]().pay()).place
        == "church/a.py:inner"
    )
    direct = "class Shop:\n    def pay(self):\n        raise ValueError"
    assert problem_of(lambda: code_at("church/a.py", direct)["Shop"]().pay()).place == "church/a.py:Shop.pay"


def test_place_template_failed_is_the_template() -> None:
    fail = code_at("templates/shop.html", "def root():\n    raise ValueError")["root"]
    call = code_at("church/shop.py", "def page(fail):\n    fail()")["page"]
    assert problem_of(lambda: call(fail)).place == "templates/shop.html:root"


def test_place_none_of_ours_is_the_innermost_elsewhere() -> None:
    assert problem_of(lambda: json.loads("{")).place == "json/decoder.py:JSONDecoder.raw_decode"


def test_error_that_was_not_raised_has_no_place() -> None:
    problem = identify(InvalidError("no"))
    assert problem[:2] == ("church.errors.InvalidError", "")
    assert len(problem.fingerprint) == 16


def test_traceback_beside_its_error_is_used() -> None:
    pay = code_at("church/shop.py", "def pay():\n    raise ValueError")["pay"]
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - it has no text
        pay()
    trace = caught.value.__traceback__
    assert identify(caught.value.with_traceback(None)).place == ""
    assert identify(caught.value, trace).place == "church/shop.py:pay"


def test_fingerprint_other_process_is_the_same() -> None:
    script = (
        "import json, sys\nfrom church.observability.fingerprints import identify\n"
        "try:\n    json.loads('{')\nexcept ValueError as error:\n    print(identify(error).fingerprint)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT
    )
    assert answer.stdout.strip() == problem_of(lambda: json.loads("{")).fingerprint


def test_class_defined_in_a_function_has_its_whole_name() -> None:
    class OwnError(Exception):
        pass

    assert name_type(OwnError).endswith("test_class_defined_in_a_function_has_its_whole_name.<locals>.OwnError")


@pytest.mark.parametrize(
    ("filename", "short"),
    [
        (str(ROOT / "church/web/times.py"), ("church/web/times.py", True)),
        (str(ROOT / "templates/base.html"), ("templates/base.html", True)),
        (str(ROOT / "tests/conftest.py"), ("tests/conftest.py", False)),
        (json.__file__, ("json/__init__.py", False)),
        (pytest.__file__, ("pytest/__init__.py", False)),
        ("/home/somebody/secret/x.py", ("x.py", False)),
        ("<string>", ("<string>", False)),
    ],
)
def test_path_is_shown_without_the_folders_of_the_host(filename: str, short: tuple[str, bool]) -> None:
    assert shorten_path(filename) == short
