"""Which network addresses are the public Internet. Pure."""

import ipaddress

_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_REFUSED = tuple(
    ipaddress.ip_network(each)
    for each in (
        "168.63.129.16/32",  # a cloud's own services, as its machines see them
        "192.0.0.0/24",  # protocol assignments (RFC 6890); another cloud's metadata
        "192.88.99.0/24",  # 6to4 relays (RFC 7526)
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarking
        "2002::/16",  # 6to4: holds an IPv4 address
        "3fff::/20",  # documentation (RFC 9637)
    )
)
"""Public by number; but what answers there is elsewhere, or nobody."""


def is_public(address: str) -> bool:
    """Whether a host of the public Internet, and nothing nearer, answers at this IP address.

    Forms that hold an IPv4 address inside (mapped, NAT64, 6to4, Teredo) are refused whatever they
    hold; so is what the registries reserve. Raises ValueError when it is no address.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and (ip not in _GLOBAL_V6 or ip.scope_id):
        return False
    return ip.is_global and not ip.is_multicast and not any(ip in each for each in _REFUSED)
