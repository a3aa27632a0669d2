"""Old name of ``church.server.gunicorn_worker``, kept for one release."""

from church.server.gunicorn_worker import FairWorker

__all__ = ["FairWorker"]
