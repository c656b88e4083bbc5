"""Whatever arrives at the endpoint, the server answers for it: 4xx with the field, never 5xx, nothing of its inside."""

import contextlib
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import orjson
import pytest

from tests.support.bad_requests import (
    BAD_GRPC,
    BAD_V1,
    BAD_V2,
    EVENT,
    GRPC_METHOD,
    JSON,
    V1,
    V2,
    binary_v2,
    check_refusal,
    grpc_request,
    leaks,
    send,
    structured,
    v2,
)
from tests.support.figures import Figure, sized
from tests.support.served import Served

pytestmark = pytest.mark.integration

_GRPC_FAULTS = {
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}


@pytest.fixture(scope="module")
def call(served: Served) -> Iterator[Callable[[bytes], grpc.RpcError | None]]:
    """Sends the bytes of a gRPC message; the error, if there is one."""
    with grpc.insecure_channel(served.predictor.grpc_address) as channel:
        infer = channel.unary_unary(GRPC_METHOD)

        def ask(content: bytes) -> grpc.RpcError | None:
            try:
                infer(content, timeout=20)
            except grpc.RpcError as error:
                return error
            return None

        yield ask


def test_every_hand_made_bad_request_is_refused_with_its_field(served: Served, call: Any, figure: Figure) -> None:
    """Hand-made bad requests to the real KServe server: V1, V2 in JSON and binary tensors, both forms of CloudEvents,
    gRPC. Each must be a 400 (INVALID_ARGUMENT) that names the field and shows nothing of the server's inside."""
    wrong: list[str] = []
    for path, table in ((V1, BAD_V1), (V2, BAD_V2)):
        for what, (make, field) in table.items():
            try:
                check_refusal(served, send(served, path, make(served)), field)
            except AssertionError as error:
                wrong.append(f"{path} {what}: {error}")
    refusals = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
    for what, (make, named) in BAD_GRPC.items():
        found = call(make(served))
        if found is None or found.code() not in refusals or named not in found.details() or leaks(found.details()):
            wrong.append(f"gRPC {what}: {found and (found.code(), found.details())}")
    assert not wrong, "\n".join(wrong)
    count = len(BAD_V1) + len(BAD_V2) + len(BAD_GRPC)
    assert count >= 200
    figure(f"{count} hand-made bad requests: {count} refused with the field, 0 answers of 5xx", count=count)


@pytest.mark.parametrize(
    "sent",
    [
        {"inputs": [{"name": ".PY"}]},
        b'{"inputs": [{"name": "\\u002epY"}]}',
        "/v2/models/%2Epy/infer",
    ],
)
def test_a_sign_of_the_inside_counts_unless_the_client_sent_it(sent: object) -> None:
    """schemathesis once named a tensor ``.PY``: to be told one's own word is no leak, any other sign still is."""
    answer = "expected one tensor named features, got ['.PY']; File /root/app.py"
    assert leaks(answer) == [".py", "/root"]
    assert leaks(answer, sent) == ["/root"]


def test_mutated_requests_never_give_a_5xx(served: Served, call: Any, figure: Figure) -> None:
    """Good requests of every protocol with random damage: flipped, cut and inserted bytes, JSON nodes replaced by
    hostile values, headers changed or dropped."""
    rng = random.Random(20_250_101)
    rounds = sized(600, 3_000, 14_000)
    seen: Counter[str] = Counter()
    for _ in range(rounds):
        path, body, headers = mutated(served, rng)
        if path == GRPC_METHOD:
            error = call(body)
            assert error is None or error.code() not in _GRPC_FAULTS, (body, error)
            assert error is None or not leaks(error.details(), body), error
            seen["gRPC taken" if error is None else "gRPC refused"] += 1
            continue
        answer = served.client.post(path, content=body, headers=headers)
        assert answer.status_code < 500, (path, body[:400], headers, answer.text)
        if answer.status_code >= 400:
            content = answer.json()
            assert content["error"], (body, answer.text)
            assert content["field"], (body, answer.text)
            assert not leaks(answer.text, path, body, headers), (body, answer.text)
        seen[str(answer.status_code)] += 1
    assert all(seen[kind] for kind in ("200", "400", "gRPC taken", "gRPC refused")), seen
    figure(f"{rounds} mutated requests, 0 answers of 5xx: {dict(sorted(seen.items()))}", rounds=rounds, **seen)


