"""The three settings of an election fit together, or the user is told which do not."""

from __future__ import annotations

import math

import pytest

from controller.leadership.timings import LeaseTimings


def test_defaults_are_those_of_client_go():
    timings = LeaseTimings()
    assert (timings.lease_duration, timings.renew_deadline, timings.retry_period) == (15, 10, 2)


@pytest.mark.parametrize(
    ("lease", "renew", "retry", "wrong"),
    [
        (10, 10, 2, "--lease-duration must be longer than --renew-deadline"),
        (15, 2.4, 2, "--renew-deadline must be longer than 1.2 times --retry-period"),
        (15, 10, 0, "--retry-period must be more than 0 s"),
        (15, 10, -1, "--retry-period must be more than 0 s"),
        (0.9, 0.5, 0.1, "--lease-duration must be between 1 s and 60 s"),
        (61, 10, 2, "--lease-duration must be between 1 s and 60 s"),
        (math.inf, 10, 2, "--lease-duration must be between 1 s and 60 s"),
        (math.nan, 10, 2, "--lease-duration must be longer"),
        (15, math.nan, 2, "--renew-deadline must be longer"),
        (15, 10, math.nan, "--retry-period must be more"),
    ],
)
def test_settings_that_do_not_fit_are_refused_by_their_options_names(lease, renew, retry, wrong):
    with pytest.raises(ValueError, match=wrong) as caught:
        LeaseTimings(lease, renew, retry)
    message = str(caught.value)
    assert "\n" not in message
    assert all(option in message for option in ("--lease-duration", "--renew-deadline", "--retry-period"))


@pytest.mark.parametrize(("duration", "written"), [(15, 15), (3, 3), (1.5, 2), (1, 1), (59.01, 60)])
def test_a_lease_stores_whole_seconds_never_fewer_than_meant(duration, written):
    assert LeaseTimings(duration, 0.9, 0.1).lease_seconds == written


def test_two_hung_calls_fit_into_the_renew_deadline():
    timings = LeaseTimings()
    assert 2 * timings.longest_call <= timings.renew_deadline
