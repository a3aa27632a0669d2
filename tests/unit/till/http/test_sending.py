"""Webhooks are signed, in order, and repeated until the site accepts them."""

from __future__ import annotations

import pytest
import stripe

from church.till.http.sending import Sender, sign_payload
from tests.support.services_fixture import free_port, site_settings
from tests.support.till_fixture import InProcessTill, Receiver


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.stop()


@pytest.fixture
def till(receiver, tmp_path):
    made = InProcessTill(site_settings(tmp_path, CHURCH_BIND=receiver.bind, STRIPE_WEBHOOK_SECRET="whsec_test"))
    yield made
    made.desk.store.close()


@pytest.fixture
def sender(till, tmp_path, receiver):
    return Sender(till.desk, site_settings(tmp_path, CHURCH_BIND=receiver.bind, STRIPE_WEBHOOK_SECRET="whsec_test"))


def event_ids(till):
    return [event.id for event in till.stripe.v1.events.list({"limit": 100}).auto_paging_iter()][::-1]


def pending(till):
    return till.operate("knobs")["pending"]


def due_now(till):
    till.operate("resend", failed="1")


def test_deliveries_are_signed_and_in_the_order_of_creation(till, sender, receiver):
    till.subscribe()
    sender.deliver_due()
    assert receiver.ids == event_ids(till)
    for path, header, body in receiver.taken:
        assert path == "/stripe/webhook"
        stripe.Webhook.construct_event(body, header, "whsec_test")
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(body, header, "whsec_other")
    assert pending(till) == sender.deliver_due() == 0
    assert {event.pending_webhooks for event in till.stripe.v1.events.list().data} == {0}
    assert till.stripe.v1.events.list({"delivery_success": False}).data == []


def test_delivery_rejected_is_retried_later(till, sender, receiver):
    receiver.status = 500
    count = sender.deliver_due()
    assert sender.deliver_due() == 0  # not due yet
    assert pending(till) == count > 0
    receiver.status = 204
    due_now(till)
    assert sender.deliver_due() == count
    assert receiver.ids == event_ids(till) * 2
    assert pending(till) == 0


def test_delivery_site_down_stays_pending(tmp_path):
    settings = site_settings(tmp_path, CHURCH_BIND=f"127.0.0.1:{free_port()}", STRIPE_WEBHOOK_SECRET="whsec_test")
    till = InProcessTill(settings)
    count = Sender(till.desk, settings).deliver_due()
    assert pending(till) == count > 0
    assert "no answer" in till.get("/")[2]
    till.desk.store.close()


def test_delivery_redirected_stays_pending(till, sender, receiver):
    receiver.status = 302
    assert sender.deliver_due() == pending(till)


def test_duplicates_on_sends_each_event_twice(till, sender, receiver):
    till.operate("knobs", duplicates="on")
    sender.deliver_due()
    assert sorted(receiver.ids) == sorted(event_ids(till) * 2)


def test_disorder_on_sends_events_out_of_order(till, sender, receiver):
    till.operate("knobs", disorder="on")
    for _ in range(3):
        till.subscribe()
    while sender.deliver_due():
        pass
    assert receiver.ids != event_ids(till)
    assert sorted(receiver.ids) == sorted(event_ids(till))


def test_down_on_holds_webhooks_until_it_is_off(till, sender, receiver):
    till.operate("knobs", down="on")
    assert sender.deliver_due() == 0
    till.operate("knobs", down="")
    assert sender.deliver_due() > 0
    assert receiver.ids == event_ids(till)


def test_delay_applies_to_new_events(till, sender, receiver):
    sender.deliver_due()
    till.operate("knobs", delay="3600")
    till.stripe.v1.customers.create({})
    assert sender.deliver_due() == 0
    assert pending(till) == 1


def test_resend_delivers_the_event_again(till, sender, receiver):
    sender.deliver_due()
    first = event_ids(till)[0]
    till.operate("resend", event=first)
    assert sender.deliver_due() == 1
    assert receiver.ids.count(first) == 2
    assert till.post("/operator/resend", event="evt_none")[0] == 404


def test_signature_matches_the_sdk():
    mac = stripe.WebhookSignature._compute_signature("17.{}", "whsec_test")
    assert sign_payload("whsec_test", b"{}", 17) == f"t=17,v1={mac}"
