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
    from church.services.videos.presenters import AdminVideo

video_commands = AppGroup("video", help="Add and manage videos.")

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_ACCESS = click.Choice(["public", "members", "premium"])
# Seconds in which the worker process leaves a new import to the command that has queued it.
_MINE = 60


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
    help="WebVTT file, such as en=english.vtt. Repeat for more languages.",
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

    with_captions = [_caption(one) for one in captions]
    lines = _lines(chapters) if chapters is not None else ""
    with _told():
        videos.parse_chapters(lines)
        draft = videos.Draft(title, access, description, slug)
        ref = videos.add(file, draft, _console(), timedelta(seconds=0 if queue else _MINE))
        for language, data in with_captions:
            videos.add_caption(ref, language, language, data, _console())
        if lines:
            videos.set_chapters(ref, lines, _console())
    _finish(ref, queue)


@video_commands.command("list")
def listing() -> None:
    """List all videos with state and qualities, newest first."""
    from church.services import videos

    before: str | None = None
    while found := videos.admin_listing(before_ref=before):
        for one in found:
            length = f"{(one.duration_ms or 0) // 60_000}:{(one.duration_ms or 0) // 1000 % 60:02}"
            sizes = ", ".join(rendition.quality for rendition in one.renditions)
            state = f"{one.state} {one.progress} %" if one.state == "working" else one.state
            click.echo(f"{one.ref}  {state:12} {one.access:8} {length:>7}  {one.slug}  {sizes or one.reason or ''}")
        before = found[-1].ref


@video_commands.command()
@click.argument("which")
@click.option("--queue", is_flag=True, help="Let the worker process do the import.")
def retry(which: str, queue: bool) -> None:
    """Retry a failed import."""
    from datetime import timedelta

    from church.services import videos

    found = _found(which)
    videos.retry(found.ref, _console(), timedelta(seconds=0 if queue else _MINE))
    _finish(found.ref, queue)


@video_commands.command()
@click.argument("which")
@click.option("--title", help="Title.")
@click.option("--access", type=_ACCESS, help="Who may watch it.")
@click.option("--description", help="Description in markdown. Everyone can read it.")
@click.option(
    "--captions",
    multiple=True,
    metavar="LANGUAGE=FILE",
    help="WebVTT file, such as en=english.vtt. Repeat for more languages.",
)
@click.option("--chapters", type=_FILE, help="Text file with lines such as `1:30 The nave`.")
def edit(
    which: str, title: str | None, access: str | None, description: str | None, captions: tuple[str, ...],
    chapters: Path | None,
) -> None:  # fmt: skip
    """Change the details of a video and who may watch it."""
    from church.services import videos

    found = _found(which)
    with_captions = [_caption(one) for one in captions]
    with _told():
        if (title, access, description) != (None, None, None):
            said = found.description if description is None else description
            videos.edit(found.ref, title or found.title, access or found.access, said, _console())
        for language, data in with_captions:
            videos.add_caption(found.ref, language, language, data, _console())
        if chapters is not None:
            videos.set_chapters(found.ref, _lines(chapters), _console())
    click.echo(f"{found.slug} is changed.")


@video_commands.command()
@click.argument("which")
@click.confirmation_option(prompt="Its files are deleted, too. Go on?")
def remove(which: str) -> None:
    """Remove a video and its files for good."""
    from church.services import videos

    found = _found(which)
    videos.delete(found.ref, _console())
    click.echo(f"{found.slug} is gone; the worker process deletes its files.")


@video_commands.command()
def push() -> None:
    """Upload missing files to the bucket, for example after you set CHURCH_VIDEO_OFFLOAD to s3."""
    from church.config import current_settings
    from church.services import videos

    if current_settings().video_offload != "s3":
        raise click.ClickException("CHURCH_VIDEO_OFFLOAD is not s3.")
    click.echo(f"{videos.push()} files uploaded.")


def _finish(ref: str, queue: bool) -> None:
    """Do the import here, with a bar; or say who does it."""
    from church import jobs
    from church.services import videos

    if not queue:
        with jobs.hold_job(videos.import_key(ref)) as lease:
            if lease is not None:
                _import(ref)
                return
    click.echo(f"{videos.admin_view(ref).slug} is queued: the worker process (flask church work) imports it.")


def _import(ref: str) -> None:
    from church.services import videos

    with click.progressbar(length=100, label="Importing") as bar:
        videos.import_video(ref, lambda percent: bar.update(percent - bar.pos))
    found = videos.admin_view(ref)
    if not found.renditions:
        raise click.ClickException(f"{found.slug}: {found.reason}")
    sizes = " and ".join(rendition.quality for rendition in found.renditions)
    click.echo(f"{found.slug} is ready, as {sizes}.")
    if found.missing:
        click.echo(f"For want of ffmpeg it has no {', no '.join(found.missing)}.")


def _caption(text: str) -> tuple[str, bytes]:
    """Captions that can be added: a slip in them is told before anything is done."""
    from church.services import videos

    language, _, name = text.partition("=")
    if not name or not Path(name).is_file():
        raise click.UsageError(f"--captions wants LANGUAGE=FILE such as en=english.vtt, and got {text}.")
    data = Path(name).read_bytes()
    with _told():
        videos.parse_caption(language, language, data)
    return language, data


def _lines(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError:
        raise click.ClickException(f"{file} is not UTF-8: save it so.") from None


def _found(which: str) -> AdminVideo:
    from church.services import videos

    found = videos.named(which)
    if found is None:
        raise click.ClickException(f"There is no video {which}.")
    return found


@contextmanager
def _told() -> Iterator[None]:
    """What is wrong with fields, in a line."""
    from church.errors import FieldErrors

    try:
        yield
    except FieldErrors as error:
        raise click.ClickException(" ".join(error.errors.values())) from None


def _console() -> Actor:
    from church.services.audit import Actor

    return Actor(via="cli")
