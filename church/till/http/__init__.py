"""The till's HTTP side: API, pages, webhook delivery and server process."""
