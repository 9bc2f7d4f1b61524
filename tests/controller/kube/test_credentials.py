"""Finding the API server, staying authenticated, and saying in one line why that does not work."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from pathlib import Path

import pytest

from controller.kube import credentials as module
from controller.kube.client import KubeClient
from controller.kube.credentials import RENEW_INTERVAL, Credentials
from controller.kube.errors import KubeConfigError
from tests.controller.kube.conftest import kubeconfig

URL = "http://127.0.0.1:1"
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBdDCCARugAwIBAgIUVujEjY7OoS5yN08FCAaUkgBvT2swCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjQxMTQ3MjVaGA8yMTI2MTAzMTExNDcy
NVowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCCd
a7ExkwQisuiwHdU+PI4lP5YdwBXPHyh4L15C8jUcDn+kPyOMSfnlcKuUpm+CA3wL
Fxtvp2hFyRexJ/ryWjCjUzBRMB0GA1UdDgQWBBQd/i/F8kFidVkkmWE7jDZZIGoN
dTAfBgNVHSMEGDAWgBQd/i/F8kFidVkkmWE7jDZZIGoNdTAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0cAMEQCIFrfcKF4fkBZRA+W79fLAD0y2s3QVO4GkF6Z
Z4B9tZO1AiBfvmUYg+hBbwvhoiyeaH/pogbOyV0C0cI2wRMh5geelg==
-----END CERTIFICATE-----
"""
"""Of an authority whose key was thrown away."""


