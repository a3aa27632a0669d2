"""The film that a new site begins with: made by ffmpeg's test sources where it is there, else the tiny one that ships.

Making it takes seconds, so it is a job of the work process and not part of the first start.
"""

from __future__ import annotations

import logging
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from sqlalchemy import select

from church import jobs
from church.config import current_settings
from church.errors import FieldErrors
from church.extensions import db
from church.models import User, Video
from church.services.audit import Actor
from church.services.videos.importing import add_video, captions, chapters, ffmpeg
from church.services.videos.importing.ffmpeg import ToolError
from church.services.videos.presenters import Draft

_KIND = "videos.demo"
_FOLDER = "videos"  # in the content folder
_SITE = Actor(None, "site", None)
_SECONDS = 24
_PATIENCE = 120.0  # seconds that ffmpeg may take

log = logging.getLogger("church.videos")


def queue_demo() -> bool:
    """Have the films of the content folder brought in, if the site is new and has any; whether it is so.

    New is one without videos and accounts: whoever has taken the film away is not given it again.
    """
    if not any((current_settings().content / _FOLDER).glob("*.toml")):
        return False
    with db.write() as session:
        if any(session.scalar(select(model.id).limit(1)) is not None for model in (Video, User)):
            return False
        jobs.enqueue(session, _KIND, unique_key=_KIND)
    return True


@jobs.handler(_KIND, heavy=True)
def bring_demo(_payload: dict[str, Any]) -> None:
    """Bring in each film of the content folder whose address is still free: the job may be done twice."""
    for described in sorted((current_settings().content / _FOLDER).glob("*.toml")):
        facts = tomllib.loads(described.read_text("utf-8"))
        with tempfile.TemporaryDirectory(prefix="church-demo-") as folder:
            film = _made(Path(folder)) or described.with_suffix(".mp4")
            _bring(film, described.stem, facts)


def _bring(film: Path, slug: str, facts: dict[str, Any]) -> None:
    draft = Draft(facts["title"], facts["access"], facts.get("description", "").strip(), slug)
    try:
        ref = add_video.add(film, draft, _SITE)
    except FieldErrors:  # it is there already
        return
    for language, caption in facts.get("captions", {}).items():
        text = caption["text"].lstrip().encode()
        captions.add_caption(ref, language, caption["label"], text, _SITE, default=False)
    chapters.set_chapters(ref, facts.get("chapters", ""), _SITE)


def _made(folder: Path) -> Path | None:
    """A film of bars, a counter and a beep, sharper than the one that ships; None where ffmpeg can't make it."""
    if ffmpeg.tools_missing():
        return None
    made = folder / "film.mp4"
    sources = (f"testsrc2=size=640x360:rate=25:duration={_SECONDS}", f"sine=frequency=220:duration={_SECONDS}")
    inputs = [part for source in sources for part in ("-f", "lavfi", "-i", source)]
    codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    try:
        ffmpeg.run(["ffmpeg", "-loglevel", "error", "-nostdin", "-y", *inputs, *codecs, str(made)], _PATIENCE)
    except ToolError as error:  # one that was built without these sources or codecs
        log.info("film not made", extra={"event": "video.demo_not_made", "reason": str(error)})
        return None
    return made
