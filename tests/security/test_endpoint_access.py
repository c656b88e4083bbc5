"""The endpoint behind TLS and tokens, slow clients cut, and the others unharmed meanwhile."""

import asyncio
import json
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from cryptography import x509

from fraudline.core.errors import UnavailableError, UsageError
from fraudline.model.artifact import load_artifact
from fraudline.ops.local.process import ChildProcess, free_port
from fraudline.serve.guard import LIMITS, Guard, Limits, Tokens
from fraudline.stream.endpoint import EndpointScoring
from fraudline.stream.params import StreamParams
from tests.support.artifacts import tiny_artifact
from tests.support.bad_requests import V1, V2
from tests.support.certificates import Authority
from tests.support.figures import Figure, sized
from tests.support.served import Served
from tests.support.until import until

OLD, NEW = "old-token-" + "0" * 22, "new-token-" + "1" * 22


# ---- limits, without a server ----------------------------------------------------------------------------------------


async def asked(guard: Guard, messages: list[Any], headers: dict[str, str], path: str = "/x") -> tuple[int, bytes]:
    """The status and body of the guard's answer to a request whose body comes in ``messages``; None stays silent."""
    sent: list[dict[str, Any]] = []
    parts = iter(messages)

    async def receive() -> dict[str, Any]:
        part = next(parts, None)
        if part is None:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": part[0], "more_body": part[1]}  # type: ignore[index]

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": path, "method": "POST",
             "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}  # fmt: skip
    await guard(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


async def echo(_scope: Any, receive: Any, send: Any) -> None:
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message.get("body", b"")})


SMALL = Limits(body_bytes=10, waiting_bytes=15, body_s=0.1)


@pytest.mark.parametrize(
    ("messages", "headers", "status"),
    [
        ([(b"12345", False)], {"content-length": "5"}, 200),
        ([(b"123", True), (b"45", False)], {"transfer-encoding": "chunked"}, 200),
        ([], {"content-length": "11"}, 413),
        ([(b"123456", True), (b"123456", True)], {"transfer-encoding": "chunked"}, 413),
        ([(b"1", True)], {"content-length": "5"}, 408),
        ([(b"x", False)], {"content-length": "9" * 5_000}, 413),
    ],
)
@pytest.mark.asyncio
async def test_a_body_has_limits_in_size_and_time(messages: Any, headers: dict[str, str], status: int) -> None:
    found, body = await asked(Guard(echo, SMALL), messages, headers)
    assert found == status
    assert body == b"12345" if status == 200 else b'"field":"body"' in body


@pytest.mark.parametrize("body", [b"[],[],[],[]", b'{"a":{},"b":1,"c":{}}', b"[[[[[[[[[["], ids=str)
@pytest.mark.asyncio
async def test_a_body_of_more_json_values_than_a_request_can_have_is_refused_before_it_is_parsed(body: bytes) -> None:
    async def parsed(*_: Any) -> None:
        pytest.fail("it was parsed")

    limits = Limits(values=4)
    found, answer = await asked(Guard(parsed, limits), [(body, False)], {"content-length": str(len(body))})
    assert (found, b'"field":"body"' in answer) == (400, True)
    text = b'"no values in it, [but marks]"'
    assert (await asked(Guard(echo, limits), [(text, False)], {"content-length": str(len(text))}))[1] == text


@pytest.mark.asyncio
async def test_all_bodies_together_have_a_limit_and_free_it_again() -> None:
    guard = Guard(echo, SMALL)
    waiting = asyncio.create_task(asked(guard, [(b"1234567890", True)], {"content-length": "10"}))
    await asyncio.sleep(0.01)
    assert (await asked(guard, [(b"123456", False)], {"content-length": "6"}))[0] == 429
    assert (await asked(guard, [(b"123456", True)], {"transfer-encoding": "chunked"}))[0] == 429
    assert (await waiting)[0] == 408
    assert (await asked(guard, [(b"123456", False)], {"content-length": "6"}))[0] == 200


@pytest.mark.asyncio
async def test_tokens_are_asked_for_everywhere_but_on_health_and_change_with_their_file(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"{OLD}\n")
    guard = Guard(echo, SMALL, Tokens(file))

    async def status(token: str, path: str = V1) -> int:
        return (await asked(guard, [(b"1", False)], {"authorization": f"Bearer {token}", "content-length": "1"}, path))[
            0
        ]

    assert [await status(OLD), await status(NEW), await status("")] == [200, 401, 401]
    assert await status("", "/v2/health/ready") == 200
    assert (await asked(guard, [], {}, "/metrics"))[0] == 401
    file.write_text(f"{NEW}\n{OLD}\n")
    assert [await status(OLD), await status(NEW)] == [200, 200]
    file.write_text("short\n")
    assert await status(NEW) == 200, "a broken file keeps what was known"


