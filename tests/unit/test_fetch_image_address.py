"""Which strings are addresses at all, and how they are asked for."""

from __future__ import annotations

import pytest

from jobqueue.errors import ImageRejectedError
from jobqueue.fetch.image_address import MAX_CHARACTERS, parse_image_address


def refusal(url: str) -> ImageRejectedError:
    with pytest.raises(ImageRejectedError) as caught:
        parse_image_address(url)
    return caught.value


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://example.com", "http://example.com/"),
        ("HTTPS://Example.COM:443/a?b=c#d", "https://example.com/a?b=c"),
        ("http://example.com:8080/a b.png", "http://example.com:8080/a%20b.png"),
        ("http://example.com/%C3%BC?t=a%2Fb", "http://example.com/%C3%BC?t=a%2Fb"),
        ("http://example.com/ü?ü", "http://example.com/%C3%BC?%C3%BC"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://under_score.example/", "http://under_score.example/"),
        ("http://[2606:4700::1]:81/", "http://[2606:4700::1]:81/"),
        ("http://１２７.0.0.1/", "http://127.0.0.1/"),
        ("http://example.com?query", "http://example.com/?query"),
    ],
)
def test_an_address_is_asked_for_in_ascii_with_the_port_only_where_it_matters(url: str, asked: str) -> None:
    assert parse_image_address(url).url == asked


@pytest.mark.parametrize(
    "url", ["ftp://example.com/a.png", "file:///etc/passwd", "data:image/png;base64,AA==", "gopher://a/", "a.png", ""]
)
def test_other_schemes_are_refused(url: str) -> None:
    assert refusal(url).details == {"reason": "scheme"}


@pytest.mark.parametrize(
    "url", ["http://user@example.com/", "http://user:secret@example.com/", "http://@example.com/", "http://a\\@b/"]
)
def test_credentials_are_refused_and_not_repeated(url: str) -> None:
    error = refusal(url)
    assert error.details == {"reason": "credentials"}
    assert "secret" not in error.message


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http:///a.png",
        "http://exa mple.com/",
        "http://example.com:99999/",
        "http://example.com:0/",
        "http://example.com:x/",
        "http://127.0.0.1%2f/",
        "http://127.0.0.1%00.example.com/",
        "http://127.0.0.1\\.example.com/",
        "http://example.com/\r\nHost: other",
        "http://example.com/\x00",
        "http://[::1/",
        "http://[::1%25eth0]/",
        "http://[v1.x]/",
        "http://a..b/",
        f"http://{'a' * 64}.com/",
        f"http://{'a.' * 130}com/",
        "http://example.com/\ud800",
        "http://exam\u2100ple.com/",
        pytest.param("http://example.com/" + "a" * MAX_CHARACTERS, id="too long"),
        pytest.param("http://example.com/" + "a" * 10_000_000, id="ten megabytes"),
        pytest.param("http://" + "a" * 10_000_000, id="a host of ten megabytes"),
    ],
)
def test_malformed_addresses_are_refused(url: str) -> None:
    assert refusal(url).details == {"reason": "bad_address"}


@pytest.mark.parametrize(
    ("location", "asked"),
    [
        ("/b.png", "https://example.com:444/b.png"),
        ("b.png", "https://example.com:444/menus/b.png"),
        ("//other.example/b.png", "https://other.example/b.png"),
        ("http://other.example/b.png", "http://other.example/b.png"),
        ("?page=2", "https://example.com:444/menus/a.png?page=2"),
    ],
)
def test_a_redirect_is_relative_to_where_it_came_from(location: str, asked: str) -> None:
    assert parse_image_address("https://example.com:444/menus/a.png").redirected(location).url == asked


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("file:///etc/passwd", "scheme"),
        ("http://user@other.example/", "credentials"),
        ("http://[/", "bad_address"),
    ],
)
def test_a_redirect_is_refused_like_any_other_address(location: str, reason: str) -> None:
    with pytest.raises(ImageRejectedError) as caught:
        parse_image_address("https://example.com/").redirected(location)
    assert caught.value.details == {"reason": reason}
