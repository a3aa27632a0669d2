"""The sections that watch the site. Import each module here and name it in ``__all__``."""

__all__: list[str] = []
