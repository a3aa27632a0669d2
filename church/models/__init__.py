"""What the database holds: one module an aggregate. Importing this package makes every table known to ``Base``."""

from church.models.base import Base
from church.models.job import Job, Schedule
from church.models.page_text import PageText

__all__ = ["Base", "Job", "PageText", "Schedule"]
