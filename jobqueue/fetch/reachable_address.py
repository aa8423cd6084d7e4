"""Which IP addresses a picture may be fetched from."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from jobqueue.fetch.image_address import ImageAddress

IPAddress = IPv4Address | IPv6Address

# What `ipaddress` calls global although no public web server lives there; its lists also differ between the patch
# releases of Python, so the blocks that matter stand here whether or not this one knows them.
_SPECIAL_IPV4 = tuple(
    IPv4Network(block)
    for block in (
        "100.64.0.0/10",  # carrier-grade NAT, and the metadata service of one cloud
        "168.63.129.16/32",  # the platform's own address inside Azure
        "192.0.0.0/24",  # protocol assignments, and the metadata service of another cloud
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # automatic multicast tunnelling
        "192.88.99.0/24",  # 6to4 relays
        "192.175.48.0/24",  # AS112
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",
    )
)
# Every public IPv6 address begins like this; loopback, unique-local, link-local, multicast, segment routing and the
# translation prefixes do not.
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_SPECIAL_IPV6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments, among them Teredo, ORCHID and benchmarking
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: a tunnel to any IPv4 address
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
# In each of these the last 32 bits are an IPv4 address.
_IPV4_AT_THE_END = (
    IPv6Network("::/96"),
    IPv6Network("::ffff:0:0/96"),
    IPv6Network("::ffff:0:0:0/96"),
    _NAT64,
    IPv6Network("64:ff9b:1::/48"),
)
# Whoever can read these can act as the machine, so a host name in the list of private hosts does not open them.
_METADATA = tuple(
    ipaddress.ip_network(block)
    for block in (
        "169.254.0.0/16",
        "fe80::/10",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "192.0.0.192/32",
        "fd00:ec2::/32",
        "fd20:ce::254/128",
    )
)


def is_public(address: IPAddress) -> bool:
    """Whether ``address`` belongs to the public internet; an IPv4 address mapped into IPv6 is judged as itself."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None or address in _NAT64:
            return is_public(_last_32_bits(address))
        return address in _GLOBAL_UNICAST and address.is_global and not any(address in net for net in _SPECIAL_IPV6)
    return address.is_global and not any(address in network for network in _SPECIAL_IPV4)


def may_reach(address: IPAddress, wanted: ImageAddress, private_hosts: Collection[str]) -> bool:
    """Whether ``wanted`` may be fetched from ``address``, one of those its host resolves to.

    ``private_hosts`` are the hosts, each with or without a port, that need not be public. A cloud's metadata service
    is open to none of them unless its address is listed itself.
    """
    if is_public(address):
        return True
    listed = {host.lower() for host in private_hosts}
    if _spellings(wanted.host, wanted.port).isdisjoint(listed):
        return False
    return not _is_metadata(address) or not _spellings(str(address), wanted.port).isdisjoint(listed)


def _spellings(host: str, port: int) -> set[str]:
    if ":" in host:
        return {host, f"[{host}]", f"[{host}]:{port}"}
    return {host, f"{host}:{port}"}


def _is_metadata(address: IPAddress) -> bool:
    reached = (address, _embedded_ipv4(address)) if isinstance(address, IPv6Address) else (address,)
    return any(each in network for each in reached if each is not None for network in _METADATA)


def _embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    if any(address in network for network in _IPV4_AT_THE_END):
        return _last_32_bits(address)
    if address.teredo is not None:
        return address.teredo[1]
    return address.sixtofour


def _last_32_bits(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFF_FFFF)
