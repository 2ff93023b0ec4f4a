"""The rule for addresses, by examples and against everything that wraps an IPv4 address."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.gateway.urls.addresses import is_private, may_be_reached

PUBLIC = ["1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0",
          "192.167.255.255", "192.169.0.0", "223.255.255.255", "2606:4700:4700::1111", "2001:200::1"]  # fmt: skip
PRIVATE = ["10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255",
           "fc00::1", "fd12:3456:789a::1"]  # fmt: skip
NEVER = ["0.0.0.0", "0.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.0", "127.255.255.255", "169.254.0.0",
         "169.254.169.254", "168.63.129.16", "192.0.0.192", "192.0.2.1", "192.88.99.1", "198.18.0.0", "198.19.255.255",
         "198.51.100.1", "203.0.113.1", "224.0.0.0", "239.255.255.255", "240.0.0.0", "255.255.255.255",
         "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1",
         "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:1ff:ffff::", "2001:db8::1", "2002:7f00:1::",
         "3fff::1", "4000::1", "5f00::1", "fe80::1", "fe80::1%1", "2606:4700::1%1", "fec0::1", "fbff::1", "fe00::1",
         "fd00:ec2::254", "fd20:ce::254", "ff02::1", "fc00::200:5efe:7f00:1"]  # fmt: skip


@pytest.mark.parametrize("allow_private", [False, True])
@pytest.mark.parametrize(
    ("addresses", "permitted"),
    [(PUBLIC, {False, True}), (PRIVATE, {True}), (NEVER, set())],
    ids=["public", "private", "never"],
)
def test_what_may_be_reached(addresses: list[str], permitted: set[bool], allow_private: bool) -> None:
    reached = [one for one in addresses if may_be_reached(ip_address(one), allow_private=allow_private)]
    assert reached == (addresses if allow_private in permitted else [])


any_v4 = st.integers(0, 2**32 - 1)
any_address = st.one_of(any_v4.map(IPv4Address), st.integers(0, 2**128 - 1).map(IPv6Address))
# Most random IPv6 addresses are far from any that means something.
near_something = st.builds(
    lambda prefix, length, rest: IPv6Address(int(IPv6Address(prefix)) | rest >> length),
    st.sampled_from(
        ["::", "64:ff9b::", "100::", "2000::", "2001::", "2001:db8::", "2002::", "fc00::", "fe80::", "ff00::"]
    ),
    st.sampled_from([16, 32, 64, 96]),
    st.integers(0, 2**128 - 1),
)


@given(st.one_of(any_address, near_something))
def test_what_may_be_reached_is_global_by_pythons_own_lists_too(address: IPv4Address | IPv6Address) -> None:
    if may_be_reached(address, allow_private=False):
        assert address.is_global
        assert not address.is_multicast
    if may_be_reached(address, allow_private=True):
        assert address.is_global or is_private(address)


@given(any_v4, st.integers(0, 2**16 - 1))
def test_no_ipv6_address_with_one_of_ipv4_inside_is_reached(inner: int, other: int) -> None:
    wrapped = {
        "compatible": inner,
        "mapped": 0xFFFF << 32 | inner,
        "translated": 0xFFFF << 48 | inner,
        "NAT64": 0x0064_FF9B << 96 | inner,
        "NAT64 local": 0x0064_FF9B_0001 << 80 | other << 32 | inner,
        "6to4": 0x2002 << 112 | inner << 80 | other,
        "Teredo": 0x2001_0000 << 96 | other << 32 | inner ^ 0xFFFF_FFFF,
        "Teredo's server": 0x2001_0000 << 96 | inner << 64 | other,
        "ISATAP": 0x2606_4700 << 96 | 0x0000_5EFE << 32 | inner,
        "ISATAP, unique": 0x2606_4700 << 96 | 0x0200_5EFE << 32 | inner,
    }
    assert [name for name, one in wrapped.items() if may_be_reached(IPv6Address(one), allow_private=True)] == []
