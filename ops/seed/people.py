"""Accounts with their devices and links, the audit log, emails and jobs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from church.lib.email_addresses import make_key
from church.services.email.sending import KIND, job_key
from ops.seed.load import Row
from ops.seed.size import PART, Size, Span, dice, rare, scatter, share
from ops.seed.words import DOMAINS, FIRST_NAMES, SURNAMES, sentences, title

ADMINS = 3
_UNVERIFIED_DAYS = 25  # those before were deleted by the job that does it after 30
_WAITING = 10  # emails
_BROWSERS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 Version/19.1 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36",
)
_ACTIONS = (
    *["account.signed_in"] * 11, *["account.signed_out"] * 3, "account.registered", "account.verified",
    "account.password_changed", "account.renamed", "member.disabled", "grant.given", "chat.mute",
)  # fmt: skip


def make_ref(number: int, table: str) -> str:
    """A public id: 16 hex digits."""
    return f"{scatter(number, sum(table.encode())):016x}"


def make_name(number: int) -> str:
    """The name of a member."""
    mixed = scatter(number, 3)
    return f"{FIRST_NAMES[mixed % len(FIRST_NAMES)]} {SURNAMES[(mixed >> 16) % len(SURNAMES)]}"


def is_deleted(number: int) -> bool:
    """Whether an account was deleted: one in a hundred, and none of the first."""
    return number > 50 and scatter(number, 1) % 100 == 0


def make_address(number: int) -> str:
    """The email address of an account."""
    if number <= ADMINS:
        return f"admin-{number}@church.example"
    ascii_name = make_name(number).encode("ascii", "ignore").decode().replace("'", "")
    return f"{ascii_name.replace(' ', '.')}.{number}@{DOMAINS[scatter(number, 2) % len(DOMAINS)]}"


def list_accounts(size: Size, span: Span, password_hash: str) -> Iterator[Row]:
    newest = span.now - timedelta(days=_UNVERIFIED_DAYS)
    for number in range(1, size.members + 1):
        created = span.at(number / (size.members + 1))
        deleted = is_deleted(number)
        email = None if deleted else make_address(number)
        verified = number <= ADMINS or created < newest or scatter(number, 4) % 3 > 0
        yield {
            "id": number,
            "ref": make_ref(number, "users"),
            "email": email,
            "email_key": make_key(email) if email else None,
            "name": "" if deleted else make_name(number),
            "role": "admin" if number <= ADMINS else "member",
            "password_hash": None if deleted else password_hash,
            "source": "first_admin" if number == 1 else "web",
            "created_at": created,
            "verified_at": min(created + timedelta(minutes=7), span.now) if verified else None,
            "disabled_at": created if scatter(number, 5) % 500 == 0 and number > 50 else None,
            "deleted_at": created + (span.now - created) / 2 if deleted else None,
        }


def list_sign_ins(size: Size, span: Span) -> Iterator[Row]:
    """One member in five is signed in somewhere; sessions that ended have no row."""
    for number in range(1, size.members + 1):
        if is_deleted(number) or (number > ADMINS and scatter(number, 6) % 5) or scatter(number, 5) % 500 == 0:
            continue
        seen = span.now - timedelta(days=13) * share(number, 7)
        created = seen - timedelta(days=15) * share(number, 8)
        yield {
            "ref": make_ref(number, "sign_ins"),
            "token_hash": f"{scatter(number, 9):016x}{scatter(number, 10):016x}" * 2,
            "user_id": number,
            "created_at": created,
            "last_seen_at": seen,
            "expires_at": created + timedelta(days=30),
            "user_agent": _BROWSERS[number % len(_BROWSERS)],
            "address": f"203.0.113.{number % 254 + 1}",
        }


def list_links(size: Size, span: Span) -> Iterator[Row]:
    """Links of the last day: what expired was removed."""
    for number in range(1, size.members // 200 + 1):
        user = size.members - number * 3 % size.members
        created = span.now - timedelta(hours=23) * share(number, 11)
        yield {
            "id": number,
            "nonce": f"{scatter(number, 12):016x}",
            "purpose": "reset" if number % 3 else "verify",
            "user_id": user,
            "email": make_address(user),
            "created_at": created,
            "expires_at": created + timedelta(days=1),
        }


def list_audit(size: Size, span: Span) -> Iterator[Row]:
    chosen = dice("audit")
    for number in range(1, size.audit + 1):
        action = _ACTIONS[int(chosen.random() * len(_ACTIONS))]
        # Whoever acts is there already.
        user = 1 + int(number / size.audit * chosen.random() * (size.members - 1))
        own = action.startswith("account.")
        yield {
            "at": span.at(number / (size.audit + 1)),
            "action": action,
            "via": "web",
            "actor_id": user if own else 1 + number % ADMINS,
            "subject_id": user,
            "detail": {} if own else {"reason": "asked for it"},
            "address": f"203.0.113.{number % 254 + 1}",
            "request_id": f"{scatter(number, 13):016x}",
        }


def list_emails(size: Size, span: Span) -> Iterator[Row]:
    """Emails of the last month, and of three months those that failed; a few wait."""
    total = size.members // 10
    failed = rare(200, total)
    for number in range(1, total + 1):
        user = 1 + scatter(number, 14) % size.members
        state = "failed" if number % failed == 0 else "pending" if number > total - _WAITING else "sent"
        days = {"sent": 29, "failed": 88, "pending": 0.01}[state]
        created = span.now - timedelta(days=days) * (1 - number / (total + 1))
        yield {
            "id": number,
            "template": ("verify", "welcome", "reset", "renewal_ahead")[number % 4],
            "recipient": make_address(user),
            "user_id": user,
            "context": {},
            "state": state,
            "attempts": 8 if state == "failed" else 0 if state == "pending" else 1,
            "reason": "550 no such mailbox" if state == "failed" else None,
            "created_at": created,
            "sent_at": created + timedelta(seconds=3) if state == "sent" else None,
        }


def list_jobs(size: Size, span: Span) -> Iterator[Row]:
    """Jobs that were done in the last month, some that failed for good, and those of the emails that wait."""
    total = size.members // 10
    failed = rare(2000, total)
    for number in range(1, total + 1):
        waits = number > total - _WAITING
        created = span.now - timedelta(days=29) * (1 - number / (total + 1))
        dead = number % failed == 0 and not waits
        yield {
            "kind": "mails.tidy" if dead else KIND,
            "payload": {} if dead else {"mail": number},
            "unique_key": job_key(number) if waits else None,
            "state": "dead" if dead else "pending" if waits else "done",
            "attempts": 5 if dead else 0 if waits else 1,
            "max_attempts": 5,
            "run_at": created,
            "error": "TimeoutError: no answer" if dead else None,
            "request_id": f"{scatter(number, 15):016x}",
            "created_at": created,
            "finished_at": None if waits else created + timedelta(seconds=2),
        }


# -- chat -------------------------------------------------------------------------------------------------------------

_EDITED = 50  # one message in so many


def list_messages(size: Size, span: Span, rooms: list[int]) -> Iterator[Row]:
    """Messages of the last month, by members who write much and by members who do not."""
    chosen = dice("messages")
    for number in range(1, size.messages + 1):
        within, room = _place(number, rooms)
        edited = within % _EDITED == 0
        created = span.now - timedelta(days=29) * (1 - number / (size.messages + 1))
        deleted = edited and within % (5 * _EDITED) == 0
        yield {
            "id": number,
            "room_id": room,
            "number": within,
            "changed": count_in_room(size, rooms, room) + within // _EDITED if edited else within,
            "user_id": 1 + int(chosen.random() ** 3 * (size.members - 1)),
            "text": "" if deleted else sentences(chosen, 1 + int(chosen.expovariate(1 / 12))),
            "client_id": f"{scatter(number, 16):016x}",
            "created_at": created,
            "edited_at": created + timedelta(minutes=2) if edited and not deleted else None,
            "deleted_at": created + timedelta(minutes=3) if deleted else None,
        }


def _place(number: int, rooms: list[int]) -> tuple[int, int]:
    """The number of a message within its room, and the room: in turn."""
    return (number - 1) // len(rooms) + 1, rooms[(number - 1) % len(rooms)]


def count_in_room(size: Size, rooms: list[int], room: int) -> int:
    """How many messages a room has."""
    return (size.messages - rooms.index(room) + len(rooms) - 1) // len(rooms)


def count_changes(size: Size, rooms: list[int], room: int) -> int:
    """How many changes a room has counted: each message, and each change of one."""
    count = count_in_room(size, rooms, room)
    return count + count // _EDITED


def list_reports(size: Size, span: Span) -> Iterator[Row]:
    chosen = dice("reports")
    step = rare(100, size.messages)
    total = size.messages // step
    for number in range(1, total + 1):
        settled = number <= total - PART
        created = span.now - timedelta(days=29) * (1 - number * step / (size.messages + step))
        yield {
            "message_id": number * step,
            "user_id": 1 + int(chosen.random() * (size.members - 1)),
            "text": sentences(chosen, 12),
            "reason": title(chosen),
            "created_at": created,
            "emailed_at": created,
            "settled_at": created if settled else None,
            "settled_by": 1 if settled else None,
        }


def list_sanctions(size: Size, span: Span) -> Iterator[Row]:
    for number in range(1, max(2 * PART, size.messages // 400) + 1):
        created = span.now - timedelta(days=29) * share(number, 17)
        yield {
            "user_id": 60 + scatter(number, 18) % max(1, size.members - 60),
            "kind": "mute" if number % 5 else "ban",
            "until": created + timedelta(days=20),
            "reason": "Twice warned",
            "given_by": 1,
            "created_at": created,
        }
