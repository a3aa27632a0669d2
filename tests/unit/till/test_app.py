"""The till's app: when it starts, and what it keeps."""

from __future__ import annotations

import pytest

from church.till.app import ProductionError, create_till
from tests.support.helpers import with_settings


def test_till_restarted_keeps_changes(till, settings):
    till.stripe.v1.products.update("prod_friend", {"name": "Companion"})
    till.stripe.v1.products.update("prod_patron", {"active": False})
    again = create_till(settings).extensions["till"]
    with again.store.transaction():
        assert again.get("product", "prod_friend")["name"] == "Companion"
        assert len(list(again.store.all("product"))) == 2
    again.store.close()


def test_till_in_production_is_refused(settings):
    with pytest.raises(ProductionError, match="does not run in production"):
        create_till(with_settings(settings, environment="production"))
