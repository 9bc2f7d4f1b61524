"""Leadership in one replica. `term` is the resourceVersion of the Lease write that took office (L2)."""

from __future__ import annotations

from events import Event, event


@event("leader.election.started", fact=True)
class LeaderElectionStarted(Event):
    """The replica stands for election."""

    identity: str
    lease: str


@event("leader.became")
class LeaderBecame(Event):
    """The replica has taken office."""

    identity: str
    term: str


@event("leader.lost")
class LeaderLost(Event):
    """The replica has left office; its leader-only components have ended."""

    identity: str
    term: str
    reason: str


@event("leader.observed", fact=True)
class LeaderObserved(Event):
    """The Lease names another holder than before."""

    leader: str
    is_self: bool
