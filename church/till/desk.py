"""The till's state, shared by all its parts: objects, the clock, and the events of every change."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flask import current_app

from church.till import shapes
from church.till.http.errors import NoSuchObjectError
from church.till.store import Obj, Store

if TYPE_CHECKING:
    from church.config import Settings


class Till:
    """One till. ``request`` is the id and the idempotency key of the current API call."""

    def __init__(self, settings: Settings) -> None:
        self.store = Store(settings.instance / "till.db")
        self.address = f"http://{reachable(settings.till_address)}"
        self.site = f"http://{reachable(settings.bind)}"
        self.request: tuple[str | None, str | None] = (None, None)
        self.new_delivery = threading.Event()  # set when an event waits for delivery
        self._fixed_time: int | None = None

    @property
    def now(self) -> int:
        """The till's time, in seconds since 1970."""
        if self._fixed_time is not None:
            return self._fixed_time
        return int(time.time()) + int(self.store.get_knob("clock", "0"))

    @contextmanager
    def at_time(self, at: int) -> Iterator[None]:
        """Set the till's time to ``at`` within the block."""
        self._fixed_time = at
        try:
            yield
        finally:
            self._fixed_time = None

    def make(self, kind: str, **values: Any) -> Obj:
        """Create an object that is not stored yet."""
        obj = shapes.make_object(kind, **values)
        for name in ("created", "updated"):
            if name in obj and name not in values:
                obj[name] = self.now
        return obj

    def get(self, kind: str, identity: str | None, param: str = "id") -> Obj:
        """Return an object. Raises an error that names ``param`` if there is no such object, or it was deleted."""
        obj = self.store.get(identity or "", kind)
        if obj is None or obj.get("deleted"):
            raise NoSuchObjectError(kind, identity or "", param)
        return obj

    def add(self, obj: Obj, *events: str) -> Obj:
        """Store a new object and emit ``events`` about it."""
        self.store.put(obj)
        for event in events:
            self.emit(event, obj)
        return obj

    def change(self, obj: Obj, *events: str, **values: Any) -> Obj:
        """Update fields of ``obj`` and emit ``events`` with the previous values. No change, no event."""
        if unknown := set(values) - set(obj):
            raise KeyError(f"{obj['object']} has no {unknown}")
        before = {name: obj[name] for name, value in values.items() if obj[name] != value}
        obj.update(values)
        self.store.put(obj)
        if before:
            for event in events:
                self.emit(event, obj, before)
        return obj

    def emit(self, kind: str, obj: Obj, before: Obj | None = None) -> Obj:
        """Store an event and queue its delivery. Its time is the real time, not that of the till's clock."""
        data: Obj = {"object": copy.deepcopy(obj)}
        if before is not None:
            data["previous_attributes"] = before
        request, key = self.request
        real_time = time.time()
        event = shapes.make_object(
            "event",
            api_version=shapes.API_VERSION,
            created=int(real_time),
            data=data,
            request={"id": request, "idempotency_key": key},
            type=kind,
        )
        self.store.put(event)
        due = real_time + float(self.store.get_knob("delay", "0"))
        self.store.execute("INSERT INTO deliveries (event, due) VALUES (?, ?)", event["id"], due)
        self.new_delivery.set()
        return event


def reachable(address: str) -> str:
    """Return the address at which to call a server that listens on ``address``, which may mean all of the host's."""
    return address.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")


def current_till() -> Till:
    """Return the till of the current app."""
    till: Till = current_app.extensions["till"]
    return till
