"""Log records: one line of JSON each, with the same fields from every logger, and without secrets."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from church.config import Settings
from church.lib.log_fields import SCHEMES, Scheme, read_plainly
from church.observability import request_observer
from church.observability.access_records import access_message
from church.observability.logs import records
from church.observability.logs.records import RecordFormatter
from church.observability.logs.redaction import HIDDEN, MAX_VALUE
from church.observability.metrics import definitions
from church.observability.request_observer import Observation
from tests.support.helpers import STATIC, ListSink
from tests.support.log_lines import parse_record
from tests.support.membership_fixture import Membership

HOSTILE = 'a\nb\r\nc\x00d\x1b[31me\u2028f\u2029g\x85h\x7fi\ud800j\udfffk"l\\m\tn\U0001f600o'
SPEC_ORDER = [
    "timestamp",
    "level",
    "logger",
    "message",
    "event",
    "service",
    "version",
    "environment",
    "request_id",
    "trace_id",
    "span_id",
    "user_ref",
    "method",
    "route",
    "status",
    "duration_ms",
    "cpu_ms",
    "bytes",
    "ip",
    "path",
    "user_agent",
    "referrer_host",
]


def record(message: Any = "happened", level: int = logging.INFO, **extra: Any) -> logging.LogRecord:
    exc_info, stack = extra.pop("exc_info", None), extra.pop("stack_info", None)
    made = logging.getLogger("church.test").makeRecord(
        "church.test", level, "file.py", 1, message, (), exc_info, extra=extra, sinfo=stack
    )
    made.created = 1_700_000_000.25
    return made


def raised(error: Exception, cause: Exception | None = None) -> Any:
    """The value of sys.exc_info() while ``error`` is handled."""
    with pytest.raises(type(error)) as caught:
        raise error from cause
    return caught._excinfo


def formatted(
    made: logging.LogRecord, context: dict[str, Any] | None = None, scheme: Scheme = "plain"
) -> dict[str, Any]:
    line = RecordFormatter(STATIC, lambda: context or {}, scheme=scheme).format(made)
    assert line.isascii()
    assert "\n" not in line
    assert all(char.isprintable() or char == "\x7f" for char in line)
    found: dict[str, Any] = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    return found


def test_record_has_the_fields_of_the_site_in_order() -> None:
    found = formatted(record(event="thing.happened", count=3), {"request_id": "r1", "trace_id": "t", "span_id": "s"})
    assert list(found.items()) == [
        ("timestamp", "2023-11-14T22:13:20.250Z"),
        ("level", "INFO"),
        ("logger", "church.test"),
        ("message", "happened"),
        ("event", "thing.happened"),
        ("service", "church"),
        ("version", "1.2.3"),
        ("environment", "development"),
        ("request_id", "r1"),
        ("trace_id", "t"),
        ("span_id", "s"),
        ("count", 3),
    ]


def test_record_without_an_event_has_the_name_of_its_logger_as_event() -> None:
    assert formatted(record())["event"] == "church.test"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (0.9999, "1970-01-01T00:00:00.999Z"),
        (1_700_000_000.001, "2023-11-14T22:13:20.000Z"),
        (1_709_251_199.5, "2024-02-29T23:59:59.500Z"),
    ],
)
def test_timestamp_is_utc_to_the_millisecond(seconds: float, text: str) -> None:
    assert records.timestamp(seconds)[:-3] == text[:-3]
    assert records.timestamp(seconds).endswith("Z")
    assert len(records.timestamp(seconds)) == len(text)


def test_hostile_text_stays_in_its_field() -> None:
    found = formatted(
        record(HOSTILE, event=HOSTILE, **{"field": HOSTILE, HOSTILE: HOSTILE, "deep": {HOSTILE: [HOSTILE]}})
    )
    assert found["message"] == found["event"] == found["field"] == HOSTILE
    assert found["deep"] == {HOSTILE: [HOSTILE]}


def test_secrets_are_hidden_in_every_field() -> None:
    error = raised(ValueError("reset_token=hunter2 for jane@mail.example.org"))
    found = formatted(
        record(
            "password=hunter2 Bearer hunter2hunter2",
            exc_info=error,
            stack_info="in f(token='hunter2')",
            new_password="hunter2",
            form={"card_number": "hunter2", "note": "4242 4242 4242 4242"},
            url="/x?access_token=hunter2",
        ),
        {"token": "hunter2"},
    )
    text = json.dumps(found)
    assert "hunter2" not in text
    assert "4242" not in text
    assert "jane" not in text
    assert found["new_password"] == found["token"] == HIDDEN
    assert found["exception"].startswith("Traceback (most recent call last):\n")
    assert found["exception"].splitlines()[-1] == f"ValueError: reset_token={HIDDEN} for {HIDDEN}"
    assert found["stack"] == f"in f(token='{HIDDEN}')"


def test_record_in_the_names_of_otel_has_the_same_values_in_the_same_order() -> None:
    made = record(event="thing.happened", count=3, exc_info=raised(KeyError("gone")), level=logging.ERROR)
    context = {"request_id": "r1", "trace_id": "t", "user_ref": "u", "route": "/x"}
    plain, otel = formatted(made, context), formatted(made, context, "otel")
    assert list(read_plainly(otel).items()) == list(plain.items())
    assert list(otel) == [
        *("timestamp", "severity_text", "logger", "body", "event_name", "service.name", "service.version"),
        *("deployment.environment.name", "church.request_id", "trace_id", "church.user_ref", "http.route"),
        *("church.count", "error.type", "church.fingerprint", "exception.stacktrace"),
    ]


def test_value_whose_name_says_that_it_is_secret_is_hidden_in_both_schemes() -> None:
    for scheme in SCHEMES:
        found = read_plainly(formatted(record(password="hunter2", session="abc", note="token=hunter2"), scheme=scheme))
        assert (found["password"], found["session"], found["note"]) == (HIDDEN, HIDDEN, f"token={HIDDEN}")


def test_exception_is_the_last_field() -> None:
    found = formatted(record(exc_info=raised(KeyError("gone")), level=logging.ERROR, count=1))
    assert list(found)[-1] == "exception"
    assert set(found) == {*SPEC_ORDER[:8], "count", "error_type", "fingerprint", "exception"}


def test_exception_that_is_long_keeps_its_end() -> None:
    error = raised(KeyError("what went wrong"), ValueError("first " + "x" * 50_000))
    found = formatted(record(exc_info=error))
    assert found["exception"].endswith("KeyError: 'what went wrong'")
    assert len(found["exception"]) <= MAX_VALUE + 1


def test_long_values_are_bounded() -> None:
    found = formatted(record("m" * 100_000, field="f" * 100_000, many=list(range(100_000))))
    assert len(found["message"]) == len(found["field"]) == MAX_VALUE + 1
    assert len(found["many"]) == 100


def test_record_of_a_mapping_gives_its_fields_and_redacts_them() -> None:
    found = formatted(record({"event": "x.y", "token": "hunter2", "n": 1}))
    assert (found["event"], found["token"], found["n"]) == ("x.y", HIDDEN, 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"\xff", {1, 2}, object(), 10**30, Path("/x")])
def test_any_value_makes_valid_json(value: Any) -> None:
    assert "field" in formatted(record(field=value))


def test_message_with_arguments_is_put_together() -> None:
    made = logging.getLogger("x").makeRecord("x", logging.INFO, "f", 1, "%s of %d", ("one", 2), None)
    assert formatted(made)["message"] == "one of 2"


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("cannot be shown")

    __repr__ = __str__


def deep() -> Any:
    made: Any = []
    for _ in range(100_000):
        made = [made]
    return made


@pytest.mark.parametrize("field", [Unprintable(), deep()])
def test_record_that_cannot_be_made_is_dropped_and_counted(field: Any) -> None:
    dropped: list[int] = []
    sink = ListSink()
    handler = records.Handler(RecordFormatter(STATIC, dict), [sink], ListSink(), dropped.append)
    handler.emit(record(field=field))
    handler.emit(record("%d"))
    assert dropped == [1]
    assert [found["message"] for found in sink.records] == ["%d"]


def test_context_that_fails_drops_the_record_and_breaks_nothing() -> None:
    def fails() -> dict[str, Any]:
        raise LookupError

    dropped: list[int] = []
    records.Handler(RecordFormatter(STATIC, fails), [], ListSink(), dropped.append).emit(record())
    assert dropped == [1]


def test_errors_go_to_the_error_log_too() -> None:
    everything, errors = ListSink(), ListSink()
    handler = records.Handler(RecordFormatter(STATIC, dict), [everything], errors, lambda _: None)
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        handler.emit(record(level=level))
    assert len(everything.lines) == 5
    assert [found["level"] for found in errors.records] == ["ERROR", "CRITICAL"]


@pytest.fixture
def observation(monkeypatch: pytest.MonkeyPatch) -> Iterator[Observation]:
    """A request that was answered, with every field that an access record can have."""
    access = request_observer.access
    request_observer.prepare_access_records(STATIC)
    environ = {
        "REQUEST_METHOD": "GET",
        "REMOTE_ADDR": "2001:db8::1",
        "HTTP_X_REQUEST_ID": "my-id.7",
        "PATH_INFO": '/pages/a"b@c.example\n',
        "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0",
        "HTTP_REFERER": "https://other.example/page?token=1",
        "church.trusted": True,
    }
    made = Observation(environ, None)
    made.route, made.status, made.sent = "/pages/<path:slug>", 404, 1234
    made.end_cpu("request")
    made.finished = True
    definitions.http_requests_in_flight.dec()
    monkeypatch.setattr(request_observer.time, "time", lambda: 1_700_000_000.25)
    yield made
    request_observer.access = access


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("theirs", [None, "their-id.7"])
@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("user", [None, "u-42", 'u"4\n2', "token=hunter2"])
@pytest.mark.parametrize("route", ["/", "/pages/<path:slug>", "_unmatched", '/a"b\\c', "/é\u2028"])
def test_access_line_equals_the_formatters_line(
    observation: Observation, traced: bool, user: str | None, route: str, theirs: str | None, scheme: Scheme
) -> None:
    """``traced``: something has asked for the ids of its trace, as every record before this one does."""
    request_observer.prepare_access_records(STATIC, scheme=scheme)
    observation.user_ref, observation.route, observation.client_request_id = user, route, theirs
    context = observation.context() if traced else {}
    duration = 0.0123456
    kind = (observation.method, route, observation.status)
    direct = request_observer.access.write(observation, kind, duration)
    extra = {"event": "http.request", **request_observer.access.describe(observation, duration)}
    made = logging.getLogger("church.access").makeRecord(
        "church.access", logging.INFO, "f", 1, access_message(*kind), (), None, extra=extra
    )
    made.created = 1_700_000_000.25
    if not traced:
        context = {name: given for name, given in observation.context().items() if name not in {"trace_id", "span_id"}}
    formatted = RecordFormatter(STATIC, lambda: context, scheme=scheme).format(made)
    assert direct.decode("ascii") == formatted + "\n"
    absent = {
        *(() if traced else ("trace_id", "span_id")),
        *(() if user else ("user_ref",)),
        *(() if theirs else ("client_request_id",)),
    }
    present = [name for name in (*SPEC_ORDER, "client_request_id") if name not in absent]
    assert list(parse_record(direct)) == present


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back as it was."""
    logger = logging.getLogger()
    before = logger.handlers[:], logger.level, sys.excepthook
    names = ("gunicorn.error", "gunicorn.access", *records._VERBOSE_LIBRARIES)
    levels = {name: logging.getLogger(name).level for name in names}
    logging.captureWarnings(False)  # an earlier test's site may have turned it on, for warnings as they went then
    yield logger
    logger.handlers[:], sys.excepthook = before[0], before[2]
    logger.setLevel(before[1])
    logging.captureWarnings(False)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def installed(level: str = "INFO") -> tuple[ListSink, ListSink]:
    sink, errors = ListSink(), ListSink()
    records.install(records.Handler(RecordFormatter(STATIC, dict), [sink], errors, lambda _: None), level)
    return sink, errors


