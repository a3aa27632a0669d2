"""What is kept of answers, for how many, and what is never kept."""

from __future__ import annotations

from typing import Any

import brotli
import pytest

from church.web import answer_cache
from church.web.answer_cache import Answer, Draft, KeptAnswers, Key, Terms

TERMS = Terms("/x", "/x", None, False, ("thing",), None, None, ())
HEADERS = [("Content-Length", "4"), ("Cache-Control", "public, max-age=60"), ("ETag", '"1"'), ("X-Odd", "100%")]


class Thing:
    """Something that answers are made of."""

    state: Any = 1


@pytest.fixture
def answers() -> KeptAnswers:
    made = KeptAnswers(room=10_000)
    made.depends_on("thing", lambda: Thing.state)
    return made


@pytest.fixture(autouse=True)
def _same_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Thing, "state", 1)


def make(
    answers: KeptAnswers,
    target: str = "/x",
    headers: list[tuple[str, str]] = HEADERS,
    body: bytes = b"body",
    status: str = "200 OK",
    terms: Terms | None = TERMS,
) -> Draft:
    draft = answers.begin(Key(target, "identity"))
    draft.terms = terms
    draft.note_head(status, headers)
    assert b"".join(draft.collect([body])) == body
    return draft


def find(answers: KeptAnswers, target: str = "/x") -> Answer | None:
    kept = answers.find(Key(target, "identity"))
    return kept.answer if kept is not None else None


def test_offered_public_answer_is_kept(answers: KeptAnswers) -> None:
    make(answers)
    found = find(answers)
    assert found is not None
    head = found.head % {b"length": 4, b"id": b""}
    assert head == b'Content-Length: 4\r\nCache-Control: public, max-age=60\r\nETag: "1"\r\nX-Odd: 100%\r\n'


@pytest.mark.parametrize(
    "changes",
    [
        {"terms": None},
        {"status": "404 NOT FOUND"},
        {"status": "206 PARTIAL CONTENT"},
        {"headers": [*HEADERS, ("Set-Cookie", "a=b")]},
        {"headers": [*HEADERS, ("Vary", "Cookie, Accept-Language")]},
        {"headers": [*HEADERS, ("Transfer-Encoding", "chunked")]},
        {"headers": [HEADERS[0], ("Cache-Control", "private, no-store")]},
        {"headers": HEADERS[:1]},
        {"headers": HEADERS[1:]},
        {"body": b"cut"},
        {"headers": [("Content-Length", str(10**7)), *HEADERS[1:]]},
    ],
)
def test_other_answers_are_not_kept(answers: KeptAnswers, changes: dict[str, Any]) -> None:
    make(answers, **changes)
    assert find(answers) is None


def test_answer_is_dropped_when_what_it_is_made_of_changes(answers: KeptAnswers) -> None:
    make(answers)
    Thing.state = 2
    assert find(answers) is None
    Thing.state = 1
    assert find(answers) is None


def test_answer_of_an_unknown_state_is_not_kept(answers: KeptAnswers) -> None:
    Thing.state = None
    make(answers)
    assert find(answers) is None


def test_answer_is_kept_by_the_state_before_it_was_made(answers: KeptAnswers) -> None:
    draft = answers.begin(Key("/x", "identity"))
    Thing.state = 2  # while the app renders
    draft.terms = TERMS
    draft.note_head("200 OK", HEADERS)
    list(draft.collect([b"body"]))
    assert find(answers) is None


def test_unchanged_answer_belongs_to_the_kept_version(answers: KeptAnswers) -> None:
    make(answers)
    kept = answers.find(Key("/x", "identity"))
    assert kept is not None
    make(answers, status="304 NOT MODIFIED", headers=[HEADERS[1], ("ETag", '"2"')], body=b"")
    assert kept.unchanged is None
    make(answers, status="304 NOT MODIFIED", headers=HEADERS[1:3], body=b"")
    assert kept.unchanged is not None
    assert kept.unchanged.code == 304


def test_oldest_answers_make_room(answers: KeptAnswers) -> None:
    for number in range(4):
        make(answers, f"/{number}")
    kept = answers.find(Key("/0", "identity"))
    assert kept is not None
    answers.use(kept)
    make(answers, "/4")
    assert [find(answers, f"/{number}") is not None for number in range(5)] == [True, False, True, True, True]