@pytest.mark.parametrize("content", ["", "short\n", None])
def test_a_file_without_tokens_is_refused(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "tokens").write_text(content)
    with pytest.raises(UsageError):
        Tokens(tmp_path / "tokens")


# ---- the real server -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int, int, Path]]:
    """A server behind TLS and a token: its folder, ports and log."""
    folder = tmp_path_factory.mktemp("secure")
    authority = Authority()
    (folder / "ca.pem").write_bytes(authority.pem)
    certificate, key = authority.write_server(folder)
    (folder / "tokens").write_text(f"{OLD}\n")
    model = tiny_artifact(folder / "model")
    http, rpc = free_port(), free_port()
    command: list[str | Path] = [sys.executable, "-m", "fraudline.serve", "--model_dir", model, "--host", "127.0.0.1"]
    command += ["--http_port", str(http), "--grpc_port", str(rpc), "--token_file", folder / "tokens"]
    command += ["--tls_certificate", certificate, "--tls_key", key]
    child = ChildProcess("secure predictor", command, log_path=folder / "log")
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))

    def ready() -> bool:
        try:
            return httpx.get(f"https://127.0.0.1:{http}/v2/health/ready", verify=context).status_code == 200
        except httpx.HTTPError:
            return False

    child.start()
    try:
        child.wait_ready(ready)
        yield folder, http, rpc, folder / "log"
    finally:
        child.stop()


@pytest.mark.integration
def test_behind_tls_and_a_token_only_who_has_both_is_answered(
    secure: tuple[Path, int, int, Path], tmp_path: Path
) -> None:
    folder, http, rpc, log = secure
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    url = f"https://127.0.0.1:{http}"
    with httpx.Client(base_url=url, verify=context) as client:
        assert client.get("/v2/models/fraud").status_code == 401
        assert client.get("/metrics", headers={"authorization": f"Bearer {NEW}"}).status_code == 401
        assert client.get("/v2/models/fraud", headers={"authorization": f"Bearer {OLD}"}).status_code == 200
    with pytest.raises(httpx.ConnectError, match="self-signed|unable to get|verify failed"):
        httpx.get(f"{url}/v2/health/ready")
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{http}/v2/health/ready")
    trusted = grpc.ssl_channel_credentials((folder / "ca.pem").read_bytes())
    with grpc.secure_channel(f"localhost:{rpc}", trusted) as channel:
        metadata = channel.unary_unary("/inference.GRPCInferenceService/ModelMetadata")
        request = b"\x0a\x05fraud"
        with pytest.raises(grpc.RpcError) as caught:
            metadata(request, timeout=20)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert metadata(request, timeout=20, metadata=[("authorization", f"Bearer {OLD}")])
    assert OLD not in log.read_text()
    assert NEW not in log.read_text()


def mounted(folder: Path, authority: Authority, name: str) -> int:
    """Swap a certificate in as Kubernetes does in a mount, by a link of the whole folder; its serial number."""
    authority.write_server(folder / name)
    (folder / "new").symlink_to(name)
    (folder / "new").rename(folder / "..data")
    return serial_of(ssl.PEM_cert_to_DER_cert((folder / "tls.crt").read_text()))


@pytest.mark.integration
@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01"], ids=["nothing", "half a record"])
def test_a_client_that_does_not_end_its_handshake_is_cut(secure: tuple[Path, int, int, Path], begun: bytes) -> None:
    connections = [socket.create_connection(("127.0.0.1", port), timeout=120) for port in secure[1:3]]
    for connection in connections:
        with connection:
            connection.sendall(begun)
            assert connection.recv(1) == b""


def serial_of(certificate: bytes) -> int:
    return x509.load_der_x509_certificate(certificate).serial_number


@pytest.mark.integration
def test_a_certificate_renewed_twice_in_a_mount_is_what_rest_and_grpc_show_each_time(tmp_path: Path) -> None:
    authority, folder = Authority(), tmp_path / "mount"
    folder.mkdir()
    for name in ("tls.crt", "tls.key"):
        (folder / name).symlink_to(f"..data/{name}")
    first = mounted(folder, authority, "..0")
    ports = http, rpc = free_port(), free_port()
    options = ["--model_dir", str(tiny_artifact(tmp_path / "model")), "--host", "127.0.0.1"]
    options += ["--http_port", str(http), "--grpc_port", str(rpc)]
    options += ["--tls_certificate", str(folder / "tls.crt"), "--tls_key", str(folder / "tls.key")]
    code = f"from fraudline.serve import main, server; server.RENEW_SECONDS = 0.05; main.main({options!r})"
    child = ChildProcess("renewed predictor", [sys.executable, "-c", code], log_path=tmp_path / "log")

    def shown() -> set[int]:
        try:
            return {
                serial_of(ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port)))) for port in ports
            }
        except OSError:
            return set()

    child.start()
    try:
        child.wait_ready(lambda: shown() == {first})
        for name in ("..1", "..2"):
            renewed = mounted(folder, authority, name)
            until(lambda renewed=renewed: shown() == {renewed})
        (folder / "..2" / "tls.key").write_text("half of a pair")
        (folder / "..2" / "tls.crt").touch()
        until(lambda: "serve.certificate_kept" in (tmp_path / "log").read_text())
        kept = ssl.get_server_certificate(("127.0.0.1", http))
        assert serial_of(ssl.PEM_cert_to_DER_cert(kept)) == renewed, "half of a pair is not taken"
    finally:
        child.stop()


