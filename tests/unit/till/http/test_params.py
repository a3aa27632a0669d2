"""Decoding and reading of form-encoded parameters, as the SDK encodes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stripe._encode import _api_encode

from church.till.http.errors import TillError
from church.till.http.params import Params, decode

_NAMES = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
_VALUES = st.recursive(
    st.text(min_size=1, max_size=8),
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(_NAMES, inner, min_size=1, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(_NAMES, _VALUES, max_size=4))
def test_decode_reverses_the_sdk_encoder(fields):
    assert decode((name, str(value)) for name, value in _api_encode(fields)) == fields


def test_decode_empty_brackets_append():
    assert decode([("expand[]", "a"), ("expand[]", "b")]) == {"expand": ["a", "b"]}


@pytest.mark.parametrize("pairs", [[("a", "1"), ("a[b]", "2")], [("a[b]", "1"), ("a[b][c]", "2")]])
def test_decode_name_used_as_value_and_table_is_refused(pairs):
    with pytest.raises(TillError, match="Invalid parameter"):
        decode(pairs)


@pytest.mark.parametrize("name", ["", "[]", "a[", "]", "[[[", "a[b[c]]", "x" + "[y]" * 50])
def test_decode_odd_names_give_a_dict(name):
    assert isinstance(decode([(name, "1")]), dict)


@pytest.mark.parametrize(
    ("read", "param"),
    [
        (lambda params: params.number("word"), "word"),
        (lambda params: params.flag("word"), "word"),
        (lambda params: params.table("word"), "word"),
        (lambda params: params.rows("word"), "word"),
        (lambda params: params.link("word"), "word"),
        (lambda params: params.choice("word", "a", "b"), "word"),
        (lambda params: params.text("table"), "table"),
        (lambda params: params.required("nothing"), "nothing"),
        (lambda params: params.table("table").allow("other"), "table[inner]"),
        (lambda params: params.rows("rows")[1].required("price"), "rows[1][price]"),
    ],
)
def test_params_invalid_value_is_named_as_sent(read, param):
    params = Params({"word": "x!", "table": {"inner": "1"}, "rows": [{"price": "p"}, {}]})
    with pytest.raises(TillError) as caught:
        read(params)
    assert caught.value.body()["error"]["param"] == param
    assert caught.value.status == 400


def test_metadata_is_merged_and_empty_value_removes_a_name():
    before = {"a": "1", "b": "2"}
    assert Params({"metadata": {"b": "", "c": "3"}}).texts_by_name("metadata", before) == {"a": "1", "c": "3"}
    assert Params({"metadata": ""}).texts_by_name("metadata", before) == {}
