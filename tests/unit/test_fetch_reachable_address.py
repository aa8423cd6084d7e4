"""Every block of addresses that is not the public internet, from its first address to its last."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis.strategies import ip_addresses

from jobqueue.fetch.image_address import ImageAddress
from jobqueue.fetch.reachable_address import is_public, may_reach

NOT_PUBLIC = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
    "::/128",
    "::1/128",
    "::127.0.0.1/128",
    "::8.8.8.8/128",
    "::ffff:0:127.0.0.1/128",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001::/32",
    "2001:2::/48",
    "2001:10::/28",
    "2001:20::/28",
    "2001:db8::/32",
    "2002::/16",
    "2002:7f00:1::/48",
    "2620:4f:8000::/48",
    "3fff::/20",
    "4000::/3",
    "5f00::/16",
    "fc00::/7",
    "fd00:ec2::254/128",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450:4001::1"]
METADATA = ["169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254"]
DISGUISES = [
    "::ffff:169.254.169.254",
    "::169.254.169.254",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::169.254.169.254",
    "::ffff:0:169.254.169.254",
    "2002:a9fe:a9fe::1",
    "2001:0:0:0:0:0:5601:5601",
    "fe80::a9fe:a9fe",
]


@pytest.mark.parametrize("block", NOT_PUBLIC)
def test_a_block_that_is_not_public(block: str) -> None:
    network = ip_network(block)
    middle = network[network.num_addresses // 2]
    assert [a for a in (network[0], middle, network[-1]) if is_public(a)] == []


@pytest.mark.parametrize("block", [block for block in NOT_PUBLIC if ":" not in block])
@pytest.mark.parametrize("prefix", ["::ffff:0:0", "64:ff9b::"])
def test_the_same_block_inside_ipv6(block: str, prefix: str) -> None:
    network = IPv4Network(block)
    assert not is_public(IPv6Address(int(IPv6Address(prefix)) + int(network[0])))
    assert not is_public(IPv6Address(int(IPv6Address(prefix)) + int(network[-1])))


@pytest.mark.parametrize("address", [*PUBLIC, "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"])
def test_public_addresses(address: str) -> None:
    assert is_public(ip_address(address))


@given(ip_addresses())
def test_nothing_that_python_knows_to_be_private_is_public(address: object) -> None:
    assert not (is_public(address) and (address.is_private or address.is_multicast))  # type: ignore[arg-type,attr-defined]


def reach(address: str, host: str, private_hosts: set[str], port: int = 80) -> bool:
    return may_reach(ip_address(address), ImageAddress("http", host, port, "/"), private_hosts)


@pytest.mark.parametrize(
    ("address", "host", "listed"),
    [
        ("10.0.0.5", "minio.internal", "minio.internal"),
        ("10.0.0.5", "minio.internal", "MinIO.Internal"),
        ("10.0.0.5", "minio.internal", "minio.internal:80"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("::1", "::1", "::1"),
        ("::1", "::1", "[::1]"),
        ("::1", "::1", "[::1]:80"),
    ],
)
def test_a_listed_host_may_be_private(address: str, host: str, listed: str) -> None:
    assert reach(address, host, {listed})
    assert not reach(address, host, set())


@pytest.mark.parametrize(
    ("address", "host", "listed"),
    [
        ("10.0.0.5", "minio.internal", "minio.internal:81"),
        ("10.0.0.5", "a.minio.internal", "minio.internal"),
        ("10.0.0.5", "minio.internal", "10.0.0.5"),
        ("127.0.0.1", "2130706433", "127.0.0.1"),
        ("127.0.0.1", "127.1", "127.0.0.1"),
        ("::1", "0:0:0:0:0:0:0:1", "::1"),
        ("::1", "::1", ":1"),
    ],
)
def test_only_the_very_spelling_that_is_listed(address: str, host: str, listed: str) -> None:
    assert not reach(address, host, {listed})


@pytest.mark.parametrize("address", METADATA)
def test_a_listed_name_does_not_open_the_metadata_service(address: str) -> None:
    assert not reach(address, "minio.internal", {"minio.internal"})
    assert reach(address, address, {address})
    assert reach(address, "minio.internal", {"minio.internal", address})


@pytest.mark.parametrize("address", DISGUISES)
def test_nor_in_any_disguise(address: str) -> None:
    assert not reach(address, "minio.internal", {"minio.internal"})
    assert not is_public(ip_address(address))
