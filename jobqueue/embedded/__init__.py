"""Real servers without installation, and child processes that never outlive their owner."""

from jobqueue.embedded.child_process import ManagedProcess
from jobqueue.embedded.postgres_server import EmbeddedPostgres
from jobqueue.embedded.server_error import EmbeddedServerError
from jobqueue.embedded.valkey_server import EmbeddedValkey

__all__ = ["EmbeddedPostgres", "EmbeddedServerError", "EmbeddedValkey", "ManagedProcess"]
