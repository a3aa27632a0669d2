"""Modules that an import does not find."""

from __future__ import annotations

import importlib
import sys

import pytest

from church.lib.imports import hidden_modules


def test_hidden_module_is_not_found_in_the_block_and_is_again_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with hidden_modules("colorsys"), pytest.raises(ImportError):
        importlib.import_module("colorsys")
    assert importlib.import_module("colorsys").rgb_to_hsv(0, 0, 0) == (0.0, 0.0, 0)


def test_module_that_is_loaded_already_is_not_hidden() -> None:
    with hidden_modules("sys"):
        assert importlib.import_module("sys") is sys
    assert sys.modules["sys"] is sys
