"""How the web process is served, here and in production: ``gunicorn wsgi:app`` reads this file.

WEB_BIND, WEB_CONCURRENCY and WEB_THREADS change what differs between machines.
"""

import os
from pathlib import Path

from services.core.memory import settle_memory

bind = os.environ.get("WEB_BIND", "127.0.0.1:8000")
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
worker_class = "coordinator.connections.EvenWorker"
threads = int(os.environ.get("WEB_THREADS", "8"))
timeout = 30
graceful_timeout = 10
keepalive = 30

# The application is imported once and its memory shared with the workers. Engines are created after the fork
# (services/core/database.py), and what was imported is never touched by the collector, which would unshare it.
preload_app = True

# Addresses may hold a patient's link, so requests are logged by the application, without their addresses.
accesslog = None
loglevel = "warning"
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a heartbeat file, made by mkstemp


def when_ready(server: object) -> None:
    """Put what was preloaded out of the collector's reach, before the first fork."""
    settle_memory()
