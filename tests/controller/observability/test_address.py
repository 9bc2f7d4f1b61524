"""--http-address: what may be written, and what is said of what may not."""

from __future__ import annotations

import socket

import pytest

from controller.observability.address import HttpAddress, HttpAddressError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (":8080", "", 8080),
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("localhost:65535", "localhost", 65535),
        ("[::]:8080", "::", 8080),
    ],
)
def test_a_host_and_a_port_are_read(text, host, port):
    address = HttpAddress.parse(text)
    assert address is not None
    assert (address.host, address.port) == (host, port)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("8080", "write host:port"),
        ("localhost:", "write host:port"),
        ("localhost:http", "write host:port"),
        (":-1", "write host:port"),
        (":٣", "write host:port"),
        (":65536", "the port is at most 65535"),
        ("::1:8080", "write an IPv6 address in brackets"),
        (f"{'a' * 64}.example:80", f"{'a' * 64}.example is no host name"),
    ],
)
def test_what_is_no_address_is_refused_with_what_to_write(text, why):
    with pytest.raises(HttpAddressError) as refusal:
        HttpAddress.parse(text)
    assert str(refusal.value).startswith(f"--http-address {text}: {why}")


def test_an_address_that_is_not_this_machines_is_refused_with_the_cause():
    address = HttpAddress.parse("192.0.2.1:0")
    assert address is not None
    with pytest.raises(HttpAddressError) as refusal:
        address.listen()
    assert str(refusal.value) == "--http-address 192.0.2.1:0: cannot assign requested address"


def test_a_taken_port_is_refused_by_name():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        text = f"127.0.0.1:{taken.getsockname()[1]}"
        address = HttpAddress.parse(text)
        assert address is not None
        with pytest.raises(HttpAddressError) as refusal:
            address.listen()
    assert str(refusal.value) == f"--http-address {text}: address already in use"
