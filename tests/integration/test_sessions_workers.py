"""Sessions with real workers: valid in each of them, and ended in all at once."""

from __future__ import annotations

from collections.abc import Callable

from church import create_app
from church.extensions import db
from church.services import sessions
from tests.support.people import add_user, sign_in, with_cookie
from tests.support.services_fixture import wait_until
from tests.support.site_fixture import Site


def test_session_end_reaches_every_worker(site: Callable[..., Site]) -> None:
    running = site(WEB_CONCURRENCY="2")
    app = create_app(running.settings)
    token = sign_in(app, add_user(app))
    client = with_cookie(app.test_client(), token)
    cookie = client.get_cookie("church")
    assert cookie is not None
    headers = {"Cookie": f"church={cookie.value}", "Accept": "application/json"}

    def statuses() -> set[int]:
        """Statuses of 16 requests on separate connections, enough to reach both workers."""
        return {running.get("/auth/sessions", **headers)[0] for _ in range(16)}

    assert statuses() == {200}
    assert running.value("auth_sessions_active") in {0, 1}  # as of the last four seconds
    with app.app_context():
        found = sessions.load(token)
        assert found is not None
        with db.write() as session:
            sessions.end(session, found.session_ref)
    assert statuses() == {401}  # at once: no worker accepts the copied cookie
    wait_until(lambda: running.value("auth_sessions_active") == 0, "the scrape counts none")
