"""What triggers a reconciliation and what ends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.events import (
    IndexDropped,
    Outcome,
    PublicationSuperseded,
    ReconciliationCompleted,
    ReconciliationFailed,
    ReconciliationTriggered,
    TargetContested,
    Trigger,
)
from controller.reconciler.reconciler import Reconciler
from controller.reconciler.schedule import RENDERER_FAILED, REPAIRS_AT_ONCE
from controller.testing import FakeClock
from tests.support.bench import Bench, at_work
from tests.support.news import (
    TEMPLATE,
    changed,
    drifted,
    publish_failed,
    published,
    removed,
    render_failed,
    synchronized,
    told,
    validated,
    validation_failed,
)


@pytest.fixture
async def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def reconciler(clock: FakeClock) -> Reconciler:
    return Reconciler("7", clock)


@pytest.fixture
async def bench(reconciler: Reconciler, clock: FakeClock) -> AsyncIterator[Bench]:
    async with at_work(reconciler, clock) as bench:
        yield bench


def reasons(bench: Bench) -> list[Trigger]:
    return [event.reason for event in bench.of(ReconciliationTriggered)]


async def in_force(bench: Bench, generation: int = 1, **spec: Any) -> str:
    """Bring a generation into force; the id of the reconciliation that it triggers."""
    await bench.publish(validated(generation, **spec), synchronized(generation))
    ids = [event.id for event in bench.of(ReconciliationTriggered)]
    bench.forget()
    return ids[-1] if ids else ""


# --- triggers


async def test_a_generation_is_rendered_when_its_watches_are_synchronised(bench):
    await bench.publish(validated())
    assert reasons(bench) == []
    await bench.publish(synchronized())
    assert reasons(bench) == [Trigger.SYNCHRONIZED]


async def test_nothing_is_rendered_before_the_barrier_of_this_term(bench):
    """L8: synchronised in another term, or in none, is not enough."""
    await bench.publish(validated(), synchronized(term=""), synchronized(term="6"), changed())
    assert reasons(bench) == []


async def test_nothing_is_rendered_from_stores_of_another_generation(bench):
    await bench.publish(validated(2), synchronized(1), changed())
    assert reasons(bench) == []


async def test_nothing_is_rendered_from_stores_of_a_deleted_namesake(bench):
    await bench.publish(validated(uid="uid-2"), synchronized(uid="uid-1"), changed())
    assert reasons(bench) == []


async def test_a_suspended_config_template_is_not_rendered(bench):
    await in_force(bench, suspend=True)
    await bench.publish(changed(), drifted())
    await bench.advance(700)
    assert reasons(bench) == []


async def test_resuming_renders_at_once(bench):
    await in_force(bench, suspend=True)
    await bench.publish(validated(2), synchronized(2))
    assert reasons(bench) == [Trigger.SYNCHRONIZED]


async def test_a_request_fires_at_once(bench):
    await in_force(bench)
    await bench.publish(validated(requested_at="now"))
    assert reasons(bench) == [Trigger.REQUESTED]


async def test_the_first_change_fires_at_once_and_the_others_are_gathered(bench):
    """P2."""
    await in_force(bench)
    await bench.advance(10)
    await bench.publish(changed(), changed(), changed())
    assert reasons(bench) == [Trigger.RESOURCES]
    await bench.advance(1.9)
    await bench.publish(changed())
    assert len(reasons(bench)) == 1
    await bench.advance(0.1)
    assert reasons(bench) == [Trigger.RESOURCES] * 2
    await bench.advance(10)
    assert len(reasons(bench)) == 2


STEP = 0.25
"""Seconds."""
happenings = st.sampled_from([None, None, changed, changed, drifted, publish_failed, published, told])


@settings(max_examples=40, deadline=None)
@given(st.lists(happenings, max_size=40))
def test_whatever_happens_no_change_is_lost_or_rendered_too_often(script):
    """P2: each change is followed by a render within `minInterval`; changes alone give one per interval."""
    asyncio.run(_act(script))


async def _act(script: list[Any]) -> None:
    clock = FakeClock()
    async with at_work(Reconciler("7", clock), clock) as bench:
        await in_force(bench)
        waiting_since: float | None = None
        last = clock.monotonic()
        for happening in [*script, *[None] * 10]:
            if happening is not None:
                await bench.publish(happening())
            if happening is changed and waiting_since is None:
                waiting_since = clock.monotonic()
            if triggers := bench.of(ReconciliationTriggered):
                if triggers[0].reason is Trigger.RESOURCES:
                    assert clock.monotonic() - last >= 2.0
                waiting_since, last = None, clock.monotonic()
                bench.forget()
            assert waiting_since is None or clock.monotonic() - waiting_since < 2.0
            await bench.advance(STEP)


async def test_urgent_triggers_do_not_wait_for_the_interval(bench):
    await in_force(bench)
    await bench.publish(changed(), drifted())
    assert reasons(bench) == [Trigger.DRIFT]


async def test_the_drift_interval_renders_although_nothing_happened(bench):
    await in_force(bench)
    await bench.advance(599)
    assert reasons(bench) == []
    await bench.advance(1)
    assert reasons(bench) == [Trigger.INTERVAL]
    await bench.advance(600)
    assert reasons(bench) == [Trigger.INTERVAL] * 2


async def test_a_changed_interval_counts_from_the_new_generation_on(bench):
    await in_force(bench, reconcile={"minInterval": "30s"})
    await bench.publish(changed())
    await bench.advance(29)
    assert reasons(bench) == []
    await bench.advance(1)
    assert reasons(bench) == [Trigger.RESOURCES]


async def test_a_removed_config_template_is_rendered_no_more(bench):
    await in_force(bench)
    await bench.publish(changed(), removed(), changed(), drifted())
    await bench.advance(700)
    assert reasons(bench) == []


async def test_stores_that_were_let_go_of_are_not_rendered_from(bench):
    await in_force(bench)
    await bench.publish(IndexDropped(template=TEMPLATE), drifted())
    assert reasons(bench) == []


async def test_recovery_from_a_drop_triggers_everything_once(bench, reconciler):
    """C6: what was dropped may have been a change."""
    await in_force(bench)
    await bench.publish(validated(template="edge/other"), synchronized(template="edge/other"))
    bench.forget()
    await reconciler.resync()
    await bench.advance(0)
    assert reasons(bench) == [Trigger.RESYNC] * 2


# --- repairs


async def test_a_contested_target_is_repaired_later_and_that_is_told(bench):
    await in_force(bench)
    await bench.publish(*(drifted() for _ in range(REPAIRS_AT_ONCE + 1)))
    assert reasons(bench) == [Trigger.DRIFT] * REPAIRS_AT_ONCE
    told_of = bench.of(TargetContested)[0]
    assert (told_of.name, told_of.repairs, told_of.seconds) == ("proxy", REPAIRS_AT_ONCE + 1, 1.0)
    await bench.advance(1)
    assert reasons(bench) == [Trigger.DRIFT] * (REPAIRS_AT_ONCE + 1)


async def test_one_contested_target_does_not_delay_the_repair_of_another(bench):
    await in_force(bench)
    await bench.publish(*(drifted() for _ in range(REPAIRS_AT_ONCE + 1)))
    bench.forget()
    await bench.publish(drifted("other"))
    assert reasons(bench) == [Trigger.DRIFT]


async def test_a_repair_that_waits_is_told_once(bench):
    await in_force(bench)
    await bench.publish(*(drifted() for _ in range(REPAIRS_AT_ONCE + 5)))
    assert len(bench.of(TargetContested)) == 1


async def test_a_waiting_repair_survives_a_render_in_between(bench):
    """The render may have repaired it; changed once more, it is repaired at the time that was told."""
    await in_force(bench)
    await bench.publish(*(drifted() for _ in range(REPAIRS_AT_ONCE + 1)))
    await bench.publish(validated(requested_at="now"), drifted())
    bench.forget()
    await bench.advance(1)
    assert reasons(bench) == [Trigger.DRIFT]


# --- retries


async def test_a_failed_publication_is_retried_with_growing_waits(bench):
    """P9."""
    await in_force(bench)
    for seconds in (1.2, 2.4, 4.8):
        await bench.publish(publish_failed())
        await bench.advance(seconds * 0.8)
        assert reasons(bench) == []
        await bench.advance(seconds * 0.2)
        assert reasons(bench) == [Trigger.RETRY]
        bench.forget()


@pytest.mark.parametrize("reset", [published(), validated(requested_at="now")])
async def test_success_or_a_user_makes_the_waits_short_again(bench, reset):
    await in_force(bench)
    for _ in range(5):
        await bench.publish(publish_failed())
    await bench.publish(reset, publish_failed())
    bench.forget()
    await bench.advance(1.2)
    assert reasons(bench) == [Trigger.RETRY]


@pytest.mark.parametrize(
    "failure", [render_failed(), validation_failed(), publish_failed(retry=False, reason="TooLarge")]
)
async def test_what_only_a_change_can_heal_is_not_retried(bench, failure):
    await in_force(bench)
    await bench.publish(failure)
    await bench.advance(500)
    assert reasons(bench) == []


async def test_a_failure_of_the_renderer_itself_is_retried(bench):
    await in_force(bench)
    await bench.publish(render_failed(reason=RENDERER_FAILED))
    await bench.advance(1.2)
    assert reasons(bench) == [Trigger.RETRY]


# --- outcomes


@pytest.mark.parametrize(("wrote", "outcome"), [(True, Outcome.PUBLISHED), (False, Outcome.UNCHANGED)])
async def test_a_publication_completes_when_the_status_tells_it(bench, wrote, outcome):
    reconciliation = await in_force(bench)
    await bench.publish(published(reconciliation=reconciliation, changed=wrote))
    assert bench.of(ReconciliationCompleted) == []
    await bench.publish(told(), told())
    ended = bench.of(ReconciliationCompleted)
    assert [(event.reconciliation, event.outcome) for event in ended] == [(reconciliation, outcome)]


@pytest.mark.parametrize(
    ("failure", "phase"),
    [(render_failed, "render"), (validation_failed, "validate"), (publish_failed, "publish")],
)
async def test_a_failure_is_told_with_its_phase(bench, failure, phase):
    reconciliation = await in_force(bench)
    await bench.publish(failure(reconciliation=reconciliation), told())
    ended = bench.of(ReconciliationFailed)
    assert [(event.reconciliation, event.phase, len(event.problems)) for event in ended] == [
        (reconciliation, phase, 1)
    ]


async def test_a_newer_reconciliation_supersedes_the_one_under_way(bench):
    first = await in_force(bench)
    await bench.publish(drifted(), published(reconciliation=first), told())
    ended = bench.of(ReconciliationCompleted)
    assert [(event.reconciliation, event.outcome) for event in ended] == [(first, Outcome.SUPERSEDED)]


async def test_an_outcome_that_the_status_did_not_tell_yet_is_not_lost(bench):
    first = await in_force(bench)
    await bench.publish(published(reconciliation=first), drifted(), told())
    ended = bench.of(ReconciliationCompleted)
    assert [(event.reconciliation, event.outcome) for event in ended] == [(first, Outcome.PUBLISHED)]


@pytest.mark.parametrize("how", ["dropped before the fence", "removed"])
async def test_what_comes_to_nothing_is_superseded(bench, how):
    reconciliation = await in_force(bench)
    dropped = PublicationSuperseded(template=TEMPLATE, generation=1, reconciliation=reconciliation)
    await bench.publish(removed() if how == "removed" else dropped)
    ended = bench.of(ReconciliationCompleted)
    assert [(event.reconciliation, event.outcome) for event in ended] == [
        (reconciliation, Outcome.SUPERSEDED)
    ]
