"""From when on a Lease may be taken: by the local clock, from what this process has seen itself."""

from __future__ import annotations

import math
from typing import Any

import pytest

from controller.leadership.lease import RELEASED, Lease
from controller.leadership.sighting import Sighting
from controller.leadership.timings import LeaseTimings


def lease(holder: str = "", version: int = 1, *, duration: Any = 15, mark: str = "") -> Lease:
    metadata = {"resourceVersion": str(version), "annotations": {RELEASED: mark} if mark else {}}
    spec = {"holderIdentity": holder, "leaseDurationSeconds": duration}
    return Lease.parse({"metadata": metadata, "spec": spec})


@pytest.fixture
def sighting() -> Sighting:
    return Sighting(LeaseTimings())


@pytest.mark.parametrize(
    ("written", "waited"),
    [(15, 15), (3, 15), (40, 40), (60, 60), (3600, 60), (10**400, 60), ("40", 15), (None, 15), (-5, 15)],
)
def test_a_held_lease_is_waited_for_the_longer_of_both_durations_up_to_a_minute(sighting, written, waited):
    sighting.read(lease("a", duration=written), 100)
    assert sighting.free_from == 100 + waited


def test_every_write_of_the_holder_begins_the_wait_anew(sighting):
    sighting.read(lease("a", 1), 100)
    sighting.read(lease("a", 1), 105)
    assert sighting.free_from == 115
    sighting.read(lease("a", 2), 107)
    assert sighting.free_from == 122


def test_a_process_that_has_never_seen_it_held_may_create_it_at_once(sighting):
    sighting.read(None, 100)
    assert sighting.free_from == -math.inf


def test_a_lease_that_vanished_is_waited_for_like_a_held_one(sighting):
    sighting.read(lease("a", duration=40), 100)
    sighting.read(None, 110)
    sighting.read(None, 112)
    assert sighting.free_from == 150


@pytest.mark.parametrize("version", [1, 2, 3])
def test_an_empty_lease_without_the_mark_is_waited_for_from_when_it_was_first_seen_so(sighting, version):
    sighting.read(lease(), 100)
    sighting.read(lease(version=version), 105)
    assert sighting.free_from == 115


def test_vanishing_and_being_emptied_is_one_wait(sighting):
    sighting.read(lease("a"), 100)
    sighting.read(None, 110)
    sighting.read(lease(version=9), 120)
    assert sighting.free_from == 125


def test_a_released_lease_is_free_at_once(sighting):
    sighting.read(lease("a"), 100)
    sighting.read(lease(version=2, mark="a"), 101)
    assert sighting.released
    assert sighting.free_from == -math.inf


def test_watch_events_older_than_what_is_known_count_for_nothing(sighting):
    sighting.read(lease("b", 9), 100)
    assert not sighting.watched(lease("a", 8), 101, deleted=False)
    assert not sighting.watched(lease("a", 8), 101, deleted=True)
    assert (sighting.holder, sighting.free_from) == ("b", 115)


def test_a_read_counts_whatever_its_version_for_a_restored_etcd_goes_back(sighting):
    sighting.read(lease("b", 900), 100)
    sighting.read(lease("a", 80), 101)
    assert sighting.holder == "a"
    assert sighting.watched(lease("c", 81), 102, deleted=False)


def test_a_watched_deletion_leaves_nobody_holding_it(sighting):
    sighting.read(lease("a", 5), 100)
    assert sighting.watched(lease("a", 6), 103, deleted=True)
    assert (sighting.lease, sighting.holder, sighting.free_from) == (None, "", 118)
