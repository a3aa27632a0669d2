"""Whole addresses in log lines are found, and a network takes no more room."""

from __future__ import annotations

import ipaddress
import json
import random

import pytest

from church.lib.log_addresses import limit_of, patch, read_piece

LIMIT = limit_of(1_764_547_200)  # 2025-12-01


def line(ip: str, day: str = "2025-11-20", name: str = "ip") -> bytes:
    record = {"timestamp": f"{day}T10:00:00.123Z", "message": f"it was {ip}", name: ip, "status": 200}
    return json.dumps(record).encode() + b"\n"


def cut(data: bytes) -> bytes:
    return patch(data, read_piece(data, LIMIT).edits)


@pytest.mark.parametrize("name", ["ip", "client.address"])
@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("203.0.113.157", "203.0.113.0"),
        ("203.0.113.0", "203.0.113.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("::1", "::"),
        ("::ffff:203.0.113.9", "203.0.113.0"),
        ("1.2.3", "1.2.3"),
    ],
)
def test_network_takes_the_place_of_an_address(address: str, kept: str, name: str) -> None:
    before = line(address, name=name)
    after = cut(before)
    assert len(after) == len(before)
    assert json.loads(after) == {**json.loads(before), name: kept}
    assert cut(after) == after


def test_network_of_any_address_is_not_longer() -> None:
    chance = random.Random(7)
    for _ in range(3000):
        groups = [chance.choice((0, 0, 1, 0xFFFF, 0xDB8)) for _ in range(8)]
        address = str(ipaddress.IPv6Address(":".join(f"{group:x}" for group in groups)))
        before = line(address)
        assert len(cut(before)) == len(before)
        assert ipaddress.ip_address(json.loads(cut(before))["ip"]) in ipaddress.ip_network(
            f"{address}/48", strict=False
        ) or ("." in json.loads(cut(before))["ip"])


def test_lines_up_to_the_first_young_one_are_read() -> None:
    old, young, torn = line("203.0.113.1"), line("203.0.113.2", "2025-12-01"), line("203.0.113.3")[:-1]
    piece = read_piece(old + b"nonsense\n" + young + old, LIMIT)
    assert (piece.length, len(piece.edits), piece.is_last) == (len(old) + 9, 1, True)
    piece = read_piece(old + torn, LIMIT)
    assert (piece.length, len(piece.edits), piece.is_last) == (len(old), 1, False)


def test_address_in_a_text_is_no_field() -> None:
    text = json.dumps({"timestamp": "2025-11-20T10:00:00.123Z", "message": '"ip": "203.0.113.9"'}).encode() + b"\n"
    assert read_piece(text, LIMIT).edits == []