def test_long_targets_take_room(answers: KeptAnswers) -> None:
    targets = [f"/{number}{'x' * 2500}" for number in range(3)]  # by their bodies alone, four would fit
    for target in targets:
        make(answers, target)
    assert [find(answers, target) is not None for target in targets] == [False, True, True]


def test_answers_that_replace_each_other_take_no_room(answers: KeptAnswers) -> None:
    for _ in range(50):
        make(answers)
    make(answers, "/other")
    assert find(answers) is not None


def test_body_is_closed_once_it_was_collected(answers: KeptAnswers) -> None:
    closed: list[bool] = []

    class Pieces(list[bytes]):
        def close(self) -> None:
            closed.append(True)

    pieces = Pieces([b"bo", b"dy"])
    draft = answers.begin(Key("/x", "identity"))
    draft.terms = TERMS
    draft.note_head("200 OK", HEADERS)
    body: Any = draft.collect(pieces)
    assert (list(body), closed) == ([b"body"], [])
    body.close()
    assert closed == [True]


def test_failed_compression_leaves_the_ordinary_body(answers: KeptAnswers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_cache, "run_off_hub", lambda *_: 1 // 0)
    monkeypatch.setattr(answer_cache.log, "exception", lambda *_args, **_options: None)
    body = brotli.compress(b"words " * 100, quality=1)
    draft = answers.begin(Key("/x", "br"))
    draft.terms = TERMS
    draft.note_head("200 OK", [("Content-Length", str(len(body))), ("Content-Encoding", "br"), *HEADERS[1:]])
    list(draft.collect([body]))
    kept = answers.find(Key("/x", "br"))
    assert kept is not None
    answers._improver._waiting += [kept] * 2
    answers._improver._run()
    assert (kept.answer.body, answers._improver._waiting) == (body, [])
    assert not answers._improver._is_running


def test_compression_is_kept_for_the_same_text(answers: KeptAnswers) -> None:
    make(answers)
    kept = answers.find(Key("/x", "identity"))
    assert kept is not None
    kept.answer.body, kept.is_best = b"best", True
    Thing.state = 2
    assert find(answers) is None
    make(answers)  # which sends the length and the body of its own
    found = find(answers)
    assert found is not None
    assert found.body == b"best"


def make_often_sent(answers: KeptAnswers, target: str, text: bytes) -> Answer:
    """Keep an answer in brotli, and send it until it is worth the best compression."""
    body = brotli.compress(text, quality=1)
    draft = answers.begin(Key(target, "br"))
    draft.terms = TERMS
    draft.note_head("200 OK", [("Content-Length", str(len(body))), ("Content-Encoding", "br"), *HEADERS[1:]])
    list(draft.collect([body]))
    kept = answers.find(Key(target, "br"))
    assert kept is not None
    for _ in range(answer_cache._BEST_AFTER):
        answers.use(kept)
    return kept.answer


def test_same_text_at_many_addresses_is_compressed_once(answers: KeptAnswers, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[bytes] = []
    monkeypatch.setattr(answer_cache, "run_off_hub", lambda _fn, _coding, body: done.append(body) or b"best")
    monkeypatch.setattr(answers._improver, "_is_running", True)
    made = [make_often_sent(answers, f"/x?{number}", b"words " * 100) for number in range(3)]
    answers._improver._run()
    assert [answer.body for answer in made] == [b"best"] * 3
    assert len(done) == 1


@pytest.mark.parametrize("coding", ["br", "gzip"])
def test_body_that_is_sent_as_it_is_is_not_compressed_again(answers: KeptAnswers, coding: str) -> None:
    answers._improver._is_running = True
    draft = answers.begin(Key("/icon.svg", coding))  # what the client prefers; a short text is not compressed
    draft.terms = TERMS
    draft.note_head("200 OK", HEADERS)
    list(draft.collect([b"body"]))
    kept = answers.find(Key("/icon.svg", coding))
    assert kept is not None
    for _ in range(answer_cache._BEST_AFTER):
        answers.use(kept)
    assert answers._improver._waiting == []


def test_flood_of_addresses_does_not_wait_for_the_best_compression(answers: KeptAnswers) -> None:
    answers._improver._is_running = True
    for number in range(2 * answer_cache._MOST_WAITING):
        make_often_sent(answers, f"/x?{number}", b"%d " % number * 100)
    assert len(answers._improver._waiting) == answer_cache._MOST_WAITING
