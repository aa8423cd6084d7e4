"""Servers that mean harm: each is met once by the guarded download and, for a handful, once by a naive client."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import urllib3

from jobqueue.errors import ImageRejectedError
from jobqueue.extraction import TransientExtractionError
from jobqueue.fetch import fetch_image
from jobqueue.settings import MEGABYTE, Settings, load_settings
from tests.picture_host import NAIVE_CLIENT, Exchange, PictureHost, answer, redirect, zeros
from tests.sample_pictures import picture

TIMEOUT = 0.4
# What the two kernels may hold between a server that never stops and a client that has hung up.
IN_FLIGHT = 12 * MEGABYTE


@pytest.fixture
def host() -> Iterator[PictureHost]:
    with PictureHost() as running:
        yield running


@pytest.fixture
def settings(host: PictureHost) -> Settings:
    return load_settings(private_image_hosts=host.authority, fetch_timeout=20.0, max_image_bytes=2 * MEGABYTE)


@pytest.fixture
def hasty(host: PictureHost) -> Settings:
    return load_settings(private_image_hosts=host.authority, fetch_timeout=TIMEOUT)


def rejection(url: str, settings: Settings) -> ImageRejectedError:
    with pytest.raises(ImageRejectedError) as caught:
        fetch_image(url, settings)
    return caught.value


def slow_headers(exchange: Exchange) -> None:
    exchange.send(b"HTTP/1.1 200 OK\r\n")
    while exchange.pause(0.05):
        exchange.send(b"X-More: yes\r\n")


def slow_drip(exchange: Exchange) -> None:
    exchange.send(b"HTTP/1.1 200 OK\r\n\r\n" + picture()[:100])
    while exchange.pause(0.05):
        exchange.send(b"\0")


def slow_chunks(exchange: Exchange) -> None:
    exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1")
    while exchange.pause(0.05):
        exchange.send(b";extension")


def endless_interim_answers(exchange: Exchange) -> None:
    while True:
        exchange.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")


def slow_redirects(exchange: Exchange) -> None:
    if exchange.pause(TIMEOUT / 3):
        redirect(exchange.path)(exchange)


@pytest.mark.parametrize(
    "script",
    [Exchange.until_stopped, slow_headers, slow_drip, slow_chunks, endless_interim_answers, slow_redirects],
)
def test_the_deadline_covers_everything(host: PictureHost, hasty: Settings, script: object) -> None:
    host.scripts["/"] = script  # type: ignore[assignment]
    began = time.monotonic()
    with pytest.raises(TransientExtractionError, match=rf"within {TIMEOUT} seconds") as caught:
        fetch_image(host.url(), hasty)
    assert 0.9 * TIMEOUT < time.monotonic() - began < TIMEOUT + 3
    assert caught.value.code == "IMAGE_UNAVAILABLE"


def test_a_naive_client_waits_as_long_as_bytes_drip(host: PictureHost) -> None:
    host.scripts["/"] = slow_drip
    with NAIVE_CLIENT.open(host.url(), timeout=TIMEOUT) as response:
        response.read(100)
        began = time.monotonic()
        response.read(16)
        assert time.monotonic() - began > TIMEOUT


def test_a_server_that_accepts_and_never_speaks_tls(hasty: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        authority = f"127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(TransientExtractionError, match="within"):
            fetch_image(f"https://{authority}/", hasty.model_copy(update={"private_image_hosts": {authority}}))
        assert time.monotonic() - began < TIMEOUT + 3


def test_a_resolver_that_hangs(hasty: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def hang(*args: object, **kwargs: object) -> list[object]:
        released.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    began = time.monotonic()
    try:
        with pytest.raises(TransientExtractionError, match="within"):
            fetch_image("http://slow.example/", hasty)
        assert time.monotonic() - began < TIMEOUT + 3
    finally:
        released.set()


@pytest.mark.parametrize("headers", [[f"Content-Length: {300 * MEGABYTE}"], []], ids=["declared", "undeclared"])
def test_a_body_of_300_megabytes_is_refused_in_little_memory(
    host: PictureHost, settings: Settings, headers: list[str]
) -> None:
    host.scripts["/"] = zeros(300 * MEGABYTE, *headers)
    tracemalloc.start()
    try:
        error = rejection(host.url(), settings)
        assert tracemalloc.get_traced_memory()[1] < 3 * settings.max_image_bytes
    finally:
        tracemalloc.stop()
    assert error.message == "The picture is larger than 2 MB; send a smaller one."
    assert error.details == {"reason": "too_large", "limit": 2 * MEGABYTE}
    assert host.bytes_sent < settings.max_image_bytes + IN_FLIGHT


def test_a_declared_length_is_refused_before_the_first_byte(host: PictureHost, settings: Settings) -> None:
    def declare(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 300000000\r\n\r\n")
        exchange.until_stopped()

    host.scripts["/"] = declare
    assert rejection(host.url(), settings).details["reason"] == "too_large"


def test_a_length_that_lies(host: PictureHost, settings: Settings) -> None:
    host.scripts["/"] = zeros(300 * MEGABYTE, "Content-Length: 1000")
    assert rejection(host.url(), settings).details["reason"] == "unsupported_format"
    assert host.bytes_sent < IN_FLIGHT


def test_the_size_limit_is_exact(host: PictureHost, settings: Settings) -> None:
    data = picture()
    padded = data + bytes(settings.max_image_bytes - len(data))
    for path, body in (("/fits", padded), ("/over", padded + b"\0")):
        host.scripts[path] = answer(body)
        host.scripts[f"{path}-undeclared"] = partial(Exchange.send, data=b"HTTP/1.0 200 OK\r\n\r\n" + body)
    for suffix in ("", "-undeclared"):
        assert len(fetch_image(host.url(f"/fits{suffix}"), settings).data) == settings.max_image_bytes
        assert rejection(host.url(f"/over{suffix}"), settings).details["reason"] == "too_large"


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br", "gzip, gzip"])
def test_a_compressed_body_is_never_inflated(host: PictureHost, settings: Settings, encoding: str) -> None:
    host.scripts["/"] = answer(gzip.compress(bytes(30 * MEGABYTE)), f"Content-Encoding: {encoding}")
    tracemalloc.start()
    try:
        error = rejection(host.url(), settings)
        assert tracemalloc.get_traced_memory()[1] < MEGABYTE
    finally:
        tracemalloc.stop()
    assert error.details == {"reason": "content_encoding"}


def test_a_naive_client_inflates_it(host: PictureHost) -> None:
    host.scripts["/"] = answer(gzip.compress(bytes(30 * MEGABYTE)), "Content-Encoding: gzip")
    with urllib3.PoolManager() as naive:
        assert len(naive.request("GET", host.url()).data) == 30 * MEGABYTE
    assert host.bytes_sent < MEGABYTE


def test_a_redirect_loop_ends(host: PictureHost, settings: Settings) -> None:
    host.scripts["/a"] = redirect("/b")
    host.scripts["/b"] = redirect("/a")
    assert rejection(host.url("/a"), settings).details == {"reason": "too_many_redirects"}
    assert len(host.requests) == 6


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("file:///etc/passwd", "scheme"),
        ("ftp://127.0.0.1/a.png", "scheme"),
        ("gopher://127.0.0.1:6379/_FLUSHALL", "scheme"),
        ("data:image/png;base64,AAAA", "scheme"),
        ("http://user:secret@example.com/", "credentials"),
        ("http://[::1", "bad_address"),
        ("http://\xff\xfe/", "bad_address"),
        ("http://169.254.169.254/latest/meta-data/", "not_public"),
        ("http://[::ffff:127.0.0.1]/", "not_public"),
        ("//10.0.0.1/", "not_public"),
    ],
)
def test_a_redirect_leads_nowhere_else(host: PictureHost, settings: Settings, location: str, reason: str) -> None:
    host.scripts["/"] = redirect(location)
    assert rejection(host.url(), settings).details == {"reason": reason}


def test_a_redirect_with_a_huge_body_is_not_read(host: PictureHost, settings: Settings) -> None:
    host.scripts["/"] = zeros(300 * MEGABYTE, "Location: /next", status="302 Found")
    host.scripts["/next"] = answer(picture())
    assert fetch_image(host.url(), settings).width == 64
    assert host.bytes_sent < IN_FLIGHT


def endless_headers(exchange: Exchange) -> None:
    exchange.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        exchange.send(b"X-More: yes\r\n" * 5_000)


def endless_header(exchange: Exchange) -> None:
    exchange.send(b"HTTP/1.1 200 OK\r\nX-More: ")
    while True:
        exchange.send(b"a" * 65_536)


def endless_chunk_header(exchange: Exchange) -> None:
    exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;")
    while True:
        exchange.send(b"a" * 65_536)


@pytest.mark.parametrize("script", [endless_headers, endless_header, endless_chunk_header])
def test_headers_without_end_are_broken_off_in_little_memory(
    host: PictureHost, settings: Settings, script: object
) -> None:
    host.scripts["/"] = script  # type: ignore[assignment]
    tracemalloc.start()
    try:
        with pytest.raises(TransientExtractionError, match="broke off its answer or did not answer in HTTP"):
            fetch_image(host.url(), settings)
        assert tracemalloc.get_traced_memory()[1] < 3 * MEGABYTE
    finally:
        tracemalloc.stop()
    assert host.bytes_sent < IN_FLIGHT


def test_a_naive_client_reads_whatever_it_is_sent(host: PictureHost) -> None:
    def slow_headers_that_end(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\n")
        for _ in range(12):
            exchange.pause(0.05)
            exchange.send(b"X-More: yes\r\n")
        exchange.send(b"\r\n")

    host.scripts["/slow"] = slow_headers_that_end
    began = time.monotonic()
    NAIVE_CLIENT.open(host.url("/slow"), timeout=TIMEOUT).close()
    assert time.monotonic() - began > TIMEOUT
    host.scripts["/large"] = zeros(30 * MEGABYTE)
    with NAIVE_CLIENT.open(host.url("/large")) as response:
        assert len(response.read()) > 29 * MEGABYTE


def test_a_naive_client_opens_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of this machine")
    with NAIVE_CLIENT.open((tmp_path / "secret").as_uri()) as response:
        assert response.read() == b"of this machine"


def test_a_naive_client_goes_where_a_user_name_hides_the_host(host: PictureHost) -> None:
    host.scripts["/"] = answer(picture())
    url = f"http://pictures.example@{host.authority}/"
    with urllib3.PoolManager() as naive:
        assert naive.request("GET", url).data == picture()
    assert rejection(url, load_settings(private_image_hosts=host.authority)).details["reason"] == "credentials"
    assert host.connections == 1


def test_a_redirect_smuggles_no_header(host: PictureHost, settings: Settings) -> None:
    smuggled = "/a%0d%0aX-Evil:%20yes?b=%0d%0aX-Evil:%20yes"
    host.scripts["/"] = redirect(smuggled)
    host.scripts[smuggled] = answer(picture())
    assert fetch_image(host.url(), settings).width == 64
    assert [exchange.path for exchange in host.requests] == ["/", smuggled]
    assert "x-evil" not in host.requests[1].headers
