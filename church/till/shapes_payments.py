"""Fields and defaults of invoices and their lines, payments, charges, refunds, disputes and events."""

from __future__ import annotations

from church.till.shapes_billing import make_shape
from church.till.store import Obj


def _common_fields() -> Obj:
    return {"created": 0, "livemode": False, "metadata": {}}


_NO_BILLING_DETAILS: Obj = {"address": None, "email": None, "name": None, "phone": None, "tax_id": None}
_EVIDENCE = (
    "access_activity_log billing_address cancellation_policy cancellation_policy_disclosure cancellation_rebuttal "
    "customer_communication customer_email_address customer_name customer_purchase_ip customer_signature "
    "duplicate_charge_documentation duplicate_charge_explanation duplicate_charge_id product_description receipt "
    "refund_policy refund_policy_disclosure refund_refusal_explanation service_date service_documentation "
    "shipping_address shipping_carrier shipping_date shipping_documentation shipping_tracking_number "
    "uncategorized_file uncategorized_text"
)

PAYMENTS: dict[str, Obj] = {
    "invoice": make_shape(
        "account_name account_tax_ids application automatically_finalizes_at billing_reason custom_fields customer "
        "customer_account customer_address customer_email customer_name customer_phone customer_shipping "
        "default_payment_method default_source description due_date effective_at ending_balance footer from_invoice "
        "hosted_invoice_url invoice_pdf last_finalization_error latest_revision next_payment_attempt number "
        "on_behalf_of parent receipt_number rendering shipping_cost shipping_details statement_descriptor test_clock "
        "webhooks_delivered_at",
        account_country="US",
        amount_due=0,
        amount_overpaid=0,
        amount_paid=0,
        amount_remaining=0,
        amount_shipping=0,
        attempt_count=0,
        attempted=False,
        auto_advance=True,
        automatic_tax={"disabled_reason": None, "enabled": False, "liability": None, "provider": None, "status": None},
        collection_method="charge_automatically",
        currency="",
        customer_tax_exempt="none",
        customer_tax_ids=[],
        default_tax_rates=[],
        discounts=[],
        issuer={"type": "self"},
        lines={},
        payment_settings={"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        period_end=0,
        period_start=0,
        post_payment_credit_notes_amount=0,
        pre_payment_credit_notes_amount=0,
        starting_balance=0,
        status="draft",
        status_transitions=dict.fromkeys(("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")),
        subtotal=0,
        subtotal_excluding_tax=0,
        total=0,
        total_discount_amounts=[],
        total_excluding_tax=0,
        total_pretax_credit_amounts=[],
        total_taxes=[],
        **_common_fields(),
    ),
    "line_item": make_shape(
        "description invoice parent pricing quantity quantity_decimal subscription",
        amount=0,
        currency="",
        discount_amounts=[],
        discountable=True,
        discounts=[],
        livemode=False,
        metadata={},
        period={"end": 0, "start": 0},
        pretax_credit_amounts=[],
        subtotal=0,
        taxes=[],
    ),
    "invoice_payment": make_shape(
        "amount_paid",
        amount_requested=0,
        created=0,
        currency="",
        invoice="",
        is_default=True,
        livemode=False,
        payment={},
        status="open",
        status_transitions={"canceled_at": None, "paid_at": None},
    ),
    "payment_intent": make_shape(
        "application application_fee_amount automatic_payment_methods canceled_at cancellation_reason client_secret "
        "customer customer_account description excluded_payment_method_types last_payment_error latest_charge "
        "managed_payments next_action on_behalf_of payment_method payment_method_configuration_details processing "
        "receipt_email review setup_future_usage shipping source statement_descriptor statement_descriptor_suffix "
        "transfer_data transfer_group",
        amount=0,
        amount_capturable=0,
        amount_details={"tip": {}},
        amount_received=0,
        capture_method="automatic",
        confirmation_method="automatic",
        currency="",
        payment_method_options={},
        payment_method_types=["card"],
        status="requires_payment_method",
        **_common_fields(),
    ),
    "charge": make_shape(
        "application application_fee application_fee_amount balance_transaction calculated_statement_descriptor "
        "customer description failure_balance_transaction failure_code failure_message on_behalf_of outcome "
        "payment_intent payment_method payment_method_details receipt_email receipt_number receipt_url review shipping "
        "source source_transfer statement_descriptor statement_descriptor_suffix transfer_data transfer_group",
        amount=0,
        amount_captured=0,
        amount_refunded=0,
        billing_details=_NO_BILLING_DETAILS,
        captured=False,
        currency="",
        disputed=False,
        fraud_details={},
        paid=False,
        refunded=False,
        status="pending",
        **_common_fields(),
    ),
    "payment_method": make_shape(
        "customer customer_account",
        allow_redisplay="limited",
        billing_details=_NO_BILLING_DETAILS,
        card={},
        type="card",
        **_common_fields(),
    ),
    "refund": make_shape(
        "balance_transaction charge customer customer_account payment_intent payment_method reason receipt_number "
        "source_transfer_reversal transfer_reversal",
        amount=0,
        created=0,
        currency="",
        destination_details={"card": {"type": "refund"}, "type": "card"},
        metadata={},
        status="succeeded",
    ),
    "dispute": make_shape(
        "payment_intent payment_method_details",
        amount=0,
        balance_transactions=[],
        charge="",
        currency="",
        enhanced_eligibility_types=[],
        evidence={**dict.fromkeys(_EVIDENCE.split()), "enhanced_evidence": {}},
        evidence_details={
            "due_by": None,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        is_charge_refundable=False,
        reason="general",
        status="needs_response",
        **_common_fields(),
    ),
    "balance_transaction": make_shape(
        "description exchange_rate source",
        amount=0,
        available_on=0,
        balance_type="payments",
        created=0,
        currency="",
        fee=0,
        fee_details=[],
        net=0,
        reporting_category="charge",
        status="available",
        type="charge",
    ),
    "event": make_shape(
        "api_version",
        created=0,
        data={},
        livemode=False,
        pending_webhooks=1,
        request={"id": None, "idempotency_key": None},
        type="",
    ),
}
