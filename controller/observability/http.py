"""The HTTP server: /metrics, /livez, /readyz and, where only this machine can ask, /debug."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from controller.component import Component
from controller.observability.address import HttpAddress, is_loopback
from controller.observability.debug import View, to_json
from controller.observability.health import Health, LivenessCheck, ReadinessCheck, Report

LAST_ANSWERS: Final = 0.1
"""Seconds that requests in hand get when the server stops; aiohttp grants it twice."""


class HttpServer(Component):
    """Answers probes, scrapes and questions; consumes and publishes nothing.

    Parameters
    ----------
    address
        `host:port` to listen on; "" or "off" for no server at all.
    registry
        What /metrics shows.
    readiness, liveness
        The checks of /readyz and /livez by name.
    debug
        The views of /debug by name.
    debug_anywhere
        Serve them on an address that others can reach, too (X3).

    Raises
    ------
    HttpAddressError
        Here if the address is not written as one, in `start` if it cannot be listened on.
    """

    name = "http"

    def __init__(
        self,
        address: str,
        *,
        registry: CollectorRegistry,
        readiness: Mapping[str, ReadinessCheck],
        liveness: Mapping[str, LivenessCheck],
        debug: Mapping[str, View],
        debug_anywhere: bool = False,
    ) -> None:
        self._address = HttpAddress.parse(address)
        self._registry = registry
        self._health = Health(readiness, liveness)
        self._debug = debug
        self._debug_anywhere = debug_anywhere
        self._debug_served = False
        self._runner: web.AppRunner | None = None
        self.port: int | None = None
        """Where it listens, once started; None while it does not."""

    def going_down(self) -> None:
        """Be unready from now on; the server itself goes on until `stop`."""
        self._health.going_down()

    async def start(self) -> None:
        """Listen. Raises HttpAddressError."""
        if self._address is None:
            return
        listening = self._address.listen()
        self._debug_served = self._debug_anywhere or is_loopback(listening)
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=LAST_ANSWERS)
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()
        self.port = listening.getsockname()[1]

    async def stop(self) -> None:
        """Stop listening, and end what is in hand; under half a second."""
        self.port = None
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    def _application(self) -> web.Application:
        application = web.Application()
        application.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/debug/{view}", self._show),
            ]
        )
        return application

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

    async def _livez(self, request: web.Request) -> web.Response:
        return _probe(request, self._health.alive())

    async def _readyz(self, request: web.Request) -> web.Response:
        return _probe(request, self._health.ready())

    async def _show(self, request: web.Request) -> web.Response:
        view = self._debug.get(request.match_info["view"])
        if view is None:
            raise web.HTTPNotFound(text=f"there are {', '.join(f'/debug/{name}' for name in self._debug)}\n")
        if not self._debug_served:
            raise web.HTTPForbidden(
                text="debug endpoints are served only where --http-address is a loopback address\n"
            )
        return web.Response(text=to_json(view()), content_type="application/json")


def _probe(request: web.Request, report: Report) -> web.Response:
    return web.Response(
        status=200 if report.ok else 503,
        text=report.text(verbose="verbose" in request.query),
        headers={"Cache-Control": "no-store"},
    )
