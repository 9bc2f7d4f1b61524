"""Manifests and how to run a command on them."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
import yaml
from click.testing import CliRunner, Result

from controller.cli.main import cli

Document = dict[str, Any]


def kopfbus(*arguments: str | Path, stdin: str | None = None, **variables: str) -> Result:
    """Run a command as `kopfbus` does. What it raises beyond an exit code fails the test."""
    with _restored_logging():
        result = CliRunner(env=variables).invoke(cli, [str(argument) for argument in arguments], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@contextmanager
def _restored_logging() -> Iterator[None]:
    """What a command sets up is for its own process; here, its stderr ends with it."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()


def ingress(name: str, namespace: str | None = "edge", **fields: Any) -> Document:
    metadata: Document = {"name": name} if namespace is None else {"name": name, "namespace": namespace}
    metadata |= fields.pop("metadata", {})
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, **fields}


def config_template(name: str = "web", namespace: str | None = "edge", **spec: Any) -> Document:
    """One that lists the names of all Ingresses, unless told otherwise."""
    body: Document = {
        "watches": [{"name": "ingresses", "apiVersion": "networking.k8s.io/v1", "kind": "Ingress"}],
        "outputs": [output("names", "{% for found in ingresses %}{{ found.metadata.name }}\n{% endfor %}")],
    }
    metadata = {"name": name} if namespace is None else {"name": name, "namespace": namespace}
    return {
        "apiVersion": "kopfbus.dev/v1alpha1",
        "kind": "ConfigTemplate",
        "metadata": metadata,
        "spec": {**body, **spec},
    }


def output(name: str, template: str, **fields: Any) -> Document:
    return {"name": name, "template": template, "target": {"name": "target", "key": name}, **fields}


def changed(document: Document, **watch: Any) -> Document:
    """The ConfigTemplate with these fields in its first watch."""
    document = copy.deepcopy(document)
    document["spec"]["watches"][0] |= watch
    return document


def write(path: Path, *documents: Document) -> Path:
    """Write documents to a YAML file."""
    path.write_text(yaml.safe_dump_all(documents, sort_keys=False), encoding="utf-8")
    return path
