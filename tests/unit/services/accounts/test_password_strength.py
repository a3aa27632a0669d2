"""Which passwords are refused, and that a good one may be made of anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from church.services.accounts import password_strength
from church.services.accounts.password_strength import LONGEST, problem

PERSONAL = ["BambiSleep Church", "Ada Lovelace", "ada.lovelace@mail.example"]


def refusal(text: str, minimum: int = 12) -> str:
    return problem(text, password_strength.common(), minimum=minimum, personal=PERSONAL) or ""


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
def test_password_of_any_characters_is_taken(text: str) -> None:
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
def test_password_that_everybody_tries_is_refused(text: str) -> None:
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
def test_password_along_the_keyboard_or_the_alphabet_is_refused(text: str) -> None:
    assert "keyboard" in refusal(text)


@pytest.mark.parametrize("text", ["k7k7k7k7k7k7", "wombat9wombat9wombat9", "xy!zw?xy!zw?xy"])
def test_password_that_repeats_itself_is_refused(text: str) -> None:
    assert "repeats" in refusal(text)


def test_password_that_repeats_a_good_one_is_taken() -> None:
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
def test_password_of_what_its_owner_is_called_is_refused(text: str) -> None:
    assert "your name" in refusal(text)


def test_password_is_measured_in_characters_as_they_are_composed() -> None:
    assert "at least 12" in refusal("mV7#kQ2pLx9")
    assert "at least 8" in refusal("mV7#kQ2", minimum=8)
    assert refusal("mV7#kQ2p", minimum=8) == ""
    assert "at least 12" in refusal("mV7#kQ2pLu\u0308")  # u and its dots are one ü
    assert refusal("x" + "ab cd ef" * 31 + "9876543") == ""
    assert f"at most {LONGEST}" in refusal("ab cd ef" * 32 + "x")


def test_words_are_lower_case_and_many() -> None:
    words = password_strength.common()
    assert len(words) > 90_000
    assert {"password", "qwerty", "dragon", "elizabeth"} <= words
    assert password_strength.common() is words
    assert all(word == word.lower() for word in words)


@given(st.text(max_size=300), st.lists(st.text(max_size=30), max_size=3))
def test_any_text_is_answered(text: str, personal: list[str]) -> None:
    answer = problem(text, frozenset({"password"}), minimum=12, personal=personal)
    assert answer is None or answer.endswith(".")
