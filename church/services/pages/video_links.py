"""Recognise addresses of videos on YouTube, Vimeo and PeerTube, and show them as cards that lead there.

Readers load nothing from these sites: neither a player nor a still. The still is a picture beside the page, or drawn.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, urlsplit

_YOUTUBE = {"youtube.com", "youtube-nocookie.com", "youtu.be"}
_VIMEO = {"vimeo.com"}
_YOUTUBE_ID = re.compile(r"[\w-]{6,20}", re.ASCII)
_YOUTUBE_PATH = re.compile(r"/(?:embed|shorts|live|v|e)/([\w-]{6,20})/?", re.ASCII)
_YOUTUBE_LIST = re.compile(r"[\w-]{10,60}", re.ASCII)
_YOUTUBE_START = re.compile(r"(?:(?:\d+h)?(?:\d+m)?\d+s?|\d+h(?:\d+m)?|\d+m)", re.ASCII)
_VIMEO_PATH = re.compile(
    r"(?:/(?:video|channels/[\w-]+|groups/[\w-]+/videos|album/\d+/video|showcase/\d+/video))?/(\d{5,12})(?:/([0-9a-f]{6,20}))?/?",
    re.ASCII,
)
_VIMEO_HASH = re.compile(r"[0-9a-f]{6,20}")
_PEERTUBE_ID = r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[1-9A-HJ-NP-Za-km-z]{21,22})"
_PEERTUBE_PATH = re.compile(rf"/(?:w|videos/watch|videos/embed)/{_PEERTUBE_ID}/?", re.ASCII)
_PEERTUBE_LIST = re.compile(rf"/(?:w/p|videos/watch/playlist|video-playlists/embed)/{_PEERTUBE_ID}/?", re.ASCII)
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::\d{1,5})?")
_DEFAULT_TITLE = "Video"


@dataclass(frozen=True)
class VideoLink:
    """A video elsewhere: the address of its page, and the name of the site."""

    address: str
    site: str


def recognise_video(address: str) -> VideoLink | None:
    """Return the video that ``address`` leads to, be it a page or a player; None for any other address."""
    if address.startswith("//"):
        address = f"https:{address}"
    try:
        parts = urlsplit(address.strip())
    except ValueError:
        return None
    host = parts.netloc.lower()
    if parts.scheme not in {"http", "https"} or not _HOST.fullmatch(host):
        return None
    name = host.removeprefix("www.").removeprefix("m.").removeprefix("music.")
    if name in _YOUTUBE:
        return _youtube(name, parts)
    if name.removeprefix("player.") in _VIMEO:
        return _vimeo(parts)
    return _peertube(host, parts)


def _youtube(host: str, parts: SplitResult) -> VideoLink | None:
    query = {name: values[0] for name, values in parse_qs(parts.query[:1000]).items()}
    identifier = query.get("v", "") if parts.path.rstrip("/") == "/watch" else ""
    if host == "youtu.be":
        identifier = parts.path.strip("/")
    elif found := _YOUTUBE_PATH.fullmatch(parts.path):
        identifier = found[1]
    playlist = query.get("list", "")
    if identifier in {"", "videoseries"} and _YOUTUBE_LIST.fullmatch(playlist):
        return VideoLink(f"https://www.youtube.com/playlist?list={playlist}", "YouTube")
    if not _YOUTUBE_ID.fullmatch(identifier):
        return None
    start = query.get("start") or query.get("t", "")
    moment = f"&t={start}" if _YOUTUBE_START.fullmatch(start) else ""
    return VideoLink(f"https://www.youtube.com/watch?v={identifier}{moment}", "YouTube")


def _vimeo(parts: SplitResult) -> VideoLink | None:
    found = _VIMEO_PATH.fullmatch(parts.path)
    if found is None:
        return None
    secret = found[2] or parse_qs(parts.query[:1000]).get("h", [""])[0]
    shared = f"/{secret}" if _VIMEO_HASH.fullmatch(secret) else ""
    return VideoLink(f"https://vimeo.com/{found[1]}{shared}", "Vimeo")


def _peertube(host: str, parts: SplitResult) -> VideoLink | None:
    if found := _PEERTUBE_PATH.fullmatch(parts.path):
        return VideoLink(f"https://{host}/w/{found[1]}", host)
    if found := _PEERTUBE_LIST.fullmatch(parts.path):
        return VideoLink(f"https://{host}/w/p/{found[1]}", host)
    return None


# -- frames, before the cleaner removes them ------------------------------------------------------------------------

_FRAME = re.compile(r"""<iframe\b((?:[^>"']|"[^"]*"|'[^']*')*+)>""", re.IGNORECASE)
_FRAME_BEGIN = re.compile(r"<iframe\b", re.IGNORECASE)
_FRAME_END = re.compile(r"[^<]*</iframe\s*>", re.IGNORECASE)
_MOST_TAG = 4000  # characters, so that frames whose tag has no end take no time
_ATTRIBUTE = re.compile(r"""([\w-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")


def replace_frames(markup: str) -> str:
    """Replace players of videos in frames by links in paragraphs of their own; other frames stay, to be removed."""
    pieces: list[str] = []
    done = 0
    for begin in _FRAME_BEGIN.finditer(markup):
        frame = _FRAME.match(markup, begin.start(), begin.start() + _MOST_TAG) if begin.start() >= done else None
        if frame is None:
            continue
        end = _FRAME_END.match(markup, frame.end()) or frame
        pieces += [markup[done : frame.start()], _replace_frame(frame, markup[frame.start() : end.end()])]
        done = end.end()
    return "".join([*pieces, markup[done:]])


def _replace_frame(frame: re.Match[str], written: str) -> str:
    attributes = {
        found[1].lower(): html.unescape(found[2] or found[3] or found[4] or "")
        for found in _ATTRIBUTE.finditer(frame[1])
    }
    video = recognise_video(attributes.get("src", ""))
    if video is None:
        return written
    title = f' title="{html.escape(attributes["title"])}"' if attributes.get("title") else ""
    return f'<p><a href="{html.escape(video.address)}"{title}>{html.escape(video.address)}</a></p>'


# -- cards, in the cleaned HTML -------------------------------------------------------------------------------------

_ATTRIBUTES = r'((?: [\w-]+="[^"]*")*)'
_LINE = re.compile(rf"(?:^|(?<=\n))<a{_ATTRIBUTES}>(?:([^<>]*)|(<img{_ATTRIBUTES}>))</a>(?=\n|<br>\n|$)")
_PARAGRAPH = re.compile(r"<p>(.*?)</p>", re.DOTALL)
_CLEAN_ATTRIBUTE = re.compile(r' ([\w-]+)="([^"]*)"')


def place_cards(cleaned: str) -> str:
    """Replace lines of paragraphs that are nothing but a link to a video, bare or of a picture, by cards."""
    return _PARAGRAPH.sub(_place_in_paragraph, cleaned)


def _place_in_paragraph(paragraph: re.Match[str]) -> str:
    pieces: list[str] = []
    end = 0
    for line in _LINE.finditer(paragraph[1]):
        card = _card(line)
        if card is None:
            continue
        pieces += [_text(paragraph[1][end : line.start()]), card]
        end = line.end()
    if not pieces:
        return paragraph[0]
    return "\n".join(filter(None, [*pieces, _text(paragraph[1][end:])]))


def _text(inner: str) -> str:
    inner = inner.removesuffix("\n").removesuffix("<br>").removeprefix("<br>").strip("\n")
    return f"<p>{inner}</p>" if inner.strip() else ""


def _card(line: re.Match[str]) -> str | None:
    attributes = _read_attributes(line[1])
    address = html.unescape(attributes.get("href", ""))
    video = recognise_video(address)
    if video is None:
        return None
    if line[3] is not None:  # a picture
        picture = _read_attributes(line[4])
        return _markup(video, html.unescape(attributes.get("title") or picture.get("alt", "")), line[3])
    if html.unescape(line[2]) != address:
        return None
    return _markup(video, html.unescape(attributes.get("title", "")), "")


def _read_attributes(markup: str) -> dict[str, str]:
    return {found[1]: found[2] for found in _CLEAN_ATTRIBUTE.finditer(markup or "")}


def _markup(video: VideoLink, title: str, still: str) -> str:
    picture = re.sub(r' alt="[^"]*"', ' alt=""', still)  # the title says it
    address = html.escape(video.address)
    return (
        f'<figure class="video-card"><a href="{address}" target="_blank" rel="noopener noreferrer">'
        f'<span class="video-card-still">{picture}</span>'
        f'<span class="video-card-title">{html.escape(title or _DEFAULT_TITLE)}</span> '
        f'<span class="video-card-site">Watch on {html.escape(video.site)} (opens in a new tab)</span></a></figure>'
    )
