"""Rate limits: who is counted, what is answered, and that a limit never disappears."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request
from flask.testing import FlaskClient

import church
from church import create_app
from church.config import Settings
from church.observability.metrics import definitions
from church.web import rate_limits
from church.web.rate_limits import limited
from tests.support.helpers import add_view, captured_log, grows, with_settings
from tests.support.services_fixture import RedisServer, wait_until

RATES = {f"limit_{name}": "3/hour" for name in definitions.LIMITS}


@limited("page")
def one() -> str:
    return "one"


@limited("page")
def two() -> str:
    return "two"


@limited("api")
def feed() -> str:
    return "feed"


@limited("account")
def change() -> str:
    return "change"


@limited("search", when=lambda: "q" in request.args)
def sometimes() -> str:
    return "sometimes"


def site(settings: Settings, **changes: Any) -> Flask:
    app = create_app(with_settings(settings, **{**RATES, **changes}))
    add_view(app, "/one", one)
    add_view(app, "/two", two, methods=["GET", "POST"])
    add_view(app, "/feed", feed)
    add_view(app, "/account", change)
    add_view(app, "/free", lambda: "free")
    add_view(app, "/sometimes", sometimes)
    return app


@pytest.fixture
def client(settings: Settings) -> FlaskClient:
    return site(settings).test_client()


def statuses(client: FlaskClient, paths: list[str], address: str = "192.0.2.1") -> list[int]:
    return [client.get(path, environ_base={"REMOTE_ADDR": address}).status_code for path in paths]


def test_limit_that_is_exceeded_is_a_429_page_with_retry_after(client: FlaskClient) -> None:
    assert statuses(client, ["/one"] * 3) == [200] * 3
    answer = client.get("/one", environ_base={"REMOTE_ADDR": "192.0.2.1"})
    assert answer.status_code == 429
    assert answer.mimetype == "text/html"
    assert "Too many requests." in answer.text
    assert 1 <= int(answer.headers["Retry-After"]) <= 3600
    assert answer.headers["Cache-Control"] == "no-store"


def test_limit_that_is_exceeded_is_problem_json_for_machines(client: FlaskClient) -> None:
    statuses(client, ["/one"] * 3)
    answer = client.get("/one", environ_base={"REMOTE_ADDR": "192.0.2.1"}, headers={"Accept": "application/json"})
    assert answer.content_type == "application/problem+json"
    assert answer.get_json(force=True)["status"] == 429
    assert re.fullmatch(r"[1-9]\d*", answer.headers["Retry-After"])


def test_limit_that_is_exceeded_is_counted_by_name_and_is_one_security_event(client: FlaskClient) -> None:
    statuses(client, ["/feed"] * 3)
    with (
        grows(definitions.rate_limit_hits.labels("api"), by=2),
        grows(definitions.rate_limit_hits.labels("page"), by=0),
        grows(definitions.security_events.labels("rate_limit_exceeded", "low"), by=2),
        captured_log() as sink,
    ):
        assert statuses(client, ["/feed"] * 2) == [429, 429]
    events = [record for record in sink.records if record["event"] == "security.rate_limit_exceeded"]
    assert [(record["limit"], record["ip"]) for record in events] == [("api", "192.0.2.1")] * 2


def test_limit_is_shared_by_its_routes_and_no_others(client: FlaskClient) -> None:
    assert statuses(client, ["/one", "/two", "/one", "/two", "/one"]) == [200, 200, 200, 429, 429]
    assert statuses(client, ["/feed", "/free", "/free", "/free", "/free"]) == [200] * 5


def test_limit_counts_all_methods_together(client: FlaskClient) -> None:
    assert statuses(client, ["/two"] * 3) == [200] * 3
    assert client.head("/two", environ_base={"REMOTE_ADDR": "192.0.2.1"}).status_code == 429


def test_limit_with_a_condition_counts_only_when_it_is_true(client: FlaskClient) -> None:
    assert statuses(client, ["/sometimes"] * 5) == [200] * 5
    assert statuses(client, ["/sometimes?q=a"] * 4) == [200, 200, 200, 429]
    assert statuses(client, ["/sometimes"]) == [200]


def test_limit_of_one_client_does_not_affect_another(client: FlaskClient) -> None:
    assert statuses(client, ["/one"] * 4)[-1] == 429
    assert statuses(client, ["/one"], "192.0.2.2") == [200]


def test_limit_counts_an_ipv6_subnet_as_one_client(client: FlaskClient) -> None:
    addresses = ["2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2:ffff::", "2001:db8:1:2:3:4:5:6"]
    assert [statuses(client, ["/one"], address)[0] for address in addresses] == [200, 200, 200, 429]
    assert statuses(client, ["/one"], "2001:db8:1:3::1") == [200]


@pytest.mark.parametrize("path", ["/one", "/account"])
def test_limit_of_an_ipv6_site_is_eight_times_that_of_a_subnet(client: FlaskClient, path: str) -> None:
    subnets = [f"2001:db8:1:{number:x}::1" for number in range(30)]
    assert [statuses(client, [path], address)[0] for address in subnets] == [200] * 24 + [429] * 6
    assert statuses(client, [path], "2001:db8:2::1") == [200]


def test_limit_refused_to_one_ipv6_subnet_does_not_use_up_its_site(client: FlaskClient) -> None:
    assert statuses(client, ["/one"] * 50, "2001:db8:1:2::1") == [200] * 3 + [429] * 47
    assert statuses(client, ["/one"] * 3, "2001:db8:1:3::1") == [200] * 3


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", [("192.0.2.1", 1)]),
        ("::ffff:192.0.2.1", [("192.0.2.1", 1)]),
        ("2001:db8:1:2:3:4:5:6", [("2001:db8:1:2::/64", 1), ("2001:db8:1::/48", 8)]),
        ("unix:", [("unix:", 1)]),
        ("", [("unknown", 1)]),
    ],
)
def test_client_keys_are_the_address_or_its_networks(app: Flask, address: str, counted: list[tuple[str, int]]) -> None:
    with app.test_request_context(environ_base={"REMOTE_ADDR": address}):
        assert list(rate_limits.client_keys()) == counted
        assert rate_limits.client_key() == counted[0][0]


@pytest.mark.parametrize(
    "name", ["login", "login_account", "register", "link", "reset", "token", "checkout", "account"]
)
def test_limit_of_passwords_codes_money_or_changes_is_exact(name: str) -> None:
    assert name not in rate_limits.SETTLED_SOON


def test_limits_that_are_settled_soon_exist() -> None:
    assert set(definitions.LIMITS) >= rate_limits.SETTLED_SOON


def test_limit_can_be_counted_without_a_request(settings: Settings) -> None:
    app = site(settings)
    assert [rate_limits.count_client(app, "page", "192.0.2.1") for _ in range(2)] == [None] * 2
    assert statuses(app.test_client(), ["/one"] * 2) == [200, 429]
    assert rate_limits.count_client(app, "page", "192.0.2.1") == 3600


def test_limits_of_a_view_are_counted_in_order_until_one_refuses(settings: Settings) -> None:
    app = create_app(with_settings(settings, **RATES))

    @limited("page")
    @limited("api")
    def both() -> str:
        return "both"

    add_view(app, "/both", both)
    client = app.test_client()
    with grows(definitions.rate_limit_hits.labels("page"), by=2), grows(definitions.rate_limit_hits.labels("api"), 0):
        assert statuses(client, ["/both"] * 5) == [200, 200, 200, 429, 429]


def test_every_function_with_a_limit_is_a_view(app: Flask) -> None:
    """A limit on any other function would never be counted."""
    views = {inspect.unwrap(view).__qualname__ for view in app.view_functions.values()}
    sources = Path(church.__file__).parent.rglob("blueprints/**/*.py")
    declared = re.compile(r"^@limited\(.*\)\n(?:@.*\n)*def (\w+)", re.MULTILINE)
    functions = {name for source in sources for name in declared.findall(source.read_text())}
    assert len(functions) > 80
    assert functions <= views


def test_forwarded_address_from_an_untrusted_client_does_not_escape_the_limit(client: FlaskClient) -> None:
    found = [
        client.get("/one", environ_base={"REMOTE_ADDR": "192.0.2.1"}, headers={"X-Forwarded-For": f"10.0.0.{n}"})
        for n in range(4)
    ]
    assert [answer.status_code for answer in found] == [200, 200, 200, 429]


@pytest.mark.parametrize("name", definitions.LIMITS)
def test_limit_of_each_setting_has_a_metric_from_zero(name: str) -> None:
    assert (name,) in definitions.rate_limit_hits._metrics


def test_limit_of_an_unknown_name_raises_with_advice() -> None:
    with pytest.raises(ValueError, match=r"there is no limit pages: add limit_pages to church\.config\.Settings"):
        limited("pages")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "page"),
        ("/pages/", "page"),
        ("/pages/x", "page"),
        ("/pages/?q=x", "search"),
        ("/feed.xml", "api"),
        ("/sitemap.xml", "api"),
        ("/sitemap-1.xml", "api"),
        ("/video/?q=x", "search"),
        ("/robots.txt", "api"),
        ("/metrics", "telemetry_api"),
    ],
)
def test_route_of_the_site_has_its_limit(app: Flask, settings: Settings, path: str, name: str) -> None:
    large = {f"limit_{other}": "1000/hour" for other in definitions.LIMITS}
    client = create_app(with_settings(settings, **{**large, f"limit_{name}": "1/hour"})).test_client()
    with grows(definitions.rate_limit_hits.labels(name)):
        client.get(path)
        answer = client.get(path)
    assert answer.status_code == 429


def test_health_has_no_limit(settings: Settings) -> None:
    assert statuses(site(settings).test_client(), ["/health"] * 5) == [200] * 5


@pytest.fixture
def two_workers(settings: Settings, redis_server: RedisServer) -> Iterator[tuple[FlaskClient, FlaskClient]]:
    """Two apps over one Redis, like two workers, with a generous time-out for a busy machine."""
    from pydantic import SecretStr

    shared = {"redis_url": SecretStr(redis_server.url), "store_timeout": 60.0}
    return site(settings, **shared).test_client(), site(settings, **shared).test_client()


def test_exact_limit_is_shared_by_workers_at_once(two_workers: tuple[FlaskClient, FlaskClient]) -> None:
    first, second = two_workers
    found = [statuses(client, ["/account"])[0] for client in (first, second, first, second, first)]
    assert found == [200, 200, 200, 429, 429]


def test_limit_that_is_settled_soon_is_shared_by_workers_once_they_have_settled(
    two_workers: tuple[FlaskClient, FlaskClient],
) -> None:
    first, second = two_workers
    assert statuses(first, ["/one"] * 2) == statuses(second, ["/one"] * 2) == [200] * 2
    for client in two_workers:
        assert rate_limits.settle(client.application)
    assert statuses(second, ["/one"]) == [429]
    assert rate_limits.settle(first.application)
    assert statuses(first, ["/one"]) == [200], "the last that it heard of was its own"
    assert rate_limits.settle(first.application)
    assert statuses(first, ["/one"]) == [429]


@pytest.mark.parametrize("path", ["/one", "/account"])
def test_limit_is_counted_in_the_worker_while_the_store_is_down(
    two_workers: tuple[FlaskClient, FlaskClient], redis_server: RedisServer, path: str
) -> None:
    first, second = two_workers
    assert statuses(first, [path]) == [200]
    redis_server.stop()
    assert statuses(first, [path] * 5) == [200, 200, 429, 429, 429]
    assert statuses(second, [path] * 5) == [200, 200, 200, 429, 429]
    redis_server.start()
    wait_until(lambda: all(rate_limits.settle(client.application) for client in two_workers), "the store is back")
    assert statuses(first, [path]) == statuses(second, [path]) == [429]


@pytest.fixture
def counting(settings: Settings) -> Iterator[Flask]:
    app = site(settings, limit_login_account="3/hour")
    with app.test_request_context():
        yield app


def test_count_returns_the_total(counting: Flask) -> None:
    assert [rate_limits.count("login_account", "a") for _ in range(5)] == [1, 2, 3, 4, 5]


def test_spent_returns_seconds_once_the_setting_is_reached(counting: Flask) -> None:
    found = []
    for _ in range(3):
        found.append(rate_limits.seconds_until_free("login_account", "a"))
        rate_limits.count("login_account", "a")
    assert found == [None] * 3
    left = rate_limits.seconds_until_free("login_account", "a")
    assert left is not None
    assert 3500 < left <= 3600


def test_spent_counts_nothing(counting: Flask) -> None:
    assert [rate_limits.seconds_until_free("login_account", "a") for _ in range(5)] == [None] * 5
    assert rate_limits.count("login_account", "a") == 1


def test_spent_with_most_replaces_the_setting(counting: Flask) -> None:
    assert rate_limits.seconds_until_free("login_account", "a", most=1) is None
    rate_limits.count("login_account", "a")
    assert rate_limits.seconds_until_free("login_account", "a", most=1) is not None
    assert rate_limits.seconds_until_free("login_account", "a") is None


def test_count_is_separate_for_each_key_and_limit(counting: Flask) -> None:
    for _ in range(3):
        rate_limits.count("login_account", "a", "b")
    free = [rate_limits.seconds_until_free("login_account", *key) for key in (("a",), ("b",), ("a", "c"), ())]
    assert [*free, rate_limits.seconds_until_free("login", "a", "b")] == [None] * 5


def test_forget_resets_its_key_and_no_other(counting: Flask) -> None:
    for _ in range(3):
        rate_limits.count("login_account", "a")
        rate_limits.count("login_account", "b")
    rate_limits.reset_count("login_account", "a")
    rate_limits.reset_count("login_account", "never counted")
    assert rate_limits.seconds_until_free("login_account", "a") is None
    assert rate_limits.seconds_until_free("login_account", "b") is not None
    assert rate_limits.count("login_account", "a") == 1


def test_give_back_frees_one_of_its_key_and_never_more_than_was_counted(counting: Flask) -> None:
    rate_limits.give_back("login_account", "a")
    assert [rate_limits.count_or_wait("login_account", "a") for _ in range(3)] == [None] * 3
    rate_limits.give_back("login_account", "b")
    assert rate_limits.seconds_until_free("login_account", "a") is not None
    rate_limits.give_back("login_account", "a")
    assert rate_limits.count_or_wait("login_account", "a") is None
    left = rate_limits.count_or_wait("login_account", "a")
    assert left is not None
    assert 3500 < left <= 3600  # the window is the same


def test_give_back_is_shared_by_workers_and_goes_on_while_the_store_is_down(
    two_workers: tuple[FlaskClient, FlaskClient], redis_server: RedisServer
) -> None:
    first, second = (client.application for client in two_workers)
    with first.app_context():
        rate_limits.count("login_account", "a")
    with second.app_context():
        rate_limits.give_back("login_account", "a")
    with first.app_context():
        assert rate_limits.count("login_account", "a") == 1
        redis_server.stop()
        assert [rate_limits.count("login_account", "a") for _ in range(2)] == [2, 3]
        rate_limits.give_back("login_account", "a")
        assert rate_limits.count("login_account", "a") == 3


def test_count_does_not_affect_the_limits_of_views(client: FlaskClient) -> None:
    with client.application.test_request_context(environ_base={"REMOTE_ADDR": "192.0.2.1"}):
        for _ in range(5):
            rate_limits.count("page", rate_limits.client_key())
    assert statuses(client, ["/one"] * 4) == [200, 200, 200, 429]


def test_count_is_shared_by_workers_and_goes_on_while_the_store_is_down(
    two_workers: tuple[FlaskClient, FlaskClient], redis_server: RedisServer
) -> None:
    for client in two_workers:
        with client.application.app_context():
            rate_limits.count("login_account", "a")
    with two_workers[0].application.app_context():
        assert rate_limits.count("login_account", "a") == 3
        assert rate_limits.seconds_until_free("login_account", "a") is not None
        redis_server.stop()
        assert [rate_limits.count("login_account", "a") for _ in range(3)] == [4, 5, 6]
        assert rate_limits.seconds_until_free("login_account", "a") is not None


def test_forget_is_shared_by_workers_and_goes_on_while_the_store_is_down(
    two_workers: tuple[FlaskClient, FlaskClient], redis_server: RedisServer
) -> None:
    first, second = (client.application for client in two_workers)
    with first.app_context():
        for _ in range(3):
            rate_limits.count("login_account", "a")
    with second.app_context():
        rate_limits.reset_count("login_account", "a")
    with first.app_context():
        assert rate_limits.seconds_until_free("login_account", "a") is None
        redis_server.stop()
        for _ in range(3):
            rate_limits.count("login_account", "a")
        rate_limits.reset_count("login_account", "a")
        assert rate_limits.seconds_until_free("login_account", "a") is None
