"""What a write may demand of the stored object: its uid, its resourceVersion, and how it is deleted."""

from __future__ import annotations

import msgspec

from controller.sandbox import statuses
from controller.sandbox.decoding import Target
from controller.sandbox.statuses import Cause, Object

_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


class DeleteOptions(msgspec.Struct, rename="camel"):
    """The body of a DELETE, as far as it is served."""

    class Preconditions(msgspec.Struct, rename="camel"):
        """What the stored object must be."""

        uid: str | None = None
        resource_version: str | None = None

    preconditions: Preconditions | None = None
    propagation_policy: str | None = None
    orphan_dependents: bool | None = None
    dry_run: list[str] | None = None


def check_uid(target: Target, asked: str | None, old: Object | None) -> None:
    """The uid of a PUT, if given, must be the stored one; refuses with 409, also where there is no object."""
    found = old["metadata"]["uid"] if old is not None else ""
    if asked and asked != found:
        why = f"Precondition failed: UID in precondition: {asked}, UID in object meta: {found}"
        raise statuses.conflict(*target.named, why)


def check_version(target: Target, asked: str | None, old: Object) -> None:
    """The resourceVersion must be the stored one; refuses with 409, or 422 where it may not be absent."""
    if asked is None and target.kind.blind_update:
        return
    if asked is None:
        message = "Invalid value: 0: must be specified for an update"
        cause = Cause("FieldValueInvalid", "metadata.resourceVersion", message)
        raise statuses.invalid(target.kind.plural, target.kind.group, target.name, [cause])
    if asked != old["metadata"]["resourceVersion"]:
        raise statuses.conflict(*target.named, _MODIFIED)


def check_options(target: Target, old: Object, options: DeleteOptions) -> None:
    """The preconditions of a DELETE must hold; refuses with 409, and with 405 what is not served."""
    if options.dry_run:
        raise statuses.unsupported("dryRun", 405)
    if options.orphan_dependents or options.propagation_policy not in {None, "", "Background"}:
        raise statuses.unsupported(f"propagationPolicy {options.propagation_policy or 'Orphan'}", 405)
    asked, record = options.preconditions, old["metadata"]
    if asked is None:
        return
    # The real server names the kind here, not the resource.
    named = target.kind.kind, target.kind.group, target.name
    if asked.uid is not None and asked.uid != record["uid"]:
        why = (
            f"the UID in the precondition ({asked.uid}) does not match the UID in record ({record['uid']}). "
            "The object might have been deleted and then recreated"
        )
        raise statuses.conflict(*named, why)
    if asked.resource_version not in {None, record["resourceVersion"]}:
        why = (
            f"the ResourceVersion in the precondition ({asked.resource_version}) does not match "
            f"the ResourceVersion in record ({record['resourceVersion']}). "
            "The object might have been modified"
        )
        raise statuses.conflict(*named, why)
