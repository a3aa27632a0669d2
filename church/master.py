"""Old name of ``church.server.gunicorn_logger``, kept for one release."""

from church.server.gunicorn_logger import MasterLogger

__all__ = ["MasterLogger"]
