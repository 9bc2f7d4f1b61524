"""What a target looks like and whose it is (P4)."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.publisher.targets import (
    ADOPT_BY,
    CHECKSUM,
    MANAGED_BY,
    MAX_BYTES,
    OWNER_UID,
    TERM,
    Owner,
    TargetPlan,
    TargetRefused,
    check_ownership,
    checksum,
    fresh,
    is_current,
    plans,
    replacement,
    stored_data,
    term_of,
)
from tests.support.news import output

OWNER = Owner(namespace="edge", name="web", uid="uid-1")
PLAN = TargetPlan("ConfigMap", "proxy", {"hosts": "a.example\n"})


def stored(plan: TargetPlan = PLAN, *, owner: Owner = OWNER, term: str = "50", **more: Any) -> dict[str, Any]:
    """A target as this owner has written it."""
    obj = fresh(plan, owner, term) | more
    obj["metadata"] |= {"uid": "u", "resourceVersion": "9"}
    return obj


def reference(**changes: Any) -> dict[str, Any]:
    return OWNER.reference() | changes


# --- content


def test_several_outputs_to_one_object_are_one_target():
    outputs = (output("1", key="a"), output("2", key="b"), output("3", target="other"))
    assert [(plan.name, dict(plan.data)) for plan in plans(outputs)] == [
        ("proxy", {"a": "1", "b": "2"}),
        ("other", {"hosts": "3"}),
    ]


def test_a_config_map_and_a_secret_of_one_name_are_two_targets():
    assert len(plans((output(), output(kind="Secret")))) == 2


def test_a_new_target_has_owner_labels_checksum_and_term():
    metadata = fresh(PLAN, OWNER, "50")["metadata"]
    assert metadata["ownerReferences"] == [OWNER.reference()]
    assert metadata["labels"] == {MANAGED_BY: "kopfbus", OWNER_UID: "uid-1"}
    assert metadata["annotations"] == {CHECKSUM: PLAN.checksum, TERM: "50"}


def test_a_secret_is_opaque_and_its_data_base64():
    secret = fresh(TargetPlan("Secret", "proxy", {"key": "ä"}), OWNER, "50")
    assert (secret["type"], secret["data"]) == ("Opaque", {"key": base64.b64encode("ä".encode()).decode()})


def test_without_election_the_term_is_neither_written_nor_compared():
    """L7."""
    assert TERM not in fresh(PLAN, OWNER, "")["metadata"]["annotations"]
    assert is_current(stored(term="50"), PLAN, OWNER, "")


def test_data_and_binary_data_are_replaced_as_a_whole():
    obj = stored(data={"hosts": "old", "more": "x"}, binaryData={"blob": "AAAA"})
    written = replacement(obj, PLAN, OWNER, "50")
    assert written["data"] == {"hosts": "a.example\n"}
    assert "binaryData" not in written


def test_foreign_labels_annotations_and_owners_are_kept():
    obj = stored()
    obj["metadata"]["labels"]["team"] = "edge"
    obj["metadata"]["annotations"]["note"] = "hello"
    obj["metadata"]["ownerReferences"].append({"kind": "Other", "name": "x", "uid": "y"})
    metadata = replacement(obj, PLAN, OWNER, "51")["metadata"]
    assert metadata["labels"]["team"] == "edge"
    assert metadata["annotations"]["note"] == "hello"
    assert [ref["kind"] for ref in metadata["ownerReferences"]] == ["Other", "ConfigTemplate"]


def test_a_replacement_is_fenced_by_uid_and_resource_version():
    metadata = replacement(stored(), PLAN, OWNER, "51")["metadata"]
    assert (metadata["uid"], metadata["resourceVersion"]) == ("u", "9")


def test_a_target_just_written_is_current():
    assert is_current(stored(), PLAN, OWNER, "50")


@pytest.mark.parametrize(
    "obj",
    [
        stored(term="49"),
        stored(data={"hosts": "other"}),
        stored(owner=Owner(namespace="edge", name="web", uid="old")),
        stored(data={}, binaryData={"hosts": base64.b64encode(b"a.example\n").decode()}),
    ],
    ids=["term", "data", "owner", "binaryData"],
)
def test_what_differs_is_not_current(obj):
    assert not is_current(obj, PLAN, OWNER, "50")


def test_more_than_the_server_takes_is_refused_and_exactly_as_much_is_not():
    TargetPlan("ConfigMap", "proxy", {"hosts": "x" * MAX_BYTES}).check_size()
    with pytest.raises(TargetRefused, match="1,048,577 bytes") as refused:
        TargetPlan("ConfigMap", "proxy", {"hosts": "x" * (MAX_BYTES - 1), "b": "ä"}).check_size()
    assert refused.value.reason == "TooLarge"


def test_an_immutable_target_is_not_changed():
    with pytest.raises(TargetRefused) as refused:
        replacement(stored(data={"hosts": "old"}, immutable=True), PLAN, OWNER, "50")
    assert refused.value.reason == "TargetImmutable"


def test_of_an_immutable_target_the_metadata_may_change():
    written = replacement(stored(immutable=True), PLAN, OWNER, "51")
    assert (written["immutable"], term_of(written)) == (True, 51)


def test_a_text_never_shows_in_a_representation():
    """X3."""
    assert "a.example" not in repr(PLAN)


@given(
    st.dictionaries(st.text(max_size=3), st.binary(max_size=4), max_size=4),
    st.dictionaries(st.text(max_size=3), st.binary(max_size=4), max_size=4),
)
def test_checksums_are_equal_exactly_when_the_data_is(one, other):
    assert (checksum(one) == checksum(other)) == (one == other)


def test_stored_data_is_what_was_planned():
    secret = TargetPlan("Secret", "proxy", {"key": "ä"})
    assert stored_data(stored(secret)) == {"key": "ä".encode()}


@pytest.mark.parametrize(("text", "term"), [("51", 51), ("", 0), ("x", 0), ("-3", 0)])
def test_a_term_that_cannot_be_read_counts_as_none(text, term):
    assert term_of({"metadata": {"annotations": {TERM: text}}}) == term


# --- ownership


@pytest.mark.parametrize(
    "metadata",
    [
        {"ownerReferences": [reference()]},
        {"ownerReferences": [reference(uid="dead")]},
        {"annotations": {ADOPT_BY: "web"}},
        {"annotations": {ADOPT_BY: "web"}, "ownerReferences": [reference(name="other", uid="other")]},
    ],
    ids=["own uid", "same name, dead uid", "given, without owner", "given by another"],
)
def test_ours(metadata):
    check_ownership({"kind": "ConfigMap", "metadata": {"name": "proxy"} | metadata}, OWNER)


@pytest.mark.parametrize(
    ("metadata", "whose"),
    [
        ({}, "has no owner"),
        ({"annotations": {ADOPT_BY: "other"}}, "has no owner"),
        ({"ownerReferences": [reference(controller=False)]}, "has no owner"),
        ({"ownerReferences": [reference(name="other", uid="other")]}, "belongs to ConfigTemplate other"),
        ({"ownerReferences": [reference(kind="Deployment", uid="x")]}, "belongs to Deployment web"),
        ({"ownerReferences": [reference(apiVersion="else.dev/v1", uid="x")]}, "belongs to ConfigTemplate"),
    ],
    ids=["nobody's", "given to another", "no controller", "another's", "another kind's", "another group's"],
)
def test_not_ours(metadata, whose):
    with pytest.raises(TargetRefused, match=whose) as refused:
        check_ownership({"kind": "ConfigMap", "metadata": {"name": "proxy"} | metadata}, OWNER)
    assert refused.value.reason == "TargetConflict"
    assert f"{ADOPT_BY}: web" in str(refused.value)
