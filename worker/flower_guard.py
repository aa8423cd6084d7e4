"""Keeps ``celery -A worker flower`` private: loopback unless told otherwise, never public without a sign-in."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import click
from celery import Celery, signals
from tornado.options import OptionParser, options
from tornado.web import authenticated

from jobqueue.errors import JobQueueError
from jobqueue.settings import Settings, load_settings

LOOPBACK = "127.0.0.1"


def install_flower_guard(app: Celery) -> None:
    """Guard every Flower that is started for ``app``; other Celery commands are left alone.

    Flower listens on 127.0.0.1 unless an address is given, and asks for the settings' ``flower_user`` and
    ``flower_password`` when a password is set and no other sign-in option is. An address that other
    machines can reach, without any sign-in, ends the process with one sentence and exit code 1.
    Flower's own options, on the command line, in ``FLOWER_*`` or in its configuration file, come first.
    """

    def guard(**_: Any) -> None:
        context = click.get_current_context(silent=True)
        if context is not None and context.command.name == "flower":
            secure_flower(options, _read_settings())

    # Flower sends this signal after it has read all its options and before it opens its port.
    signals.import_modules.connect(guard, sender=app, weak=False)


def secure_flower(flower_options: OptionParser, settings: Settings) -> None:
    """Complete Flower's options from the settings; raises ``SystemExit`` with a sentence when they are unsafe."""
    if not flower_options.address:
        flower_options.address = LOOPBACK
    if settings.flower_password is not None and not (flower_options.basic_auth or flower_options.auth):
        flower_options.basic_auth = _credentials(settings.flower_user, settings.flower_password.get_secret_value())
    if _asks_who_is_there(flower_options):
        _protect_metrics()
    elif not flower_options.unix_socket and not _is_loopback(flower_options.address):
        raise SystemExit(
            f"Flower would let anyone who reaches {flower_options.address} in: set JOBQUEUE_FLOWER_PASSWORD "
            f"(or one of Flower's own sign-in options), or leave the address out to listen on {LOOPBACK} only."
        )


def _read_settings() -> Settings:
    try:
        return load_settings()
    except JobQueueError as error:
        raise SystemExit(f"Error: {error.message}") from None


def _credentials(user: str, password: str) -> list[str]:
    pair = f"{user}:{password}"
    if not pair.isascii():
        # Flower compares with hmac.compare_digest, which raises for any other text: nobody could ever sign in.
        raise SystemExit("JOBQUEUE_FLOWER_USER and JOBQUEUE_FLOWER_PASSWORD may hold ASCII characters only.")
    return [pair] if password else []


def _asks_who_is_there(flower_options: OptionParser) -> bool:
    pairs: list[str] = flower_options.basic_auth or []
    return bool(flower_options.auth) or (bool(pairs) and all(pair.partition(":")[2] for pair in pairs))


def _is_loopback(address: str) -> bool:
    try:
        found = socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return all(ipaddress.ip_address(entry[4][0]).is_loopback for entry in found)


def _protect_metrics() -> None:
    # Flower leaves /metrics open even with a password; it names workers and tasks. Imported here, where Flower is
    # loaded already, so that the worker and the notifier do not pay for it.
    from flower.views.monitor import Metrics  # noqa: PLC0415

    Metrics.get = authenticated(Metrics.get)
