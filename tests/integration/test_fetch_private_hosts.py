"""Who may be connected to: names, numbers and redirects that lead inside, and the hosts that are allowed to."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from jobqueue.errors import ImageRejectedError
from jobqueue.extraction import TransientExtractionError
from jobqueue.fetch import fetch_image
from jobqueue.settings import Settings, load_settings
from tests.picture_host import NAIVE_CLIENT, PictureHost, answer, redirect
from tests.sample_pictures import picture
from tests.small_internet import SmallInternet

PUBLIC_A, PUBLIC_B = "93.184.216.34", "151.101.1.69"
SETTINGS = load_settings(fetch_timeout=5.0)


@pytest.fixture
def inside() -> Iterator[PictureHost]:
    """A server of our own network, with a picture that must not get out."""
    with PictureHost() as running:
        running.scripts["/"] = answer(picture())
        yield running


@pytest.fixture
def outside() -> Iterator[PictureHost]:
    with PictureHost() as running:
        running.scripts["/"] = answer(picture())
        yield running


@pytest.fixture
def internet(outside: PictureHost) -> Iterator[SmallInternet]:
    with SmallInternet() as running:
        running.routes = {PUBLIC_A: outside.port}
        running.names = {"pictures.example": [[PUBLIC_A]]}
        yield running


def allowing(*hosts: str) -> Settings:
    return load_settings(private_image_hosts=",".join(hosts), fetch_timeout=5.0)


def reason(url: str, settings: Settings = SETTINGS) -> str:
    with pytest.raises(ImageRejectedError) as caught:
        fetch_image(url, settings)
    return str(caught.value.details["reason"])


LOOPBACK_SPELLINGS = [
    "127.0.0.1",
    "127.1",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "017700000001",
    "0177.0.0.1",
    "0",
    "0.0.0.0",  # noqa: S104 - asked for, not bound to
    "localhost",
    "LOCALHOST",
    "１２７.0.0.1",
    "127。0。0。1",
    "①②⑦.⓪.⓪.①",
    "ｌocalhost",
    "loc\u00adalhost",
    "127.0.1",
    "0x7f.0.0x1",
    "127.0.0.1.",
    "localhost.",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
]
PRIVATE_NUMBERS = [
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "224.0.0.1",
    "255.255.255.255",
    "0xa9fea9fe",
    "2852039166",
    "0251.0376.0251.0376",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::1]",
    "[2001::1]",
    "[fe80::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fec0::1]",
    "[ff02::1]",
    "[::ffff:169.254.169.254]",
]


@pytest.mark.parametrize("spelling", LOOPBACK_SPELLINGS)
def test_loopback_in_every_spelling(inside: PictureHost, spelling: str) -> None:
    # With a dot at its end it is a name to some resolvers and a number to others; both end without a connection.
    with pytest.raises((ImageRejectedError, TransientExtractionError)) as caught:
        fetch_image(f"http://{spelling}:{inside.port}/", SETTINGS)
    assert inside.connections == 0
    if not spelling.endswith("."):
        assert isinstance(caught.value, ImageRejectedError)
        assert caught.value.details == {"reason": "not_public"}


@pytest.mark.parametrize(
    "spelling", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "017700000001", "0", "localhost"]
)
def test_a_naive_client_connects(inside: PictureHost, spelling: str) -> None:
    with NAIVE_CLIENT.open(f"http://{spelling}:{inside.port}/") as response:
        assert response.read() == picture()


@pytest.mark.parametrize("host", PRIVATE_NUMBERS)
def test_private_numbers(host: str) -> None:
    with SmallInternet() as internet:
        assert reason(f"http://{host}/latest/meta-data/") == "not_public"
    assert internet.connected == []


def test_a_public_name_is_fetched_from_its_public_address(internet: SmallInternet, outside: PictureHost) -> None:
    assert fetch_image("http://pictures.example/", SETTINGS).width == 64
    assert internet.connected == [(PUBLIC_A, 80)]
    assert outside.requests[0].headers["host"] == "pictures.example"


def test_a_name_with_a_private_address_among_public_ones(internet: SmallInternet) -> None:
    for private in ("127.0.0.1", "10.0.0.1", "::1", "::ffff:10.0.0.1", "169.254.169.254"):
        internet.names["pictures.example"] = [[PUBLIC_A, private]]
        assert reason("http://pictures.example/") == "not_public"
    assert internet.connected == []


def test_the_next_address_is_tried_when_the_first_refuses(internet: SmallInternet) -> None:
    internet.names["pictures.example"] = [[PUBLIC_B, PUBLIC_A]]
    assert fetch_image("http://pictures.example/", SETTINGS).width == 64
    assert internet.connected == [(PUBLIC_B, 80), (PUBLIC_A, 80)]


def test_a_name_that_turns_private_after_the_check(
    internet: SmallInternet, inside: PictureHost, outside: PictureHost
) -> None:
    url = f"http://rebinding.example:{inside.port}/"
    internet.names["rebinding.example"] = [[PUBLIC_A], ["127.0.0.1"]]
    assert fetch_image(url, SETTINGS).width == 64
    assert (outside.connections, inside.connections) == (1, 0)

    internet.names["rebinding.example"] = [[PUBLIC_A], ["127.0.0.1"]]
    checked = socket.getaddrinfo("rebinding.example", inside.port)[0][4][0]
    assert ipaddress.ip_address(checked).is_global
    with NAIVE_CLIENT.open(url) as naive:
        assert naive.read() == picture()
    assert (outside.connections, inside.connections) == (1, 1)


def test_each_hop_is_looked_up_and_checked_anew(
    internet: SmallInternet, inside: PictureHost, outside: PictureHost
) -> None:
    authority = f"rebinding.example:{inside.port}"
    internet.names["rebinding.example"] = [[PUBLIC_A], ["127.0.0.1"]]
    outside.scripts["/"] = redirect(f"http://{authority}/again")
    assert reason(f"http://{authority}/") == "not_public"
    assert (outside.connections, inside.connections) == (1, 0)


def test_a_public_host_may_not_redirect_inside(
    internet: SmallInternet, inside: PictureHost, outside: PictureHost
) -> None:
    outside.scripts["/"] = redirect(inside.url())
    assert reason("http://pictures.example/") == "not_public"
    assert inside.connections == 0
    with NAIVE_CLIENT.open("http://pictures.example/") as naive:
        assert naive.read() == picture()
    assert inside.connections == 1


def test_a_public_host_may_redirect_to_a_listed_one(
    internet: SmallInternet, inside: PictureHost, outside: PictureHost
) -> None:
    outside.scripts["/"] = redirect(inside.url())
    assert fetch_image("http://pictures.example/", allowing(inside.authority)).width == 64


def test_a_listed_host_may_not_redirect_to_another_private_one(inside: PictureHost, outside: PictureHost) -> None:
    outside.scripts["/"] = redirect(inside.url())
    assert reason(outside.url(), allowing(outside.authority)) == "not_public"
    assert (outside.connections, inside.connections) == (1, 0)
    assert fetch_image(outside.url(), allowing(outside.authority, inside.authority)).width == 64


def test_a_listed_host_is_meant_as_it_is_spelled(inside: PictureHost) -> None:
    for spelling in ("localhost", "2130706433", "127.1", "[::ffff:127.0.0.1]"):
        assert reason(f"http://{spelling}:{inside.port}/", allowing("127.0.0.1")) == "not_public"
    assert reason(inside.url(), allowing("localhost", f"127.0.0.1:{inside.port + 1}")) == "not_public"
    assert inside.connections == 0
    assert fetch_image(inside.url(), allowing("127.0.0.1")).width == 64
    assert fetch_image(f"http://LocalHost:{inside.port}/", allowing("LOCALHOST")).width == 64


def test_a_listed_ipv6_host() -> None:
    try:
        server = PictureHost("::1")
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with server:
        server.scripts["/"] = answer(picture())
        assert fetch_image(server.url(), allowing(server.authority)).width == 64
        assert server.requests[0].headers["host"] == server.authority
        assert reason(server.url()) == "not_public"


def test_a_listed_name_that_leads_to_the_metadata_service(internet: SmallInternet, inside: PictureHost) -> None:
    internet.names["minio.internal"] = [["169.254.169.254"]]
    internet.routes["169.254.169.254"] = inside.port
    assert reason("http://minio.internal/", allowing("minio.internal")) == "not_public"
    assert internet.connected == []
    assert fetch_image("http://169.254.169.254/", allowing("169.254.169.254")).width == 64


HOSTS = st.one_of(
    st.sampled_from([*LOOPBACK_SPELLINGS, "example.com", "a.b.c", "xn--", "-", ".", "", "[", "[::1]%25lo", "ex ample"]),
    st.text(max_size=30),
    st.ip_addresses().map(str),
    st.integers(0, 2**40).map(str),
)
PORTS = st.one_of(
    st.just(""), st.integers(-1, 70_000).map(lambda port: f":{port}"), st.text(max_size=5).map(":{}".format)
)
URLS = st.one_of(
    st.text(),
    st.builds(
        "{}{}{}{}{}".format,
        st.sampled_from(["http://", "https://", "HTTP://", "http:", "http:/\\", " http://", "//", "ftp://", "file://"]),
        st.sampled_from(["", "", "", "user@", "a:b@", "a\\@"]),
        HOSTS,
        PORTS,
        st.one_of(st.sampled_from(["", "/", "/a.png?b#c", "/\x00", "/\r\nX: y", "?\ud800"]), st.text(max_size=30)),
    ),
)


@hypothesis_settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(URLS)
@example("\x00")
@example("http://\x00/")
@example("http://" + "a" * 10_000_000)
@example("http://a/" + "\x00" * 10_000_000)
@example("http://" + "☃" * 10_000 + "/")
@example("http://" + "1" * 5_000 + "/")
@example("http://a:" + "1" * 5_000 + "/")
def test_no_string_gets_out_or_raises_anything_else(url: str) -> None:
    with SmallInternet() as internet:
        internet.any_name = "127.0.0.1"
        with pytest.raises((ImageRejectedError, TransientExtractionError)):
            fetch_image(url, SETTINGS)
        assert internet.connected == []


def test_a_naive_client_does_connect_on_that_internet(inside: PictureHost) -> None:
    with SmallInternet() as internet:
        internet.any_name = "127.0.0.1"
        NAIVE_CLIENT.open(f"http://example.com:{inside.port}/").close()
        assert internet.connected == [("127.0.0.1", inside.port)]
