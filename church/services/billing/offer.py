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
    """Of ``price``, else of the plan with the longest trial; 0 too for a member who has had one."""
    trial_plan: str = ""
    """Name of the plan that has the trial, unless it is that of ``price``."""
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
    days, plan = (0, "") if status is not None and status.had_trial else _find_trial(plans, lowest)
    return PremiumOffer(price=lowest, is_only_price=len(prices) == 1, trial_days=days, trial_plan=plan, status=status)


def _find_trial(plans: list[PlanView], lowest: PriceView | None) -> tuple[int, str]:
    """Return the days of the trial to show, and the plan's name if it is not that of the price shown."""
    if lowest is None or lowest.trial_days:
        return (lowest.trial_days if lowest else 0), ""
    trials = [(price.trial_days, plan.name) for plan in plans for price in plan.prices if price.trial_days]
    return max(trials, key=lambda trial: trial[0], default=(0, ""))
