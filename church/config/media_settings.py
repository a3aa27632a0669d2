"""The settings of videos, the live rooms and delivery: parts of ``church.config.Settings``, which has them all."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

from church.config.value_types import Origin, Rate, setting


class MediaSettings(BaseSettings):
    """Where videos are, how large they may be, and who sends them."""

    video_folder: Path | None = setting(
        "CHURCH_VIDEO_DIR", None, "Folder of the videos. Default: `videos` in the instance folder."
    )
    video_offload: Literal["none", "x-accel", "s3"] = setting(
        "CHURCH_VIDEO_OFFLOAD",
        "none",
        "Who sends a video once access is granted: the site itself, nginx by X-Accel-Redirect, or an S3 bucket.",
    )
    video_ttl: int = setting(
        "CHURCH_VIDEO_TTL", 600, "Seconds that the signed address of a video is good for.", ge=30, le=86_400
    )
    video_max_bytes: int = setting(
        "CHURCH_VIDEO_MAX_BYTES", 8_589_934_592, "Bytes that an imported video may have.", ge=1_048_576
    )
    video_write_timeout: float = setting(
        "CHURCH_VIDEO_WRITE_TIMEOUT", 60.0, "Seconds that a viewer may read nothing of a stream.", gt=0, le=3600
    )
    video_s3_bucket: str | None = setting("CHURCH_VIDEO_S3_BUCKET", None, "Bucket of the videos, for `s3`.")
    video_s3_endpoint: Origin | None = setting(
        "CHURCH_VIDEO_S3_ENDPOINT", None, "Where the bucket's service is, if not at Amazon."
    )
    video_s3_region: str = setting("CHURCH_VIDEO_S3_REGION", "us-east-1", "Region of the bucket.", min_length=1)
    video_s3_key: str | None = setting("AWS_ACCESS_KEY_ID", None, "Access key of the bucket.")
    video_s3_secret: SecretStr | None = setting("AWS_SECRET_ACCESS_KEY", None, "Secret of that access key.")
    limit_video: Rate = setting(
        "CHURCH_LIMIT_VIDEO", "300/minute", "Signed addresses and kept positions of videos, one address."
    )
    limit_stream: Rate = setting("CHURCH_LIMIT_STREAM", "1200/minute", "Requests for pieces of videos, one address.")
    limit_upload: Rate = setting("CHURCH_LIMIT_UPLOAD", "6000/minute", "Pieces of an upload, one address.")

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
    """How much the live rooms hold, keep, and take from one member."""

    live_keep_days: int = setting(
        "CHURCH_LIVE_KEEP_DAYS", 30, "Days that messages of the live rooms are kept.", ge=1, le=3650
    )
    live_connections: int = setting(
        "CHURCH_LIVE_CONNECTIONS", 12_000, "Live connections that one worker holds.", ge=1, le=200_000
    )
    live_per_member: int = setting(
        "CHURCH_LIVE_PER_MEMBER", 10, "Live connections of one member, on all workers.", ge=1, le=1000
    )
    live_per_address: int = setting(
        "CHURCH_LIVE_PER_ADDRESS", 100, "Live connections from one address, on all workers.", ge=1, le=200_000
    )
    live_queue: int = setting(
        "CHURCH_LIVE_QUEUE", 256, "Frames that a live connection may lag behind before it is ended.", ge=8, le=65_536
    )
    live_ping: float = setting("CHURCH_LIVE_PING", 25.0, "Seconds between pings of a live connection.", gt=0, le=300)
    limit_chat: Rate = setting("CHURCH_LIMIT_CHAT", "20/minute", "Messages of one member in the live rooms.")
    limit_history: Rate = setting(
        "CHURCH_LIMIT_HISTORY", "120/minute", "How often one member may enter live rooms, or ask what they missed."
    )
    limit_live: Rate = setting("CHURCH_LIMIT_LIVE", "120/minute", "Live connections that one address may open.")


class DeliverySettings(BaseSettings):
    """What is delivered where, and who may see how well."""

    environments: Annotated[tuple[str, ...], NoDecode] = setting(
        "CHURCH_ENVIRONMENTS", ("production", "staging"), "Environments, by commas, that deployments go to."
    )
    dora_public: bool = setting("CHURCH_DORA_PUBLIC", False, "`true` shows the DORA page to everyone.")
    dora_edition: int = setting(
        "CHURCH_DORA_EDITION", 2024, "Year of the DORA report whose bands are used.", ge=2014, le=2100
    )
    incident_window: int = setting(
        "CHURCH_INCIDENT_WINDOW",
        86_400,
        "Seconds after a deployment in which an alert's incident is taken for its doing.",
        ge=60,
        le=2_592_000,
    )

    @field_validator("environments", mode="before")
    @classmethod
    def _split_environments(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        found = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
        if not found or not all(part.replace("-", "").replace("_", "").isalnum() and len(part) <= 32 for part in found):
            raise ValueError("names by commas such as production,staging")
        return found
