"""`kopfbus run` says in one line why it cannot start, leaves nothing behind, and can always be stopped."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from controller.cli.main import cli
from controller.cli.run import run
from controller.sandbox.server import Sandbox
from tests.controller.cli.manifests import kopfbus

QUICK = 10.0
"""Seconds for a whole process on a busy machine; an idle one needs two."""


def kubeconfig(folder: Path, server: str, **context: str) -> Path:
    """A kubeconfig for a server, without credentials."""
    path = folder / "kubeconfig"
    document = {
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", **context}}],
        "current-context": "here",
    }
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def refused(*options: str | Path, code: int = 1) -> str:
    """The one line with which it does not start."""
    result = kopfbus("run", *options)
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


async def process(*options: str | Path) -> asyncio.subprocess.Process:
    """`kopfbus run` in a process of its own."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "controller", "run", *map(str, options),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def ended(started: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    """Exit code, stdout and stderr, once nobody holds these any more: no child has outlived it."""
    async with asyncio.timeout(QUICK):
        stdout, stderr = await started.communicate()
    return started.returncode, stdout.decode(), stderr.decode()


@asynccontextmanager
async def listening(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any],
) -> AsyncIterator[str]:
    """A server that is none of Kubernetes'; its URL."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


# --- how to reach the API server


def test_a_kubeconfig_that_does_not_exist_is_named(tmp_path):
    assert f"kubeconfig {tmp_path}/none: no such file" in refused("--kubeconfig", tmp_path / "none")


@pytest.mark.parametrize("text", ["a: b: c", "just a text", "[]", "contexts: {}", "\x00"])
def test_a_kubeconfig_that_is_none_is_named(tmp_path, text):
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    assert f"kubeconfig {path}" in refused("--kubeconfig", path)


def test_an_unknown_context_is_answered_with_those_that_exist(tmp_path):
    path = kubeconfig(tmp_path, "http://127.0.0.1:1")
    assert 'no context "there"; it has: here' in refused("--kubeconfig", path, "--context", "there")


def test_a_server_that_refuses_connections_is_named(tmp_path):
    server = f"http://127.0.0.1:{free_port()}"
    assert f"Error: {server}: " in refused("--kubeconfig", kubeconfig(tmp_path, server))


@pytest.mark.parametrize("body", [b"<html>welcome</html>", b"[]", b"{}"])
async def test_a_server_that_is_no_api_server_is_named(tmp_path, body):
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async with listening(answer) as server:
        started = await process("--kubeconfig", kubeconfig(tmp_path, server))
        code, stdout, stderr = await ended(started)
    assert (code, stdout, stderr.count("\n")) == (1, "", 1), stderr
    assert stderr.startswith(f"Error: {server}: ")


# --- what it is told


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (("--lease-duration", "5"), "--lease-duration must be longer than --renew-deadline"),
        (("--retry-period", "9"), "--renew-deadline must be longer than 1.2 times --retry-period"),
        (("--retry-period", "0"), "--retry-period must be more than 0 s"),
        (("--lease-duration", "nan"), "--lease-duration must be longer"),
        (("--lease-duration", "3600"), "--lease-duration must be between"),
    ],
)
def test_lease_timings_that_contradict_each_other_are_a_wrong_call(options, rule):
    assert f"Error: {rule}" in refused(*options, code=2)


@pytest.mark.parametrize("address", ["8080", "localhost:http", "::1:80", "127.0.0.1:99999"])
def test_an_address_that_is_none_is_a_wrong_call(address):
    assert f"Error: --http-address {address}: " in refused("--http-address", address, code=2)


@pytest.mark.parametrize(
    "option", ["--namespace", "--trusted-namespace", "--lease-namespace", "--lease-name"]
)
def test_a_name_that_no_object_can_have_is_a_wrong_call(option):
    result = kopfbus("run", option, "a,b")
    assert result.exit_code == 2
    assert f"Invalid value for '{option}': 'a,b' is no name of a Kubernetes object" in result.stderr


