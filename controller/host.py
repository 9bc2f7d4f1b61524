"""One component at work: its subscription, its lanes, its service tasks, its recovery (C1, C2, C3, C6)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import structlog

from controller.clock import Clock
from controller.component import Component, Handler
from controller.events import ComponentFailed
from controller.lanes import Lanes, Work
from controller.timers import wait_at_most
from events import Delivery, Event, EventBus, Request, RequestResult, Subscription, handling

SIDE_BY_SIDE = 8
"""How many keys of one component are handled at a time."""
TIME_SLICE = 0.010
"""Seconds after which a busy component gives the loop to the others."""
RESTART_BACKOFF = (1.0, 60.0)
"""Seconds before a component whose service died is started again: at first, and at most."""
RECOVERY_PACE = (5.0, 60.0)
"""Seconds between two recoveries from drops: at least, and at most while it goes on."""
HANDLER_PATIENCE = 10.0
"""Seconds that handlers side by side get to end before their component is restarted under them."""

_log = structlog.get_logger("kopfbus.runtime")


class UndeclaredPublish(TypeError):
    """A component published a type that is not in its `publishes` (C3)."""


class ComponentHost:
    """Runs one component in the current loop; `strict` makes an undeclared publish an error."""

    def __init__(self, component: Component, bus: EventBus, clock: Clock, *, strict: bool) -> None:
        self.component = component
        self._bus = bus
        self._clock = clock
        self._strict = strict
        self._work: dict[Handler, Work] = {
            handler: partial(self._run, handler) for handler in component.handlers()
        }
        self._routes: dict[type[Event], tuple[Handler, ...]] = {}
        self._subscription: Subscription[Event] | None = None
        self._lanes = Lanes(
            limit=SIDE_BY_SIDE,
            room=component.buffer_size,
            conflate=component.delivery is Delivery.LATEST,
        )
        self._turn = asyncio.Lock()  # one at a time: an event, a recovery, a restart
        self._in_hand = 0
        """Events taken and recoveries begun that have not ended, those waiting for their turn included."""
        self._slice_ends = 0.0
        self._recovered = 0
        """How many drops were made up for."""
        self._recoverable = asyncio.Event()
        self._services: set[asyncio.Task[None]] = set()
        self._died = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.failures = 0
        component.bind(self)

    # --- what the component sees

    def publish(self, event: Event) -> int:
        """Publish in the component's name; any thread."""
        self._check_declared(event)
        return self._bus.publish(event)

    async def request(
        self, request: Request, expected_responders: Sequence[str], *, timeout: float
    ) -> RequestResult[Any]:
        """Scatter-gather in the component's name."""
        self._check_declared(request)
        return await self._bus.request(request, expected_responders, timeout=timeout)

    def spawn(self, name: str, service: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Run a service task; its death restarts the component."""
        with handling(None):
            task = asyncio.create_task(self._serve(name, service), name=f"{self.component.name}/{name}")
        self._services.add(task)
        task.add_done_callback(self._services.discard)
        return task

    def _check_declared(self, event: Event) -> None:
        if isinstance(event, self.component.publishes):
            return
        text = f"component {self.component.name!r} publishes {event.event_type!r}, which it does not declare"
        if self._strict:
            raise UndeclaredPublish(text)
        _log.error(text)

    # --- for the runtime

    def subscribe(self) -> None:
        """Begin to receive; awaits nothing, so that a term's components all start from one moment (L2)."""
        consumed = self.component.consumes()
        if not consumed:
            return
        self._subscription = self._bus.subscribe(
            self.component.name,
            *consumed,
            buffer_size=self.component.buffer_size,
            delivery=self.component.delivery,
            leader_only=self.component.leader_only,
        )

    async def start(self) -> None:
        """Start the component, then take events. Raises what the component's `start` raises."""
        await self.component.start()
        work = {"supervise": self._supervise()}
        if self._subscription is not None:
            work["consume"] = self._consume(self._subscription)
            work["recover"] = self._recover(self._subscription)
        with handling(None):
            for name, loop in work.items():
                self._tasks.append(asyncio.create_task(loop, name=f"{self.component.name}/{name}"))

    async def stop(self) -> None:
        """Cancel what is in hand, stop the component, close the subscription."""
        if self._subscription is not None:
            self._subscription.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._lanes.cancel()
        await self._stop_component()

    @property
    def idle(self) -> bool:
        """Whether its queue is empty and nothing is in hand."""
        waiting = self._subscription.depth if self._subscription is not None else 0
        return not waiting and not self._in_hand and self._lanes.idle

    # --- events

    async def _consume(self, subscription: Subscription[Event]) -> None:
        async for event in subscription:
            self._recoverable.clear()
            self._in_hand += 1
            async with self._turn:
                await self._guard("dispatch", self._dispatch(event), event)
            self._in_hand -= 1
            if subscription.dropped > self._recovered and not subscription.depth:
                self._recoverable.set()
            await self._breathe()

    async def _dispatch(self, event: Event) -> None:
        for handler in self._route(type(event)):
            if handler.per is None:
                await self._lanes.wait_idle()
                await self._run(handler, event)
            else:
                await self._lanes.put(getattr(event, handler.per), event, self._work[handler])

    def _route(self, cls: type[Event]) -> tuple[Handler, ...]:
        if cls not in self._routes:
            self._routes[cls] = tuple(handler for handler in self._work if issubclass(cls, handler.types))
        return self._routes[cls]

    async def _run(self, handler: Handler, event: Event) -> None:
        with handling(event):
            await self._guard(handler.name, getattr(self.component, handler.name)(event), event)
        await self._breathe()

    async def _breathe(self) -> None:
        """Give the loop to the others when this component has kept it for a time slice (C1)."""
        loop = asyncio.get_running_loop()
        if loop.time() >= self._slice_ends:
            await asyncio.sleep(0)
            self._slice_ends = loop.time() + TIME_SLICE

    async def _guard(self, where: str, work: Awaitable[None], event: Event | None = None) -> bool:
        """Await other people's code: what it raises is logged, counted and published, no more (C2)."""
        try:
            await work
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._failed(where, error, event)
        except Exception as error:
            self._failed(where, error, event)
        else:
            return True
        return False

    def _failed(self, where: str, error: BaseException, event: Event | None) -> None:
        self.failures += 1
        text = _text(error)
        _log.error(
            "component failed",
            component=self.component.name,
            where=where,
            error=text,
            correlation_id=event.correlation_id if event is not None else None,
            exc_info=error,
        )
        if not isinstance(event, ComponentFailed):
            self._bus.publish(ComponentFailed(component=self.component.name, where=where, error=text))

    # --- recovery from drops (C6)

    async def _recover(self, subscription: Subscription[Event]) -> None:
        least, most = RECOVERY_PACE
        pause = least
        while True:
            await self._recoverable.wait()
            self._in_hand += 1
            async with self._turn:
                self._recoverable.clear()
                self._recovered = subscription.dropped
                subscription.refill()
                await self._guard("resync", self.component.resync())
            self._in_hand -= 1
            await self._clock.sleep(pause)
            pause = min(most, pause * 2) if subscription.dropped > self._recovered else least

    # --- service tasks (C2)

    async def _serve(self, name: str, service: Callable[[], Awaitable[None]]) -> None:
        if not await self._guard(name, service()):
            self._died.set()

    async def _supervise(self) -> None:
        least, most = RESTART_BACKOFF
        pause = least
        while True:
            started = self._clock.monotonic()
            await self._died.wait()
            pause = least if self._clock.monotonic() - started > most else pause
            async with self._turn:
                await self._patiently()
                await self._stop_component()
                await self._clock.sleep(pause)
                pause = min(most, pause * 2)
                self._died.clear()
                if not await self._guard("start", self.component.start()):
                    self._died.set()

    async def _patiently(self) -> None:
        """Let handlers side by side end; one that hangs must not keep the component from its restart."""
        idle = asyncio.ensure_future(self._lanes.wait_idle())
        try:
            await wait_at_most(self._clock, HANDLER_PATIENCE, idle)
        finally:
            idle.cancel()

    async def _stop_component(self) -> None:
        """End the service tasks, then `stop`."""
        while services := [task for task in self._services if not task.done()]:
            for task in services:
                if not task.cancelling():  # a second time would interrupt its clean-up
                    task.cancel()
            await asyncio.wait(services)  # not gather: cancelled itself, it would cancel them again
        await self._guard("stop", self.component.stop())


def _text(error: BaseException) -> str:
    """What went wrong, in one line; of a task group's errors each."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_text(part) for part in error.exceptions)
    return f"{type(error).__name__}: {error}"
