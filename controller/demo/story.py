"""The story: each step changes the cluster, waits for what must come true, and shows what it says."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from controller.config.crd import crd
from controller.demo.narrator import Narrator
from controller.demo.stage import NAMESPACE, Stage, StepFailed
from controller.kube.client import CONFIG_MAPS, CONFIG_TEMPLATES, Resource

Document = dict[str, Any]

_DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False
)
_NAMESPACES = Resource("", "v1", "Namespace", "namespaces", namespaced=False)
_INGRESSES = Resource("networking.k8s.io", "v1", "Ingress", "ingresses", namespaced=True)

BROKEN = "frontend http\n  bind :80\n  {{ ingresses | no_such_filter }}\n"
TRAILING_COMMA = '{\n  "ingresses": {{ ingresses | length }},\n}\n'


class Story:
    """Told once, from beginning to end; StepFailed where something does not come true."""

    def __init__(self, stage: Stage, narrator: Narrator, example: Path) -> None:
        self._stage = stage
        self._tell = narrator
        self._example = example
        self._template: Document = {}

    async def tell(self) -> None:
        """All steps."""
        await self._set_the_stage()
        await self._render()
        await self._add_an_ingress()
        await self._break_the_template()
        await self._have_an_output_refused()
        await self._edit_the_target()
        await self._kill_the_leader()

    # --- the steps

    async def _set_the_stage(self) -> None:
        self._tell.step("A cluster, and two replicas")
        self._tell.say(f"An in-memory API server serves {self._stage.client.server}")
        await self._stage.client.create(_DEFINITIONS, crd())
        await self._stage.client.create(
            _NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        )
        for document in _manifests(self._example / "objects"):
            await self._create(document)
        (self._template,) = _manifests(self._example / "configtemplate.yaml")
        self._template["metadata"]["namespace"] = NAMESPACE
        await self._stage.start_replica("one")
        await self._stage.until(self._stage.leader, "a leader", lambda: self._stage.log("one"))
        await self._stage.start_replica("two")
        await self._stage.until(self._two_stands, "a standby", lambda: self._stage.log("two"))
        self._tell.good(
            "replica one leads (its name is in the Lease), replica two is on standby, and as warm"
        )

    async def _two_stands(self) -> bool:
        return "leader.election.started" in self._stage.log("two")

    async def _render(self) -> None:
        self._tell.step("A ConfigTemplate becomes a ConfigMap")
        await self._create(self._template)
        await self._stage.condition(self._name, "Ready", "True")
        target = await self._stage.target(self._target)
        annotations = target["metadata"]["annotations"]
        self._tell.show(f"ConfigMap {self._target}: {self._key}", target["data"][self._key])
        self._tell.good("HAProxy's configuration, rendered from Ingresses, Services and EndpointSlices")
        owner = target["metadata"]["ownerReferences"][0]["name"]
        term, checksum = annotations["kopfbus.dev/term"], annotations["kopfbus.dev/checksum"][:19]
        self._tell.good(f"owner ConfigTemplate/{owner}, {checksum}..., term {term}")

    async def _add_an_ingress(self) -> None:
        self._tell.step("An Ingress is added")
        before = self._text(await self._stage.target(self._target))
        started = time.monotonic()
        for document in _hello():
            await self._create(document)
        after = await self._content("hello.example.org", "the new host in the configuration")
        self._tell.diff(f"ConfigMap {self._target}", before, after)
        self._tell.good(f"in the ConfigMap after {time.monotonic() - started:.2f} s")

    async def _break_the_template(self) -> None:
        self._tell.step("Somebody breaks the template")
        before = await self._stage.target(self._target)
        await self._set_template(BROKEN)
        refused = await self._stage.condition(self._name, "ConfigValid", "False")
        self._tell.show(f"ConfigValid=False, {refused['reason']}", refused["message"])
        if "^" not in refused["message"]:
            raise StepFailed("a caret below the place", refused["message"])
        await self._untouched(before)
        self._tell.good("refused; the good configuration is untouched, and stays in force")
        await self._restore()

    async def _have_an_output_refused(self) -> None:
        self._tell.step("A validator refuses what was rendered")
        before = await self._stage.target(self._target)
        extra = {
            "name": "summary.json",
            "format": "json",
            "template": TRAILING_COMMA,
            "target": {"name": "summary", "key": "summary.json"},
        }
        await self._stage.edit(CONFIG_TEMPLATES, self._name, lambda obj: obj["spec"]["outputs"].append(extra))
        refused = await self._stage.condition(self._name, "Published", "False")
        self._tell.show(f"Published=False, {refused['reason']}", refused["message"])
        if await self._stage.find(CONFIG_MAPS, "summary") is not None:
            raise StepFailed(
                "no ConfigMap summary: nothing is published unless everything is valid", "there is one"
            )
        await self._untouched(before)
        self._tell.good("a JSON output with a comma too many: nothing of the ConfigTemplate is published")
        await self._restore()

    async def _edit_the_target(self) -> None:
        self._tell.step("Somebody edits the ConfigMap by hand")
        good = self._text(await self._stage.target(self._target))
        started = time.monotonic()
        await self._stage.edit(
            CONFIG_MAPS, self._target, lambda obj: obj["data"].update({self._key: "# mine now\n"})
        )

        async def repaired() -> bool:
            return self._text(await self._stage.target(self._target)) == good

        await self._stage.until(
            repaired, "the configuration as it was rendered", lambda: "still the edited one"
        )
        self._tell.good(f"repaired after {time.monotonic() - started:.2f} s")

    async def _kill_the_leader(self) -> None:
        self._tell.step("The leader dies: kill -9")
        leader = await self._stage.leader()
        other = "two" if leader == "one" else "one"
        term = await self._term()
        killed = self._stage.kill(leader)
        self._tell.say(f"replica {leader} led, and is dead; meanwhile an Ingress goes")
        await self._stage.client.delete(_INGRESSES, "hello", NAMESPACE)

        async def taken_over() -> bool:
            target = await self._stage.target(self._target)
            return await self._term() > term and "hello.example.org" not in self._text(target)

        await self._stage.until(
            taken_over, f"replica {other} has taken over and written", lambda: self._stage.log(other)
        )
        self._tell.good(
            f"replica {other} leads and has written what the dead one could not, "
            f"{time.monotonic() - killed:.1f} s after the kill"
        )
        self._tell.say(
            "of which the Lease, here of 4 s, is the most: so long the dead one might have been alive"
        )
        await self._stage.condition(self._name, "Ready", "True")
        self._tell.good(
            f"term {term} is over, term {await self._term()} has begun, and the ConfigTemplate is Ready"
        )

    # --- how

    @property
    def _name(self) -> str:
        return str(self._template["metadata"]["name"])

    @property
    def _target(self) -> str:
        return str(self._template["spec"]["outputs"][0]["target"]["name"])

    @property
    def _key(self) -> str:
        return str(self._template["spec"]["outputs"][0]["target"]["key"])

    def _text(self, target: Document) -> str:
        """All keys of a target, one after the other."""
        data = target.get("data") or {}
        return "\n".join(f"# {key}\n{data[key]}" for key in sorted(data))

    async def _term(self) -> int:
        return int((await self._stage.target(self._target))["metadata"]["annotations"]["kopfbus.dev/term"])

    async def _content(self, wanted: str, expected: str) -> str:
        async def look() -> str | None:
            text = self._text(await self._stage.target(self._target))
            return text if wanted in text else None

        return await self._stage.until(look, expected, lambda: f"no {wanted!r} in it")

    async def _untouched(self, before: Document) -> None:
        after = await self._stage.target(self._target)
        if after["data"] != before["data"]:
            raise StepFailed("the ConfigMap as before", json.dumps(after["data"]))

    async def _set_template(self, text: str) -> None:
        await self._stage.edit(
            CONFIG_TEMPLATES, self._name, lambda obj: obj["spec"]["outputs"][0].update(template=text)
        )

    async def _restore(self) -> None:
        spec = self._template["spec"]
        await self._stage.edit(CONFIG_TEMPLATES, self._name, lambda obj: obj.update(spec=spec))
        await self._stage.condition(self._name, "Ready", "True")

    async def _create(self, document: Document) -> None:
        resource = await self._stage.client.discover(document["apiVersion"], document["kind"])
        if resource.namespaced:
            document["metadata"]["namespace"] = NAMESPACE
        elif document["kind"] == "Namespace" and document["metadata"]["name"] == NAMESPACE:
            return
        await self._stage.client.create(resource, document)


def _manifests(path: Path) -> Iterator[Document]:
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    for file in files:
        for document in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            if document:
                yield from document["items"] if document["kind"].endswith("List") else (document,)


def _hello() -> tuple[Document, ...]:
    """A Service with one endpoint, and an Ingress that leads to it."""
    labels = {"kubernetes.io/service-name": "hello"}
    backend = {"service": {"name": "hello", "port": {"number": 80}}}
    return (
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "hello"},
            "spec": {
                "ports": [{"name": "http", "port": 80, "targetPort": 8080}],
                "selector": {"app": "hello"},
            },
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "hello-1", "labels": labels},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "endpoints": [{"addresses": ["10.0.9.1"], "conditions": {"ready": True}}],
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": "hello"},
            "spec": {
                "ingressClassName": "haproxy",
                "rules": [
                    {
                        "host": "hello.example.org",
                        "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
                    }
                ],
            },
        },
    )