def test_schemathesis_finds_no_5xx_in_the_served_openapi(served: Served, figure: Figure) -> None:
    """schemathesis on the served OpenAPI, every operation, values that fit its schema and values that do not."""
    import schemathesis
    from hypothesis import HealthCheck, given, settings
    from hypothesis.errors import Unsatisfiable
    from schemathesis import GenerationMode

    schema = schemathesis.openapi.from_url(f"{served.predictor.url}/openapi.json")
    seen: Counter[int] = Counter()
    operations = [result.ok() for result in schema.get_all_operations()]
    operations = sized([operation for operation in operations if operation.method == "post"], operations, operations)
    quick = settings(
        max_examples=sized(3, 25, 90), deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    sent: Counter[str] = Counter()
    for operation in operations:
        for mode in GenerationMode:

            @quick
            @given(case=operation.as_strategy(generation_mode=mode))
            def check(case: Any) -> None:
                if "model_name" in case.path_parameters and seen.total() % 4:
                    case.path_parameters["model_name"] = "fraud"
                answer = case.call(timeout=20)
                seen[answer.status_code] += 1
                sent[operation.label] += 1  # noqa: B023 - called before the next operation
                assert answer.status_code < 500, (case.as_curl_command(), answer.text)
                told = (case.body, case.path_parameters, case.query, case.headers, case.cookies)
                assert answer.status_code < 400 or not leaks(answer.text, *told), answer.text

            with contextlib.suppress(Unsatisfiable):  # an operation without parameters has nothing to get wrong
                check()
    assert operations
    assert {operation.label for operation in operations if not sent[operation.label]} == set()
    figure(
        f"{seen.total()} requests of schemathesis over {len(operations)} operations, 0 answers of 5xx: "
        f"{dict(sorted(seen.items()))}",
        requests=seen.total(),
    )


def test_the_server_is_well_after_all_of_this(served: Served) -> None:
    assert served.client.post(V1, json={"instances": served.objects}).status_code == 200


_HOSTILE: list[Any] = [
    None, True, -1, 0, 2**63, 2**64, 1e308, -0.0, "", "x" * 5_000, "\u0000", "é", "{{7*7}}", "../../etc/hosts", [], {},
    [[]], [[[]]], {"a": {"b": {}}}, "NaN", [None], [-1, 3], "4e1", {"$ref": "#"}, ["FP32"], 10**30,
]  # fmt: skip
_TYPES = [
    "application/json",
    "text/plain",
    "application/octet-stream",
    "application/cloudevents+json",
    "",
    "x",
    "a/b; c=d",
]


def mutated(served: Served, rng: random.Random) -> tuple[str, bytes, dict[str, str]]:
    """A request with one to three damages."""
    row = served.objects[rng.randrange(len(served.objects))]
    kind = rng.randrange(7)
    headers: dict[str, str] = dict(JSON)
    if kind == 6:
        return GRPC_METHOD, damaged(grpc_request(served), rng), {}
    if kind == 0:
        path, value = V1, {"instances": [row | {"transaction_id": "t"}]}
    elif kind == 1:
        path, value = V1, {"instances": served.features[:2].tolist()}
    elif kind == 2:
        path, value = V2, v2(served, shape=[1, len(row)], data=list(row.values())) | {"id": "i", "parameters": {}}
    elif kind == 3:
        body, headers = binary_v2(served)
        if rng.random() < 0.3:
            headers = changed(headers, rng)
        return V2, damaged(body, rng), headers
    elif kind == 4:
        path, value, headers = V1, row, EVENT | JSON
    else:
        body, headers = structured(data=row)
        path, value = V1, orjson.loads(body)
    for _ in range(rng.randrange(1, 3)):
        value = replaced(value, rng)
    body = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=str)
    if rng.random() < 0.4:
        body = damaged(body, rng)
    if rng.random() < 0.3:
        headers = changed(headers, rng)
    return path, body, headers


def replaced(value: Any, rng: random.Random) -> Any:
    """The value with one of its nodes replaced, removed or doubled."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.15:
        chosen = rng.choice(_HOSTILE)
        return 2**53 if chosen in (10**30, 2**64) and not isinstance(chosen, bool) else chosen
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    key: Any = rng.choice(list(copy)) if isinstance(copy, dict) else rng.randrange(len(copy))
    act = rng.random()
    if act < 0.15:
        del copy[key]
    elif act < 0.25 and isinstance(copy, dict):
        copy[f"{key}{rng.choice(['', ' ', '2', chr(0), 'é'])}"] = copy.pop(key)
    elif act < 0.3 and isinstance(copy, list):
        copy.append(copy[key])
    else:
        copy[key] = replaced(copy[key], rng)
    return copy


def damaged(body: bytes, rng: random.Random) -> bytes:
    """The bytes flipped, cut, doubled or with noise inside."""
    content, at = bytearray(body), rng.randrange(len(body) or 1)
    act = rng.randrange(5)
    if act == 0 and content:
        content[at] ^= 1 << rng.randrange(8)
    elif act == 1:
        del content[at:]
    elif act == 2:
        content[at:at] = rng.randbytes(rng.randrange(1, 9))
    elif act == 3:
        del content[at : at + rng.randrange(1, 20)]
    else:
        content[at:at] = content[: rng.randrange(1, 60)]
    return bytes(content)


def changed(headers: dict[str, str], rng: random.Random) -> dict[str, str]:
    """The headers with one changed, removed or added."""
    name = rng.choice([*headers, "inference-header-content-length", "content-encoding", "ce-id", "accept"])
    rest = {key: value for key, value in headers.items() if key != name}
    values = {"content-type": _TYPES, "inference-header-content-length": ["0", "7", "-1", "x", "99999", ""]}
    return rest if rng.random() < 0.4 else rest | {name: rng.choice(values.get(name, ["", "x", "gzip", "1.0", "%00"]))}
