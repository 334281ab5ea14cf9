"""Which machines may be asked that are not on the public internet."""

from __future__ import annotations

import ipaddress
from typing import Final, NamedTuple


class Private(NamedTuple):
    """Hosts and networks that may be asked though they are not on the public internet."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Private:
        """Names and networks with commas between them, like `mlflow.lan, 10.20.0.0/16`. Raises `ValueError`."""
        hosts, networks = set[str](), []
        for each in filter(None, map(str.strip, text.split(","))):
            try:
                networks.append(ipaddress.ip_network(each))
            except ValueError:
                if "/" in each or "://" in each or not each.isascii():
                    raise ValueError(f"{each[:80]!r} is neither a host's name nor a network like 10.20.0.0/16") from None
                hosts.add(each.lower())
        return cls(frozenset(hosts), tuple(networks))

    def admits(self, host: str, address: str) -> bool:
        """Whether the machine may be asked."""
        machine = ipaddress.ip_address(address.partition("%")[0])
        return machine.is_global or host.lower() in self.hosts or any(machine in network for network in self.networks)


PUBLIC: Final = Private()
"""Nobody but the public internet."""
