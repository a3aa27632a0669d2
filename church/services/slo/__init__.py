"""Service level objectives: a file with the site's objectives, and Prometheus rules and tests generated from it.

The rules have sloth's names and labels (https://sloth.dev), so that dashboards made for sloth read them; the windows
and factors of the alerts are those of the SRE workbook, chapter 5. docs/slo.md has the file's schema.
"""

from __future__ import annotations

from church.services.slo.rule_files import list_stale_files, write_stale_files

__all__ = ["list_stale_files", "write_stale_files"]
