"""Lists: newest first, paged and filtered by time."""

from __future__ import annotations

import pytest
import stripe


def test_list_is_paged_newest_first_and_complete(till):
    made = [till.stripe.v1.customers.create({"name": str(number)}).id for number in range(7)]
    first = till.stripe.v1.customers.list({"limit": 3})
    assert ([one.id for one in first.data], first.has_more) == (made[:3:-1], True)
    rest = till.stripe.v1.customers.list({"limit": 4, "starting_after": first.data[-1].id})
    assert ([one.id for one in rest.data], rest.has_more) == (made[3::-1], False)
    before = till.stripe.v1.customers.list({"limit": 2, "ending_before": rest.data[0].id})
    assert [one.id for one in before.data] == made[5:3:-1]
    assert [one.id for one in till.stripe.v1.customers.list({"limit": 2}).auto_paging_iter()] == made[::-1]


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 101}, {"starting_after": "cus_none"}, {"created": "x"}])
def test_list_with_invalid_bounds_is_refused(till, params):
    with pytest.raises(stripe.InvalidRequestError):
        till.stripe.v1.customers.list(params)


def test_list_filters_by_creation_time(till):
    made = till.stripe.v1.customers.create({})
    for params, count in (({"gte": made.created}, 1), ({"gt": made.created}, 0), ({"lt": made.created}, 0)):
        assert len(till.stripe.v1.customers.list({"created": params}).data) == count
    assert len(till.stripe.v1.customers.list({"created": made.created}).data) == 1
