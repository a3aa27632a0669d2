"""The page of the settings that the site runs with."""

from __future__ import annotations

from church.config import Settings
from tests.support.desk import JSON, AdminBrowser


def test_settings_page_lists_every_setting_and_no_secret(desk: AdminBrowser, settings: Settings) -> None:
    page = desk.get("/admin/settings").text
    secret = settings.secret_key.get_secret_value()
    assert len(secret) >= 32
    assert secret not in page
    assert "CHURCH_GRACE_DAYS" in page
    found = desk.get("/admin/settings", **JSON).json["settings"]  # type: ignore[index]
    assert [one["name"] for one in found] == sorted(
        str(field.validation_alias) for field in Settings.model_fields.values()
    )
    assert secret not in str(found)
