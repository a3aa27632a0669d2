"""Password hashes: of the whole text, salted, at the configured cost, with equal work without a hash."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import bcrypt
import pytest
from flask import Flask

from church.config import Settings
from church.errors import BusyError
from church.lib.fair_pool import Share
from church.services.accounts import passwords
from church.services.accounts.passwords import Sender, check_password, find_weakness, hash_password, needs_rehash
from church.services.sessions import Device

GOOD = "seven herons over the lake"
ADA = Sender(Device("192.0.2.7", "curl/8.5.0"))


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The hashes that bcrypt compared with."""
    found: list[bytes] = []
    real = bcrypt.checkpw

    def check(password: bytes, hashed: bytes) -> bool:
        found.append(hashed)
        return real(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", check)
    return found


def test_cost_outside_the_tests_is_twelve() -> None:
    shown = subprocess.run(
        [
            sys.executable,
            "-c",
            "from church.services.accounts.passwords import COST, _unmatchable as h; print(COST, h()[:7])",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "12 $2b$12$\n"


def test_check_password_accepts_only_the_right_one() -> None:
    stored = hash_password(GOOD, ADA)
    assert check_password(GOOD, stored, ADA)
    assert not check_password(GOOD + " ", stored, ADA)
    assert not check_password("", stored, ADA)
    assert GOOD not in stored


def test_hash_password_is_salted() -> None:
    assert hash_password(GOOD, ADA) != hash_password(GOOD, ADA)


@pytest.mark.parametrize(
    "text", ["é" * 64, "x" * 100, "ab" * 128, "before\0after, far after", "🦊" * 30, "a\ud800b" * 5]
)
def test_password_long_text_counts_to_its_last_character(text: str) -> None:
    stored = hash_password(text, ADA)
    assert check_password(text, stored, ADA)
    assert not check_password(text[:-1], stored, ADA)
    assert not check_password(text[: len(text) // 2], stored, ADA)


def test_password_is_normalised() -> None:
    assert check_password("u\u0308ber den sieben", hash_password("\u00fcber den sieben", ADA), ADA)


def test_hash_password_prehash_is_keyed() -> None:
    stored = hash_password(GOOD, ADA).encode()
    assert not bcrypt.checkpw(GOOD.encode(), stored)


@pytest.mark.parametrize("stored", [None, "", "!", "$2b$04$short", "$2b$04$" + "." * 52 + "é", "plain text"])
def test_check_password_without_hash_is_false_after_the_same_work(stored: str | None, worked: list[bytes]) -> None:
    assert not check_password(GOOD, stored, ADA)
    (against,) = worked
    assert against.startswith(b"$2b$04$")
    assert len(against) == len(hash_password(GOOD, ADA))


def test_check_password_huge_text_is_false_without_normalising_all(
    worked: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = hash_password("x" * 256, ADA)
    composed: list[int] = []
    monkeypatch.setattr(passwords.unicodedata, "normalize", lambda _form, text: composed.append(len(text)) or text)
    assert not check_password("x" * 257, stored, ADA)
    assert not check_password("a" + "\u0323\u0307" * 400_000, stored, ADA)  # canonical order is quadratic in such marks
    assert composed == [256, 256]
    assert len(worked) == 2
    with pytest.raises(ValueError, match="at most 256"):
        hash_password("x" * 257, ADA)


def test_needs_rehash_of_another_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = hash_password(GOOD, ADA)
    assert not needs_rehash(stored)
    monkeypatch.setattr(passwords, "COST", 5)
    assert needs_rehash(stored)
    assert check_password(GOOD, stored, ADA)
    assert needs_rehash("no hash")


def test_hashing_runs_in_the_bounded_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise BusyError

    stored = hash_password(GOOD, ADA)
    monkeypatch.setattr(passwords._pool, "run", full)
    with pytest.raises(BusyError):
        hash_password(GOOD, ADA)
    with pytest.raises(BusyError):
        check_password(GOOD, stored, ADA)
    with pytest.raises(BusyError):
        check_password(GOOD, None, ADA)


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("unknown", "unknown"),
    ],
)
def test_sender_is_the_ipv4_address_or_the_network_of_one_subscriber(address: str, client: str) -> None:
    assert Sender(Device(address, "")).client == client


def test_sender_has_a_share_for_the_client_and_one_for_the_account() -> None:
    device = Device("192.0.2.7", "")
    assert Sender(device).shares() == (Share("client:192.0.2.7", 8),)
    assert Sender(device, "member ada").shares() == (Share("client:192.0.2.7", 8), Share("account:member ada", 2))


@pytest.mark.parametrize(("cores", "workers", "threads"), [(8, 2, 4), (2, 2, 1), (1, 4, 1)])
def test_thread_count_is_cores_divided_by_workers(
    app: Flask, monkeypatch: pytest.MonkeyPatch, settings: Settings, cores: int, workers: int, threads: int
) -> None:
    monkeypatch.setattr(passwords.os, "sched_getaffinity", lambda _pid: set(range(cores)))
    app.config["CHURCH"] = settings.model_copy(update={"workers": workers})
    with app.app_context():
        assert passwords._threads() == threads


def test_password_from_the_site_name_is_refused(app: Flask) -> None:
    with app.app_context():
        assert "name of the site" in (find_weakness("BambiSleep-2024", minimum=12, personal=[]) or "")
        assert find_weakness(GOOD, minimum=12, personal=["Ada"]) is None
