"""Stripe commands: fetch plans, replay events, repair differences."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask.cli import ScriptInfo

from church.cli import church
from church.extensions import db
from church.models import StripeEvent, Subscription
from church.services.billing.errors import StripeRefusedError
from tests.support.helpers import with_settings
from tests.support.membership_fixture import Membership
from tests.support.stripe_fixture import Obj, make_event

pytestmark = pytest.mark.sqlite_alone

Run = Callable[..., Result]


@pytest.fixture
def run(membership: Membership) -> Iterator[Run]:
    def invoke(*words: str) -> Result:
        return CliRunner().invoke(church, ["stripe", *words], obj=ScriptInfo(create_app=lambda: membership.app))

    with membership.app.app_context():
        yield invoke
        db.dispose()


@pytest.mark.both_databases
def test_sync_fetches_changes_without_a_webhook(membership: Membership, run: Run) -> None:
    membership.till.stripe.v1.products.update("prod_patron", {"name": "Angel"})
    result = run("sync")
    assert (result.exit_code, result.output) == (0, "1 plans and prices changed; 2 plans are for sale.\n")


def test_sync_reports_skipped_products(membership: Membership, run: Run) -> None:
    membership.till.stripe.v1.products.create({"name": "A book"})
    assert run("sync").output.splitlines()[1:] == [
        "Skipped 1 active product without church_plan in the metadata (docs/deployment.md)."
    ]
    membership.till.stripe.v1.products.create({"name": "A mug"})
    archived: Any = membership.till.stripe.v1.products.create({"name": "Sold out"})
    membership.till.stripe.v1.products.update(archived.id, {"active": False})
    assert run("sync").output.splitlines()[1] == (
        "Skipped 2 active products without church_plan in the metadata (docs/deployment.md)."
    )


def test_sync_reports_missing_metadata_and_missing_products(membership: Membership, run: Run) -> None:
    for product in ("prod_friend", "prod_patron"):
        membership.till.stripe.v1.products.update(product, {"metadata": {"church_plan": ""}})
    lines = run("sync").output.splitlines()
    assert lines[0].endswith("2 plans are for sale.")
    assert lines[1].startswith("No product has church_plan in its metadata")
    for product in ("prod_friend", "prod_patron"):
        membership.till.stripe.v1.products.update(product, {"active": False})
    lines = run("sync").output.splitlines()
    assert lines[0].endswith("0 plans are for sale.")
    assert lines[1:] == ["The Stripe account has no active product."]


def test_reconcile_repairs_changes_without_a_webhook(membership: Membership, run: Run) -> None:
    user = membership.add()
    membership.pay(membership.start(membership.as_signed_in(user)))
    result = run("reconcile")
    assert result.exit_code == 0, result.output
    assert " repaired" in result.output
    assert membership.one(Subscription).status == "active"


def test_reconcile_reports_subscriptions_missing_at_stripe(membership: Membership, run: Run) -> None:
    users = [membership.add(f"{name}@church.example") for name in ("ada", "bob")]
    for user in users:
        membership.subscribed(user)
    real = membership.gateway.call

    def call(method: str, *ids: str, key: str | None = None, **params: object) -> Obj:
        if method == "subscriptions.list":
            return {"data": [], "has_more": False}
        if method == "subscriptions.retrieve" and ids[0] in gone:
            raise StripeRefusedError("resource_missing", "id", 404)
        return real(method, *ids, key=key, **params)

    membership.gateway.call = call  # type: ignore[method-assign]
    gone = [row.stripe_id for row in membership.rows(Subscription)]
    result = run("reconcile")
    assert result.exit_code == 1
    assert "Stripe has none of the 2 running subscriptions" in result.output
    assert "2 could not be repaired" in result.output
    del gone[1]
    result = run("reconcile")
    assert result.exit_code == 0, result.output
    assert "Ended 1 subscription that no longer exists at Stripe." in result.output
    assert [membership.status(user).premium for user in users] == [False, True]


def test_replay_accepts_stripe_id_or_number(membership: Membership, run: Run) -> None:
    row = membership.rows(StripeEvent)[0]
    for name in (row.stripe_id, str(row.id)):
        result = run("replay", name)
        assert (result.exit_code, result.output) == (0, "processed\n")
    assert membership.rows(StripeEvent)[0].attempts == row.attempts + 2


def test_replay_failed_processes_all_once_stripe_answers(membership: Membership, run: Run) -> None:
    user = membership.add()
    session = membership.start(membership.as_signed_in(user))
    membership.pay(session)
    membership.till.operate("knobs", api_down="on")
    raw = json.dumps(make_event("checkout.session.completed", {"id": session, "object": "checkout.session"})).encode()
    assert membership.post(raw).status_code == 503
    failed = run("replay", "--failed")
    assert failed.exit_code == 1
    assert "failed: Stripe does not answer" in failed.output
    membership.till.operate("knobs", api_down="")
    assert run("replay", "--failed").output == "processed\n"
    assert membership.one(Subscription).status == "active"
    assert run("replay", "--failed").output == "No events to replay.\n"


@pytest.mark.parametrize("words", [("sync",), ("reconcile",), ("replay", "1"), ("replay", "--failed")])
def test_commands_payments_off_are_refused_without_calls(
    membership: Membership, run: Run, words: tuple[str, ...]
) -> None:
    before, attempts = len(membership.calls), membership.rows(StripeEvent)[0].attempts
    membership.app.config["CHURCH"] = with_settings(membership.settings, environment="production")
    result = run(*words)
    assert result.exit_code == 1
    assert result.output == "Error: This site takes no payments: STRIPE_SECRET_KEY is not set.\n"
    assert (len(membership.calls), membership.rows(StripeEvent)[0].attempts) == (before, attempts)


@pytest.mark.parametrize("words", [(), ("evt_1", "--failed")])
def test_replay_needs_one_event_or_failed(run: Run, words: tuple[str, ...]) -> None:
    result = run("replay", *words)
    assert result.exit_code == 2
    assert "Give one event, or --failed." in result.output


@pytest.mark.parametrize("words", [("sync",), ("reconcile",)])
def test_stripe_refusal_is_explained_to_the_operator(
    membership: Membership, run: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise StripeRefusedError("PermissionError", "product", 403)

    monkeypatch.setattr(membership.gateway, "call", refuse)
    result = run(*words)
    assert result.exit_code == 1
    assert result.output.startswith("Error: Stripe refused: PermissionError (product), with status 403. ")
    assert "STRIPE_SECRET_KEY" in result.output
    assert "charged" not in result.output


@pytest.mark.parametrize("words", [("sync",), ("reconcile",)])
def test_stripe_down_is_explained_to_the_operator(membership: Membership, run: Run, words: tuple[str, ...]) -> None:
    membership.till.operate("knobs", api_down="on")
    result = run(*words)
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: Stripe does not answer at http://{membership.settings.till_address}")
    assert "run this again" in result.output
    assert "charged" not in result.output


@pytest.mark.parametrize("name", ["9" * 23, "٣", "evt_1 ", "\udcff", "evt_" + "x" * 255])
def test_replay_invalid_name_is_refused(run: Run, name: str) -> None:
    result = run("replay", name)
    assert result.exit_code == 2
    assert "Give the event's number, or its id at Stripe (evt_…)." in result.output


@pytest.mark.parametrize("name", ["evt_of_nobody", "0", "999999", "9" * 18])
def test_replay_unknown_event_is_refused(run: Run, name: str) -> None:
    result = run("replay", name)
    assert result.exit_code == 1
    assert f"There is no webhook event {name}." in result.output
