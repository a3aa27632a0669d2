"""Sums that triggers keep, on both databases: right after every change, under parallel writers and after an upgrade."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete, func, insert, select, text, update

from church.config import Settings
from church.database import kept_sums, migrations
from church.database.engines import make_upkeep_engine
from church.database.kept_sums import SumName, Total
from church.doctor.sums import check_sums
from church.extensions import db
from church.jobs.registry import find_handler
from church.models import Customer, DeliveredCommit, Deployment, Incident, KeptSum, LedgerEntry, Subscription, User
from church.models.base import utc_now
from church.services import billing
from tests.support.services_fixture import wait_until

pytestmark = [pytest.mark.services, pytest.mark.both_databases]

NOON = datetime(2026, 5, 31, 12, tzinfo=UTC)
Values = dict[str, Any]


@pytest.fixture
def ada(on_both: Flask) -> int:
    with db.write() as session:
        user = User(ref="ada", name="Ada", source="web", created_at=NOON)
        session.add(user)
        session.flush()
        session.add(Customer(id=1, stripe_id="cus_1", user_id=user.id, created_at=NOON))
        session.add(Deployment(**_deployment(1)))
        return user.id


def _entry(number: int, user_id: int, **values: Any) -> Values:
    facts = {"kind": "payment", "amount": 1200, "currency": "usd", "stripe_customer": "cus_1", "occurred_at": NOON}
    return {"source_id": f"pay:{number}", "user_id": user_id, **facts, **values}


def _deployment(number: int) -> Values:
    facts = {"environment": "production", "status": "success", "kind": "normal", "commits": []}
    return {"ref": f"d{number}", **facts, "finished_at": NOON, "recorded_at": NOON}


def _subscription(number: int, user_id: int, **values: Any) -> Values:
    terms = {"status": "active", "plan": "patron", "quantity": 1, "currency": "usd", "interval_count": 1}
    times = {"started_at": NOON, "created_at": NOON, "fetched_at": NOON}
    return {"stripe_id": f"sub_{number}", "customer_id": 1, "user_id": user_id, **terms, **times, **values}


def _read(name: SumName) -> dict[str, Total]:
    with db.read() as session:
        return dict(kept_sums.read_sums(session, name))


def _wrong() -> list[SumName]:
    with db.read() as session:
        return kept_sums.find_wrong_sums(session.connection())


def test_ledger_sums_follow_the_entries_of_each_month_currency_and_kind(ada: int) -> None:
    with db.write() as session:
        rows = [
            _entry(1, ada),
            _entry(2, ada, amount=300),
            _entry(3, ada, kind="refund", amount=-200),
            # The month is that of UTC, wherever the server is.
            _entry(4, ada, occurred_at=datetime(2026, 6, 1, tzinfo=UTC) - timedelta(microseconds=1)),
            _entry(5, ada, currency="jpy", occurred_at=datetime(2026, 6, 1, tzinfo=UTC)),
        ]
        session.execute(insert(LedgerEntry), rows)
    assert _read(SumName.LEDGER) == {
        "2026-05/usd/payment": Total(3, 2700),
        "2026-05/usd/refund": Total(1, -200),
        "2026-06/jpy/payment": Total(1, 1200),
    }
    with db.write() as session:
        session.execute(insert(LedgerEntry), [_entry(6, ada, amount=1)])
    assert _read(SumName.LEDGER)["2026-05/usd/payment"] == Total(4, 2701)
    assert _wrong() == []


def test_entry_that_is_booked_already_is_not_added_again(ada: int) -> None:
    from church.database.upsert import add_once

    for _ in range(2):
        with db.write() as session:
            add_once(session, LedgerEntry, "source_id", _entry(1, ada))
    assert _read(SumName.LEDGER) == {"2026-05/usd/payment": Total(1, 1200)}


def test_sums_of_a_transaction_that_fails_are_taken_back(ada: int) -> None:
    with pytest.raises(ZeroDivisionError), db.write() as session:  # noqa: PT012 (a transaction)
        session.execute(insert(LedgerEntry), [_entry(1, ada)])
        raise ZeroDivisionError
    assert _read(SumName.LEDGER) == {}


def test_subscriptions_are_counted_by_status_and_plan(ada: int) -> None:
    with db.write() as session:
        plans = ["patron", "patron", "a/b"]
        session.execute(
            insert(Subscription), [_subscription(number, ada, plan=plan) for number, plan in enumerate(plans)]
        )
        session.execute(update(Subscription).where(Subscription.stripe_id == "sub_1").values(status="canceled"))
    assert {key: total.count for key, total in _read(SumName.SUBSCRIPTIONS).items()} == {
        "active/a/b": 1, "active/patron": 1, "canceled/patron": 1
    }  # fmt: skip


def test_sums_stay_right_under_any_changes(ada: int) -> None:
    """Random changes of every table, compared with all rows after each round."""
    dice = Random(16)
    for number in range(2, 12):
        with db.write() as session:
            session.execute(insert(Deployment), [_deployment(number)])
            for change in dice.choices(_CHANGES, k=6):
                change(session, dice, number, ada)
        assert _wrong() == []


def _change_entry(session: Any, dice: Random, number: int, user_id: int) -> None:
    back = dice.random() < 0.3
    values = {"kind": "dispute" if back else "payment", "amount": -7 if back else dice.randrange(1, 9999)}
    at = NOON + timedelta(days=dice.randrange(90))
    session.execute(insert(LedgerEntry), [_entry(dice.getrandbits(60), user_id, occurred_at=at, **values)])


def _change_subscription(session: Any, dice: Random, number: int, user_id: int) -> None:
    session.execute(insert(Subscription), [_subscription(dice.getrandbits(60), user_id)])
    status = dice.choice(["past_due", "canceled", "active"])
    session.execute(update(Subscription).where(Subscription.id % 3 == number % 3).values(status=status, plan="friend"))
    session.execute(delete(Subscription).where(Subscription.id % 5 == number % 5))


def _change_commit(session: Any, dice: Random, number: int, user_id: int) -> None:
    facts = {"environment": dice.choice(["production", "staging"]), "deployment_id": number}
    times = {
        "committed_at": NOON,
        "delivered_at": NOON,
        "lead_seconds": dice.choice([300.0, 300.000001, dice.random() * 1e7]),
    }
    session.execute(insert(DeliveredCommit), [{"sha": f"{dice.getrandbits(60):x}", **facts, **times}])
    shorter = update(DeliveredCommit).where(DeliveredCommit.deployment_id % 2 == 0)
    session.execute(shorter.values(lead_seconds=dice.random() * 1e5))


def _change_incident(session: Any, dice: Random, number: int, user_id: int) -> None:
    facts = {"environment": "production", "title": "Broken", "severity": "critical", "changes": 0}
    ref = f"{dice.getrandbits(60):x}"
    session.execute(insert(Incident), [{"ref": ref, **facts, "opened_at": NOON, "recorded_at": NOON}])
    ended = {"resolved_at": NOON + timedelta(hours=1), "seconds": dice.random() * 1e6, "changes": 1}
    session.execute(update(Incident).where(Incident.id % 2 == 0).values(ended))


_CHANGES: tuple[Callable[..., None], ...] = (_change_entry, _change_subscription, _change_commit, _change_incident)


def _in_threads(app: Flask, *works: Callable[[int], object]) -> list[BaseException]:
    """Do each work fifteen times in a thread of its own, all at once. Returns what they raised."""
    errors: list[BaseException] = []

    def run(work: Callable[[int], object]) -> None:
        try:
            with app.app_context():
                for number in range(15):
                    work(number)
        except BaseException as error:  # noqa: BLE001 (shown by the test)
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def _add_up(_number: int) -> None:
    kept_sums.add_up(db)


def test_parallel_writers_lose_nothing_while_rows_are_added_up(on_both: Flask, ada: int) -> None:
    def book(writer: int) -> Callable[[int], None]:
        def one(number: int) -> None:
            with db.write() as session:
                session.execute(insert(LedgerEntry), [_entry(writer * 100 + number, ada, amount=writer + 1)])

        return one

    assert _in_threads(on_both, *map(book, range(4)), _add_up, _add_up) == []
    assert _read(SumName.LEDGER) == {"2026-05/usd/payment": Total(60, 15 * (1 + 2 + 3 + 4))}


def test_parallel_changes_of_all_kinds_leave_right_sums_while_they_are_counted_anew(
    patient_database: None, on_both: Flask, ada: int
) -> None:
    """As when webhooks, sign-ins and deletions of accounts come at several hosts, and an operator runs ``recount``."""

    def change(writer: int) -> Callable[[int], None]:
        def one(number: int) -> None:
            own = f"{writer}-{number}"
            with db.write() as session:
                session.execute(insert(LedgerEntry), [_entry(writer * 100 + number, ada)])
                session.execute(insert(Subscription), [_subscription(writer * 100 + number, ada)])
                session.execute(insert(User), [{"ref": own, "name": "Eve", "source": "web", "created_at": NOON}])
            with db.write() as session:
                session.execute(update(User).where(User.ref == own).values(deleted_at=NOON))
                of_writer = Subscription.stripe_id == f"sub_{writer * 100 + number}"
                session.execute(update(Subscription).where(of_writer).values(status="canceled"))

        return one

    def recount(_number: int) -> None:
        with db.write() as session:
            kept_sums.recount(session)

    assert _in_threads(on_both, *map(change, range(6)), _add_up, recount) == []
    assert _read(SumName.LEDGER) == {"2026-05/usd/payment": Total(90, 90 * 1200)}
    assert _read(SumName.SUBSCRIPTIONS) == {"canceled/patron": Total(90, 0)}
    assert _read(SumName.ACCOUNTS)["deleted/member/unconfirmed"] == Total(90, 0)
    assert _wrong() == []


def test_writers_of_one_sum_wait_neither_for_each_other_nor_for_one_who_holds_its_rows(
    on_both: Flask, ada: int
) -> None:
    """On PostgreSQL. On SQLite one transaction writes at a time."""
    with db.write() as session:
        session.execute(insert(LedgerEntry), [_entry(1, ada)])
    with db.read() as session:
        if session.get_bind().dialect.name == "sqlite":
            return
    errors: list[BaseException] = []

    def book() -> None:
        try:
            with on_both.app_context(), db.write() as session:
                session.execute(insert(LedgerEntry), [_entry(3, ada)])
                session.execute(insert(User), [{"ref": "eve", "name": "Eve", "source": "web", "created_at": NOON}])
        except BaseException as error:  # noqa: BLE001 (shown by the test)
            errors.append(error)

    with db.write() as session:
        session.execute(insert(LedgerEntry), [_entry(2, ada)])
        session.execute(text("SELECT * FROM kept_sums FOR UPDATE"))
        other = threading.Thread(target=book)
        other.start()
        other.join()
    assert errors == []
    assert _read(SumName.LEDGER) == {"2026-05/usd/payment": Total(3, 3600)}
    assert _wrong() == []


def test_job_leaves_one_row_for_each_key(ada: int) -> None:
    for number in range(3):
        with db.write() as session:
            session.execute(insert(LedgerEntry), [_entry(number, ada)])
    before = {name: _read(name) for name in SumName}
    find_handler("sums.add_up")({})
    with db.read() as session:
        keys = Counter(tuple(row) for row in session.execute(select(KeptSum.name, KeptSum.key)))
    assert set(keys.values()) == {1}
    assert {name: _read(name) for name in SumName} == before


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("ledger", {"amount": KeptSum.amount + 1}),
        ("ledger", {"count": KeptSum.count - 1}),
        ("ledger", {"key": "9999-01/usd/payment"}),
        ("deployments", {"count": 7}),
    ],
)
def test_doctor_names_wrong_sums_and_recount_mends_them(
    migrated_site: Settings, ada: int, name: str, change: Values
) -> None:
    old, new = NOON - timedelta(days=400), utc_now()
    with db.write() as session:
        session.execute(insert(LedgerEntry), [_entry(1, ada, occurred_at=old), _entry(2, ada, occurred_at=new)])
    assert check_sums(migrated_site)[0] == "ok"
    right = {name: _read(name) for name in SumName}
    with db.write() as session:
        session.execute(update(KeptSum).where(KeptSum.name == name).values(change))
    state, finding, fix = check_sums(migrated_site)
    assert (state, finding) == ("warn", f"wrong: {name}")
    assert "flask church recount" in fix
    with db.write() as session:
        kept_sums.recount(session)
    assert check_sums(migrated_site)[0] == "ok"
    assert {name: _read(name) for name in SumName} == right


def test_recount_while_rows_are_added_up_counts_nothing_twice(on_both: Flask, ada: int) -> None:
    """On PostgreSQL, where both replace rows. On SQLite one transaction writes at a time."""
    for number in range(2):
        with db.write() as session:
            session.execute(insert(LedgerEntry), [_entry(number, ada)])
    with db.read() as session:
        if session.get_bind().dialect.name == "sqlite":
            return

    def recount() -> None:
        with on_both.app_context(), db.write() as session:
            kept_sums.recount(session)

    recounting = threading.Thread(target=recount)
    with db.write() as session:
        kept_sums.add_up_in(session)
        recounting.start()
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        wait_until(lambda: session.scalar(waiting) == 1, "the other to wait")
    recounting.join()
    assert _read(SumName.LEDGER) == {"2026-05/usd/payment": Total(2, 2400)}
    assert _wrong() == []


def test_upgrade_adds_up_the_rows_that_are_there(migrated_site: Settings) -> None:
    engine = make_upkeep_engine(migrated_site)
    migrations.downgrade(migrated_site, "0011")
    with engine.begin() as connection:
        user_id = connection.scalar(
            insert(User).values(ref="ada", name="Ada", source="web", created_at=NOON).returning(User.id)
        )
        # Further apart than one batch.
        rows = [_entry(number, user_id, id=number) for number in (1, 2, 99_999, 100_000, 350_000)]
        connection.execute(insert(LedgerEntry), rows)
        connection.execute(insert(Deployment), [{"id": 1, **_deployment(1)}])
        commit = {"environment": "staging", "sha": "a", "deployment_id": 1, "committed_at": NOON, "delivered_at": NOON}
        connection.execute(insert(DeliveredCommit), [{**commit, "lead_seconds": 901.5}])
    migrations.migrate(migrated_site)
    with engine.connect() as connection:
        assert kept_sums.find_wrong_sums(connection) == []
        found = connection.execute(select(KeptSum.name, KeptSum.key, KeptSum.count, KeptSum.amount)).all()
    engine.dispose()
    assert sorted(map(tuple, found)) == [
        ("accounts", "open/member/unconfirmed", 1, 0),
        ("deployments", "production", 1, 0),
        ("lead_times", "02/staging", 1, 901_500_000),
        ("ledger", "2026-05/usd/payment", 5, 6000),
    ]


def test_ledger_page_reads_no_ledger_rows_for_its_sums(ada: int) -> None:
    with db.write() as session:
        session.execute(insert(LedgerEntry), [_entry(1, ada), _entry(2, ada, kind="dispute", amount=-1200)])
        session.execute(text("ALTER TABLE ledger_entries RENAME TO put_aside"))
    with pytest.raises(Exception, match="ledger_entries"), db.read() as session:
        session.scalar(select(func.count()).select_from(LedgerEntry))
    [month] = billing.list_months()
    assert (month.payments, month.disputes, month.net, month.count) == (1200, -1200, 0, 2)
    assert [total.net for total in billing.list_totals()] == [0]
    assert dict(billing.sum_payments_by_currency()) == {"usd": 12}
