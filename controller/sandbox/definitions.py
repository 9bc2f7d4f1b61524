"""CustomResourceDefinitions: the rules of the kind itself, and the kinds that they define."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from controller.sandbox.kinds import AGE, Column, Kind, Rules
from controller.sandbox.metadata import now
from controller.sandbox.schema import Schema, fill_defaults, of_definition, prune
from controller.sandbox.statuses import Cause, Object
from controller.sandbox.validation import check

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""The finalizer that holds a definition until its objects are gone."""
_ONE_VERSION = "Invalid value: the sandbox serves exactly one version of a kind: no conversion"


class CustomRules(Rules):
    """The rules of a kind that a schema describes."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def prune(self, obj: Object) -> list[str]:
        """Remove what the schema does not know."""
        return prune(obj, self.schema, is_object=True)

    def prepare(self, new: Object, old: Object | None) -> None:
        """Fill in the schema's defaults."""
        fill_defaults(new, self.schema)

    def check(self, new: Object, old: Object | None) -> Iterator[Cause]:
        """Yield what breaks the schema."""
        yield from check(new, self.schema)


class DefinitionRules(Rules):
    """The rules of CustomResourceDefinition itself; a schema is not checked for being structural."""

    def prepare(self, new: Object, old: Object | None) -> None:
        """Default the names."""
        spec = new.setdefault("spec", {})
        names = spec.setdefault("names", {})
        if kind := names.get("kind"):
            names.setdefault("singular", kind.lower())
            names.setdefault("listKind", f"{kind}List")
        spec.setdefault("conversion", {"strategy": "None"})

    def check(self, new: Object, old: Object | None) -> Iterator[Cause]:
        """Yield what keeps the kind from being served."""
        spec = new["spec"]
        for path in ("group", "scope", "names.kind", "names.plural", "versions"):
            if not _at(spec, path):
                yield Cause("FieldValueRequired", f"spec.{path}", "Required value")
        name = f"{spec['names'].get('plural')}.{spec.get('group')}"
        if new["metadata"]["name"] != name:
            message = f'Invalid value: "{new["metadata"]["name"]}": must be spec.names.plural+"."+spec.group'
            yield Cause("FieldValueInvalid", "metadata.name", message)
        if spec.get("scope") not in {"Namespaced", "Cluster", None}:
            message = f'Unsupported value: "{spec["scope"]}": supported values: "Cluster", "Namespaced"'
            yield Cause("FieldValueNotSupported", "spec.scope", message)
        yield from _check_versions(spec.get("versions") or [])

    def begin_deletion(self, obj: Object) -> None:
        """Its objects go first."""
        obj["metadata"]["finalizers"] = [*obj["metadata"].get("finalizers", ()), CLEANUP]


def kind_of(definition: Object) -> Kind:
    """Return the kind that a definition describes."""
    spec = definition["spec"]
    version = spec["versions"][0]
    columns = version.get("additionalPrinterColumns")
    return Kind(
        group=spec["group"],
        version=version["name"],
        kind=spec["names"]["kind"],
        plural=spec["names"]["plural"],
        namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(spec["names"].get("shortNames") or ()),
        categories=tuple(spec["names"].get("categories") or ()),
        has_status="status" in (version.get("subresources") or {}),
        has_generation=True,
        blind_update=False,
        is_custom=True,
        fields=frozenset(field["jsonPath"].lstrip(".") for field in version.get("selectableFields") or ()),
        columns=(AGE,) if not columns else tuple(_column(one) for one in columns),
        rules=CustomRules(of_definition(definition)),
    )


def established_status(definition: Object) -> Object:
    """Return the status of a definition whose kind is served."""
    spec = definition["spec"]
    return {
        "conditions": [
            _condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            _condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
        "acceptedNames": spec["names"],
        "storedVersions": [version["name"] for version in spec["versions"]],
    }


def _check_versions(versions: list[Object]) -> Iterator[Cause]:
    if len(versions) > 1:
        yield Cause("FieldValueInvalid", "spec.versions", _ONE_VERSION)
    for number, version in enumerate(versions):
        path = f"spec.versions[{number}]"
        if not re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", version.get("name", "")):
            yield Cause("FieldValueInvalid", f"{path}.name", f'Invalid value: "{version.get("name", "")}"')
        if not (version.get("served") and version.get("storage")):
            yield Cause(
                "FieldValueInvalid", path, "Invalid value: the only version must be served and stored"
            )
        if not _at(version, "schema.openAPIV3Schema"):
            message = "Required value: schemas are required"
            yield Cause("FieldValueRequired", f"{path}.schema.openAPIV3Schema", message)


def _column(column: Object) -> Column:
    return Column(column["name"], column["jsonPath"], column["type"], column.get("priority", 0))


def _condition(name: str, reason: str, message: str) -> Object:
    return {"type": name, "status": "True", "lastTransitionTime": now(), "reason": reason, "message": message}


def _at(obj: Any, path: str) -> Any:
    for name in path.split("."):
        obj = obj.get(name) if isinstance(obj, dict) else None
    return obj
