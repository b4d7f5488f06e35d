"""An end to waiting: a request whose worker has died would never be answered otherwise."""

import asyncio
import json
from typing import Any

__all__ = ["Deadline"]


class Deadline:
    """An ASGI layer that answers with 504 what has no answer in time.

    Args:
        app: what answers.
        seconds: from the head of a request to the head of its answer, > 0.
    """

    def __init__(self, app: Any, seconds: float) -> None:
        self.app, self.seconds = app, seconds

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass on, and give up in time."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def watched(message: Any) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            async with asyncio.timeout(self.seconds):
                await self.app(scope, receive, watched)
        except TimeoutError:
            if not begun:
                await self._give_up(send)

    async def _give_up(self, send: Any) -> None:
        body = json.dumps({"detail": f"There was no answer within {self.seconds:g} s."}).encode()
        head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 504, "headers": head})
        await send({"type": "http.response.body", "body": body})
