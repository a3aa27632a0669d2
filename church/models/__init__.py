"""What the database holds: one module an aggregate. Importing this package makes every table known to ``Base``."""

from church.models.audit import AuditEntry
from church.models.base import Base
from church.models.catalogue import Price, Product
from church.models.checkout import Checkout
from church.models.customer import Customer
from church.models.grant import Grant
from church.models.invoice import Invoice
from church.models.job import Job, Schedule
from church.models.ledger import LedgerEntry
from church.models.link import Link
from church.models.mail import Mail
from church.models.page_text import PageText
from church.models.sign_in import SignIn
from church.models.stripe_event import StripeEvent
from church.models.subscription import Subscription
from church.models.user import User
from church.models.video import Caption, Rendition, Video
from church.models.video_upload import VideoUpload
from church.models.watch import WatchPosition, WatchSetting

__all__ = [
    "AuditEntry",
    "Base",
    "Caption",
    "Checkout",
    "Customer",
    "Grant",
    "Invoice",
    "Job",
    "LedgerEntry",
    "Link",
    "Mail",
    "PageText",
    "Price",
    "Product",
    "Rendition",
    "Schedule",
    "SignIn",
    "StripeEvent",
    "Subscription",
    "User",
    "Video",
    "VideoUpload",
    "WatchPosition",
    "WatchSetting",
]
