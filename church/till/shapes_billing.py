"""Fields and defaults of products, prices, customers, checkout sessions, subscriptions and schedules."""

from __future__ import annotations

from church.till.store import Obj


def make_shape(nulls: str, **values: object) -> Obj:
    """Return fields with defaults: the names in ``nulls``, separated by spaces, are null."""
    return {"id": "", "object": "", **dict.fromkeys(nulls.split()), **values}


def _common_fields() -> Obj:
    return {"created": 0, "livemode": False, "metadata": {}}


_INVOICE_SETTINGS: Obj = {
    "account_tax_ids": None,
    "custom_fields": None,
    "description": None,
    "footer": None,
    "issuer": {"type": "self"},
}
_TAX: Obj = {"disabled_reason": None, "enabled": False, "liability": None}
_BILLING_MODE: Obj = {"flexible": {"proration_discounts": "included"}, "type": "flexible"}

BILLING: dict[str, Obj] = {
    "product": make_shape(
        "default_price description package_dimensions shippable statement_descriptor tax_code unit_label url",
        active=True,
        images=[],
        marketing_features=[],
        name="",
        type="service",
        updated=0,
        **_common_fields(),
    ),
    "price": make_shape(
        "custom_unit_amount lookup_key nickname recurring tiers_mode transform_quantity unit_amount "
        "unit_amount_decimal",
        active=True,
        billing_scheme="per_unit",
        currency="",
        product="",
        tax_behavior="unspecified",
        type="recurring",
        **_common_fields(),
    ),
    "plan": make_shape(
        "amount amount_decimal meter nickname product tiers_mode transform_usage trial_period_days",
        active=True,
        billing_scheme="per_unit",
        currency="",
        interval="month",
        interval_count=1,
        usage_type="licensed",
        **_common_fields(),
    ),
    "coupon": make_shape(
        "amount_off currency duration_in_months max_redemptions name percent_off redeem_by",
        duration="once",
        times_redeemed=0,
        valid=True,
        **_common_fields(),
    ),
    "promotion_code": make_shape(
        "customer customer_account expires_at max_redemptions",
        active=True,
        code="",
        promotion={"coupon": None, "type": "coupon"},
        restrictions={"first_time_transaction": False, "minimum_amount": None, "minimum_amount_currency": None},
        times_redeemed=0,
        **_common_fields(),
    ),
    "discount": make_shape(
        "checkout_session customer customer_account end invoice invoice_item promotion_code subscription "
        "subscription_item",
        source={"coupon": None, "type": "coupon"},
        start=0,
    ),
    "customer": make_shape(
        "address currency customer_account default_source description discount email name phone shipping test_clock",
        balance=0,
        delinquent=False,
        invoice_prefix="",
        invoice_settings={
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        next_invoice_sequence=1,
        preferred_locales=[],
        tax_exempt="none",
        **_common_fields(),
    ),
    "checkout.session": make_shape(
        "adaptive_pricing after_expiration allow_promotion_codes amount_subtotal amount_total "
        "billing_address_collection cancel_url client_reference_id client_secret collected_information consent "
        "consent_collection currency currency_conversion customer customer_account customer_creation customer_details "
        "customer_email integration_identifier invoice invoice_creation locale managed_payments origin_context "
        "payment_intent payment_link payment_method_collection payment_method_configuration_details permissions "
        "recovered_from saved_payment_method_options setup_intent shipping_address_collection shipping_cost "
        "submit_type subscription success_url total_details url wallet_options",
        automatic_tax={"enabled": False, "liability": None, "provider": None, "status": None},
        custom_fields=[],
        custom_text={
            "after_submit": None,
            "shipping_address": None,
            "submit": None,
            "terms_of_service_acceptance": None,
        },
        discounts=[],
        expires_at=0,
        mode="subscription",
        payment_method_options={},
        payment_method_types=["card"],
        payment_status="unpaid",
        phone_number_collection={"enabled": False},
        shipping_options=[],
        status="open",
        ui_mode="hosted_page",
        **_common_fields(),
    ),
    "item": make_shape(
        "adjustable_quantity description price quantity",
        amount_discount=0,
        amount_subtotal=0,
        amount_tax=0,
        amount_total=0,
        currency="",
        metadata={},
    ),
    "billing_portal.session": make_shape(
        "customer_account flow locale on_behalf_of return_url",
        configuration="bpc_till",
        created=0,
        customer="",
        livemode=False,
        url="",
    ),
    "subscription": make_shape(
        "application application_fee_percent billing_cycle_anchor_config billing_thresholds cancel_at canceled_at "
        "customer_account days_until_due default_payment_method default_source description ended_at latest_invoice "
        "managed_payments next_pending_invoice_item_invoice on_behalf_of pause_collection "
        "pending_invoice_item_interval pending_setup_intent pending_update schedule test_clock transfer_data trial_end "
        "trial_start",
        automatic_tax=_TAX,
        billing_cycle_anchor=0,
        billing_mode=_BILLING_MODE,
        billing_schedules=[],
        cancel_at_period_end=False,
        cancellation_details={"comment": None, "feedback": None, "reason": None},
        collection_method="charge_automatically",
        currency="",
        customer="",
        default_tax_rates=[],
        discounts=[],
        invoice_settings=_INVOICE_SETTINGS,
        items={},
        payment_settings={
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        start_date=0,
        status="incomplete",
        trial_settings={"end_behavior": {"missing_payment_method": "create_invoice"}},
        **_common_fields(),
    ),
    "subscription_item": make_shape(
        "billing_thresholds",
        created=0,
        current_period_end=0,
        current_period_start=0,
        discounts=[],
        metadata={},
        plan={},
        price={},
        quantity=1,
        subscription="",
        tax_rates=[],
    ),
    "subscription_schedule": make_shape(
        "application canceled_at completed_at current_phase customer_account released_at released_subscription "
        "subscription test_clock",
        billing_mode=_BILLING_MODE,
        customer="",
        default_settings={
            **dict.fromkeys(
                [
                    "application_fee_percent",
                    "billing_thresholds",
                    "default_payment_method",
                    "description",
                    "on_behalf_of",
                    "transfer_data",
                ]
            ),
            "automatic_tax": _TAX,
            "billing_cycle_anchor": "automatic",
            "collection_method": "charge_automatically",
            "invoice_settings": {**_INVOICE_SETTINGS, "days_until_due": None},
        },
        end_behavior="release",
        pause_schedules=[],
        phases=[],
        status="active",
        **_common_fields(),
    ),
}
