"""Configure gunicorn: fair gevent workers, each with a metrics slot, restarted after many requests."""

import os
import sys

from church.config import ConfigError, load_settings
from church.lib.files import UMASK
from church.server import gunicorn_master

try:
    settings = load_settings()
except ConfigError as error:
    sys.exit(f"The site can't start with these settings:\n{error}")

os.umask(UMASK)  # gunicorn's own setting covers only its sockets and scratch files; workers inherit this one
umask = UMASK

gunicorn_master.install()
wsgi_app = "wsgi:app"
bind = settings.bind
workers = settings.workers
worker_class = "church.server.gunicorn_worker.FairWorker"
worker_connections = 1000
preload_app = False  # the master loads the site by itself, once it listens

keepalive = 5  # seconds for the head of each request, also the first: slow clients are disconnected
timeout = 30
graceful_timeout = 30
max_requests = 200_000
max_requests_jitter = 20_000

limit_request_line = 4094
limit_request_fields = 100
limit_request_field_size = 8190

# CHURCH_TRUSTED_PROXIES alone decides which proxies may set forwarding headers.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""

logger_class = "church.server.gunicorn_logger.MasterLogger"
accesslog = None
control_socket_disable = True
