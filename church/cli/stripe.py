"""``flask church stripe …``: bring the local payment data in line with Stripe."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from flask.cli import AppGroup

if TYPE_CHECKING:
    from church.services.billing import Outcome

_NUMBER = re.compile(r"[0-9]{1,18}")
_NAME = re.compile(r"[A-Za-z0-9_]{1,255}")

stripe_commands = AppGroup("stripe", help="Bring plans and payments in line with Stripe.")


@stripe_commands.command()
def sync() -> None:
    """Fetch all plans and prices from Stripe, or from the test till."""
    _want_payments()
    from church.services import billing

    with _told():
        done = billing.sync()
    click.echo(f"{done.changed} plans and prices changed; {len(billing.list_plans())} plans are on offer.")
    if done.marked and done.unmarked:
        left = "1 active product" if done.unmarked == 1 else f"{done.unmarked} active products"
        click.echo(f"{left} left alone: no metadata church_plan (docs/deployment.md).")
    elif done.unmarked:
        click.echo(
            "No product has the metadata church_plan (docs/deployment.md), so each active one that has a price by the "
            "month or the year is a plan."
        )
    elif not done.marked:
        click.echo("The Stripe account has no active product.")


@stripe_commands.command()
def reconcile() -> None:
    """Compare subscriptions, invoices, refunds and disputes with Stripe, and repair the differences.

    It also ends subscriptions that no longer exist at Stripe and cancels those of deleted accounts. A job does the
    same once a day.
    """
    _want_payments()
    from church.services import billing

    with _told():
        done = billing.reconcile()
    click.echo(f"{done.checked} objects compared, {done.repaired} repaired, {done.replayed} events done at last.")
    if done.ended:
        click.echo(f"{done.ended} of the repaired: subscriptions that Stripe does not have any more, ended now.")
    if done.unknown:
        click.echo(
            f"Stripe has none of the {done.unknown} living subscriptions, which are left as they are: "
            "is STRIPE_SECRET_KEY of the same account?"
        )
    if done.failed:
        raise click.ClickException(f"{done.failed} could not be repaired; the log says why.")


@stripe_commands.command()
@click.argument("event", required=False)
@click.option("--failed", is_flag=True, help="Replay all events that failed or never finished.")
def replay(event: str | None, failed: bool) -> None:
    """Process a stored webhook event again.

    EVENT is its id at Stripe (evt_…) or its number.
    """
    if failed == (event is not None):
        raise click.UsageError("Name one event, or say --failed.")
    _want_payments()
    from church.services import billing

    with _told():
        outcomes = billing.replay_failed() if failed else [_replayed(str(event))]
    for outcome in outcomes:
        click.echo(outcome.status + (f": {outcome.reason}" if outcome.reason else ""))
    wrong = sum(outcome.http >= 400 for outcome in outcomes)
    if wrong:
        raise click.ClickException(f"{wrong} of {len(outcomes)} could not be done.")
    if not outcomes:
        click.echo("No event waits.")


def _want_payments() -> None:
    from church.config import current_settings

    if not current_settings().payments:
        raise click.ClickException("This site takes no payments: STRIPE_SECRET_KEY is not set.")


@contextmanager
def _told() -> Iterator[None]:
    """What goes wrong between here and Stripe, in words for an operator: the services' own are for who pays."""
    from church.config import current_settings
    from church.services.billing import StripeDownError, StripeRefusedError

    try:
        yield
    except StripeRefusedError as error:
        raise click.ClickException(
            f"{error.reason}, with status {error.http_status}. What was done before that stays; has the key in "
            "STRIPE_SECRET_KEY all the rights that docs/deployment.md names?"
        ) from None
    except StripeDownError as error:
        where = current_settings().stripe_base or "https://api.stripe.com"
        why = f" ({error.__cause__})" if error.__cause__ is not None else ""
        raise click.ClickException(
            f"Stripe does not answer at {where}{why}. What was done before that stays; run this again when it does."
        ) from None


def _replayed(event: str) -> Outcome:
    from church.services import billing

    if not _NAME.fullmatch(event) or (event.isdecimal() and not _NUMBER.fullmatch(event)):
        raise click.UsageError("Name an event by its number, or as Stripe does: evt_…")
    number = int(event) if event.isdecimal() else billing.find_event_id(event)
    try:
        return billing.replay(number or 0)
    except LookupError:
        raise click.ClickException(f"There is no webhook event {event}.") from None
