"""Reading an address: what may be asked for at all, before any name is looked up."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from jobqueue.errors import ImageRejectedError

# Longer than a submitted address may be, because signed addresses that we are redirected to carry whole session tokens.
MAX_CHARACTERS = 8_192
DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST_NAME = re.compile(r"[a-z0-9._-]{1,253}")
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")
# What RFC 3986 lets stand in a path or query, and the percent sign of what is already encoded.
_KEEP = "%/:@!$&'()*+,;=~"


@dataclass(frozen=True, slots=True)
class ImageAddress:
    """A well-formed http or https address; ``host`` is in lower case and ASCII, an IPv6 host without brackets."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def host_header(self) -> str:
        """The host as HTTP spells it: brackets around IPv6, the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host_header}{self.target}"

    def redirected(self, location: str) -> ImageAddress:
        """The address that ``location`` (absolute or relative) means here; refused like any other."""
        try:
            return parse_image_address(urljoin(self.url, location))
        except ValueError:
            _refuse("The address redirects to something that is no web address.", "bad_address")


def parse_image_address(url: str) -> ImageAddress:
    """Take ``url`` apart; raises ``ImageRejectedError`` where it is not a plain http or https address."""
    if len(url) > MAX_CHARACTERS:
        _refuse(f"The address is longer than {MAX_CHARACTERS} characters; use a shorter link.", "bad_address")
    if _CONTROL_CHARACTER.search(url):
        _refuse("The address holds a control character; copy the link again.", "bad_address")
    try:
        parts = urlsplit(url)
        scheme = parts.scheme.lower()
        if scheme not in DEFAULT_PORTS:
            _refuse("The address does not begin with http:// or https://.", "scheme")
        if parts.username is not None or parts.password is not None:
            _refuse("The address holds a user name or password; use a link that works without.", "credentials")
        port = DEFAULT_PORTS[scheme] if parts.port is None else parts.port
        if port == 0:
            _refuse("The address names port 0, which cannot be reached.", "bad_address")
        return ImageAddress(scheme, _ascii_host(parts), port, _target(parts))
    except ValueError:
        # urlsplit, the port, the IDNA and UTF-8 encodings and ipaddress all report malformed input as a ValueError.
        _refuse("The address is malformed; copy the link again.", "bad_address")


def _ascii_host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if ":" in host or "[" in parts.netloc:
        ipaddress.IPv6Address(host)
        if "%" in host:
            raise ValueError("a zone identifier means something on one machine only")
        return host
    ascii_host = host.encode("idna").decode("ascii").lower()
    if not _HOST_NAME.fullmatch(ascii_host):
        raise ValueError("not a host name")
    return ascii_host


def _target(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe=_KEEP)
    return f"{path}?{quote(parts.query, safe=_KEEP + '?')}" if parts.query else path


def _refuse(message: str, reason: str) -> NoReturn:
    raise ImageRejectedError(message, reason=reason)
