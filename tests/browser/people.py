"""Accounts of the demo site: create them, sign them in, fill in their forms and read their emails."""

from __future__ import annotations

import email
import re
import secrets
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from functools import cached_property
from typing import Any

from flask import Flask
from playwright.sync_api import Browser, Locator, Page, StorageState, expect

from church import create_app
from church.extensions import db
from church.models import User
from church.models.accounts import Purpose
from church.services import email_links
from tests.browser.billing_data import BillingData, create_billing_data
from tests.support.people import PASSWORD, add_user
from tests.support.services_fixture import wait_until
from tests.support.site_fixture import Site


@dataclass
class Person:
    """A new person with a unique email address."""

    name: str = "Ada Lovelace"
    password: str = PASSWORD
    email: str = field(default_factory=lambda: f"{secrets.token_hex(6)}@example.org")

    def register(self, page: Page) -> None:
        """Fill in and submit the registration form, which is open."""
        page.get_by_label("Name").fill(self.name)
        page.get_by_label("Email address").fill(self.email)
        page.get_by_label("Password", exact=True).fill(self.password)
        page.get_by_role("button", name="Create account").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Check your inbox")

    def sign_in(self, page: Page, path: str | None = "/auth/login") -> None:
        """Sign in with the form at ``path``; None uses the form that is open."""
        if path is not None:
            page.goto(path)
        page.get_by_label("Email address").fill(self.email)
        page.get_by_label("Password", exact=True).fill(self.password)
        page.locator("main").get_by_role("button", name="Sign in").click()


def expect_heading(page: Page, words: str) -> None:
    """Expect this main heading."""
    expect(page.get_by_role("heading", level=1)).to_have_text(words)


def expect_flash(page: Page, words: str) -> None:
    """Expect this text in the flash message."""
    expect(page.locator(".flash")).to_contain_text(words)


def account_section(page: Page, name: str) -> Locator:
    """Find the section of the account page with this heading."""
    return page.get_by_role("region", name=name, exact=True)


def is_signed_out(page: Page) -> bool:
    """Whether the account page asks this browser to sign in."""
    page.goto("/auth/account")
    return "/auth/login" in page.url


class Mailbox:
    """Emails in the outbox folder of a site without a mail server."""

    def __init__(self, site: Site) -> None:
        self._outbox = site.settings.instance / "outbox"

    def mails(self, template: str, recipient: str) -> list[EmailMessage]:
        """List the emails to ``recipient`` so far, oldest first."""
        paths = sorted(self._outbox.glob(f"*-{template}-*.eml"), key=lambda path: int(path.stem.rpartition("-")[2]))
        messages = [email.message_from_bytes(path.read_bytes(), policy=default) for path in paths]
        return [one for one in messages if one["To"] == recipient and isinstance(one, EmailMessage)]

    def link(self, template: str, recipient: str, nth: int = 1) -> str:
        """Wait for the ``nth`` such email and return its link."""
        wait_until(lambda: len(self.mails(template, recipient)) >= nth, f"the email {template} is sent")
        body = self.mails(template, recipient)[nth - 1].get_body(("plain",))
        assert body is not None
        match = re.search(r"http\S+/auth/\S+", str(body.get_content()))
        assert match is not None
        return match[0]


class Accounts:
    """Accounts of each role on ``site``, and cookies of browsers in which they are signed in."""

    def __init__(self, chromium: Browser, site: Site) -> None:
        self._chromium, self._site = chromium, site
        self._signed_in: dict[str, StorageState] = {}
        self._users: dict[str, User] = {}

    @cached_property
    def _app(self) -> Flask:
        return create_app(self._site.settings)

    @cached_property
    def billing(self) -> BillingData:
        """A subscriber with payments and events for the admin pages, separate from the other accounts."""
        return create_billing_data(self._site)

    def add(self, **facts: Any) -> Person:
        """Add an account directly to the database and return its person."""
        person = Person()
        add_user(self._app, person.email, **{"name": person.name, **facts})
        return person

    def user(self, role: str) -> User:
        """Return the account with the role ``unverified``, ``member`` or ``admin``."""
        if role not in self._users:
            facts = {"role": "admin" if role == "admin" else "member", "verified": role != "unverified"}
            self._users[role] = add_user(self._app, f"{role}@example.org", name=f"Robin {role.title()}", **facts)  # type: ignore[arg-type]
        return self._users[role]

    def signed_in(self, role: str) -> StorageState:
        """Return the storage state with which a Playwright context is signed in as ``role``."""
        if role not in self._signed_in:
            person = Person(email=str(self.user(role).email))
            with self._chromium.new_context(base_url=self._site.url) as context:
                person.sign_in(page := context.new_page())
                expect(page.get_by_role("heading", level=1)).to_have_text("Your account")
                self._signed_in[role] = context.storage_state()
        return self._signed_in[role]

    def link(self, purpose: Purpose, role: str = "member") -> str:
        """Create an email link for the account of ``role`` and return its URL."""
        owner = None if purpose is Purpose.FIRST_ADMIN else self.user(role)
        address = Person().email if purpose is Purpose.CHANGE_EMAIL else owner and owner.email
        with self._app.app_context(), db.write() as session:
            return email_links.link_address(email_links.make(session, purpose, owner, address))
