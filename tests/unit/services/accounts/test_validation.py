"""Validation of addresses, names and new accounts."""

from __future__ import annotations

import pytest
from flask import Flask

from church.errors import FieldErrors
from church.services.accounts import validation
from church.services.accounts.validation import Address
from tests.support.accounts_fixture import PASSWORD
from tests.support.helpers import with_settings


@pytest.fixture(autouse=True)
def _context(at_work: Flask) -> None:
    """In an app context."""


@pytest.mark.parametrize(
    ("typed", "email", "key"),
    [
        ("ada@example.org", "ada@example.org", "ada@example.org"),
        ("  Ada.L@EXAMPLE.org ", "Ada.L@example.org", "ada.l@example.org"),
        ("STRASSE@bücher.example", "STRASSE@bücher.example", "strasse@xn--bcher-kva.example"),
        ("ada@XN--BCHER-KVA.example", "ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("Straße@straße.example", "Straße@straße.example", "straße@xn--strae-oqa.example"),
        ("ada+books@example.org", "ada+books@example.org", "ada+books@example.org"),
    ],
)
def test_address_is_stored_as_typed_and_compared_without_case(typed: str, email: str, key: str) -> None:
    assert validation.parse_address(typed) == Address(email, key)


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "ada",
        "ada@",
        "@example.org",
        "ada@example",
        "a b@example.org",
        "ada@example.org\nBcc: eve@example.org",
        "Ada <ada@example.org>",
        "ada@example.org\0",
        "a" * 65 + "@example.org",
        "a@" + "b." * 130 + "org",
        "ada@localhost",
        "\udc80@example.org",
    ],
)
def test_address_invalid_is_refused(typed: str) -> None:
    with pytest.raises(FieldErrors) as refused:
        validation.parse_address(typed)
    assert refused.value.errors == {"email": validation.BAD_ADDRESS}


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("Ada Lovelace", "Ada Lovelace"),
        ("  Ada \t\n Lovelace ", "Ada Lovelace"),
        ("Ада Лавлейс", "Ада Лавлейс"),
        ("岡本太郎", "岡本太郎"),
        ("Zoe\u0308", "Zo\u00eb"),
        ("क्\u200dष", "क्\u200dष"),
        ("A\u202eda\u0007\u200b", "Ada"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("\ufeff\u200d", ""),
        ("", ""),
    ],
)
def test_name_keeps_every_script_and_drops_invisible_characters(typed: str, name: str) -> None:
    assert validation.parse_name(typed) == name


def test_name_has_at_most_80_characters() -> None:
    assert validation.parse_name("é" * 80) == "é" * 80
    with pytest.raises(FieldErrors) as refused:
        validation.parse_name("é" * 81)
    assert list(refused.value.errors) == ["name"]


def test_new_account_reports_all_errors_at_once() -> None:
    with pytest.raises(FieldErrors) as refused:
        validation.validate_new_account("nobody", "short", "x" * 81)
    assert sorted(refused.value.errors) == ["email", "name", "password"]
    assert refused.value.status == 422


@pytest.mark.parametrize(
    "password", ["ada.lovelace@example.org", "Ada.Lovelace", "BambiSleep Church", "Augusta Ada King"]
)
def test_new_account_password_from_names_is_refused(password: str) -> None:
    with pytest.raises(FieldErrors) as refused:
        validation.validate_new_account("ada.lovelace@example.org", password, "Augusta Ada King")
    assert list(refused.value.errors) == ["password"]


def test_new_account_valid_is_accepted() -> None:
    found = validation.validate_new_account("Ada@example.org", PASSWORD, " Ada ")
    assert found == (Address("Ada@example.org", "ada@example.org"), "Ada")


def test_password_minimum_comes_from_the_setting(at_work: Flask) -> None:
    at_work.config["CHURCH"] = with_settings(at_work.config["CHURCH"], password_min=len(PASSWORD) + 1)
    assert validation.find_password_problem(PASSWORD, name="", email="ada@example.org") is not None
