"""What is counted of the streams of videos."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from church.observability.metrics.definitions import CATALOGUE, OTHER

QUALITIES = ("2160p", "1440p", "1080p", "720p", "540p", "480p", "360p", "240p", "source")
OUTCOMES = ("started", "expired", "forged", "forbidden")

video_streams = Counter(
    "video_streams",
    "Playbacks that began, once each however often its player asks, and streams that were refused.",
    ["video_id", "quality", "outcome"],
    registry=CATALOGUE,
)
video_stream_duration = Histogram(
    "video_stream_duration_seconds",
    "Time that a connection took a video, to its end however it ended; unknown of what nginx or a bucket sends.",
    buckets=(0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0),
    registry=CATALOGUE,
)
video_bytes = Counter(
    "video_bytes", "Bytes of videos that were sent; unknown of what nginx or a bucket sends.", registry=CATALOGUE
)

for _video_outcome in OUTCOMES:
    video_streams.labels(OTHER, OTHER, _video_outcome)
