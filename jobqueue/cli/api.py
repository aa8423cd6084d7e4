"""``jobqueue api``."""

from __future__ import annotations

from importlib.util import find_spec

import click

from jobqueue.errors import InvalidInputError


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
def api(host: str, port: int) -> None:
    """Serve the HTTP API until stopped.

    Needs DATABASE_URL, and JOBQUEUE_JWT_SECRET or JOBQUEUE_JWKS_URL.
    """
    if find_spec("fastapi") is None or find_spec("uvicorn") is None or find_spec("jwt") is None:
        raise InvalidInputError("The HTTP API is not installed; run: pip install 'menu-jobqueue[api]'.")
    # Only here, because the other commands work without the extra.
    import uvicorn  # noqa: PLC0415

    from jobqueue.api import create_app  # noqa: PLC0415

    uvicorn.run(create_app(), host=host, port=port, server_header=False)
