"""The server says what the inspector says, loses nothing, and takes no harm from what is no request."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from PIL import Image
from program import environment
from served import free_port, photographs, program, trained

from anomaly_diffusion.callbacks.image_files import OFFSET, SCALE
from anomaly_diffusion.cli.main import main
from anomaly_diffusion.deploy.inspector import Inspector

pytest.importorskip("litserve")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    (folder,) = trained(tmp_path_factory.mktemp("served"))
    return folder


@pytest.fixture(scope="module")
def files(run):
    return photographs(run.parents[2] / "photographs", 6)


@pytest.fixture(scope="module")
def inspector(run):
    return Inspector(run)


@pytest.fixture(scope="module")
def address(run):
    limits = ("--max_megabytes", "0.5", "--max_megapixels", "0.05", "--timeout", "1")
    with program("/health", "serve", str(run), *limits) as address:
        yield address


def post(address, content, query="", **head):
    """Status, head and body of the answer."""
    request = urllib.request.Request(f"{address}/predict{query}", data=content, headers=head, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.headers, refusal.read()


def metrics(address):
    with urllib.request.urlopen(f"{address}/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def form(name, content):
    head = f'--line\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
    return head + content + b"\r\n--line--\r\n"


def test_eight_clients_get_the_verdicts_of_the_inspector(address, files, inspector):
    before = metrics(address)
    expected = {path.name: inspector(path) for path in files}

    def ask(number):
        path = files[number % len(files)]
        if number % 2:
            kind = {"Content-Type": "multipart/form-data; boundary=line"}
            return post(address, form(path.name, path.read_bytes()), **kind)
        return post(address, path.read_bytes(), f"?name={path.name}")

    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(ask, range(24)))
    for number, (status, _, body) in enumerate(answers):
        ours, theirs = json.loads(body), expected[files[number % len(files)].name]
        assert status == 200
        assert (ours["name"], ours["score"], ours["p_value"]) == (theirs.name, theirs.score, theirs.p_value)
        assert ours["verdict"] == ("defective" if theirs.defective else "normal")
        assert (ours["limit"], ours["drift"], ours["peak"]) == (theirs.limit, theirs.drift, list(theirs.peak))
        assert ours["regions"] == [region._asdict() for region in theirs.regions]
    after = metrics(address)
    counted = {name: after[name] - before[name] for name in before if "total" in name or "count" in name}
    assert counted["anomaly_diffusion_photographs_total"] == counted["anomaly_diffusion_latency_seconds_count"] == 24
    defective = sum(expected[files[number % len(files)].name].defective for number in range(24))
    assert counted["anomaly_diffusion_defective_total"] == defective


def test_the_map_comes_as_a_picture_and_as_values(address, files, inspector):
    found = inspector(files[1])
    status, head, body = post(address, files[1].read_bytes(), f"?map=values&name={files[1].name}")
    stored = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED)
    assert (status, head["Content-Type"], float(head["x-score"])) == (200, "image/png", found.score)
    np.testing.assert_allclose(stored * SCALE + OFFSET, found.map.clip(OFFSET, 111.9), atol=SCALE)
    status, head, body = post(address, files[1].read_bytes(), "?map=picture")
    assert (status, Image.open(BytesIO(body)).size[::-1]) == (200, found.size)
    assert head["x-verdict"] == ("defective" if found.defective else "normal")


def empty(width, height):
    stream = BytesIO()
    Image.new("L", (width, height)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "query", "status", "told"),
    [
        (b"", "", 400, "empty"),
        (b"garbage" * 99, "", 415, "no photograph"),
        (b'{"image": "x"}', "", 415, "no photograph"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "", 415, "no photograph"),
        (empty(40, 40)[:-20], "", 422, "corrupt"),
        (bytes(600_000), "", 413, "larger than 0.5 MB"),
        (empty(300, 300), "", 413, "more than 0.05 megapixels"),
        (empty(1, 1), "", 422, "1 x 1 pixel"),
        (empty(40, 40), "?map=nonsense", 422, "picture"),
    ],
)
def test_what_cannot_be_judged_is_refused_with_a_reason(address, files, content, query, status, told):
    before = metrics(address)
    found, _, body = post(address, content, query)
    assert (found, told in str(json.loads(body)["detail"])) == (status, True), body
    name = f'anomaly_diffusion_errors_total{{status="{status}"}}'
    assert metrics(address)[name] - before.get(name, 0) == 1
    assert post(address, files[0].read_bytes())[0] == 200


def test_a_form_without_a_file_and_a_broken_form_are_refused(address):
    kind = {"Content-Type": "multipart/form-data; boundary=line"}
    plain = b'--line\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--line--\r\n'
    assert post(address, plain, **kind)[0] == 400
    assert post(address, b"no form at all", **kind)[0] == 400


def test_a_bad_photograph_harms_none_that_is_judged_beside_it(address, files, inspector):
    broken = empty(40, 40)[:-20]
    contents = [files[number // 2 % 6].read_bytes() if number % 2 else broken for number in range(24)]
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda content: post(address, content), contents))
    assert [status for status, *_ in answers] == [422, 200] * 12


def connected(address):
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /hea",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nslow",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"",
    ],
)
@pytest.mark.parametrize("closing", ["slow", "half", "gone"])
def test_a_connection_without_a_whole_request_ends(address, files, sent, closing):
    with connected(address) as line:
        line.sendall(sent)
        if closing == "gone":
            line.close()
        else:
            if closing == "half":
                line.shutdown(socket.SHUT_WR)
            assert post(address, files[0].read_bytes())[0] == 200
            answer = b"".join(iter(lambda: line.recv(4096), b""))  # until the server closes it
            assert answer == b"" or answer.split()[1][:1] == b"4"
    assert post(address, files[0].read_bytes())[0] == 200


def test_a_name_is_no_path(address, files):
    _, _, body = post(address, files[0].read_bytes(), "?name=../../etc/..%2f..%5cpasswd%00")
    assert json.loads(body)["name"] == "passwd"


def test_other_requests_are_answered(address):
    for path, status in (("/health", 200), ("/info", 200), ("/docs", 404), ("/openapi.json", 404), ("/predict", 405)):
        try:
            with urllib.request.urlopen(address + path, timeout=20) as answer:
                found = answer.status
        except urllib.error.HTTPError as refusal:
            found = refusal.code
        assert (path, found) == (path, status)


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["nowhere"], 1, "`nowhere` is no run folder"),
        (["--port", "80"], 2, "`--port` must lie in [1024, 65535], got 80."),
        (["--host", "example"], 2, "`host` must be one of 127.0.0.1"),
        (["--workers", "0"], 2, "`workers` must be at least 1, got 0."),
        (["--false_alarms", "2"], 2, "`false_alarms` must lie in (0, 1), got 2.0."),
        (["--timeout", "0"], 2, "`seconds` must be positive"),
        (["--max_megabytes", "-1"], 2, "`bytes` must be positive"),
    ],
)
def test_what_cannot_be_served_is_refused(run, capsys, words, status, told):
    words = words if words[0] == "nowhere" else [str(run), *words]
    assert main(["serve", *words]) == status
    assert told in capsys.readouterr().err


def test_a_busy_port_is_refused(run, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["serve", str(run), "--port", str(port)]) == 1
    assert f"Port {port} of 127.0.0.1 cannot be used" in capsys.readouterr().err


@pytest.mark.soak
def test_a_worker_that_dies_is_replaced(run, files):
    photograph = files[0].read_bytes()
    with program("/health", "serve", str(run), "--timeout", "1") as address:
        (server,) = [one for one in psutil.process_iter(["cmdline"]) if address[-5:] in (one.info["cmdline"] or [])
                     and one.ppid() == os.getpid()]  # fmt: skip
        (worker,) = [one for one in server.children() if "--multiprocessing-fork" in one.cmdline()]
        worker.suspend()
        with ThreadPoolExecutor(1) as client:
            lost = client.submit(post, address, photograph)
            time.sleep(0.5)
            worker.kill()
            assert lost.result()[0] in (200, 504)
        end = time.monotonic() + 60
        while post(address, photograph)[0] != 200:
            assert time.monotonic() < end


@pytest.mark.parametrize(("verb", "package"), [("serve", "litserve"), ("inspect", "gradio")])
def test_a_missing_extra_is_told_with_the_command_that_installs_it(run, capsys, monkeypatch, verb, package):
    monkeypatch.setitem(sys.modules, package, None)
    assert main([verb, str(run)]) == 1
    told = f"{package} is not installed. Run: pip install 'anomaly-diffusion[{verb}]'"
    assert capsys.readouterr().err.startswith(f"error: {told}\n")


@pytest.mark.soak
def test_a_run_that_no_worker_can_load_ends_in_one_message(run):
    words = ["serve", str(run), "--device", "nonsense", "--port", str(free_port())]
    done = subprocess.run(
        [sys.executable, "-m", "anomaly_diffusion", *words],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "nonsense" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) < 15


@pytest.mark.soak
def test_eight_clients_with_two_hundred_photographs_each_lose_nothing(run):
    script = ["benchmarks/serving.py", str(run), "--clients", "8", "--photographs", "200", "--workers", "2"]
    done = subprocess.run([sys.executable, *script], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1600 of 1600 answered, 0 unlike the inspector" in done.stdout