VARIABLES = {
    "KOPFBUS_KUBECONFIG": ("kubeconfig", "/k", "/k"),
    "KOPFBUS_CONTEXT": ("context", "c", "c"),
    "KOPFBUS_NAMESPACES": ("namespaces", " edge\tshop ", ("edge", "shop")),
    "KOPFBUS_TRUSTED_NAMESPACES": ("trusted_namespaces", "edge", ("edge",)),
    "KOPFBUS_ALLOW_SECRETS": ("allow_secrets", "true", True),
    "KOPFBUS_STANDALONE": ("standalone", "1", True),
    "KOPFBUS_LEASE_NAME": ("lease_name", "edge.kopfbus", "edge.kopfbus"),
    "KOPFBUS_LEASE_NAMESPACE": ("lease_namespace", "edge", "edge"),
    "KOPFBUS_LEASE_DURATION": ("lease_duration", "30", 30.0),
    "KOPFBUS_RENEW_DEADLINE": ("renew_deadline", "20", 20.0),
    "KOPFBUS_RETRY_PERIOD": ("retry_period", "5", 5.0),
    "KOPFBUS_IDENTITY": ("identity", "one", "one"),
    "KOPFBUS_HTTP_ADDRESS": ("http_address", "off", "off"),
    "KOPFBUS_LOG_FORMAT": ("log_format", "json", "json"),
    "KOPFBUS_LOG_LEVEL": ("log_level", "debug", "debug"),
}


def parsed(*options: str) -> dict[str, Any]:
    with cli.make_context("kopfbus", ["run", *options]) as group:
        return run.make_context("run", list(options), parent=group).params


@pytest.mark.parametrize("variable", VARIABLES)
def test_every_option_is_a_variable_too(variable, monkeypatch):
    option, text, value = VARIABLES[variable]
    monkeypatch.setenv(variable, text)
    assert parsed()[option] == value


def test_the_variables_are_those_of_all_options():
    assert {option for option, _, _ in VARIABLES.values()} == set(parsed())


def test_the_command_line_goes_before_variables(monkeypatch):
    monkeypatch.setenv("KOPFBUS_NAMESPACES", "edge shop")
    assert parsed("--namespace", "other")["namespaces"] == ("other",)


def test_a_wrong_variable_is_a_wrong_call(monkeypatch):
    monkeypatch.setenv("KOPFBUS_NAMESPACES", "edge,shop")
    with pytest.raises(click.BadParameter, match="'edge,shop' is no name"):
        parsed()


def test_the_variables_of_a_service_named_kopfbus_are_no_options(monkeypatch):
    """Kubernetes sets them in every pod of its namespace."""
    before = parsed()
    for name in ("PORT", "SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT_8080_TCP_ADDR"):
        monkeypatch.setenv(f"KOPFBUS_{name}", "tcp://10.0.0.1:8080")
    assert parsed() == before


# --- whole processes


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Path]:
    """The kubeconfig of a sandbox."""
    server = Sandbox()
    await server.start()
    yield kubeconfig(tmp_path, str(server.url), namespace="default")
    await server.stop()


async def test_a_taken_port_is_named_and_nothing_stays(sandbox):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        started = await process("--kubeconfig", sandbox, "--standalone", "--http-address", address)
        outcome = await ended(started)
    assert outcome == (1, "", f"Error: --http-address {address}: address already in use\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_can_be_stopped_while_the_api_server_does_not_answer(tmp_path, number):
    asked = asyncio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    async with listening(never) as server:
        started = await process("--kubeconfig", kubeconfig(tmp_path, server))
        async with asyncio.timeout(QUICK):
            await asked.wait()
        started.send_signal(number)
        assert await ended(started) == (0, "", "")


async def test_it_can_be_stopped_while_it_starts(sandbox):
    """As soon as the first line is logged, in the middle of starting."""
    options = ("--standalone", "--http-address", "off", "--log-format", "json")
    started = await process("--kubeconfig", sandbox, *options)
    assert started.stderr is not None
    async with asyncio.timeout(QUICK):
        assert await started.stderr.readline()
    started.send_signal(signal.SIGTERM)
    code, _, stderr = await ended(started)
    assert code == 0
    assert "Traceback" not in stderr
