"""Pages of the till, for payers and for its operator. Each page says that no money moves."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, g, render_template, request

from church.till.desk import current_till
from church.till.http.errors import TillError
from church.till.http.pages import checkout, invoice, operator, portal

_CSP = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'"


def init_app(app: Flask) -> None:
    """Register the pages, their protection and their error page."""
    for module in (checkout, invoice, operator, portal):
        app.register_blueprint(module.bp)
    app.before_request(_check_origin)
    app.after_request(_add_headers)
    app.register_error_handler(TillError, _render_error)


def _check_origin() -> None:
    """Reject forms of other sites: a browser sends the origin of a form."""
    if request.method == "GET" or request.blueprint == "api":
        return
    origin = request.headers.get("Origin")
    fetched = request.headers.get("Sec-Fetch-Site")
    if origin not in {None, f"http://{request.host}"} or fetched not in {None, "same-origin", "none"}:
        raise TillError("This form did not come from a page of the test till.")


def _add_headers(response: Response) -> Response:
    """Add security headers: no scripts, and forms only to the till and to the site's return addresses."""
    parts = map(urlsplit, [current_till().site, *g.get("back", [])])
    back = " ".join({f"{part.scheme}://{part.netloc}" for part in parts if part.netloc})
    for name, value in {
        "Content-Security-Policy": f"{_CSP}; form-action 'self' {back}",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",
    }.items():
        response.headers.setdefault(name, value)
    return response


def _render_error(error: TillError) -> tuple[str | dict[str, Any], int]:
    if request.accept_mimetypes.best == "application/json":
        return error.body(), error.status
    return render_template("problem.html", message=error.message), error.status
