"""What the server says about itself: groups, resources, version, and the OpenAPI that kubectl needs."""

from __future__ import annotations

import platform
from collections.abc import Iterable

from controller.sandbox.kinds import Catalogue, Kind
from controller.sandbox.statuses import Object, unsupported

VERSION = "v1.37.2"
"""The Kubernetes version whose behaviour is imitated."""
ACCESS_REVIEW = ("authorization.k8s.io", "v1", "selfsubjectaccessreviews")
"""Group, version and plural of the one resource that is answered without being stored."""
_STATUS_VERBS = ["get", "patch", "update"]


def version() -> Object:
    """Answer /version."""
    major, minor, _ = VERSION.removeprefix("v").split(".")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"{VERSION}+kopfbus-sandbox",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": f"{platform.system().lower()}/{platform.machine()}",
    }


def core_versions() -> Object:
    """Answer /api."""
    return {"kind": "APIVersions", "versions": ["v1"]}


def groups(catalogue: Catalogue) -> Object:
    """Answer /apis."""
    found = {kind.group: kind.version for kind in catalogue if kind.group}
    found[ACCESS_REVIEW[0]] = ACCESS_REVIEW[1]
    listed = [_group(name, found[name]) for name in sorted(found)]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def group(catalogue: Catalogue, name: str) -> Object:
    """Answer /apis/GROUP; refuses with 404."""
    for found in groups(catalogue)["groups"]:
        if found["name"] == name:
            return {"kind": "APIGroup", "apiVersion": "v1", **found}
    raise unsupported(f"group {name!r}")


def resources(catalogue: Catalogue, group_version: str) -> Object:
    """Answer /api/v1 and /apis/GROUP/VERSION; refuses with 404."""
    listed = [entry for kind in _kinds_of(catalogue, group_version) for entry in _resource(kind)]
    if group_version == "/".join(ACCESS_REVIEW[:2]):
        listed.append(
            {
                "name": ACCESS_REVIEW[2],
                "singularName": "selfsubjectaccessreview",
                "namespaced": False,
                "kind": "SelfSubjectAccessReview",
                "verbs": ["create"],
            }
        )
    if not listed:
        raise unsupported(f"group version {group_version!r}")
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": listed,
    }


def access_review(body: object) -> Object:
    """Answer a SelfSubjectAccessReview: everything is allowed."""
    asked = body if isinstance(body, dict) else {}
    return {
        "kind": "SelfSubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {},
        "spec": asked.get("spec", {}),
        "status": {"allowed": True},
    }


def openapi_index(catalogue: Catalogue) -> Object:
    """Answer /openapi/v3."""
    versions = {kind.api_version: "apis" if kind.group else "api" for kind in catalogue}
    paths = {
        f"{root}/{name}": {"serverRelativeURL": f"/openapi/v3/{root}/{name}?hash=0"}
        for name, root in versions.items()
    }
    return {"paths": paths}


def openapi(catalogue: Catalogue, group_version: str) -> Object:
    """Answer /openapi/v3/...: kubectl reads from it that the server validates fields."""
    kinds = list(_kinds_of(catalogue, group_version))
    if not kinds:
        raise unsupported(f"OpenAPI of {group_version!r}")
    return {
        "openapi": "3.0.0",
        "info": {"title": "kopfbus sandbox", "version": VERSION},
        "paths": {_path(kind): {"patch": _patch_operation(kind)} for kind in kinds},
        "components": {"schemas": {kind.kind: _schema(kind) for kind in kinds}},
    }


def _kinds_of(catalogue: Catalogue, group_version: str) -> Iterable[Kind]:
    return (kind for kind in catalogue if kind.api_version == group_version)


def _group(name: str, served: str) -> Object:
    entry = {"groupVersion": f"{name}/{served}", "version": served}
    return {"name": name, "versions": [entry], "preferredVersion": entry}


def _resource(kind: Kind) -> Iterable[Object]:
    common = {"namespaced": kind.namespaced, "kind": kind.kind}
    yield {
        "name": kind.plural,
        "singularName": kind.singular,
        **common,
        "verbs": list(kind.verbs),
        "shortNames": list(kind.short_names),
        "categories": list(kind.categories),
    }
    if kind.has_status:
        yield {"name": f"{kind.plural}/status", "singularName": "", **common, "verbs": _STATUS_VERBS}


def _path(kind: Kind) -> str:
    root = f"/apis/{kind.api_version}" if kind.group else "/api/v1"
    scope = "/namespaces/{namespace}" if kind.namespaced else ""
    return f"{root}{scope}/{kind.plural}/{{name}}"


def _patch_operation(kind: Kind) -> Object:
    return {
        "parameters": [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}],
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": _type_of(kind),
    }


def _schema(kind: Kind) -> Object:
    """Return what `kubectl explain` shows; of built-in kinds nothing but the name."""
    return {"type": "object", **kind.rules.schema, "x-kubernetes-group-version-kind": [_type_of(kind)]}


def _type_of(kind: Kind) -> Object:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}
