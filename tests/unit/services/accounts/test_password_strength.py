"""Passwords that are refused as weak, and strong ones of any characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from church.services.accounts import password_strength
from church.services.accounts.password_strength import MAX_PASSWORD_LENGTH, find_problem

PERSONAL = ["BambiSleep Church", "Ada Lovelace", "ada.lovelace@mail.example"]


def refusal(text: str, minimum: int = 12) -> str:
    return find_problem(text, password_strength.common_passwords(), minimum=minimum, personal=PERSONAL) or ""


@pytest.mark.parametrize(
    "text",
    [
        "correct horse battery staple",
        "lovelace-and-babbage",
        "mV7#kQ2pLx9w",
        "84726195038412",
        "schlüssel im garten",
        "日本語のパスワードは長い方がよい",
        "church mouse on a bicycle",
        "poster we trade op assert",
        "            x  y   z    q",
        "🦊🐝🐙🦉🐢🦀🐳🦔🦩🐌🦜🐞",
    ],
)
def test_password_of_any_characters_is_accepted(text: str) -> None:
    assert refusal(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "password1234",
        "Password1234567890",
        "P@ssw0rd1234",
        "adminadmin12",
        "letmein12345",
        "p.a.s.s.w.o.r.d.1",
        "iloveyou2024!!",
        "INTERNATIONAL",
        "monkey-12345",
        "!!!football99",
    ],
)
def test_password_common_is_refused(text: str) -> None:
    assert "most common passwords" in refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "qwertyuiop12",
        "123456789012",
        "1q2w3e4r5t6y",
        "1qaz2wsx3edc",
        "mnbvcxzlkjhg",
        "zzzzzzzzzzzz",
        "abcdefghijkl",
        "QWERTZUIOPAS",
        "abcdef654321",
        "aaaaaaaabbbbbbbbcccc",
    ],
)
def test_password_keyboard_or_alphabet_run_is_refused(text: str) -> None:
    assert "keyboard" in refusal(text)


@pytest.mark.parametrize("text", ["k7k7k7k7k7k7", "wombat9wombat9wombat9", "xy!zw?xy!zw?xy"])
def test_password_repetition_is_refused(text: str) -> None:
    assert "repeats" in refusal(text)


def test_password_repetition_of_a_strong_one_is_accepted() -> None:
    assert refusal("mV7#kQ2pLx9w-mV7#kQ2pLx9w-") == ""


@pytest.mark.parametrize(
    "text",
    [
        "BambiSleep2024!",
        "bambisleepchurch",
        "bambisleep church",
        "adalovelace1815",
        "AdaLovelace!!",
        "lovelace-ada-1",
        "ada.lovelace@mail.example",
        "my lovelace!!",
        "Ada.Lovelace99",
    ],
)
def test_password_from_the_owners_names_is_refused(text: str) -> None:
    assert "your name" in refusal(text)


def test_password_length_counts_composed_characters() -> None:
    assert "at least 12" in refusal("mV7#kQ2pLx9")
    assert "at least 8" in refusal("mV7#kQ2", minimum=8)
    assert refusal("mV7#kQ2p", minimum=8) == ""
    assert "at least 12" in refusal("mV7#kQ2pLu\u0308")  # u and its dots are one ü
    assert refusal("x" + "ab cd ef" * 31 + "9876543") == ""
    assert f"at most {MAX_PASSWORD_LENGTH}" in refusal("ab cd ef" * 32 + "x")


def test_common_passwords_are_many_and_lower_case() -> None:
    common = password_strength.common_passwords()
    assert len(common) > 90_000
    assert {"password", "qwerty", "dragon", "elizabeth"} <= common
    assert password_strength.common_passwords() is common
    assert all(word == word.lower() for word in common)


@given(st.text(max_size=300), st.lists(st.text(max_size=30), max_size=3))
def test_any_text_is_handled(text: str, personal: list[str]) -> None:
    answer = find_problem(text, frozenset({"password"}), minimum=12, personal=personal)
    assert answer is None or answer.endswith(".")
