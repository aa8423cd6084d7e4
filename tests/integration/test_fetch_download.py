"""The guarded download against a real server: what it asks for, what it returns, what each answer means."""

from __future__ import annotations

import hashlib
import ssl
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import trustme

from jobqueue.errors import ImageRejectedError
from jobqueue.extraction import ImageInput, TransientExtractionError
from jobqueue.fetch import compute_sha256_from_url, fetch_image
from jobqueue.fetch.download import _tls
from jobqueue.settings import Settings, load_settings
from tests.picture_host import PictureHost, answer, redirect
from tests.sample_pictures import NOT_PICTURES, blank_png, picture
from tests.small_internet import SmallInternet

SECRET = "signature=do-not-repeat"


@pytest.fixture
def host() -> Iterator[PictureHost]:
    with PictureHost() as running:
        yield running


@pytest.fixture
def settings(host: PictureHost) -> Settings:
    return load_settings(private_image_hosts=host.authority, fetch_timeout=5.0)


def rejection(url: str, settings: Settings) -> ImageRejectedError:
    with pytest.raises(ImageRejectedError) as caught:
        fetch_image(url, settings)
    return caught.value


@pytest.mark.parametrize(("kind", "media_type"), [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp")])
def test_a_picture_comes_back_checked(host: PictureHost, settings: Settings, kind: str, media_type: str) -> None:
    data = picture(kind)
    host.scripts["/menu?page=1"] = answer(data, "Content-Type: text/html")
    url = host.url("/menu?page=1")
    digest = hashlib.sha256(data).hexdigest()
    assert fetch_image(url, settings) == ImageInput(data, media_type, digest, url, 64, 48)
    assert compute_sha256_from_url(url, settings=settings) == digest


def test_without_settings_they_come_from_the_environment(host: PictureHost, monkeypatch: pytest.MonkeyPatch) -> None:
    data = picture()
    host.scripts["/"] = answer(data)
    monkeypatch.setenv("JOBQUEUE_PRIVATE_IMAGE_HOSTS", f"somewhere.internal, {host.authority}")
    assert compute_sha256_from_url(host.url()) == hashlib.sha256(data).hexdigest()


def test_a_body_in_chunks_and_one_that_ends_with_the_connection(host: PictureHost, settings: Settings) -> None:
    data = picture()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (data[:10], data[10:]))
    host.scripts["/chunks"] = lambda e: e.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s0\r\n\r\n" % chunks
    )
    host.scripts["/end"] = lambda e: e.send(b"HTTP/1.0 200 OK\r\n\r\n" + data)
    assert fetch_image(host.url("/chunks"), settings).data == data
    assert fetch_image(host.url("/end"), settings).data == data


def test_the_request_says_no_more_than_it_must(host: PictureHost, settings: Settings) -> None:
    host.scripts["/a%20b?q=%C3%BC"] = answer(picture())
    fetch_image(host.url("/a b?q=ü#fragment"), settings)
    (request,) = host.requests
    assert request.headers["host"] == host.authority
    assert request.headers["accept-encoding"] == "identity"
    assert set(request.headers) == {"host", "user-agent", "accept", "accept-encoding", "connection"}


def test_redirects_are_followed(host: PictureHost, settings: Settings) -> None:
    for step, status in enumerate((301, 302, 303, 307, 308)):
        host.scripts[f"/{step}"] = redirect(f"{step + 1}", f"{status} Moved")
    host.scripts["/5"] = answer(picture())
    assert fetch_image(host.url("/0"), settings).url == host.url("/0")
    assert [request.path for request in host.requests] == [f"/{step}" for step in range(6)]


@pytest.mark.parametrize(
    ("status", "named"),
    [
        ("404 Not Found", "404 Not Found"),
        ("410 Gone", "410 Gone"),
        ("403 <script>", "403 Forbidden"),
        ("299 Odd", "299"),
        ("206 Partial Content", "206 Partial Content"),
        ("304 Not Modified", "304 Not Modified"),
        ("302 Found", "302 Found"),
    ],
)
def test_other_answers_are_refused(host: PictureHost, settings: Settings, status: str, named: str) -> None:
    host.scripts["/"] = answer(b"" if status.startswith("304") else picture(), status=status)
    error = rejection(host.url(), settings)
    assert error.message == f"The address answered {named}; check that the link still works."
    assert error.details == {"reason": "http_status", "status": int(status[:3])}


# Counted from collection, so the test that uses it allows for the length of a run.
IN_AN_HOUR = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)