@pytest.fixture(autouse=True)
def outside_of_clusters(monkeypatch, tmp_path):
    """The machine that runs the tests has no say."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def pod(tmp_path: Path, monkeypatch) -> Path:
    """What a pod finds mounted."""
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "token").write_text("pod-token")
    (folder / "namespace").write_text("operators")
    (folder / "ca.crt").write_text(CERTIFICATE)
    monkeypatch.setattr(module, "SERVICE_ACCOUNT", folder)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    return folder


def plugin(folder: Path, **status: str) -> dict[str, object]:
    """An exec plugin that answers this and counts its calls in the file `calls`."""
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    script = folder / "plugin.py"
    script.write_text(f"open({str(folder / 'calls')!r}, 'a').write('x'); print({json.dumps(answer)!r})")
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": [str(script)],
        }
    }


def calls(folder: Path) -> int:
    return len((folder / "calls").read_text())


def make_renewal_due(credentials: Credentials) -> None:
    credentials._looked_at -= RENEW_INTERVAL + 1


async def refused(path: str | None, context: str | None = None) -> str:
    with pytest.raises(KubeConfigError) as caught:
        await Credentials.load(path, context)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- where the server is


async def test_kubeconfig_variable_and_home_are_looked_at(tmp_path, monkeypatch):
    home = tmp_path / "home" / ".kube"
    home.mkdir(parents=True)
    Path(kubeconfig(tmp_path, "http://home:1")).rename(home / "config")
    assert (await KubeClient.connect()).server == "http://home:1"
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'absent'}:{kubeconfig(tmp_path, 'http://variable:1')}")
    assert (await KubeClient.connect()).server == "http://variable:1"


async def test_a_pod_uses_its_service_account(tmp_path, monkeypatch, pod):
    client = await KubeClient.connect()
    assert client.server == "https://10.0.0.1:443"
    assert client.default_namespace == "operators"
    assert await client._credentials.authorization() == "bearer pod-token"


async def test_a_kubeconfig_that_is_named_counts_more_than_the_pod(tmp_path, pod):
    assert (await KubeClient.connect(kubeconfig(tmp_path, URL))).server == URL


async def test_a_pods_rotated_token_is_noticed(pod):
    credentials = await Credentials.load(None, None)
    (pod / "token").write_text("rotated\n")
    assert await credentials.authorization() == "bearer pod-token"
    make_renewal_due(credentials)
    assert await credentials.authorization() == "bearer rotated"


# --- what may be wrong


async def test_a_missing_file_is_named(tmp_path):
    assert f"{tmp_path / 'absent'}: no such file" in await refused(str(tmp_path / "absent"))


async def test_an_unknown_context_is_named_with_those_there_are(tmp_path):
    message = await refused(kubeconfig(tmp_path, URL), "prod")
    assert message.endswith('no context "prod"; it has: mine')


async def test_a_missing_current_context_is_told(tmp_path):
    path = tmp_path / "kubeconfig"
    path.write_text("clusters: []\ncontexts: []\nusers: []\n")
    assert (await refused(str(path))).endswith("no current-context; it has: none")


@pytest.mark.parametrize(
    "text",
    ["", "- a list", "a: [", "contexts: 3", "current-context: mine\ncontexts: [{name: mine}]", "\x00"],
)
async def test_a_file_that_is_no_kubeconfig_is_named(tmp_path, text):
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    assert str(path) in await refused(str(path))


async def test_a_certificate_authority_that_is_none_is_named(tmp_path):
    path = Path(kubeconfig(tmp_path, "https://127.0.0.1:1"))
    authority = tmp_path / "ca.crt"
    authority.write_text("nothing")
    document = json.loads(path.read_text())
    document["clusters"][0]["cluster"]["certificate-authority"] = "ca.crt"
    path.write_text(json.dumps(document))
    assert f"TLS cannot use {authority}" in await refused(str(path))
    authority.unlink()
    assert "ca.crt" in await refused(str(path))


async def test_a_plugin_that_fails_is_named(tmp_path):
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/false"}}
    message = await refused(kubeconfig(tmp_path, URL, user))
    assert message.endswith("the exec plugin /bin/false gave no credentials")


async def test_a_plugin_that_hangs_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LOAD_TIMEOUT", 0.1)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sleep", "args": ["1"]}}
    assert "no credentials within" in await refused(kubeconfig(tmp_path, URL, user))
    # The library leaves the plugin running; until it has ended, its pipes would warn in some later test.
    async with asyncio.timeout(10):
        while any("waitpid" in thread.name for thread in threading.enumerate()):
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)


# --- staying authenticated


async def test_a_token_file_is_read_again_when_it_is_due(tmp_path):
    token = tmp_path / "token"
    token.write_text("one\n")
    credentials = await Credentials.load(kubeconfig(tmp_path, URL, {"tokenFile": str(token)}), None)
    token.write_text("two\n")
    assert await credentials.authorization() == "Bearer one"
    make_renewal_due(credentials)
    assert await credentials.authorization() == "Bearer two"


async def test_a_renewal_that_fails_leaves_what_there_is(tmp_path):
    token = tmp_path / "token"
    token.write_text("one")
    credentials = await Credentials.load(kubeconfig(tmp_path, URL, {"tokenFile": str(token)}), None)
    token.unlink()
    make_renewal_due(credentials)
    assert await credentials.authorization() == "Bearer one"


async def test_a_plugin_without_expiry_is_asked_once(tmp_path):
    credentials = await Credentials.load(kubeconfig(tmp_path, URL, plugin(tmp_path, token="t")), None)
    make_renewal_due(credentials)
    assert await credentials.authorization() == "Bearer t"
    assert calls(tmp_path) == 1


@pytest.mark.parametrize(("minutes", "expected"), [(2, 2), (60, 1)])
async def test_a_plugin_is_asked_again_before_its_answer_expires(tmp_path, minutes, expected):
    expiry = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + minutes * 60))
    user = plugin(tmp_path, token="t", expirationTimestamp=expiry)
    credentials = await Credentials.load(kubeconfig(tmp_path, URL, user), None)
    make_renewal_due(credentials)
    await credentials.authorization()
    assert calls(tmp_path) == expected


async def test_a_reload_asks_the_plugin_even_if_its_answer_has_not_expired(tmp_path):
    user = plugin(tmp_path, token="t", expirationTimestamp="2999-01-01T00:00:00Z")
    credentials = await Credentials.load(kubeconfig(tmp_path, URL, user), None)
    await credentials.reload(credentials.version)
    assert calls(tmp_path) == 2


async def test_basic_authentication_is_passed_on(tmp_path):
    user: dict[str, object] = {"username": "u", "password": "p"}
    credentials = await Credentials.load(kubeconfig(tmp_path, URL, user), None)
    assert await credentials.authorization() == "Basic dTpw"


# --- for kopf


async def test_kopf_gets_the_same_server_and_the_newest_token(tmp_path):
    path = kubeconfig(tmp_path, URL)
    client = await KubeClient.connect(path)
    kubeconfig(tmp_path, URL, {"token": "second"})
    connection = await client.kopf_connection()
    assert connection.server == URL
    assert connection.default_namespace == "edge"
    assert connection.insecure is False
    assert connection.as_http_headers() == {"Authorization": "Bearer second"}


async def test_kopf_gets_basic_authentication_too(tmp_path):
    user: dict[str, object] = {"username": "u", "password": "p"}
    client = await KubeClient.connect(kubeconfig(tmp_path, URL, user))
    assert (await client.kopf_connection()).as_http_headers() == {"Authorization": "Basic dTpw"}
