"""Find words by which other generators hide a page, such as ``published: false``. Here they would hide nothing.

A page with such a word is left out with the words to write instead. A value that hides nothing is fine. Dates from
which a page is published are honoured (``PUBLISH_DATES``).
"""

from __future__ import annotations

import reprlib
import unicodedata
from collections.abc import Callable, Iterator, Mapping

from church.services.pages.strict_yaml import Value, is_nothing

_INSTEAD = (
    "to hide the page write `draft: true`, for members or subscribers alone `access: members` or `access: premium`;"
    " otherwise remove the line"
)
_YES = frozenset({"true", "yes", "on", "y", "t", "1", "always"})
_NO = frozenset({"false", "no", "off", "n", "f", "0", "never", "none"})

# Names are compared in small letters, without accents and signs: publish_date, publishDate and Publish Date are one.
_PUBLISH_DATES = """publishdate pubdate publishat publishedat publishon publishedon publisheddate publishedtime
publishtime publicationdate datepublished publishfrom releasedate scheduled scheduledat scheduledfor scheduledate
scheduleddate embargo embargodate embargountil embargoeduntil availablefrom visiblefrom visibleafter notbefore
validfrom golive golivedate"""
PUBLISH_DATES = frozenset(_PUBLISH_DATES.split())
"""Names of dates before which a page is hidden."""
_EXPIRY_DATES = """expires expire expiry expirydate expiredate expirationdate expiresat expireson unpublishdate
unpublishat unpublishon unpublisheddate validuntil visibleuntil availableuntil publishuntil hideafter"""
_PASSWORDS = "password passwd passphrase passcode postpassword pagepassword passwordhash encryptpassword"
# Hidden, unless the value says no.
_HIDES = """private hidden unlisted unpublish unpublished notpublished nopublish dontpublish donotpublish membersonly
memberonly formembers subscribersonly subscriberonly subscriberonly paid paidonly onlypaid premium premiumonly protected
passwordprotected protect encrypted encrypt locked gated paywall paywalled restricted secret confidential internal
exclude excluded disabled deleted trashed archived embargoed headless wip workinprogress skip ignore ignored emailonly
loginrequired requirelogin requireslogin requiresauth requireauth authrequired auth requiremembership requiresmembership
noindex eleventyexcludefromcollections excludefromcollections draftmode"""
# Hidden, if the value says no or is none of the words for yes.
_SHOWS = "published publish public visible listed enabled discoverable routable render dgpublish publishable free"
# Words with other uses, too, such as lists of names: hidden if the value says yes, or is one of _CLOSED.
_MAYBE_HIDES = "hide members member subscribers subscriber patrons supporters login signin"
# Hidden, unless the value is one of _OPEN.
_LEVELS = """visibility status poststatus pagestatus publishstatus publicationstatus workflowstatus accesslevel accesses
accesscontrol contentaccess privacy tier tiers requiredtier membership membershiplevel membershiptier membershiptiers
requiredplan requiredplans requiredmembership requiredrole requiredroles requires restrict restrictto restriction
restrictions permission permissions acl visibleto readableby readers allowedroles allowedgroups onlyfor memberlevel
subscription subscriptionlevel sharing"""
# Words with other uses, too: hidden if the value is one of _CLOSED.
_MAYBE_LEVELS = "level audience state role roles group groups plan plans stage security classification"
_OPEN = frozenset(
    [
        "public",
        "published",
        "publish",
        "live",
        "open",
        "everyone",
        "everybody",
        "all",
        "any",
        "anyone",
        "anybody",
        "free",
        "active",
        "visible",
        "listed",
        "world",
        "final",
        "finished",
        "finalized",
        "done",
        "complete",
        "completed",
        "released",
        "approved",
        "accepted",
        "reviewed",
        "evergreen",
        "stable",
        "current",
        "none",
        "unrestricted",
        "guest",
        "guests",
        "visitor",
        "visitors",
        "sent",
    ]
)
_CLOSED = frozenset(
    [
        "draft",
        "private",
        "hidden",
        "unlisted",
        "members",
        "member",
        "membersonly",
        "subscribers",
        "subscriber",
        "subscribersonly",
        "paid",
        "onlypaid",
        "premium",
        "patrons",
        "patron",
        "supporters",
        "supporter",
        "internal",
        "secret",
        "confidential",
        "restricted",
        "protected",
        "password",
        "pending",
        "future",
        "scheduled",
        "trash",
        "unpublished",
        "staff",
        "admin",
        "admins",
        "team",
        "editors",
    ]
)
# Below these names generators keep a page's own settings; below others, such as an author, the words mean other things.
_CONTAINERS = frozenset(
    [
        "extra",
        "params",
        "param",
        "meta",
        "metadata",
        "data",
        "page",
        "post",
        "options",
        "settings",
        "config",
        "custom",
        "properties",
        "attributes",
        "build",
        "ghost",
        "wordpress",
    ]
)
_RULES = {
    **dict.fromkeys(_EXPIRY_DATES.split(), "expiry"),
    **dict.fromkeys(_PASSWORDS.split(), "password"),
    **dict.fromkeys(_HIDES.split(), "hides"),
    **dict.fromkeys(_SHOWS.split(), "shows"),
    **dict.fromkeys(_LEVELS.split(), "level"),
    **dict.fromkeys(_MAYBE_LEVELS.split(), "maybe"),
    **dict.fromkeys(_MAYBE_HIDES.split(), "hide"),
    "robots": "robots",
    "permalink": "permalink",
}
_HIDDEN_BY: dict[str, Callable[[frozenset[str]], bool]] = {
    "hides": lambda words: not words <= _NO,
    "shows": lambda words: not words <= _YES | _OPEN,
    "level": lambda words: not words <= _OPEN,
    "maybe": lambda words: bool(words & _CLOSED),
    "hide": lambda words: bool(words & (_YES | _CLOSED)),  # themes hide parts of a page by it: hide: [toc]
    "robots": lambda words: any("noindex" in word or word == "none" for word in words),
    "permalink": lambda words: words <= {"false"},
}
_OFTEN_MISTYPED = ("visibility", "private", "password", "unlisted", "protected", "premium", "membersonly", "published")


