"""The objects that each watch would find on a cluster, out of those in files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from controller.cli.files import Manifest
from controller.cli.kinds import kind_of, placed
from controller.cli.subjects import DEFAULT_NAMESPACE
from controller.config.model import ConfigTemplateSpec, Watch
from controller.kube.selection import ScopeMismatch, Selection
from controller.kube.store import ObjectDecoder, Store
from controller.kube.watcher import selections
from controller.problems import Problem
from controller.sandbox.selectors import parse
from controller.sandbox.statuses import Refused
from controller.templating.renderer import WatchData


class NotSelectable(ValueError):
    """A watch asks for what cannot be told from files; `problem` says where."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def watch_data(
    template: str, spec: ConfigTemplateSpec, manifests: Sequence[Manifest]
) -> tuple[WatchData, ...]:
    """What each watch finds among the objects. Raises NotSelectable."""
    selected = selections(template, spec)
    data = []
    for number, watch in enumerate(spec.watches):
        try:
            objects = _found(watch, selected[watch.name], manifests)
        except Refused as error:
            message = f"{error}; others cannot be evaluated offline"
            raise NotSelectable(
                Problem(message=message, path=f"spec.watches[{number}].fieldSelector")
            ) from None
        except ScopeMismatch as error:
            raise NotSelectable(Problem(message=str(error), path=f"spec.watches[{number}]")) from None
        data.append(WatchData(watch.name, watch.index_by, objects))
    return tuple(data)


def _found(watch: Watch, selection: Selection, manifests: Iterable[Manifest]) -> tuple[bytes, ...]:
    kind = kind_of(watch)
    if selection.namespaces and not kind.namespaced:
        raise ScopeMismatch(watch.kind)
    selector = parse(kind, selection.label_selector, selection.field_selector)
    decoder = ObjectDecoder(selection.api_version, selection.kind, selection.ignore_fields)
    store = Store()  # as after `kubectl apply`: of two manifests of one object the later counts
    for manifest in manifests:
        if (manifest.api_version, manifest.kind) != (selection.api_version, selection.kind):
            continue
        body = placed(manifest.body, kind, DEFAULT_NAMESPACE, manifest.metadata.name)
        in_sight = not selection.namespaces or body["metadata"]["namespace"] in selection.namespaces
        if in_sight and selector.matches(body):
            store.apply(decoder.decode(msgspec.json.encode(body)))
    return tuple(obj.raw for obj in store.snapshot())
