"""Fill a site: its database, its content folder and its videos."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import bcrypt
from sqlalchemy import inspect, select, update
from sqlalchemy.orm import Session

from church import create_app, models
from church.config import Settings
from church.database.engines import make_upkeep_engine
from church.database.migrations import migrate
from church.extensions import db
from church.models.base import Base
from church.services.accounts import passwords
from ops.seed import deliveries, films, money, pages, people
from ops.seed.derived import STEPS
from ops.seed.load import Row, open_loader
from ops.seed.size import Size, Span

PASSWORD = "five wooden ladders"  # of every account; admin-1@church.example is an admin
Say = Callable[[str], None]


class NotEmptyError(Exception):
    """The site has members or pages already."""


def fill_site(
    settings: Settings, size: Size, *, now: datetime | None = None, derive: bool = True, anyway: bool = False,
    say: Say = lambda _line: None,
) -> dict[str, int]:  # fmt: skip
    """Fill the site of ``settings`` and return how many rows each table got.

    Its database is migrated first; ``now`` is by default the beginning of this day. Raises NotEmptyError for a site
    that has accounts, videos or pages, unless it shall be filled ``anyway``: its rows and pages stay, and numbers that
    are taken end the fill with nothing done.
    """
    span = Span(now or datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0), size.years)
    started = time.monotonic()

    def tell(what: str) -> None:
        say(f"{time.monotonic() - started:6.1f} s  {what}")

    migrate(settings)
    if not anyway:
        _require_empty(settings)
    rooms = _list_rooms(settings)
    tables = _tables(settings, size, span, rooms)
    with open_loader(settings, [model for model, _ in tables]) as loader:
        for model, rows in tables:
            tell(f"{loader.add(model, rows):>9,} {model.__tablename__}")
        for room in rooms:
            changes = people.count_changes(size, rooms, room)
            loader.run(update(models.ChatRoom).where(models.ChatRoom.id == room).values(last_number=changes))
    tell("indexes, foreign keys, commit")
    pages.write_pages(settings.content, size, span)
    tell(f"{size.pages:>9,} pages")
    films.write_films(settings, size)
    tell("files of videos")
    for name, step in STEPS.items() if derive else ():
        _derive(settings, step)
        tell(name)
    return loader.counts


def _require_empty(settings: Settings) -> None:
    with _reading(settings) as session:
        for model in (models.User, models.Video, models.LedgerEntry, models.Deployment):
            if session.execute(select(inspect(model).primary_key[0]).limit(1)).first():
                raise NotEmptyError(f"the database has {model.__tablename__} already: take an empty one")
    if settings.content.is_dir() and any(settings.content.rglob("*.md")):
        raise NotEmptyError(f"{settings.content} has pages already: take an empty folder")


def _list_rooms(settings: Settings) -> list[int]:
    """The rooms that the migrations made."""
    with _reading(settings) as session:
        return list(session.scalars(select(models.ChatRoom.id).order_by(models.ChatRoom.id)))


@contextmanager
def _reading(settings: Settings) -> Iterator[Session]:
    engine = make_upkeep_engine(settings)
    try:
        with Session(engine) as session:
            yield session
    finally:
        engine.dispose()


def _tables(
    settings: Settings, size: Size, span: Span, rooms: list[int]
) -> tuple[tuple[type[Base], Iterable[Row]], ...]:
    """The tables in an order in which each finds those that it refers to."""
    hashed = bcrypt.hashpw(passwords.to_bcrypt_input(PASSWORD), bcrypt.gensalt(passwords.COST)).decode()
    payers = money.Payers(size, span)
    ledger = money.Ledger(size, span, payers)
    delivered = deliveries.Deliveries(size, span, settings.environments)
    return (
        (models.User, people.list_accounts(size, span, hashed)),
        (models.SignIn, people.list_sign_ins(size, span)),
        (models.Link, people.list_links(size, span)),
        (models.AuditEntry, people.list_audit(size, span)),
        (models.Mail, people.list_emails(size, span)),
        (models.Job, people.list_jobs(size, span)),
        (models.Product, money.list_products(span)),
        (models.Price, money.list_prices(span)),
        (models.Customer, money.list_customers(payers, span)),
        (models.Subscription, money.list_subscriptions(payers, span)),
        (models.Invoice, ledger.invoices()),
        (models.LedgerEntry, ledger.entries()),
        (models.StripeEvent, ledger.events(size)),
        (models.Checkout, money.list_checkouts(payers, span)),
        (models.Grant, money.list_grants(size, span)),
        (models.Notice, money.list_notices(payers, span)),
        (models.UnmatchedPayment, money.list_unmatched(payers, span)),
        (models.Video, films.list_videos(size, span)),
        (models.Rendition, films.list_renditions(size)),
        (models.Caption, films.list_captions(size)),
        (models.WatchPosition, films.list_positions(size, span)),
        (models.ChatMessage, people.list_messages(size, span, rooms)),
        (models.ChatReport, people.list_reports(size, span)),
        (models.ChatSanction, people.list_sanctions(size, span)),
        (models.Deployment, delivered.deployments()),
        (models.DeliveredCommit, delivered.delivered()),
        (models.Incident, delivered.incidents()),
    )


def _derive(settings: Settings, step: Callable[..., object]) -> None:
    app = create_app(settings)
    with app.app_context():
        step(app)
        db.dispose()
