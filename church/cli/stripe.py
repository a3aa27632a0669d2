"""``flask church stripe …``: fetch plans, repair payment data and replay webhook events."""

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
    _require_payments()
    from church.services import billing

    with _explained():
        done = billing.sync_catalogue()
    click.echo(f"{done.changed} plans and prices changed; {len(billing.list_plans())} plans are for sale.")
    if done.marked and done.unmarked:
        skipped = "1 active product" if done.unmarked == 1 else f"{done.unmarked} active products"
        click.echo(f"Skipped {skipped} without church_plan in the metadata (docs/deployment.md).")
    elif done.unmarked:
        click.echo(
            "No product has church_plan in its metadata (docs/deployment.md), so every active product with a monthly "
            "or yearly price is a plan."
        )
    elif not done.marked:
        click.echo("The Stripe account has no active product.")


@stripe_commands.command()
def reconcile() -> None:
    """Compare subscriptions, invoices, refunds and disputes with Stripe, and repair the differences.

    It also ends subscriptions that no longer exist at Stripe and cancels those of deleted accounts. A job does the
    same once a day.
    """
    _require_payments()
    from church.services import billing

    with _explained():
        done = billing.reconcile_with_stripe()
    click.echo(f"{done.checked} objects compared, {done.repaired} repaired, {done.replayed} events replayed.")
    if done.ended:
        ended = "subscription that no longer exists" if done.ended == 1 else "subscriptions that no longer exist"
        click.echo(f"Ended {done.ended} {ended} at Stripe.")
    if done.unknown:
        click.echo(
            f"Stripe has none of the {done.unknown} running subscriptions, so they were left unchanged. "
            "Is STRIPE_SECRET_KEY of the same account?"
        )
    if done.failed:
        raise click.ClickException(f"{done.failed} could not be repaired. The log has the reasons.")


@stripe_commands.command()
@click.argument("event", required=False)
@click.option("--failed", is_flag=True, help="Replay all events that failed or never finished.")
def replay(event: str | None, failed: bool) -> None:
    """Process a stored webhook event again.

    EVENT is its id at Stripe (evt_…) or its number.
    """
    if failed == (event is not None):
        raise click.UsageError("Give one event, or --failed.")
    _require_payments()
    from church.services import billing

    with _explained():
        outcomes = billing.replay_failed() if failed else [_replay_one(str(event))]
    for outcome in outcomes:
        click.echo(outcome.status + (f": {outcome.reason}" if outcome.reason else ""))
    failures = sum(outcome.http >= 400 for outcome in outcomes)
    if failures:
        raise click.ClickException(f"{failures} of {len(outcomes)} could not be processed.")
    if not outcomes:
        click.echo("No events to replay.")


def _require_payments() -> None:
    from church.config import current_settings

    if not current_settings().payments:
        raise click.ClickException("This site takes no payments: STRIPE_SECRET_KEY is not set.")


@contextmanager
def _explained() -> Iterator[None]:
    """Show Stripe's errors as messages for the operator: those of the services are for the payer."""
    from church.config import current_settings
    from church.services.billing import StripeDownError, StripeRefusedError

    try:
        yield
    except StripeRefusedError as error:
        raise click.ClickException(
            f"{error.reason}, with status {error.http_status}. Changes made before that are kept. Does the "
            "key in STRIPE_SECRET_KEY have all permissions that docs/deployment.md lists?"
        ) from None
    except StripeDownError as error:
        where = current_settings().stripe_base or "https://api.stripe.com"
        why = f" ({error.__cause__})" if error.__cause__ is not None else ""
        raise click.ClickException(
            f"Stripe does not answer at {where}{why}. Changes made before that are kept; run this again later."
        ) from None


def _replay_one(event: str) -> Outcome:
    from church.services import billing

    if not _NAME.fullmatch(event) or (event.isdecimal() and not _NUMBER.fullmatch(event)):
        raise click.UsageError("Give the event's number, or its id at Stripe (evt_…).")
    number = int(event) if event.isdecimal() else billing.find_event_id(event)
    try:
        return billing.replay(number or 0)
    except LookupError:
        raise click.ClickException(f"There is no webhook event {event}.") from None
