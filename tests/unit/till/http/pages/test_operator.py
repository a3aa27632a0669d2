"""The operator's page and its forms."""

from __future__ import annotations

import json

import pytest


def test_operator_state_and_errors_are_json(till):
    state = json.loads(till.get("/operator/state")[2])
    assert state["pending"] > 0
    assert {"now", "ahead", "next_renewal", "decline", "delay", "api_delay"} <= set(state)
    status, _, body = till.post("/operator/refund", charge="ch_none")
    assert (status, json.loads(body)["error"]["code"]) == (404, "resource_missing")


@pytest.mark.parametrize("fields", [{"delay": "x"}, {"delay": "-1"}, {"api_delay": "nan"}, {"api_delay": "99999"}])
def test_knob_with_an_invalid_number_is_refused(till, fields):
    assert till.post("/operator/knobs", **fields)[0] == 400


def test_operator_form_turns_off_unchecked_switches(till):
    till.operate("knobs", decline="on", disorder="on")
    assert till.operate("knobs", duplicates="on")["decline"] is True
    state = till.operate("knobs", all="1", disorder="on")
    assert (state["decline"], state["disorder"], state["duplicates"]) == (False, True, False)


@pytest.mark.parametrize("fields", [{"days": "-1"}, {"days": "801"}, {"days": "x"}, {"to": "renewal"}])
def test_clock_invalid_move_is_refused(till, fields):
    assert till.post("/operator/clock", **fields)[0] == 400
    assert till.operate("knobs")["ahead"] == 0
