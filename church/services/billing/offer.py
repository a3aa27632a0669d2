"""What premium costs, for the card that readers without it see."""

from __future__ import annotations

from dataclasses import dataclass

from church.services.billing.plans import PlanView, PriceView, list_plans
from church.services.billing.presenters import MembershipStatus, read_membership_status


@dataclass(frozen=True)
class PremiumOffer:
    """The lowest price of premium. ``status`` is the member's own, None for a visitor."""

    price: PriceView | None
    """None if nothing is for sale."""
    is_only_price: bool
    trial_days: int
    """0 too for a member who has had a trial."""
    status: MembershipStatus | None = None


def read_offer(user_id: int | None) -> PremiumOffer:
    """Read what premium costs for a member, or for a visitor. Raises DatabaseDownError, DatabaseBusyError."""
    status = read_membership_status(user_id) if user_id is not None else None
    return make_offer(list_plans(status.currency if status else None), status)


def make_offer(plans: list[PlanView], status: MembershipStatus | None = None) -> PremiumOffer:
    """Choose the price to show: the lowest by the month, or by the year if no plan is sold by the month."""
    prices = [price for plan in plans for price in plan.prices]
    monthly = [price for price in prices if price.interval == "month"]
    lowest = min(monthly or prices, key=lambda price: price.amount, default=None)
    had_trial = status is not None and status.had_trial
    return PremiumOffer(
        price=lowest,
        is_only_price=len(prices) == 1,
        trial_days=lowest.trial_days if lowest is not None and not had_trial else 0,
        status=status,
    )
