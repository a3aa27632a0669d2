"""Lists of the API: newest first, paged by ``starting_after`` or ``ending_before``, filtered by field."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from church.till.desk import Till
from church.till.http.errors import TillError
from church.till.http.params import Params
from church.till.shapes import make_list
from church.till.store import Obj

PAGING = "limit starting_after ending_before created"
_MAX_LIMIT = 100
_BOUNDS: dict[str, Callable[[int, int], bool]] = {
    "gt": int.__gt__,
    "gte": int.__ge__,
    "lt": int.__lt__,
    "lte": int.__le__,
}


def list_page(
    till: Till,
    params: Params,
    kind: str,
    url: str,
    wanted: Callable[[Obj], bool] = lambda _: True,
    **equal: str | bool | None,
) -> Obj:
    """Return one page of the objects of ``kind``; filters that are None are ignored."""
    limit = params.number("limit")
    size = 10 if limit is None else limit
    if not 1 <= size <= _MAX_LIMIT:
        raise TillError(f"Invalid limit: from 1 to {_MAX_LIMIT}", "parameter_invalid_integer", "limit")
    after, before = (_cursor(till, kind, params, name) for name in ("starting_after", "ending_before"))
    filters = {name: value for name, value in equal.items() if value is not None}
    in_time = _created_filter(params)
    every = till.store.all(kind, after, before, **filters)
    objects = list(islice((obj for obj in every if wanted(obj) and in_time(obj)), size + 1))
    more, data = len(objects) > size, objects[:size]
    return make_list(data[::-1] if before else data, url, more)


def _cursor(till: Till, kind: str, params: Params, name: str) -> str | None:
    identity = params.text(name)
    return str(till.get(kind, identity, name)["id"]) if identity else None


def _created_filter(params: Params) -> Callable[[Obj], bool]:
    if "created" not in params:
        return lambda _: True
    try:
        exact = params.number("created")
    except TillError:
        bounds = params.table("created").allow(" ".join(_BOUNDS))
        limits = [(test, at) for name, test in _BOUNDS.items() if (at := bounds.number(name)) is not None]
        return lambda obj: all(test(obj["created"], at) for test, at in limits)
    return lambda obj: bool(obj["created"] == exact)
