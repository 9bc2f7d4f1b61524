"""What goes on in the background: new kinds are served, namespaces emptied, garbage collected."""

from __future__ import annotations

import copy

from controller.sandbox.builtin_kinds import DEFINITION, NAMESPACE
from controller.sandbox.decoding import Target
from controller.sandbox.definitions import CLEANUP, established_status, kind_of
from controller.sandbox.kinds import Catalogue, Kind
from controller.sandbox.registry import Registry
from controller.sandbox.statuses import Object
from controller.sandbox.store import Change, HistoryGone, Key, Store


class Controllers:
    """Follow the store and act on it, after the request that caused the change has been answered."""

    def __init__(self, store: Store, catalogue: Catalogue, registry: Registry) -> None:
        self._store = store
        self._catalogue = catalogue
        self._registry = registry
        self._served: dict[Key, tuple[int, Kind]] = {}
        """Each definition's generation that is in force, and the kind it made."""

    async def run(self) -> None:
        """Act on every change until cancelled."""
        position = 0
        while True:
            await self._store.wait_beyond(position)
            try:
                owners_matter = any(_concerns_owners(change) for change in self._store.since(position))
            except HistoryGone:
                owners_matter = True
            position = self._store.version
            self._serve_definitions()
            self._empty_namespaces()
            if owners_matter:
                self._collect_garbage()

    def _serve_definitions(self) -> None:
        """Serve the kind of each definition as it now stands; end those that are being deleted."""
        for key, definition in self._store.all(DEFINITION).items():
            if "deletionTimestamp" in definition["metadata"]:
                self._end_definition(key, definition)
                continue
            generation = definition["metadata"]["generation"]
            if key not in self._served or self._served[key][0] != generation:
                kind = kind_of(definition)
                self._catalogue.add(kind)
                self._served[key] = generation, kind
                self._write(DEFINITION, {**definition, "status": established_status(definition)})

    def _end_definition(self, key: Key, definition: Object) -> None:
        if key in self._served:
            _, kind = self._served[key]
            if not self._delete_all(kind, ""):
                return
            self._catalogue.remove(kind.group, kind.plural)
            del self._served[key]
        finalizers = [name for name in definition["metadata"].get("finalizers", ()) if name != CLEANUP]
        if finalizers != definition["metadata"].get("finalizers"):
            metadata = {**definition["metadata"], "finalizers": finalizers}
            self._write(DEFINITION, {**definition, "metadata": metadata})

    def _empty_namespaces(self) -> None:
        """Delete what is in the namespaces that are being deleted, then let those go that are empty."""
        for (_, name), namespace in self._store.all(NAMESPACE).items():
            if "deletionTimestamp" not in namespace["metadata"] or not namespace["spec"].get("finalizers"):
                continue
            kinds = [kind for kind in self._catalogue if kind.namespaced]
            if all([self._delete_all(kind, name) for kind in kinds]):  # noqa: C419 -- every kind is to be deleted
                self._write(NAMESPACE, {**namespace, "spec": {}})

    def _delete_all(self, kind: Kind, namespace: str) -> bool:
        """Delete the kind's objects, all of them or one namespace's; whether none is left."""
        left = False
        for key, obj in self._store.all(kind).items():
            if namespace and key[0] != namespace:
                continue
            if "deletionTimestamp" not in obj["metadata"]:
                self._registry.delete(Target(kind, *key))
            left = left or self._store.get(kind, key) is not None
        return not left

    def _collect_garbage(self) -> None:
        """Delete every object whose owners are all gone; drop the references to owners that are."""
        objects = {kind: self._store.all(kind) for kind in self._catalogue}
        uids = {(key[0], obj["metadata"]["uid"]) for kept in objects.values() for key, obj in kept.items()}
        for kind, kept in objects.items():
            for key, obj in kept.items():
                references = obj["metadata"].get("ownerReferences") or []
                present = [one for one in references if self._is_present(one, key[0], uids)]
                if references and not present and "deletionTimestamp" not in obj["metadata"]:
                    self._registry.delete(Target(kind, *key))
                elif present and len(present) < len(references):
                    metadata = {**obj["metadata"], "ownerReferences": present}
                    self._write(kind, {**obj, "metadata": metadata})

    def _is_present(self, reference: Object, namespace: str, uids: set[tuple[str, str]]) -> bool:
        """An owner is in the same namespace or cluster-scoped; one of an unknown kind counts as present."""
        if not self._catalogue.knows(reference["apiVersion"], reference["kind"]):
            return True
        return bool(uids & {(namespace, reference["uid"]), ("", reference["uid"])})

    def _write(self, kind: Kind, obj: Object) -> None:
        metadata = obj["metadata"]
        target = Target(kind, metadata.get("namespace", ""), metadata["name"])
        self._registry.overwrite(target, copy.deepcopy(obj))


def _concerns_owners(change: Change) -> bool:
    """A removal may leave dependents behind, and an object may be born or changed to be one."""
    return change.new is None or bool(change.new["metadata"].get("ownerReferences"))
