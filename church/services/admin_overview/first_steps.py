"""What to do first on a new site, for the first page of the admin area."""

from __future__ import annotations

from dataclasses import dataclass

from church.config import Settings
from church.services.admin_overview.counts import MemberCounts


@dataclass(frozen=True)
class FirstStep:
    """One thing to do; ``url`` leads there where a page of the site does it."""

    title: str
    words: str
    done: bool
    url: str = ""


def list_first_steps(settings: Settings, members: MemberCounts | None) -> list[FirstStep]:
    """List what is left to set up while the site has no account but the first admin's; empty after that."""
    if members is None or members.members != 1:
        return []
    own_name = settings.site_name != type(settings).model_fields["site_name"].default
    return [
        FirstStep("Write pages", f"Markdown files in {settings.content} are the pages.", False, "/pages/"),
        FirstStep("Name the site", "Set CHURCH_SITE_NAME.", own_name),
        FirstStep(
            "Set the address", "Set CHURCH_SITE_URL to the site's public address.", settings.site_url is not None
        ),
        FirstStep(
            "Send emails", "Set CHURCH_SMTP_URL. Members confirm their address by email.", settings.smtp_url is not None
        ),
        FirstStep(
            "Take payments", "Set STRIPE_SECRET_KEY to sell subscriptions.", settings.stripe_secret_key is not None
        ),
        FirstStep("Add a video", "Upload one for everyone, members or subscribers.", False, "/admin/videos/new"),
        FirstStep("Invite people", "Send them the address of the page where they join.", False, "/auth/register"),
    ]
