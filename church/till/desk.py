"""What every part of the till works with: its objects, its clock, and the events that say what changed."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flask import current_app

from church.till import shapes
from church.till.http.errors import MissingError
from church.till.store import Obj, Store

if TYPE_CHECKING:
    from church.config import Settings


class Desk:
    """One till. ``request`` is the id and idempotency key of the API call that is being answered."""

    def __init__(self, settings: Settings) -> None:
        self.store = Store(settings.instance / "till.db")
        self.address = f"http://{reachable(settings.till_address)}"
        self.site = f"http://{reachable(settings.bind)}"
        self.request: tuple[str | None, str | None] = (None, None)
        self.news = threading.Event()  # there is something to deliver
        self._moment: int | None = None

    @property
    def now(self) -> int:
        """The till's time, in seconds since 1970."""
        if self._moment is not None:
            return self._moment
        return int(time.time()) + int(self.store.knob("clock", "0"))

    @contextmanager
    def moment(self, at: int) -> Iterator[None]:
        """In the block it is ``at``."""
        self._moment = at
        try:
            yield
        finally:
            self._moment = None

    def make(self, kind: str, **values: Any) -> Obj:
        """A new object that is not kept yet."""
        made = shapes.make(kind, **values)
        for name in ("created", "updated"):
            if name in made and name not in values:
                made[name] = self.now
        return made

    def get(self, kind: str, identity: str | None, param: str = "id") -> Obj:
        """The object. Raises MissingError, which names ``param``."""
        found = self.store.get(identity or "", kind)
        if found is None or found.get("deleted"):
            raise MissingError(kind, identity or "", param)
        return found

    def keep(self, obj: Obj, *events: str) -> Obj:
        """Keep a new object and say so."""
        self.store.put(obj)
        for event in events:
            self.tell(event, obj)
        return obj

    def change(self, obj: Obj, *events: str, **values: Any) -> Obj:
        """Give fields of ``obj`` new values; each event says which were different before. Nothing new is not told."""
        if unknown := set(values) - set(obj):
            raise KeyError(f"{obj['object']} has no {unknown}")
        before = {name: obj[name] for name, value in values.items() if obj[name] != value}
        obj.update(values)
        self.store.put(obj)
        if before:
            for event in events:
                self.tell(event, obj, before)
        return obj

    def tell(self, kind: str, obj: Obj, before: Obj | None = None) -> Obj:
        """Write an event and the order to deliver it. It happens now, whatever the till's clock says."""
        data: Obj = {"object": copy.deepcopy(obj)}
        if before is not None:
            data["previous_attributes"] = before
        request, key = self.request
        real = time.time()
        event = shapes.make(
            "event",
            api_version=shapes.API_VERSION,
            created=int(real),
            data=data,
            request={"id": request, "idempotency_key": key},
            type=kind,
        )
        self.store.put(event)
        due = real + float(self.store.knob("delay", "0"))
        self.store.execute("INSERT INTO deliveries (event, due) VALUES (?, ?)", event["id"], due)
        self.news.set()
        return event


def reachable(address: str) -> str:
    """Where to call what listens on ``address``, which may be all addresses of the host."""
    return address.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:")


def desk() -> Desk:
    """The till of the app in whose context this is called."""
    found: Desk = current_app.extensions["till"]
    return found
