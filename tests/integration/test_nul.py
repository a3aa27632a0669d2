"""NUL characters, which end a text in C and which PostgreSQL refuses: in URLs, queries and service calls."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask

from church import create_app
from church.config import Settings
from church.extensions import db
from church.models.accounts import Role, User
from church.observability.metrics import definitions
from church.services import accounts, audit, billing, sessions
from church.services.accounts import members
from church.services.accounts.members import UnknownMemberError
from church.services.sessions import Device
from tests.support.helpers import grows, value, with_settings
from tests.support.people import DEVICE, add_user, client_of, sign_in

pytestmark = pytest.mark.services

NULS = ["%00", "a%00b", "{ref}%00", "%00{ref}", "{ref}%2500%00"]


@pytest.fixture
def site(migrated_site: Settings) -> Iterator[Flask]:
    unlimited = {name: "1000000/minute" for name in Settings.model_fields if name.startswith("limit_")}
    app = create_app(with_settings(migrated_site, **unlimited))
    with app.app_context():
        yield app
        db.dispose()


@pytest.fixture
def boss(site: Flask) -> User:
    return add_user(site, "boss@church.example", role=Role.ADMIN.value)


def with_text(app: Flask) -> Iterator[tuple[str, str]]:
    """Yield method and URL of every route with a text parameter, with ``{}`` in its place."""
    for rule in app.url_map.iter_rules():
        if len(rule.arguments) == 1 and not any(c.regex == r"\d+" for c in rule._converters.values()):
            built = rule.build(dict.fromkeys(rule.arguments, "TEXT"))
            assert built is not None
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                yield method, built[1].replace("TEXT", "{}")


def test_url_with_a_nul_is_404_and_recorded_by_the_threat_scan(site: Flask, boss: User) -> None:
    client, broken = client_of(site, boss), value(definitions.security_events.labels("unexpected_error", "low"))
    seen = definitions.suspicious_activity.labels("path_traversal", "path")
    asked = [(method, path.format(nul.format(ref=boss.ref))) for method, path in with_text(site) for nul in NULS]
    assert len(asked) > 50
    with grows(seen, by=len(asked)):
        answers = {(method, path): client.open(path, method=method, json={}).status_code for method, path in asked}
    assert {request: status for request, status in answers.items() if status != 404} == {}
    assert value(definitions.security_events.labels("unexpected_error", "low")) == broken


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/admin/audit?member={nul}", 200),
        ("/admin/audit?action={nul}", 200),
        ("/admin/members?q={nul}", 200),
        ("/stripe/success?session_id={nul}", 404),
        ("/stripe/change?price={nul}", 409),
        ("/stripe/pricing?interval={nul}&next={nul}", 200),
        ("/pages/?q={nul}&tag={nul}", 200),
        ("/auth/login?next={nul}", 302),
    ],
)
def test_query_with_a_nul_gets_an_answer(site: Flask, boss: User, address: str, status: int) -> None:
    client = client_of(site, boss)
    for nul in NULS:
        answer = client.get(address.format(nul=nul.format(ref=boss.ref)), headers={"Accept": "application/json"})
        assert (nul, answer.status_code) == (nul, status)


@pytest.mark.parametrize("wrong", ["\0{}", "{}\0", "{}\ud800", "\0", "\udfff"])
def test_service_given_a_name_with_a_nul_finds_nothing(site: Flask, boss: User, wrong: str) -> None:
    other = Device("192.0.2.8", DEVICE.user_agent)
    sign_in(site, boss, other)
    me = sessions.load(sign_in(site, boss))
    assert me is not None
    ref = wrong.format(boss.ref)
    for look in (
        members.load_member,
        members.load_account_details,
        lambda ref: members.end_sessions(ref, audit.Actor()),
    ):
        with pytest.raises(UnknownMemberError):
            look(ref)
    assert (
        audit.list_entries(subject_ref=ref)
        == audit.list_entries(action=ref)
        == billing.list_ledger_entries(user_ref=ref)
        == []
    )
    for device in sessions.list_devices(boss.id, None):
        assert not accounts.end_device(me, wrong.format(device.ref), DEVICE)
    assert sessions.load_ref(wrong.format(me.session_ref), boss.ref) is None
    assert billing.read_checkout_result(boss.id, ref) is None
    assert len(sessions.list_devices(boss.id, None)) == 2
