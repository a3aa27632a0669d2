"""``flask church video …``: manage the video library.

WHICH is the end of the address of a video's page, or its ref.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from flask.cli import AppGroup

if TYPE_CHECKING:
    from church.services.audit import Actor
    from church.services.videos import AdminVideo

video_commands = AppGroup("video", help="Add and manage videos.")

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_ACCESS = click.Choice(["public", "members", "premium"])
# Seconds before the worker process may start an import: until then it is for the command that queued it.
_HEAD_START = 60


@video_commands.command()
@click.argument("file", type=_FILE)
@click.option("--title", required=True, help="Title.")
@click.option("--access", type=_ACCESS, required=True, help="Who may watch it.")
@click.option("--slug", default="", help="End of its address. Default: made from the title.")
@click.option("--description", default="", help="Description in markdown. Everyone can read it.")
@click.option(
    "--captions",
    multiple=True,
    metavar="LANGUAGE=FILE",
    help="WebVTT or SRT file, such as en=english.vtt. Repeat for more languages.",
)
@click.option("--chapters", type=_FILE, help="Text file with lines such as `1:30 The nave`.")
@click.option("--queue", is_flag=True, help="Let the worker process do the import.")
def add(
    file: Path, title: str, access: str, slug: str, description: str, captions: tuple[str, ...],
    chapters: Path | None, queue: bool,
) -> None:  # fmt: skip
    """Add a video: check FILE and convert it for browsers."""
    from datetime import timedelta

    from church.services import videos

    tracks = [_read_captions(option) for option in captions]
    lines = _read_chapters(chapters) if chapters is not None else ""
    with _explained():
        videos.parse_chapters(lines)
        draft = videos.VideoDraft(title, access, description, slug)
        ref = videos.add_file(file, draft, _console(), timedelta(seconds=0 if queue else _HEAD_START))
        for language, data in tracks:
            videos.add_caption(ref, language, language, data, _console())
        if lines:
            videos.set_chapters(ref, lines, _console())
    _finish(ref, queue)


@video_commands.command("list")
def list_videos() -> None:
    """List all videos with state and qualities, newest first."""
    from church.database.paging import LARGEST_PAGE, Place
    from church.services import videos

    place: Place | None = Place(size=LARGEST_PAGE)
    while place is not None:
        page = videos.list_for_admin(place=place)
        for video in page:
            length = f"{(video.duration_ms or 0) // 60_000}:{(video.duration_ms or 0) // 1000 % 60:02}"
            state = f"{video.state} {video.progress} %" if video.state == "working" else video.state
            qualities = ", ".join(rendition.quality for rendition in video.renditions)
            end = qualities or video.reason or ""
            click.echo(f"{video.ref}  {state:12} {video.access:8} {length:>7}  {video.slug}  {end}")
        place = Place(before=page.older, size=LARGEST_PAGE) if page.older is not None else None


@video_commands.command()
@click.argument("which")
@click.option("--queue", is_flag=True, help="Let the worker process do the import.")
def retry(which: str, queue: bool) -> None:
    """Retry a failed import."""
    from datetime import timedelta

    from church.services import videos

    video = _find_video(which)
    videos.retry_import(video.ref, _console(), timedelta(seconds=0 if queue else _HEAD_START))
    _finish(video.ref, queue)


@video_commands.command()
@click.argument("which")
@click.option("--title", help="Title.")
@click.option("--access", type=_ACCESS, help="Who may watch it.")
@click.option("--description", help="Description in markdown. Everyone can read it.")
@click.option(
    "--captions",
    multiple=True,
    metavar="LANGUAGE=FILE",
    help="WebVTT or SRT file, such as en=english.vtt. Repeat for more languages.",
)
@click.option("--chapters", type=_FILE, help="Text file with lines such as `1:30 The nave`.")
def edit(
    which: str, title: str | None, access: str | None, description: str | None, captions: tuple[str, ...],
    chapters: Path | None,
) -> None:  # fmt: skip
    """Change the details of a video and who may watch it."""
    from church.services import videos

    video = _find_video(which)
    tracks = [_read_captions(option) for option in captions]
    with _explained():
        if (title, access, description) != (None, None, None):
            text = video.description if description is None else description
            videos.edit_video(video.ref, title or video.title, access or video.access, text, _console())
        for language, data in tracks:
            videos.add_caption(video.ref, language, language, data, _console())
        if chapters is not None:
            videos.set_chapters(video.ref, _read_chapters(chapters), _console())
    click.echo(f"Updated {video.slug}.")


@video_commands.command()
@click.argument("which")
@click.confirmation_option(prompt="This also deletes its files. Continue?")
def remove(which: str) -> None:
    """Remove a video and its files for good."""
    from church.services import videos

    video = _find_video(which)
    videos.delete_video(video.ref, _console())
    click.echo(f"Removed {video.slug}. The worker process deletes its files.")


@video_commands.command()
def push() -> None:
    """Upload missing files to the bucket, for example after you set CHURCH_VIDEO_OFFLOAD to s3."""
    from church.config import current_settings
    from church.services import videos

    if current_settings().video_offload != "s3":
        raise click.ClickException("CHURCH_VIDEO_OFFLOAD is not s3.")
    click.echo(f"{videos.push_missing()} files uploaded.")


def _finish(ref: str, queue: bool) -> None:
    """Import the video now with a progress bar, or report that the worker process will."""
    from church import jobs
    from church.services import videos

    if not queue:
        with jobs.hold_job(videos.make_import_key(ref)) as lease:
            if lease is not None:
                _import(ref)
                return
    click.echo(f"{videos.load_for_admin(ref).slug} is queued: the worker process (flask church work) will import it.")


def _import(ref: str) -> None:
    from church.services import videos

    with click.progressbar(length=100, label="Importing") as bar:
        videos.import_video(ref, lambda percent: bar.update(percent - bar.pos))
    video = videos.load_for_admin(ref)
    if not video.renditions:
        raise click.ClickException(f"{video.slug}: {video.reason}")
    qualities = " and ".join(rendition.quality for rendition in video.renditions)
    click.echo(f"{video.slug} is ready in {qualities}.")
    if video.missing:
        click.echo(f"Without ffmpeg it has no {' and no '.join(video.missing)}.")


def _read_captions(option: str) -> tuple[str, bytes]:
    """Return language and content of a ``--captions`` option, checked before anything is changed."""
    from church.services import videos

    language, _, name = option.partition("=")
    if not name or not Path(name).is_file():
        raise click.UsageError(f"Use --captions LANGUAGE=FILE, such as en=english.vtt. Got {option}.")
    data = Path(name).read_bytes()
    with _explained():
        videos.parse_caption(language, language, data)
    return language, data


def _read_chapters(file: Path) -> str:
    from church.lib.text import decode_text

    try:
        return decode_text(file.read_bytes())
    except UnicodeDecodeError:
        raise click.ClickException(f"{file} is not UTF-8 text. Save it as UTF-8.") from None


def _find_video(which: str) -> AdminVideo:
    from church.services import videos

    video = videos.find_video(which)
    if video is None:
        raise click.ClickException(f"There is no video {which}.")
    return video


@contextmanager
def _explained() -> Iterator[None]:
    """Show invalid fields in one line."""
    from church.errors import FieldErrors

    try:
        yield
    except FieldErrors as error:
        raise click.ClickException(" ".join(error.errors.values())) from None


def _console() -> Actor:
    from church.services.audit import Actor

    return Actor(via="cli")
