"""Celery's settings. Messages are only hints that a job may be due: the row in Postgres is the truth."""

from __future__ import annotations

from jobqueue.errors import JobQueueError
from jobqueue.redis_connection import tls_options
from jobqueue.settings import load_settings

try:
    _settings = load_settings()
    broker_url = _settings.broker_url
    # Left to themselves kombu believes any certificate of a rediss:// server, and py-amqp one of any host.
    if broker_url.startswith("rediss://"):
        broker_use_ssl = tls_options(broker_url, "CELERY_BROKER_URL" if _settings.celery_broker_url else "REDIS_URL")
    elif broker_url.startswith("amqps://"):
        broker_use_ssl = {"server_hostname": None}  # None is the host in the URL
except JobQueueError as error:
    # Celery would wrap anything else into a page of traceback.
    raise SystemExit(f"Error: {error.message}") from None

task_default_queue = "menu_extraction"
task_ignore_result = True
# Whoever can write to the broker must not run code here: never pickle.
accept_content = ["json"]

# A message is acknowledged when its attempt has been written, and given back when the child that ran it died. Attempts
# are counted in the row, so a picture that kills its worker cannot circle.
task_acks_late = True
task_reject_on_worker_lost = True
worker_prefetch_multiplier = 1
worker_consumer = "worker.consumer:ExtractionConsumer"

task_soft_time_limit = _settings.time_limit
task_time_limit = _settings.time_limit + 15

# In containers set REMAP_SIGTERM=SIGQUIT: a plain TERM waits for running tasks without bound.
worker_soft_shutdown_timeout = _settings.soft_shutdown_seconds
worker_cancel_long_running_tasks_on_connection_loss = False
# With it a worker whose broker connection was cut in the middle of its jobs takes one message at a time until those it
# takes afterwards are done. The jobs that come again beside themselves are dropped by the claim.
worker_enable_prefetch_count_reduction = False
worker_send_task_events = True

broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # the default gives up after 100 attempts
broker_channel_error_retry = True  # a Redis that refuses writes for a moment (failover, full disk) is no reason to exit
task_publish_retry_policy = {"max_retries": 3, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.3}
if broker_url.startswith(("redis://", "rediss://", "unix://")):
    broker_transport_options = {
        # Longer than any task with its longest wait, or Redis would deliver it again beside itself.
        "visibility_timeout": max(3600, 2 * (_settings.time_limit + 615)),
        "socket_timeout": 5,  # without it a publish to a frozen Redis hangs
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        "health_check_interval": 5,
    }
