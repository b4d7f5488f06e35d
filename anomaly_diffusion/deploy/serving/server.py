"""The server: LitServe's processes around an inspector; the one file that knows LitServe."""

import asyncio
import logging
import multiprocessing
import os
import signal
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import litserve
from fastapi import Depends
from starlette.responses import PlainTextResponse, Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from anomaly_diffusion.deploy.serving.counters import PATH, Counters, Counting
from anomaly_diffusion.deploy.serving.deadline import Deadline
from anomaly_diffusion.deploy.serving.uploads import Limits, Upload, uploaded

__all__ = ["HOSTS", "Judging", "Service"]

HOSTS = ("127.0.0.1", "0.0.0.0", "::")
_CONNECTIONS = 128  # more are answered with 503, so that slow ones cannot fill the memory
_PARTS = 4  # times the limit: to arrive, to wait, to be judged, to be told
_LINGER = 5  # seconds that a connection without a request is kept


@dataclass(frozen=True)
class Judging:
    """How photographs are judged.

    Attributes:
        run: a run folder, or an exported file.
        false_alarms: as of `Inspector`.
        device: as of `Inspector`.
        workers: processes that judge, at least 1.
        batch_size: photographs that one of them judges together, at least 1.
        wait: seconds that it waits for a batch to fill, >= 0.
        category: as of `Inspector`; what all photographs show, where a run knows several apart.

    Raises:
        ValueError: a number lies outside its range.
    """

    run: str
    false_alarms: float | None = None
    device: str = "cpu"
    workers: int = 1
    batch_size: int = 4
    wait: float = 0.01
    category: str | None = None

    def __post_init__(self) -> None:
        for name in ("workers", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1, got {getattr(self, name)}.")
        if self.wait < 0:
            raise ValueError(f"`batch_wait` must be at least 0, got {self.wait}.")
        if self.false_alarms is not None and not 0 < self.false_alarms < 1:
            raise ValueError(f"`false_alarms` must lie in (0, 1), got {self.false_alarms}.")


class PhotographAPI(litserve.LitAPI):
    """What a worker does with photographs: all of a batch are judged together, a bad one refuses nobody but itself.

    Args:
        judging: how.
    """

    def __init__(self, judging: Judging) -> None:
        super().__init__(judging.batch_size, judging.wait if judging.batch_size > 1 else 0.0, PATH)
        self.judging = judging
        self.failures = multiprocessing.get_context("spawn").SimpleQueue()

    def setup(self, device: str) -> None:
        """Load the inspector; a reason why not is handed to the process that started this one."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server ends its workers
        from anomaly_diffusion.deploy.inspector import Inspector

        judging = self.judging
        try:
            self.inspector = Inspector(
                judging.run, judging.false_alarms, judging.device, judging.batch_size, judging.category
            )
            if isinstance(self.inspector, Inspector):
                _ = self.inspector.normal_scores  # a request does not say which of several categories it shows
        except Exception as error:
            logging.disable()  # the traceback that would follow
            self.failures.put(str(error) or type(error).__name__)
            raise

    def decode_request(self, request: Annotated[Upload, Depends(uploaded)]) -> Upload:
        """Nothing: what fails here would fail for the whole batch."""
        return request

    def predict(self, uploads: Any) -> Any:
        """Judge one upload, or the uploads of a batch."""
        return self._answers(uploads) if isinstance(uploads, list) else self._answers([uploads])[0]

    def encode_response(self, output: Response) -> Response:
        """Nothing: it is an answer already."""
        return output

    def _answers(self, uploads: list[Upload]) -> list[Response]:
        from anomaly_diffusion.deploy.serving.answers import answer

        with tempfile.TemporaryDirectory() as folder:
            paths = [_written(Path(folder) / str(number), upload) for number, upload in enumerate(uploads)]
            try:
                found = self.inspector(paths)
            except Exception:
                return [self._alone(path, upload) for path, upload in zip(paths, uploads, strict=True)]
            return [answer(one, path, upload.map) for one, path, upload in zip(found, paths, uploads, strict=True)]

    def _alone(self, path: Path, upload: Upload) -> Response:
        from anomaly_diffusion.data.reading.photographs import BadImages
        from anomaly_diffusion.deploy.serving.answers import answer, refusal

        try:
            return answer(self.inspector(path), path, upload.map)
        except BadImages as error:
            return refusal(422, f"{upload.name} {next(iter(error.problems.values()))}")
        except ValueError as error:
            return refusal(422, f"{upload.name}: {error}")
        except Exception:
            logging.getLogger(__name__).exception("%s could not be judged.", upload.name)
            return refusal(500, "The photograph could not be judged; the server's log says why.")


def _written(folder: Path, upload: Upload) -> Path:
    """The photograph as a file of its name, from which the inspector takes its noise."""
    folder.mkdir()
    path = folder / upload.name
    path.write_bytes(upload.content)
    return path


@dataclass(frozen=True)
class Service:
    """An inspector at an address.

    Attributes:
        judging: how photographs are judged.
        limits: of a request.
        host: one of `HOSTS`.
        port: 1024 to 65535, at which nobody listens.

    Raises:
        ValueError: the host is none of these.
    """

    judging: Judging
    limits: Limits = field(default_factory=Limits)
    host: str = HOSTS[0]
    port: int = 8000

    def __post_init__(self) -> None:
        if self.host not in HOSTS:
            raise ValueError(f"`host` must be one of {', '.join(HOSTS)}, got {self.host}.")

    def run(self) -> None:
        """Serve until a signal ends it.

        Raises:
            ValueError: a worker cannot load the run.
        """
        api = PhotographAPI(self.judging)
        server = self._server(api)
        _end_by_signals()
        try:
            server.run(
                self.host,
                self.port,
                num_api_servers=1,  # whose counters are all there are
                log_level="warning",
                generate_client_file=False,
                http=_in_time(self.limits.seconds),
                limit_concurrency=_CONNECTIONS,
                timeout_keep_alive=_LINGER,
            )
        except RuntimeError:
            for worker in server.inference_workers:
                worker.terminate()
            if api.failures.empty():
                raise
            raise ValueError(api.failures.get()) from None

    def _server(self, api: PhotographAPI) -> Any:
        counters = Counters()
        server = litserve.LitServer(
            api,
            accelerator="cpu",  # processes; where the inspector's tensors live is its own affair
            workers_per_device=self.judging.workers,
            timeout=self.limits.seconds,
            middlewares=[(Deadline, {"seconds": _PARTS * self.limits.seconds}), (Counting, {"counters": counters})],
            disable_openapi_url=True,  # whose page would load scripts from elsewhere
            restart_workers=True,
            model_metadata={"run": Path(self.judging.run).name},
        )
        server.app.state.limits = self.limits

        async def metrics() -> PlainTextResponse:
            return PlainTextResponse(str(counters), media_type="text/plain; version=0.0.4")

        server.app.add_api_route("/metrics", metrics, methods=["GET"], include_in_schema=False)
        return server


def _end_by_signals() -> None:
    """Let this process end its children by LitServe's way on SIGTERM as on Ctrl-C; a child ends in silence."""
    this = os.getpid()

    def end(*_: Any) -> None:
        raise KeyboardInterrupt if os.getpid() == this else SystemExit

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)


def _in_time(seconds: float) -> type:
    """A protocol that drops whoever has not sent the whole head of a request after so many seconds."""

    class InTime(H11Protocol):
        _dropping: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._dropping = self.loop.call_later(seconds, transport.close)

        def data_received(self, data: bytes) -> None:
            before = self.cycle
            if self._dropping is None and (before is None or before.response_complete):
                self._dropping = self.loop.call_later(seconds, self.transport.close)
            super().data_received(data)
            if self.cycle is not before:
                self._end_waiting()

        def connection_lost(self, exc: Exception | None) -> None:
            self._end_waiting()
            super().connection_lost(exc)

        def _end_waiting(self) -> None:
            if self._dropping is not None:
                self._dropping.cancel()
                self._dropping = None

    return InTime
