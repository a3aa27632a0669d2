"""Videos in real Chromium: play, seek, resume, renew an expired address, upload, and work without scripts."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Locator, Page, Response, Route, expect

from tests.browser.conftest import Windows
from tests.browser.films import CLIP, larger_clip
from tests.browser.people import Accounts, expect_flash
from tests.support.services_fixture import wait_until

FILM = "/video/film"
# The short film is fully loaded by now: this makes the player request the same address again and start at 11 s.
_AGAIN = "video => { video.src = video.src; video.currentTime = 11; return video.play().catch(() => 0); }"


def film_in(page: Page) -> Locator:
    video = page.locator("video")
    video.evaluate("video => { video.muted = true; }")
    return video


def second(video: Locator) -> float:
    return float(video.evaluate("video => video.currentTime"))


def plays_from(video: Locator, at: float, most: float = 4.0) -> None:
    """Wait until it has played past ``at``, starting less than ``most`` seconds after it."""

    def played() -> bool:
        parts = video.evaluate("({ played }) => Array.from(played, (_, n) => [played.start(n), played.end(n)])")
        return any(start < at + most and end > max(at, start) + 0.1 for start, end in parts)

    wait_until(played, f"it plays from {at} on")


def test_member_plays_seeks_and_resumes_later(windows: Windows, cast: Accounts) -> None:
    page = windows(FILM, storage_state=cast.signed_in("member"))
    video = film_in(page)
    video.focus()
    page.keyboard.press("k")
    plays_from(video, 0.2)
    page.get_by_label("Speed").select_option("0.5")  # slow, so that it stays far from the end, which is not saved
    bar = page.get_by_role("slider")
    expect(bar).to_have_count(1)
    expect(page.locator("video[controls]")).to_have_count(0)
    page.get_by_role("button", name="Pause").click()
    bar.press("End")
    bar.press("ArrowLeft")
    expect(bar).to_have_attribute("aria-valuetext", "0:19 of 0:24, It ends")
    page.get_by_role("slider", name="Seek").fill("2")  # a short film is resumed from 5 % on
    page.get_by_role("button", name="Play").click()
    plays_from(video, 2)
    saved: list[int] = []

    def note_saved(answer: Response) -> None:
        if "/video/progress/film" in answer.url:
            assert answer.status == 200
            saved.append(answer.request.post_data_json["position_ms"])

    page.on("response", note_saved)
    video.evaluate("video => video.pause()")
    at = int(video.evaluate("video => Math.round(video.currentTime * 1000)"))
    wait_until(lambda: page.title() and at in saved, "it is saved")  # page.title() lets responses arrive

    later = windows("/video/", storage_state=cast.signed_in("member"))
    later.get_by_role("region", name="Continue watching").get_by_role("link", name="A film").click()
    expect(later.get_by_text(f"Resumes at 0:{at // 1000:02}.")).to_be_visible()
    video = film_in(later)
    later.get_by_role("button", name="Play").click()  # it appears once the script has set the start
    plays_from(video, at / 1000, most=1)

    later.get_by_role("button", name="Turn off resume").click()
    expect_flash(later, "Resume is off. Your saved positions were removed.")
    expect(later.get_by_text("Resumes at")).to_have_count(0)


def test_player_renews_expired_address_at_the_same_second_of_the_playback(windows: Windows) -> None:
    page = windows(FILM)
    video = film_in(page)
    playback = video.get_attribute("data-playback")
    video.evaluate("video => video.play()")
    plays_from(video, 0.2)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url) if "/video/access/" in request.url else None)
    page.route(
        "**/video/stream/**", lambda route: route.continue_() if requests else route.fulfill(status=403, body="")
    )
    video.evaluate(_AGAIN)
    plays_from(video, 11)
    assert [parse_qs(urlsplit(url).query)["playback"] for url in requests] == [[playback]]
    expect(page.locator("[data-said]")).to_have_text("")
    windows.forgive()


def test_player_renews_address_that_expires_soon_before_it_plays(windows: Windows) -> None:
    page = windows()

    def short(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=re.sub(rb'data-lasts="\d+"', b'data-lasts="0"', answer.body()))

    page.route(f"**{FILM}", short)
    page.goto(FILM)
    video = film_in(page)
    with page.expect_request("**/video/access/film?*"):
        video.evaluate("video => video.play().catch(() => 0)")
    plays_from(video, 0.2)


def test_player_shows_why_it_cannot_continue(windows: Windows) -> None:
    page = windows(FILM)
    video = film_in(page)
    page.route("**/video/stream/**", lambda route: route.fulfill(status=403, body=""))
    refusal = {"detail": "This is no longer open to you.", "status": 403}
    page.route("**/video/access/**", lambda route: route.fulfill(status=403, json=refusal))
    video.evaluate("video => video.play().catch(() => 0)")
    expect(page.locator("[data-said]")).to_have_text("This is no longer open to you.")
    windows.forgive()


def test_player_quality_speed_chapter_and_captions_can_be_chosen(windows: Windows) -> None:
    page = windows(FILM)
    video = film_in(page)
    page.get_by_role("link", name="It goes on").click()
    plays_from(video, 8)
    expect(page.locator(".chapters [aria-current]")).to_contain_text("It goes on")
    page.get_by_label("Speed").select_option("0.5")
    failed: list[str] = []

    def fail_once(route: Route) -> None:
        if failed:
            route.continue_()
        else:
            failed.append(route.request.url)
            route.abort("connectionreset")

    page.route("**/video/access/**", fail_once)
    page.get_by_label("Quality").select_option("1080p")
    wait_until(lambda: "1080p" in str(video.get_attribute("src")), "the other quality plays, also after a failure")
    expect(page.get_by_label("Quality")).to_have_value("1080p")
    assert failed
    plays_from(video, 8, most=15)
    assert video.evaluate("video => video.playbackRate") == 0.5
    video.focus()
    page.keyboard.press("c")
    assert video.evaluate("video => video.textTracks[0].mode") == "showing"
    expect(page.get_by_label("Captions")).to_have_value("0")
    page.get_by_label("Captions").select_option("Off")
    assert video.evaluate("video => video.textTracks[0].mode") == "disabled"
    page.keyboard.press("n")
    plays_from(video, 16)
    page.close()
    windows.opened[0][1].complaints.clear()  # of the deliberate failure; there can be no more

    page = windows.opened[0][0].new_page()
    page.goto("/video/film")  # the choice is remembered, and nothing is loaded before play
    wait_until(lambda: "1080p" in str(page.locator("video").get_attribute("src")), "the quality is remembered")
    wait_until(lambda: page.locator("video").evaluate("video => video.networkState") == 1, "it waits to be played")
    assert page.locator("video").evaluate("video => video.readyState") == 0


def test_video_without_scripts_can_be_chosen_and_watched(windows: Windows, cast: Accounts) -> None:
    page = windows("/video/", java_script_enabled=False, storage_state=cast.signed_in("member"))
    page.get_by_role("region", name=re.compile(r"^\d+ videos$")).get_by_role("link", name="A film").click()
    video = page.locator("video[controls]")
    expect(video).to_be_visible()
    expect(page.get_by_label("Speed")).to_be_hidden()
    video.evaluate("video => { video.muted = true; video.play(); }")
    wait_until(lambda: second(video) > 0.2, "it plays")
    page.get_by_role("link", name="It ends").click()
    expect(video).to_have_attribute("src", re.compile(r"#t=16\.0$"))
    video.evaluate("video => { video.muted = true; video.play(); }")
    wait_until(lambda: second(video) > 16, "it starts at the chapter")
    page.get_by_label("Quality").select_option("1080p")
    page.get_by_role("button", name="Change quality").click()
    expect(video).to_have_attribute("src", re.compile("1080p"))

    page.goto("/video/closed")
    expect(page.get_by_role("heading", name="This video is for subscribers")).to_be_visible()
    expect(page.get_by_text("What is there.")).to_be_visible()
    expect(page.locator("video")).to_have_count(0)


def test_admin_upload_survives_a_broken_connection(windows: Windows, cast: Accounts, tmp_path: Path) -> None:
    page = windows("/admin/videos", storage_state=cast.signed_in("admin"))
    page.get_by_role("link", name="Add a video").click()
    sent: list[int] = []
    offline = [True]

    def unreliable(route: Route) -> None:
        sent.append(int(route.request.headers["upload-offset"]))
        if sent[-1] and offline:
            route.abort("connectionreset")
        elif len(route.request.post_data_buffer or b"") > 300_000:  # as a proxy with a lower limit than the site
            route.fulfill(status=413, content_type="text/html", body="<h1>413</h1>")
        else:
            answer = route.fetch()
            if "video" in answer.json():  # the video is made, but the response is lost
                route.abort("connectionreset")
            else:
                route.fulfill(response=answer)

    page.route("**/admin/video-uploads/*", lambda r: unreliable(r) if r.request.method == "PATCH" else r.continue_())
    page.get_by_label("File").set_input_files(larger_clip(tmp_path / "Our evening.mp4", 1_200_000))
    page.get_by_label("Title").fill("Our morning")
    page.get_by_role("button", name="Add video").click()
    expect(page.locator("[data-line]")).to_have_text("Connection lost. The upload continues when it is back.")
    page.get_by_role("button", name="Stop upload").click()
    expect(page.locator("[data-line]")).to_contain_text("Upload stopped.")
    offline.clear()
    page.get_by_label("Title").fill("Our evening")
    page.get_by_role("button", name="Add video").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Our evening")
    assert 0 not in sent[1:]  # it continued where it was interrupted
    assert sent[-1] > sent[1]
    expect(page.get_by_role("link", name="Watch video")).to_be_visible(timeout=180_000)  # appears by itself
    page.get_by_role("link", name="Watch video").click()
    video = film_in(page)
    video.evaluate("video => video.play()")
    plays_from(video, 0.2)
    windows.forgive()


def test_admin_without_scripts_adds_a_small_video(windows: Windows, cast: Accounts) -> None:
    page = windows("/admin/videos/new", java_script_enabled=False, storage_state=cast.signed_in("admin"))
    page.get_by_label("File").set_input_files(CLIP)
    page.get_by_role("button", name="Add video").click()  # the browser requires a title
    page.get_by_label("Title").fill("Small")
    page.get_by_label("Open to").select_option("premium")
    page.get_by_role("button", name="Add video").click()
    expect_flash(page, "Upload complete.")
    page.get_by_role("textbox", name="Chapters").fill("0:00 One\n0:05 Two")
    page.get_by_role("button", name="Save chapters").click()
    expect_flash(page, "Chapters saved.")
    page.locator("summary", has_text="Delete video").click()
    page.get_by_role("button", name="Delete video", exact=True).click()
    expect_flash(page, "Video deleted.")
