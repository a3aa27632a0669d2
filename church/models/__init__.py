"""What the database holds: one module an aggregate. Importing this package makes every table known to ``Base``."""

from church.models.audit import AuditEntry
from church.models.base import Base
from church.models.job import Job, Schedule
from church.models.link import Link
from church.models.mail import Mail
from church.models.page_text import PageText
from church.models.sign_in import SignIn
from church.models.user import User

__all__ = ["AuditEntry", "Base", "Job", "Link", "Mail", "PageText", "Schedule", "SignIn", "User"]
