"""Values that never reach a log, by the name of their field and by their form."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from church.observability.logs.redaction import HIDDEN, MAX_VALUE, redact, redact_text

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJlLW9mLWl0"
CARD = "4242424242424242"


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "PASSWORD",
        "new_password",
        "password_hash",
        "passwordConfirm",
        "passwd",
        "pass",
        "db_pass",
        "passphrase",
        "secret",
        "client_secret",
        "token",
        "csrf_token",
        "X-Auth-Token",
        "Authorization",
        "cookie",
        "Set-Cookie",
        "Stripe-Signature",
        "api_key",
        "api-key",
        "apikey",
        "private_key",
        "email",
        "email_address",
        "card_number",
        "cvc",
        "session",
        "session_id",
        "jwt",
        "otp",
        "credentials",
    ],
)
@pytest.mark.parametrize("value", ["x", 7, ["x"], {"a": "x"}, b"x"])
def test_field_with_a_secret_name_is_hidden(name: str, value: Any) -> None:
    assert redact(name, value) == HIDDEN


@pytest.mark.parametrize(
    "name", ["message", "route", "status", "compass", "passed", "sessions", "author", "pinned", "reason", "excerpt"]
)
def test_field_with_another_name_is_shown(name: str) -> None:
    assert redact(name, "plain words") == "plain words"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc.def-ghi_jkl", f"Authorization: Bearer {HIDDEN}"),
        ("bearer  abcdefgh", f"bearer  {HIDDEN}"),
        ("Basic dXNlcjpodW50ZXIy!", f"Basic {HIDDEN}!"),
        (f"got {JWT}, refused", f"got {HIDDEN}, refused"),
        (f"path/{JWT}/x", f"path/{HIDDEN}/x"),
        ("key sk_live_abcdef123456", f"key {HIDDEN}"),
        ("sk_test_1 rk_live_abcdefgh", f"sk_test_1 {HIDDEN}"),
        ("whsec_AbCdEf123+/=", HIDDEN),
        ("church_0123456789ab_" + "x" * 43, HIDDEN),
        (f"Stripe-Signature t=1700000000,v1={'0a' * 32}", f"Stripe-Signature {HIDDEN}"),
        ("GET /video?token=abcdef&quality=hd", f"GET /video?token={HIDDEN}&quality=hd"),
        ("/oauth?access_token=abcdef", f"/oauth?access_token={HIDDEN}"),
        ("/login?next=%2Freset%3Ftoken%3Dabcdef", f"/login?next=%2Freset%3Ftoken%3D{HIDDEN}"),
        ("ValueError: password='hunter2'", f"ValueError: password='{HIDDEN}'"),
        ('{"new_password": "hunter2", "n": 1}', f'{{"new_password": "{HIDDEN}", "n": 1}}'),
        ("{'passwd': 'hunter2'}", f"{{'passwd': '{HIDDEN}'}}"),
        ("password=five wooden ladders, again", f"password={HIDDEN}, again"),
        ("{'password': 'it is five wooden ladders', 'n': 1}", f"{{'password': '{HIDDEN}', 'n': 1}}"),
        ('{"token": "it\'s five", "n": 1}', f'{{"token": "{HIDDEN}", "n": 1}}'),
        ('"{\\"password\\": \\"five wooden\\", 1}"', f'"{{\\"password\\": \\"{HIDDEN}", 1}}"'),
        ("passphrase: one two\nnext line", f"passphrase: {HIDDEN}\nnext line"),
        ("session=abcdef; theme=dark", f"session={HIDDEN}; theme=dark"),
        ("Cookie: church=abcdef.ghi; theme=dark", f"Cookie: {HIDDEN}"),
        ("Set-Cookie: __Host-church=abc; Path=/", f"Set-Cookie: {HIDDEN}"),
        ("cannot reach postgresql://church:hunter2@db/x", f"cannot reach postgresql://church:{HIDDEN}@db/x"),
        ("redis://:hunter2@cache/0", f"redis://:{HIDDEN}@cache/0"),
        ("mail to jane.doe+x@mail.example.org failed", f"mail to {HIDDEN} failed"),
        ("customer_email=jane.doe%2Bx%40mail.example.org&n=1", f"customer_email={HIDDEN}&n=1"),
        ("?q=jane%40mail.example.org", f"?q={HIDDEN}"),
        (f"card {CARD}.", f"card {HIDDEN}."),
        ("card 4242 4242 4242 4242 declined", f"card {HIDDEN} declined"),
        ("card 4242-4242-4242-4242", f"card {HIDDEN}"),
        ("amex 3782 822463 10005", f"amex {HIDDEN}"),
        (f"paid 2026-01-02 {CARD}", f"paid {HIDDEN}"),
        (f"order 12 {CARD}", f"order {HIDDEN}"),
    ],
)
def test_text_that_looks_like_a_secret_is_hidden(text: str, shown: str) -> None:
    assert redact_text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "order 1234567890123456",
        "order 4242424242424241",
        "at 1732363514123 ms",
        "tel 555 123 4567",
        "2026-01-02 03:04:05",
        "request 0123456789abcdef01234567",
        "price: 12.50",
        "the token bucket is full",
        "a basic page",
        "tokens: none",
        "see @church",
        "1.2.3.4:8000",
        "2001:db8::1",
        "t=1,v1=0",
        "http://church.example:8000/pages/",
    ],
)
def test_text_without_a_secret_is_shown(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize(
    "secret",
    [
        "Bearer " + "x" * 8_000,
        "eyJhbGciOiJI." + "b" * 7_000 + ".c2ln",
        "token=" + "x" * 8_000,
        "x" * 8_000 + " token=hunter2" + "x" * 8_000,
        "Bearer " + "x" * 100_000,
    ],
)
def test_long_secret_is_hidden_whole(secret: str) -> None:
    shown = redact_text(secret)
    assert HIDDEN in shown
    assert "bbbb" not in shown
    assert "hunter2" not in shown
    assert "xxxx" not in shown.replace("x" * 8_000 + " token", "")


def test_secrets_in_nested_values_are_hidden() -> None:
    found = redact(
        "request",
        {
            "form": {"Password": "hunter2", "name": "Jane"},
            "headers": [("Cookie", "a=b"), f"Bearer {JWT}"],
            "tags": {"jane@mail.example.org"},
            "deep": [[[{"token": ["a"]}]]],
            5: None,
            "jane@mail.example.org": 1,
            "senders": [("joe@mail.example.org", 2)],
        },
    )
    assert found == {
        "form": {"Password": HIDDEN, "name": "Jane"},
        "headers": [["Cookie", HIDDEN], f"Bearer {HIDDEN}"],
        "tags": [HIDDEN],
        "deep": [[[{"token": HIDDEN}]]],
        "5": None,
        HIDDEN: 1,
        "senders": [[HIDDEN, 2]],
    }


@pytest.mark.parametrize("value", [None, True, False, 0, 7, -3, 1.5, 1e11, 10**11])
def test_plain_values_are_kept(value: Any) -> None:
    assert redact("count", value) is value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (int(CARD), HIDDEN),
        (10**12, str(10**12)),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (b"password=hunter2", f"b'password={HIDDEN}'"),
        (ValueError("token=hunter2"), f"token={HIDDEN}"),
    ],
)
def test_other_values_are_text(value: Any, shown: str) -> None:
    assert redact("count", value) == shown
    json.dumps(redact("count", value), allow_nan=False)


def test_text_is_bounded() -> None:
    assert len(redact_text("a " * 100_000)) == MAX_VALUE + 1
    assert redact_text("a " * 100_000).endswith("…")
    assert redact_text("a " * (MAX_VALUE // 2)) == "a " * (MAX_VALUE // 2)


def test_collections_are_bounded() -> None:
    assert len(redact("many", list(range(1_000)))) == 100
    assert len(redact("many", dict.fromkeys(range(1_000)))) == 100
    assert max(map(len, redact("many", {"k" * 10_000: 1}))) == 200


@pytest.mark.parametrize(
    "unit",
    ["eyJ-", "eyJ.", "a@", "a%40", "%2b", "a%2",
     "a.", "token", "token=", "1 ", "1", "12345678901234 ", "://a:", "t=1", "bearer ", "cookie",
     "auth/", "auth/verify/", "auth/reset//", "1." + "a" * 42],
)  # fmt: skip
def test_hostile_text_is_scanned_only_in_its_first_part(unit: str) -> None:
    text = (unit * 100_000)[:100_000]
    shown = redact_text(text)
    assert len(shown) < 2 * MAX_VALUE
    assert shown == redact_text(text[: MAX_VALUE + 1])


@pytest.mark.parametrize("kind", ["verify", "reset", "email", "first-admin"])
def test_emailed_link_is_hidden_from_its_token_on(kind: str) -> None:
    told = redact_text(f"GET https://church.example/auth/{kind}/41.Zk3-q_0aXbGh HTTP/1.1")
    assert told == f"GET https://church.example/auth/{kind}/{HIDDEN} HTTP/1.1"
    assert redact_text(f"/auth/{kind}/<token>") == f"/auth/{kind}/<token>"


TOKEN = "41." + "Zk3-q_0aXbGhRt5Y" * 2 + "wQ8sLmNpVc2"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("auth/verify/", ""),
        ("/AUTH/Reset/", ""),
        ("auth//email/", '">'),
        ("/auth///first-admin//", "<script>"),
        ("%2Fauth%2Fverify%2F", ""),
        ("\\auth\\verify\\", ""),
        ("verify/", ""),  # by its own look
        ("", " was used"),
    ],
)
def test_emailed_link_is_hidden_in_any_spelling(before: str, after: str) -> None:
    assert redact_text(f"{before}{TOKEN}{after}") == f"{before}{HIDDEN}{after}"


@pytest.mark.parametrize(
    "text",
    ["/auth/verify/<token>", "auth/verify", "/auth/login/welcome-back", "1.5 seconds", f"9.{'a' * 42}", "1." * 99],
)
def test_text_beside_an_emailed_link_is_shown(text: str) -> None:
    assert redact_text(text) == text