def test_install_replaces_an_earlier_handler(root: logging.Logger) -> None:
    first, _ = installed()
    second, _ = installed()
    logging.getLogger("anyone").info("hello")
    assert first.lines == []
    assert [found["message"] for found in second.records] == ["hello"]


def test_install_formats_gunicorns_lines_and_warnings_the_same_way(root: logging.Logger) -> None:
    gunicorn = logging.getLogger("gunicorn.error")
    gunicorn.addHandler(logging.StreamHandler())
    gunicorn.propagate = False
    sink, _ = installed()
    gunicorn.warning("Worker was sent %s", "SIGKILL")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old thing", DeprecationWarning, stacklevel=1)
    assert [found["logger"] for found in sink.records] == ["gunicorn.error", "py.warnings"]
    assert sink.records[0]["message"] == "Worker was sent SIGKILL"
    assert gunicorn.handlers == []


def test_install_logs_at_its_level(root: logging.Logger) -> None:
    sink, _ = installed("WARNING")
    logging.getLogger("anyone").info("quiet")
    logging.getLogger("anyone").warning("loud")
    assert [found["message"] for found in sink.records] == ["loud"]


@pytest.mark.parametrize("name", ["stripe", "urllib3.connectionpool", "requests", "alembic", "werkzeug"])
def test_install_leaves_out_bodies_and_addresses_that_libraries_log_at_any_level(
    root: logging.Logger, name: str
) -> None:
    sink, _ = installed("DEBUG")
    logging.getLogger(name).debug("Post details post_data=b'customer_email=...'")
    logging.getLogger(name).info("Request to Stripe api")
    logging.getLogger(name).warning("loud")
    assert [found["message"] for found in sink.records] == ["loud"]
    quieter, _ = installed("ERROR")
    logging.getLogger(name).warning("not asked for")
    assert quieter.records == []


