"""Lists of the API: the newest first, pages by ``starting_after`` or ``ending_before``, filters by field."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from church.till.desk import Desk
from church.till.http.errors import TillError
from church.till.http.params import Params
from church.till.shapes import listed
from church.till.store import Obj

PAGING = "limit starting_after ending_before created"
_MOST = 100
_BOUNDS: dict[str, Callable[[int, int], bool]] = {
    "gt": int.__gt__,
    "gte": int.__ge__,
    "lt": int.__lt__,
    "lte": int.__le__,
}


def page(
    till: Desk,
    params: Params,
    kind: str,
    url: str,
    wanted: Callable[[Obj], bool] = lambda _: True,
    **equal: str | bool | None,
) -> Obj:
    """One page of ``kind``; a filter that is None is not asked for."""
    limit = params.number("limit")
    size = 10 if limit is None else limit
    if not 1 <= size <= _MOST:
        raise TillError(f"Invalid limit: from 1 to {_MOST}", "parameter_invalid_integer", "limit")
    after, before = (_known(till, kind, params, name) for name in ("starting_after", "ending_before"))
    filters = {name: value for name, value in equal.items() if value is not None}
    during = _created(params)
    every = till.store.all(kind, after, before, **filters)
    found = list(islice((one for one in every if wanted(one) and during(one)), size + 1))
    more, data = len(found) > size, found[:size]
    return listed(data[::-1] if before else data, url, more)


def _known(till: Desk, kind: str, params: Params, name: str) -> str | None:
    identity = params.text(name)
    return str(till.get(kind, identity, name)["id"]) if identity else None


def _created(params: Params) -> Callable[[Obj], bool]:
    if "created" not in params:
        return lambda _: True
    try:
        exact = params.number("created")
    except TillError:
        bounds = params.table("created").only(" ".join(_BOUNDS))
        limits = [(test, at) for name, test in _BOUNDS.items() if (at := bounds.number(name)) is not None]
        return lambda one: all(test(one["created"], at) for test, at in limits)
    return lambda one: bool(one["created"] == exact)
