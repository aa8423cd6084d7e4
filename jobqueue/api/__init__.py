"""The HTTP API: a whole application, or a router for an application of one's own. Needs the extra ``api``."""

from jobqueue.api.app import create_app
from jobqueue.api.router import create_router

__all__ = ["create_app", "create_router"]
