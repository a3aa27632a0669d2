"""Pages of the site: markdown files of a content folder, rendered, searched and listed in feeds.

Import pages from here; only this package knows markdown, the content folder and the search index.
"""

from __future__ import annotations

from church.services.pages.content import (
    check_folder,
    current_pages,
    init_app,
    queue_index,
    report_on_folder,
    start_watcher,
)
from church.services.pages.feeds import FeedItem
from church.services.pages.folder import FileProblem
from church.services.pages.front_matter import compose_letters
from church.services.pages.library import MonthCount, TagCount, looks_like_traversal
from church.services.pages.page_reports import PageReport
from church.services.pages.presenters import FoundPages, PageCard, PagePart, PageView, TeaserView, make_json_ld
from church.services.pages.render import RenderError, render_fragment
from church.services.pages.search.words import Piece, index_text, remove_accents, search_words, split_query
from church.services.pages.sitemap import PageAddresses, SitemapFile, find_sitemap_file
from church.services.pages.topics import ALL_TOPICS, MOST_TOPICS, TopicPart, choose_most_used, list_topics

__all__ = [
    "ALL_TOPICS",
    "MOST_TOPICS",
    "FeedItem",
    "FileProblem",
    "FoundPages",
    "MonthCount",
    "PageAddresses",
    "PageCard",
    "PagePart",
    "PageReport",
    "PageView",
    "Piece",
    "RenderError",
    "SitemapFile",
    "TagCount",
    "TeaserView",
    "TopicPart",
    "check_folder",
    "choose_most_used",
    "compose_letters",
    "current_pages",
    "find_sitemap_file",
    "index_text",
    "init_app",
    "list_topics",
    "looks_like_traversal",
    "make_json_ld",
    "queue_index",
    "remove_accents",
    "render_fragment",
    "report_on_folder",
    "search_words",
    "split_query",
    "start_watcher",
]