@pytest.mark.parametrize(
    ("status", "retry_after", "seconds"),
    [
        ("408 Request Timeout", None, None),
        ("425 Too Early", None, None),
        ("429 Too Many Requests", "120", 120),
        ("500 Internal Server Error", None, None),
        # Named, because test workers that collect a second apart must agree on the names.
        pytest.param("503 Service Unavailable", IN_AN_HOUR, 3600, id="503 Service Unavailable-in an hour-3600"),
        ("503 Service Unavailable", "Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("503 Service Unavailable", "Wed, 21 Oct 2015 07:28:00", 0),
        ("503 Service Unavailable", "soon", None),
        ("503 Service Unavailable", "-5", None),
        ("503 Service Unavailable", "9" * 400, None),
        ("599 Odd", None, None),
    ],
)
def test_answers_that_may_change_are_transient(
    host: PictureHost, settings: Settings, status: str, retry_after: str | None, seconds: float | None
) -> None:
    headers = [] if retry_after is None else [f"Retry-After: {retry_after}"]
    host.scripts["/"] = answer(b"", *headers, status=status)
    with pytest.raises(TransientExtractionError) as caught:
        fetch_image(host.url(), settings)
    assert caught.value.code == "IMAGE_UNAVAILABLE"
    assert caught.value.message.startswith(f"The address answered {status[:3]}")
    assert caught.value.retry_after == (None if seconds is None else pytest.approx(seconds, abs=900))
    with pytest.raises(ImageRejectedError, match=r"Try again later\.$") as refused:
        compute_sha256_from_url(host.url(), settings=settings)
    assert (refused.value.details["reason"], refused.value.details["retryable"]) == ("unavailable", True)


def test_connections_that_fail_are_transient(host: PictureHost, settings: Settings) -> None:
    host.scripts["/silent"] = lambda exchange: exchange.send(b"")
    host.scripts["/short"] = lambda e: e.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + picture()[:50])
    host.scripts["/other-protocol"] = lambda exchange: exchange.send(b"SSH-2.0-OpenSSH_9.2\r\n")
    host.scripts["/many-headers"] = lambda e: e.send(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000)
    for path in host.scripts:
        with pytest.raises(TransientExtractionError, match="broke off its answer or did not answer in HTTP"):
            fetch_image(host.url(path), settings)
    with PictureHost() as closed:
        pass
    nobody = load_settings(private_image_hosts=closed.authority, fetch_timeout=5.0)
    with pytest.raises(TransientExtractionError, match=r"^The connection to the address failed\.$") as caught:
        fetch_image(closed.url(), nobody)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_name_that_cannot_be_looked_up_is_transient() -> None:
    with SmallInternet() as internet, pytest.raises(TransientExtractionError, match="could not be found"):
        fetch_image("http://nowhere.example/", load_settings(fetch_timeout=5.0))
    assert internet.connected == []


@pytest.mark.parametrize("kind", NOT_PICTURES)
def test_a_file_that_is_no_picture_is_refused_whatever_its_type_says(
    host: PictureHost, settings: Settings, kind: str
) -> None:
    host.scripts["/menu.png"] = answer(NOT_PICTURES[kind], "Content-Type: image/png")
    assert rejection(host.url("/menu.png"), settings).details == {"reason": "unsupported_format"}


def test_the_content_check_is_part_of_both_calls(host: PictureHost, settings: Settings) -> None:
    host.scripts["/truncated"] = answer(picture("JPEG")[:-200])
    host.scripts["/64-megapixels"] = answer(blank_png(8000, 8000))
    assert rejection(host.url("/truncated"), settings).details["reason"] == "damaged"
    assert rejection(host.url("/64-megapixels"), settings).details["reason"] == "too_many_pixels"
    with pytest.raises(ImageRejectedError, match="50 megapixels"):
        compute_sha256_from_url(host.url("/64-megapixels"), settings=settings)


def test_proxies_of_the_environment_are_not_used(
    host: PictureHost, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.scripts["/"] = answer(picture())
    with PictureHost() as proxy:
        for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(variable, proxy.url())
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")
        fetch_image(host.url(), settings)
        assert proxy.requests == []
        with pytest.raises(urllib.request.HTTPError) as naive:
            urllib.request.build_opener().open(host.url())
        naive.value.close()
        assert len(proxy.requests) == 1


def test_no_message_repeats_the_address(host: PictureHost, settings: Settings) -> None:
    path = f"/menu.png?{SECRET}"
    host.scripts[path] = redirect(f"http://10.1.2.3/?{SECRET}")
    refused = [host.url(path), host.url(f"/404?{SECRET}"), f"http://someone:{SECRET}@a.example/", f"ftp://a/?{SECRET}"]
    for url in [*refused, f"http://10.1.2.3/?{SECRET}", f"http://a..b/?{SECRET}"]:
        error = rejection(url, settings)
        for private in (SECRET, "10.1.2.3", "127.0.0.1", str(host.port), "someone"):
            assert private not in f"{error.message} {error.details}"
        assert error.__cause__ is None


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure_host(authority: trustme.CA) -> Iterator[PictureHost]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("pictures.example").configure_cert(context)
    with PictureHost(tls=context) as running:
        running.scripts["/"] = answer(picture())
        yield running


@pytest.fixture
def trusted(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with authority.cert_pem.tempfile() as path:
        monkeypatch.setenv("SSL_CERT_FILE", path)
        _tls.cache_clear()
        yield
    _tls.cache_clear()


@pytest.mark.usefixtures("trusted")
def test_https_is_judged_by_the_name_though_it_connects_by_number(secure_host: PictureHost) -> None:
    with SmallInternet() as internet:
        internet.names = {"pictures.example": [["93.184.216.34"]], "other.example": [["93.184.216.34"]]}
        internet.routes = {"93.184.216.34": secure_host.port}
        assert fetch_image("https://pictures.example/", load_settings(fetch_timeout=5.0)).width == 64
        assert internet.connected == [("93.184.216.34", 443)]
        assert secure_host.requests[0].headers["host"] == "pictures.example"
        error = rejection("https://other.example/", load_settings(fetch_timeout=5.0))
        assert error.details == {"reason": "certificate"}


def test_a_certificate_that_nobody_vouches_for_is_refused(secure_host: PictureHost) -> None:
    with SmallInternet() as internet:
        internet.names = {"pictures.example": [["93.184.216.34"]]}
        internet.routes = {"93.184.216.34": secure_host.port}
        assert rejection("https://pictures.example/", load_settings(fetch_timeout=5.0)).details == {
            "reason": "certificate"
        }
