"""Collect browser errors while a page is open, and check pages with axe."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, Response

# Both widths and both themes, each once: colours do not depend on the width, nor layout on the theme, and axe is slow.
LOOKS = ((1280, "light"), (390, "dark"))
_REFUSALS_TO_CONSOLE = """
addEventListener("securitypolicyviolation", e => console.error(`refused by the policy: ${e.violatedDirective}`));
"""
_STATUS_IN_CONSOLE = "Failed to load resource: the server responded with a status of"
_AXE = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"], rules: { "target-size": { enabled: true } } });
  return found.violations.flatMap(v => v.nodes.map(n => `${v.id} at ${n.target}: ${n.failureSummary}`));
}"""


class BrowserErrors:
    """Collects errors in all pages of ``context``: of scripts, of the CSP, and failed requests."""

    def __init__(self, context: BrowserContext) -> None:
        self.complaints: list[str] = []
        context.add_init_script(_REFUSALS_TO_CONSOLE)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.complaints.append(f"script: {error.error}"))
        context.on("requestfailed", self._failed)
        context.on("response", self._check_response)

    def _console(self, message: ConsoleMessage) -> None:
        # The handler of responses checks statuses, because it can tell a page from its parts.
        if message.type in {"error", "warning"} and not message.text.startswith(_STATUS_IN_CONSOLE):
            self.complaints.append(f"console: {message.text}")

    def _failed(self, request: Request) -> None:
        # ABORTED means that the visitor left before the page was loaded; blocked requests also appear in the console.
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"failed: {request.url} {request.failure}")

    def _check_response(self, response: Response) -> None:
        if response.status >= 400 and not response.request.is_navigation_request():
            self.complaints.append(f"{response.status}: {response.url}")


def find_axe_violations(page: Page) -> list[str]:
    """Run axe on the page as it is now and list the violations. The site's CSP stays in force."""
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(AXE_SCRIPT)
    violations: list[Any] = page.evaluate(_AXE)
    return [" ".join(str(line).split()) for line in violations]