def test_calls_to_stripe_are_not_logged_with_what_members_typed(root: logging.Logger, membership: Membership) -> None:
    sink, _ = installed("DEBUG")
    membership.start(membership.as_signed_in(membership.add("ada.of.the.log@church.example")))
    logging.getLogger("church.test").debug("the end")
    logged = b"".join(sink.lines).decode()
    assert "the end" in logged
    assert "Request to Stripe" not in logged
    assert "customer_email" not in logged


def test_uncaught_exception_is_logged_and_an_interrupt_is_not(root: logging.Logger) -> None:
    _, errors = installed()
    error = ValueError("it was not caught")
    sys.excepthook(ValueError, error, None)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert [(found["event"], found["level"]) for found in errors.records] == [("process.uncaught", "CRITICAL")]
    assert "it was not caught" in errors.records[0]["exception"]


def test_build_writes_combined_and_error_logs(settings: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    handler = records.build(settings.log_dir, RecordFormatter(STATIC, dict), lambda _: None)
    handler.emit(record("fine"))
    handler.emit(record("broken", level=logging.ERROR))
    combined = (settings.log_dir / "combined.log").read_text().splitlines()
    errors = (settings.log_dir / "error.log").read_text().splitlines()
    assert [json.loads(line)["message"] for line in combined] == ["fine", "broken"]
    assert [json.loads(line)["message"] for line in errors] == ["broken"]
    assert capfd.readouterr().err.splitlines() == combined
