"""Where the HTTP server listens: reads --http-address, and says clearly why it cannot be had."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

LARGEST_PORT = 65535


class HttpAddressError(ValueError):
    """The address is not written as one, or cannot be listened on; the text names the flag and the cause."""

    def __init__(self, address: str, why: str) -> None:
        super().__init__(f"--http-address {address}: {why}")


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """A host, empty for all interfaces, and a port, 0 for any free one."""

    text: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> HttpAddress | None:
        """Read `host:port`, `:port` or `[IPv6]:port`; None for "" and "off". Raises HttpAddressError."""
        if text in {"", "off"}:
            return None
        host, colon, port = text.rpartition(":")
        if not colon or not (port.isascii() and port.isdecimal()):
            raise HttpAddressError(text, 'write host:port, like ":8080" or "127.0.0.1:8080", or "off"')
        if int(port) > LARGEST_PORT:
            raise HttpAddressError(text, f"the port is at most {LARGEST_PORT}")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise HttpAddressError(text, 'write an IPv6 address in brackets, like "[::1]:8080"')
        try:
            host.encode("idna")
        except UnicodeError as error:
            raise HttpAddressError(text, f"{host} is no host name") from error
        return cls(text, host, int(port))

    def listen(self) -> socket.socket:
        """A listening socket; all interfaces are one socket for IPv4 and IPv6. Raises HttpAddressError."""
        dual = not self.host and socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if dual or ":" in self.host else socket.AF_INET
        try:
            return socket.create_server((self.host, self.port), family=family, dualstack_ipv6=dual)
        except OSError as error:
            reason = (error.strerror or str(error)).partition(" (while")[0]  # create_server adds what we say
            raise HttpAddressError(self.text, reason.lower()) from error


def is_loopback(listening: socket.socket) -> bool:
    """Whether only this machine (this pod) can reach it."""
    return ipaddress.ip_address(listening.getsockname()[0]).is_loopback
