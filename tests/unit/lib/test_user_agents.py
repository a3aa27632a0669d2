"""A User-Agent becomes one of a few names."""

from __future__ import annotations

import pytest

from church.lib.user_agents import FAMILIES, find_family

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36"
)


@pytest.mark.parametrize(
    ("user_agent", "family"),
    [
        (CHROME, "Chrome"),
        (f"{CHROME} Edg/150.0.0.0", "Edge"),
        (f"{CHROME} OPR/130.0.0.0", "Opera"),
        (
            "Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 SamsungBrowser/30.0 Chrome/140 Mobile Safari/537.36",
            "Samsung Internet",
        ),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0", "Firefox"),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1 Version/19.0 Mobile Safari/604.1",
            "Safari",
        ),
        ("curl/8.5.0", "curl"),
        ("python-requests/2.32", "Python"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "bot"),
        (f"{CHROME} (compatible; bingbot/2.0)", "bot"),
        ("Feedly/1.0 (+http://www.feedly.com/fetcher.html; 12 subscribers)", "feed reader"),
        ("NetNewsWire (RSS Reader; https://netnewswire.com/)", "feed reader"),
        ("Prometheus/3.0.1", "Prometheus"),
        ("kube-probe/1.33", "probe"),
        ("Cubot Note 7", "other"),
        ("anything " * 1000, "other"),
        ("", "other"),
    ],
)
def test_family_is_one_of_a_few(user_agent: str, family: str) -> None:
    assert find_family(user_agent) == family
    assert family in FAMILIES