# Cyrillic and Greek letters that look like Latin ones.
_LOOK_ALIKES = str.maketrans(
    "\u0430\u0501\u0435\u0441\u0455\u0442\u0433\u0456\u043e\u0440\u0443\u03b1\u03bf\u03c1\u03f2\u03c4\u03b9",
    "adecstriopyaopcti",
)


def squash_name(name: str) -> str:
    """Return ``name`` in small letters, without accents, blanks and signs."""
    letters = unicodedata.normalize("NFKD", name.casefold()).translate(_LOOK_ALIKES)
    return "".join(letter for letter in letters if letter.isalnum())


def is_slip(name: str, meant: str) -> bool:
    """Whether ``name`` is ``meant`` with one letter wrong, missing or too many, or two exchanged."""
    if name == meant or abs(len(name) - len(meant)) > 1:
        return False
    start = next((at for at, (a, b) in enumerate(zip(name, meant, strict=False)) if a != b), min(len(name), len(meant)))
    left, right = name[start:], meant[start:]
    swapped = left[1:2] + left[:1] + left[2:]
    return right in (left[1:], swapped) or left == right[1:] or left[1:] == right[1:]


def find_hiding_word(fields: Mapping[str, Value]) -> str | None:
    """Return why a page with these ``fields`` can't be served, or None. Passwords are not repeated."""
    for path, value in _walk(fields):
        if reason := _judge(path, value):
            return reason
    return None


def _walk(fields: Mapping[str, Value], under: str = "") -> Iterator[tuple[str, Value]]:
    """Yield the fields, and those of the folders of settings among them, by their dotted names."""
    for name, value in fields.items():
        if isinstance(value, dict) and squash_name(name) in _CONTAINERS:
            yield from _walk(value, f"{under}{name}.")
        else:
            yield under + name, value


def _judge(path: str, value: Value) -> str | None:
    if is_nothing(value):
        return None
    container, _, name = path.rpartition(".")
    word = squash_name(name)
    if container and word in PUBLISH_DATES:
        return f"{path[:60]}: counts only at the start of a line; move it there, or remove it"
    rule = _RULES.get(word) or ("shows" if squash_name(container) == "build" and word == "list" else None)
    if rule is None:
        rule = _RULES.get(word.removeprefix("is")) or next(
            (_RULES[meant] for meant in _OFTEN_MISTYPED if is_slip(word, meant) and word != "publisher"), None
        )
    if rule is None or not _is_hidden(rule, value):
        return None
    shown = path[:60]
    if rule == "password":
        return f"{shown}: this site has no pages with a password; {_INSTEAD}"
    if rule == "expiry":
        return f"{shown}: pages do not close by themselves here; remove the line, and write `draft: true` on that day"
    return f"{shown}: {_show(value)} hides nothing on this site; {_INSTEAD}"


def _is_hidden(rule: str, value: Value) -> bool:
    return _HIDDEN_BY.get(rule, bool)(_words(value))


def _words(value: Value) -> frozenset[str]:
    """Return the words of a value, squashed; what is no text counts as a word that no list has."""
    if isinstance(value, str):
        return frozenset({squash_name(value)})
    if isinstance(value, dict):
        return frozenset({""})
    return frozenset(word for item in value for word in _words(item))


def _show(value: Value) -> str:
    return value[:40] if isinstance(value, str) else reprlib.repr(value)[:60]
