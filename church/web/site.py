"""The Flask app of the site and its answers, without work that Flask does for features that the site does not have."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, cast

from flask import Flask, Response
from flask.templating import Environment
from jinja2 import Template

from church import telemetry

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# Fields that werkzeug or the server would rewrite or leave out, and characters that the server refuses.
_LEFT_TO_OTHERS = frozenset(
    {
        *("location", "content-location", "connection", "keep-alive", "proxy-authenticate", "proxy-authorization"),
        *("te", "trailer", "trailers", "transfer-encoding", "upgrade", "server", "date"),
    }
)
_BLANKS = " \t"
_REFUSED = re.compile(r"[^\t\r\n -~\x80-\xff]")


class SiteResponse(Response):
    """A response that our own server takes whole, as the bytes of head and body. Any other gets it by WSGI.

    What wraps ``start_response`` wants to see it, and so gets it by WSGI, too.
    """

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        take = getattr(start_response, "take_whole", None)
        if take is not None and environ["REQUEST_METHOD"] != "HEAD" and self._is_whole():
            body = self.get_data()
            head = self._write_head(len(body))
            if head is not None:
                return cast("Iterable[bytes]", take(self.status, head, body, self.close))
        return super().__call__(environ, start_response)

    def _is_whole(self) -> bool:
        return (self.status_code == 200 or self.status_code >= 400) and self.is_sequence and not self.direct_passthrough

    def _write_head(self, length: int) -> bytes | None:
        """Write the header lines; None if one of them is not to be sent as it is."""
        fields = {name.lower(): value for name, value in self.headers}
        if not _LEFT_TO_OTHERS.isdisjoint(fields) or fields.get("content-length", str(length)) != str(length):
            return None
        lines = [f"{name}: {value.strip(_BLANKS)}\r\n" for name, value in self.headers]
        if "content-length" not in fields:
            lines.append(f"Content-Length: {length}\r\n")
        head = "".join(lines)
        return None if _REFUSED.search(head) or head.count("\n") != len(lines) else head.encode("latin-1")


class _Template(Template):
    """A template whose rendering, as a whole page or part, is a span of the request."""

    def render(self, *args: Any, **kwargs: Any) -> str:
        """Render the template; those that it includes or extends are a part of it."""
        with telemetry.span(f"render {self.name}"):
            return super().render(*args, **kwargs)


class _Templates(Environment):
    """Templates that all have the same globals.

    Jinja gives each template a chain of its own globals and the common ones. It compares that chain's names, in Python,
    with the names of the page whenever a page imports macros. No template of the site has globals of its own.
    """

    template_class = _Template

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """Return the common globals, with ``d`` before them if there is any."""
        return super().make_globals(d) if d else self.globals


class Site(Flask):
    """Flask for views, hooks and error handlers that are plain functions, none of them ``async``."""

    jinja_environment = _Templates
    response_class = SiteResponse

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``func``. Flask looks at each function, about twenty a request, whether it is a coroutine."""
        return func

    def make_response(self, rv: Any) -> Response:
        """Make the response of what a view returns.

        Flask would change the class of each to ours, and so take its own way to answer from one that has it, such as
        the end of a WebSocket, after which nothing may be sent.
        """
        return rv if isinstance(rv, Response) and type(rv) is not Response else super().make_response(rv)