def scoring_at(folder: Path, http: int, **more: Any) -> EndpointScoring:
    files = {"endpoint_ca": str(folder / "ca.pem"), "endpoint_token_file": str(folder / "worker.token")}
    return EndpointScoring(StreamParams(endpoint=f"https://127.0.0.1:{http}", endpoint_attempts=1, **(files | more)))


@pytest.mark.integration
def test_a_worker_with_token_and_authority_scores_there_and_takes_up_a_changed_token(
    secure: tuple[Path, int, int, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    folder, http, _, log = secure
    rows = np.zeros((3, len(load_artifact(folder / "model").spec.names)), np.float32)
    token = folder / "worker.token"
    token.write_text(f"{NEW}\n")
    with closing(scoring_at(folder, http)) as scoring:
        with pytest.raises(UnavailableError, match="does not take the token"):
            scoring.score(rows)
        token.write_text(f"{OLD}\n{NEW}\n")
        assert len(scoring.score(rows).score) == 3
        token.unlink()
        assert len(scoring.score(rows).score) == 3, "a missing file keeps what was known"
    bare, asked = scoring_at(folder, http, endpoint_token_file=""), r"stream\.endpoint_token_file"
    with closing(bare), pytest.raises(UsageError, match=asked):
        bare.score(rows)
    token.write_text(OLD)
    credulous = scoring_at(folder, http, endpoint_ca="")
    with closing(credulous), pytest.raises(UnavailableError, match="certificate|CERTIFICATE"):
        credulous.score(rows)
    said = "".join(capfd.readouterr()) + log.read_text()
    assert OLD not in said
    assert NEW not in said


def test_a_token_goes_over_no_plain_connection_and_files_that_are_missing_are_named(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(OLD)
    (tmp_path / "empty").write_text("")
    for more, named in (
        ({"endpoint": "http://fraud", "endpoint_token_file": str(tmp_path / "token")}, "plain connection"),
        ({"endpoint": "https://fraud", "endpoint_token_file": str(tmp_path / "empty")}, "holds no token"),
        ({"endpoint": "https://fraud", "endpoint_token_file": str(tmp_path / "none")}, "cannot be read"),
        ({"endpoint": "https://fraud", "endpoint_ca": str(tmp_path / "none")}, "cannot be read"),
        ({"endpoint": "https://fraud", "endpoint_ca": str(tmp_path / "token")}, "cannot be read"),
    ):
        with pytest.raises(UsageError, match=named) as caught:
            EndpointScoring(StreamParams(**more))
        assert OLD not in str(caught.value)


HALF = (
    ["--tls_key", "x"],
    ["--tls_certificate", "/none", "--tls_key", "/none"],
    ["--tls_certificate", __file__, "--tls_key", __file__],
    ["--token_file", "/none"],
)


@pytest.mark.parametrize("flags", HALF, ids=str)
def test_the_server_does_not_start_half_secured(flags: list[str], tmp_path: Path) -> None:
    from fraudline.serve.main import main

    assert main(["--model_dir", str(tiny_artifact(tmp_path / "model")), *flags]) == UsageError.exit_code


def latencies(served: Served, seconds: float) -> np.ndarray:
    """Milliseconds of one request after the other."""
    found, end = [], time.monotonic() + seconds
    body = {"instances": served.objects[:1]}
    while time.monotonic() < end:
        begun = time.perf_counter()
        assert served.client.post(V1, json=body).status_code == 200
        found.append((time.perf_counter() - begun) * 1_000)
    return np.array(found)


@pytest.mark.integration
@pytest.mark.parametrize("offered", ["h2c", "websocket"])
@pytest.mark.parametrize("pieces", [1, 7], ids=["whole", "in pieces"])
def test_a_request_that_offers_another_protocol_is_answered_as_what_it_is(
    served: Served, offered: str, pieces: int
) -> None:
    body = json.dumps({"instances": served.objects[:2]}).encode()
    head = f"POST {V1} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {offered}\r\n"
    sized_body = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    chunked = f"{head}Transfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    last = b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    sent, answered = sized_body + chunked + last, b""
    with socket.create_connection(("127.0.0.1", served.predictor.http_port), timeout=20) as connection:
        for i in range(pieces):
            connection.sendall(sent[i * len(sent) // pieces : (i + 1) * len(sent) // pieces])
            time.sleep(0.02)
        while part := connection.recv(1 << 16):
            answered += part
    assert answered.count(b" 200 OK") == 3
    assert answered.count(b'"score"') == 4


@pytest.mark.integration
def test_a_body_full_of_small_values_does_not_fill_the_memory(served: Served) -> None:
    def peak() -> int:
        lines = Path(f"/proc/{served.predictor.child.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1_024

    before = peak()
    lists, objects = (V1, b'{"instances":[', b"[]", b"[]]}"), (V2, b'{"inputs":[', b"{}", b"{}]}")
    for path, head, unit, tail in (lists, objects, (*objects[:3], b"")):
        body = head + (unit + b",") * ((LIMITS.body_bytes - 100) // 3) + tail
        assert served.client.post(path, content=body).status_code == 400
    assert peak() - before < 200, "MiB; as objects such a body takes a gigabyte"


@pytest.mark.integration
def test_slow_and_greedy_clients_are_cut_and_the_others_keep_their_latency(served: Served, figure: Figure) -> None:
    """Clients that dribble the head or the body of a request and clients that never send one, all at once, beside a
    client that asks as before. Its p99 with them and without, in one run and in turns."""
    count, seconds = sized(20, 60, 100), sized(2.0, 5.0, 10.0)
    calm, busy = [latencies(served, seconds)], []
    stop, cut = threading.Event(), [0]
    threads = [threading.Thread(target=slow, args=(served, i, stop, cut), daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    busy.append(latencies(served, seconds))
    for thread in threads:
        thread.join(120)
    stop.set()
    calm.append(latencies(served, seconds))
    assert cut[0] == count, f"{cut[0]} of {count} were cut"
    p99 = [float(np.percentile(np.concatenate(some), 99)) for some in (calm, busy)]
    p50 = [float(np.median(np.concatenate(some))) for some in (calm, busy)]
    figure(
        f"{count} slow clients, all cut within {LIMITS.body_s:g} s; another's p50 {p50[1]:.1f} ms beside them and "
        f"{p50[0]:.1f} ms without, p99 {p99[1]:.1f} and {p99[0]:.1f} ms ({p99[1] / p99[0]:.2f} times)",
        ratio=p99[1] / p99[0],
    )


POST = b"POST /v1/models/fraud:predict HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.integration
@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (POST + b"Content-Length: 2\r\n", b"\r\n{}"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"\r\n"),
        (POST + b"X: ", b"\r\nContent-Length: 2\r\n\r\n{}"),
    ],
    ids=["headers", "trailers", "one header"],
)
def test_a_head_without_end_is_cut_before_it_is_whole(served: Served, begin: bytes, end: bytes) -> None:
    filler = b"a" * (1 << 20) if begin.endswith(b"X: ") else b"X-A: b\r\n" * (1 << 17)
    assert answered(served, begin + filler[:8_000] + end).startswith(b"HTTP/1.1 400 "), "a long one is taken"
    assert answered(served, begin + filler + end) == b""


@pytest.mark.integration
def test_a_large_body_in_one_send_with_its_head_and_in_many_chunks_is_taken(served: Served) -> None:
    body = json.dumps({"instances": served.objects * (600_000 // len(json.dumps(served.objects)))}).encode()
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:300_000], body[300_000:]))
    assert answered(served, POST + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)).startswith(b"HTTP/1.1 200 ")
    whole = POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunked + b"0\r\n\r\n"
    assert answered(served, whole).startswith(b"HTTP/1.1 200 ")


def answered(served: Served, request: bytes) -> bytes:
    """The beginning of the answer to the bytes of a request; nothing where the connection is cut."""
    with socket.create_connection(("127.0.0.1", served.predictor.http_port), timeout=20) as connection:
        try:
            connection.sendall(request)
            return connection.recv(64)
        except ConnectionError:
            return b""


def slow(served: Served, kind: int, stop: threading.Event, cut: list[int]) -> None:
    """One client: counts itself when the server closes the connection."""
    head = b"POST /v1/models/fraud:predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", served.predictor.http_port), timeout=20) as connection:
        try:
            connection.sendall((head, head + b"Content-Length: 5000\r\n\r\n{", b"")[kind % 3])
            while not stop.wait(0.25):
                connection.setblocking(False)
                try:
                    if connection.recv(4_096) == b"":
                        break
                except BlockingIOError:
                    pass
                connection.settimeout(20)
                if kind % 3 < 2:
                    connection.sendall((b"X-A: b\r\n", b" ")[kind % 3])
            else:
                return
        except OSError:
            pass
        cut[0] += 1
