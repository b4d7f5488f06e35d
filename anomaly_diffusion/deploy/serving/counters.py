"""What a server has done so far, counted at its door and told in the text format of Prometheus."""

import time
from collections import Counter
from typing import Any

__all__ = ["PATH", "VERDICT", "Counters", "Counting"]

PATH = "/predict"
VERDICT = "x-verdict"  # "defective" or "normal", at the head of every answer to a photograph
_ENDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # of the classes of latency, in seconds
_NAME = "anomaly_diffusion"


class Counters:
    """Counts of photographs, verdicts, errors and seconds; of one process, from its start."""

    def __init__(self) -> None:
        self.verdicts: Counter[str] = Counter()
        self.errors: Counter[int] = Counter()
        self._classes: Counter[float] = Counter()
        self._seconds = 0.0

    def judged(self, verdict: str, seconds: float) -> None:
        """Count a photograph that was judged.

        Args:
            verdict: "defective" or "normal".
            seconds: from its first byte to the answer.
        """
        self.verdicts[verdict] += 1
        self._seconds += seconds
        for end in _ENDS:
            self._classes[end] += seconds <= end

    def __str__(self) -> str:
        count = self.verdicts.total()
        latency = f"{_NAME}_latency_seconds"
        lines = [
            *_head("photographs_total", "counter", "Photographs that were judged."),
            f"{_NAME}_photographs_total {count}",
            *_head("defective_total", "counter", "Photographs that were called defective."),
            f"{_NAME}_defective_total {self.verdicts['defective']}",
            *_head("errors_total", "counter", "Requests that got no verdict, by status."),
            *(f'{_NAME}_errors_total{{status="{status}"}} {self.errors[status]}' for status in sorted(self.errors)),
            *_head("latency_seconds", "histogram", "Seconds from the head of a request to its verdict."),
            *(f'{latency}_bucket{{le="{end:g}"}} {self._classes[end]}' for end in _ENDS),
            f'{latency}_bucket{{le="+Inf"}} {count}',
            f"{latency}_sum {self._seconds:.6f}",
            f"{latency}_count {count}",
        ]
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, means: str) -> list[str]:
    return [f"# HELP {_NAME}_{name} {means}", f"# TYPE {_NAME}_{name} {kind}"]


class Counting:
    """An ASGI layer that counts the answers to photographs.

    Args:
        app: what answers.
        counters: what is counted up.
    """

    def __init__(self, app: Any, counters: Counters) -> None:
        self.app, self.counters = app, counters

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass everything on, and look at the head of the answer."""
        if scope["type"] != "http" or scope["path"] != PATH:
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()

        async def watched(message: Any) -> None:
            if message["type"] == "http.response.start":
                self._count(message["status"], dict(message["headers"]), time.perf_counter() - start)
            await send(message)

        await self.app(scope, receive, watched)

    def _count(self, status: int, head: dict[bytes, bytes], seconds: float) -> None:
        if status < 400 and VERDICT.encode() in head:
            self.counters.judged(head[VERDICT.encode()].decode(), seconds)
        else:
            self.counters.errors[status] += 1
