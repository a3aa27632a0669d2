"""The doctor names pages that were changed by cleaning, and pictures that cannot be shown."""

from __future__ import annotations

from church.config import Settings
from tests.support.doctor import check
from tests.support.pages_fixture import write_page


def test_pages_that_show_everything_are_ok(site: Settings) -> None:
    assert check(site, "pages").state == "ok"


def test_pages_changed_by_cleaning_and_without_pictures_are_named(site: Settings) -> None:
    write_page(site.content, "clock", "<script>x</script> <b onclick=x>y</b>")
    write_page(site.content, "trip", "![x](sea.png)")
    found = check(site, "pages")
    assert found.state == "warn"
    assert "1 page changed by cleaning: clock.md: <script>, onclick of <b>" in found.finding
    assert "1 page with pictures that cannot be shown: trip.md: sea.png: there is no such file" in found.finding
    assert found.fix


def test_many_pages_are_counted(site: Settings) -> None:
    for number in range(12):
        write_page(site.content, f"page-{number:02}", "<blink>")
    found = check(site, "pages").finding
    assert found.startswith("12 pages changed by cleaning: page-00.md: <blink>; ")
    assert found.endswith("; and 2 more")


def test_pages_without_a_folder_are_left_to_the_check_of_the_content(site: Settings) -> None:
    (site.content / "page.md").unlink()
    site.content.rmdir()
    assert check(site, "pages").state == "ok"
