"""Settings of videos, chat and deployments: base classes of ``church.config.Settings``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

from church.config.value_types import Origin, Rate, setting


class MediaSettings(BaseSettings):
    """Videos: where they are stored, how large they may be, and what sends them."""

    video_folder: Path | None = setting(
        "CHURCH_VIDEO_DIR", None, "Folder of the videos. Default: `videos` in the instance folder."
    )
    video_offload: Literal["none", "x-accel", "s3"] = setting(
        "CHURCH_VIDEO_OFFLOAD",
        "none",
        "What sends the videos: the site (`none`), nginx by X-Accel-Redirect (`x-accel`) or an S3 bucket (`s3`).",
    )
    video_ttl: int = setting(
        "CHURCH_VIDEO_TTL", 600, "Seconds that the signed address of a video is valid.", ge=30, le=86_400
    )
    video_max_bytes: int = setting(
        "CHURCH_VIDEO_MAX_BYTES", 8_589_934_592, "Largest video that can be imported, in bytes.", ge=1_048_576
    )
    video_write_timeout: float = setting(
        "CHURCH_VIDEO_WRITE_TIMEOUT",
        60.0,
        "Longest time that a viewer may stop reading a stream before it is closed.",
        gt=0,
        le=3600,
    )
    video_s3_bucket: str | None = setting("CHURCH_VIDEO_S3_BUCKET", None, "Name of the bucket. Required for `s3`.")
    video_s3_endpoint: Origin | None = setting(
        "CHURCH_VIDEO_S3_ENDPOINT", None, "Address of the bucket's service, if not Amazon."
    )
    video_s3_region: str = setting("CHURCH_VIDEO_S3_REGION", "us-east-1", "Region of the bucket.", min_length=1)
    video_s3_key: str | None = setting("AWS_ACCESS_KEY_ID", None, "Access key of the bucket.")
    video_s3_secret: SecretStr | None = setting("AWS_SECRET_ACCESS_KEY", None, "Secret of the access key.")
    limit_video: Rate = setting(
        "CHURCH_LIMIT_VIDEO", "300/minute", "Signed addresses and saved positions of videos, from one IP address."
    )
    limit_stream: Rate = setting(
        "CHURCH_LIMIT_STREAM", "1200/minute", "Requests for parts of videos, from one IP address."
    )
    limit_upload: Rate = setting("CHURCH_LIMIT_UPLOAD", "6000/minute", "Parts of uploads, from one IP address.")

    @field_validator(
        "video_folder", "video_s3_bucket", "video_s3_endpoint", "video_s3_key", "video_s3_secret", mode="before"
    )
    @classmethod
    def _empty_media_is_unset(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("video_folder", mode="after")
    @classmethod
    def _absolute_videos(cls, value: Path | None) -> Path | None:
        return value.absolute() if value is not None else None


class LiveSettings(BaseSettings):
    """Chat: how many connections and messages it keeps, and limits for each member."""

    live_keep_days: int = setting("CHURCH_LIVE_KEEP_DAYS", 30, "Days that chat messages are kept.", ge=1, le=3650)
    live_connections: int = setting(
        "CHURCH_LIVE_CONNECTIONS", 12_000, "Most chat connections that each worker holds.", ge=1, le=200_000
    )
    live_per_member: int = setting(
        "CHURCH_LIVE_PER_MEMBER", 10, "Most chat connections of one member, over all workers.", ge=1, le=1000
    )
    live_per_address: int = setting(
        "CHURCH_LIVE_PER_ADDRESS", 100, "Most chat connections from one IP address, over all workers.", ge=1, le=200_000
    )
    live_queue: int = setting(
        "CHURCH_LIVE_QUEUE",
        256,
        "Messages that a slow chat connection may fall behind before it is closed.",
        ge=8,
        le=65_536,
    )
    live_ping: float = setting("CHURCH_LIVE_PING", 25.0, "Seconds between pings of a chat connection.", gt=0, le=300)
    limit_chat: Rate = setting("CHURCH_LIMIT_CHAT", "20/minute", "Chat messages of one member.")
    limit_history: Rate = setting(
        "CHURCH_LIMIT_HISTORY", "120/minute", "How often one member may enter chat rooms or load missed messages."
    )
    limit_live: Rate = setting("CHURCH_LIMIT_LIVE", "120/minute", "Chat connections opened from one IP address.")


class DeliverySettings(BaseSettings):
    """Deployments: their environments, and who may see the DORA page."""

    environments: Annotated[tuple[str, ...], NoDecode] = setting(
        "CHURCH_ENVIRONMENTS", ("production", "staging"), "Environments that deployments go to."
    )
    dora_public: bool = setting("CHURCH_DORA_PUBLIC", False, "`true` shows the DORA page to everyone.")
    dora_edition: int = setting(
        "CHURCH_DORA_EDITION", 2024, "Year of the DORA report whose performance bands are used.", ge=2014, le=2100
    )
    incident_window: int = setting(
        "CHURCH_INCIDENT_WINDOW",
        86_400,
        "Seconds after a deployment in which an incident from an alert counts as caused by it.",
        ge=60,
        le=2_592_000,
    )

    @field_validator("environments", mode="before")
    @classmethod
    def _split_environments(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        names = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
        if not names or not all(name.replace("-", "").replace("_", "").isalnum() and len(name) <= 32 for name in names):
            raise ValueError("names separated by commas such as production,staging")
        return names
