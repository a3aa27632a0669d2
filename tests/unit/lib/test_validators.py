"""The entity tag and the last change of a file, as HTTP headers."""

from __future__ import annotations

from church.lib.validators import Validators


def test_last_modified_is_an_http_date_in_whole_seconds() -> None:
    """The time of RFC 9110's own example, with a fraction that must not round up."""
    assert Validators("tag", 784111777.9).last_modified == "Sun, 06 Nov 1994 08:49:37 GMT"


def test_validators_of_the_same_version_are_equal() -> None:
    assert Validators("tag", 1.0) == Validators("tag", 1.0)
    assert Validators("tag", 1.0) != Validators("other", 1.0)
