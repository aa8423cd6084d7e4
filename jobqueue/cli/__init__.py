"""The command line, thin over the same API that applications use."""

from jobqueue.cli.main import main

__all__ = ["main"]
