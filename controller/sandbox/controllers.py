"""What goes on in the background: new kinds are served, namespaces emptied, garbage collected."""

from __future__ import annotations

import copy
from collections.abc import Sequence

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
            changes = self._changes_since(position)
            position = self._store.version
            self._serve_definitions()
            self._empty_namespaces()
            if changes is None or any(change.new is None for change in changes):
                for kind in self._catalogue:
                    for key in self._store.all(kind):
                        self._collect(kind, key)
            else:
                for change in changes:
                    self._collect(change.kind, change.key)

    def _changes_since(self, position: int) -> Sequence[Change] | None:
        """Return what happened, or None if there is no telling."""
        try:
            return list(self._store.since(position))
        except HistoryGone:
            return None

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

    def _collect(self, kind: Kind, key: Key) -> None:
        """Delete the object if its owners are all gone; drop its references to those that are."""
        obj = self._store.get(kind, key)
        references = [] if obj is None else obj["metadata"].get("ownerReferences") or []
        present = [one for one in references if self._is_present(one, key[0])]
        if obj is None or len(present) == len(references):
            return
        if present:
            self._write(kind, {**obj, "metadata": {**obj["metadata"], "ownerReferences": present}})
        elif "deletionTimestamp" not in obj["metadata"]:
            self._registry.delete(Target(kind, *key))

    def _is_present(self, reference: Object, namespace: str) -> bool:
        """An owner is in the same namespace or cluster-scoped; one of an unknown kind counts as present."""
        if not self._catalogue.knows(reference["apiVersion"], reference["kind"]):
            return True
        return self._store.has_owner(reference["uid"], namespace)

    def _write(self, kind: Kind, obj: Object) -> None:
        metadata = obj["metadata"]
        target = Target(kind, metadata.get("namespace", ""), metadata["name"])
        self._registry.overwrite(target, copy.deepcopy(obj))
