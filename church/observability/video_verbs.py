"""What is told of the streams of videos: counted and logged."""

from __future__ import annotations

import logging

from church.observability import request_observer
from church.observability.metrics import definitions
from church.observability.metrics.definitions import bounded

log = logging.getLogger("church.video")


def stream(video: str, quality: str, outcome: str) -> dict[str, str]:
    """A playback began (``started``) or was refused; ``video`` is bounded by the caller. Gives what a span notes."""
    known = bounded(quality, definitions.QUALITIES)
    outcome = bounded(outcome, definitions.OUTCOMES)
    definitions.video_streams.labels(video, known, outcome).inc()
    facts = {"video": video, "quality": known, "outcome": outcome}
    level = logging.INFO if outcome == "started" else logging.WARNING
    log.log(level, "stream", extra={"event": "video.stream", **facts})
    return facts


def transfer(seconds: float, sent: int) -> None:
    """A connection that took a video has ended, by its end or sooner, after ``sent`` bytes.

    Of its request these were the bytes, too, and not those that it was to have.
    """
    definitions.video_stream_duration.observe(seconds)
    definitions.video_bytes.inc(sent)
    observation = request_observer.under_way()
    if observation is not None:
        observation.sent = sent
    log.debug("transfer", extra={"event": "video.transfer", "seconds": round(seconds, 3), "bytes": sent})
