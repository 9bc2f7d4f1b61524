"""A Lease can be read whatever somebody wrote into it, and is written as Kubernetes expects."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.leadership.lease import RELEASED, Lease, new_lease
from controller.leadership.timings import LeaseTimings

METADATA = {"name": "kopfbus", "namespace": "edge", "uid": "u", "resourceVersion": "7"}
HELD = {
    "holderIdentity": "a",
    "leaseDurationSeconds": 15,
    "acquireTime": "2026-01-01T00:00:00.000000Z",
    "renewTime": "2026-01-01T00:00:05.000000Z",
    "leaseTransitions": 3,
}
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "a", "15", "\u0663"])
fields = st.sampled_from([*HELD, "annotations", "labels", "resourceVersion", "uid"])
anything = scalars | st.lists(scalars, max_size=2) | st.dictionaries(fields, scalars, max_size=3)
raw_leases = st.dictionaries(
    st.sampled_from(["metadata", "spec"]), anything | st.dictionaries(fields, anything, max_size=5)
)


def lease(spec: Any = None, **metadata: Any) -> Lease:
    return Lease.parse({"metadata": {**METADATA, **metadata}, "spec": {**HELD, **(spec or {})}})


@pytest.mark.parametrize(
    ("spec", "holder", "duration", "transitions"),
    [
        (None, "", 0, 0),
        ({}, "", 0, 0),
        ("held by a", "", 0, 0),
        ([], "", 0, 0),
        ({"holderIdentity": None, "leaseTransitions": None}, "", 0, 0),
        ({"holderIdentity": 7}, "", 0, 0),
        ({"holderIdentity": "a"}, "a", 0, 0),
        ({"holderIdentity": "a", "leaseDurationSeconds": "15", "leaseTransitions": "3"}, "a", 0, 0),
        ({"holderIdentity": "a", "leaseDurationSeconds": True}, "a", 0, 0),
        ({"holderIdentity": "a", "leaseDurationSeconds": -1, "leaseTransitions": -1}, "a", 0, 0),
        ({"holderIdentity": "a", "leaseDurationSeconds": float("nan")}, "a", 0, 0),
        ({"holderIdentity": "a", "leaseDurationSeconds": 10**400}, "a", 10**400, 0),
        ({"holderIdentity": "a", "leaseTransitions": 10**400}, "a", 0, 2**31 - 1),
        ({"holderIdentity": "a", "renewTime": "2026-01-01T00:00:00", "acquireTime": 5}, "a", 0, 0),
    ],
)
def test_malformed_leases_are_read_as_far_as_they_make_sense(spec, holder, duration, transitions):
    read = Lease.parse({"metadata": METADATA, "spec": spec})
    assert (read.holder, read.duration, read.transitions) == (holder, duration, transitions)


@given(raw_leases)
def test_reading_and_taking_a_lease_never_raises(raw):
    read = Lease.parse(raw)
    assert read.number >= 0
    assert read.taken("b", LeaseTimings())["spec"]["holderIdentity"] == "b"
    assert read.given_back()["spec"]["holderIdentity"] == ""


def test_only_an_empty_lease_with_the_mark_counts_as_released():
    mark = {"annotations": {RELEASED: "a"}}
    assert lease({"holderIdentity": ""}, **mark).released
    assert not lease({"holderIdentity": ""}).released
    assert not lease({"holderIdentity": ""}, annotations={RELEASED: ""}).released
    assert not lease({"holderIdentity": "a"}, **mark).released


def test_a_new_lease_is_held_from_the_start():
    obj = new_lease("kopfbus", "edge", "a", LeaseTimings())
    assert (obj["apiVersion"], obj["kind"]) == ("coordination.k8s.io/v1", "Lease")
    assert obj["metadata"] == {"name": "kopfbus", "namespace": "edge"}
    assert obj["spec"]["holderIdentity"] == "a"
    assert obj["spec"]["leaseDurationSeconds"] == 15
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", obj["spec"]["renewTime"])


def test_taking_raises_the_transitions_also_from_oneself():
    assert lease().taken("b", LeaseTimings())["spec"]["leaseTransitions"] == 4
    assert lease().taken("a", LeaseTimings())["spec"]["leaseTransitions"] == 4


def test_transitions_begin_again_where_an_int32_ends():
    full = lease({"leaseTransitions": 2**31 - 1})
    assert full.taken("b", LeaseTimings())["spec"]["leaseTransitions"] == 1


def test_taking_removes_the_mark_and_keeps_what_others_put_on_the_lease():
    marked = lease({"holderIdentity": ""}, labels={"x": "y"}, annotations={RELEASED: "a", "other": "1"})
    metadata = marked.taken("b", LeaseTimings())["metadata"]
    assert metadata == {**METADATA, "labels": {"x": "y"}, "annotations": {"other": "1"}}


def test_renewing_changes_the_renew_time_only():
    read = lease()
    renewed = read.renewed()
    assert renewed["metadata"] == METADATA
    assert renewed["spec"].pop("renewTime") > HELD["renewTime"]
    assert renewed["spec"] == {key: value for key, value in HELD.items() if key != "renewTime"}


def test_giving_back_empties_the_lease_for_a_second_and_names_the_last_holder():
    given_back = lease().given_back()
    assert given_back["metadata"] == {**METADATA, "annotations": {RELEASED: "a"}}
    spec = given_back["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("", 1, 3)
    assert Lease.parse(given_back).released
