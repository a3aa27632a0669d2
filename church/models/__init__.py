"""Database tables, one module a domain. Importing this package registers every table with ``Base``."""

from church.models.accounts import ApiToken, AuditEntry, Link, SignIn, User
from church.models.base import Base
from church.models.billing import (
    Checkout,
    Customer,
    Grant,
    Invoice,
    LedgerEntry,
    Notice,
    Price,
    Product,
    StripeEvent,
    Subscription,
    UnmatchedPayment,
)
from church.models.blocks import BlockedNetwork
from church.models.chat import ChatMessage, ChatReport, ChatRoom, ChatSanction
from church.models.dora import DeliveredCommit, Deployment, Incident
from church.models.error_groups import ErrorGroup
from church.models.jobs import Job, Mail, Schedule
from church.models.kept_sums import KeptSum
from church.models.maintenance import Maintenance
from church.models.pages import PageText
from church.models.videos import (
    Caption,
    Rendition,
    Video,
    VideoLibrary,
    VideoText,
    VideoUpload,
    WatchPosition,
    WatchSetting,
)

__all__ = [
    "ApiToken",
    "AuditEntry",
    "Base",
    "BlockedNetwork",
    "Caption",
    "ChatMessage",
    "ChatReport",
    "ChatRoom",
    "ChatSanction",
    "Checkout",
    "Customer",
    "DeliveredCommit",
    "Deployment",
    "ErrorGroup",
    "Grant",
    "Incident",
    "Invoice",
    "Job",
    "KeptSum",
    "LedgerEntry",
    "Link",
    "Mail",
    "Maintenance",
    "Notice",
    "PageText",
    "Price",
    "Product",
    "Rendition",
    "Schedule",
    "SignIn",
    "StripeEvent",
    "Subscription",
    "UnmatchedPayment",
    "User",
    "Video",
    "VideoLibrary",
    "VideoText",
    "VideoUpload",
    "WatchPosition",
    "WatchSetting",
]
