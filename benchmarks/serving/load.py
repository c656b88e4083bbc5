"""Load on an endpoint: wrk over REST, ghz over gRPC, eight connections each."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from fraudline.core.errors import UnavailableError
from fraudline.core.files import atomic_folder
from fraudline.model.artifact import Artifact

CONNECTIONS = 8
GHZ = "0.93.0"
V1, V2 = "/v1/models/fraud:predict", "/v2/models/fraud/infer"
LENGTH = "inference-header-content-length"
_SCRIPT = Path(__file__).with_name("post.lua")


@dataclass(frozen=True)
class Case:
    """One kind of request.

    Attributes:
        name: protocol.
        rows: of one request.
        path: of the endpoint; empty over gRPC.
        body: of every request.
        headers: beside the length.
    """

    name: str
    rows: int
    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Name and rows."""
        return f"{self.name}, {self.rows}"


@dataclass(frozen=True)
class Run:
    """What one run of load measured: times in ms, CPU of the server in µs a request."""

    rate: float
    p50: float
    p99: float
    cpu_us: float
    errors: int


def cases(artifact: Artifact, rows: tuple[int, ...] = (1, 100)) -> list[Case]:
    """V1 objects, V2 JSON, V2 binary and V2 over gRPC, of the artifact's golden rows."""
    golden = artifact.table("golden.parquet")
    names = list(artifact.spec.names)
    features = np.column_stack([golden[name].to_numpy() for name in names]).astype(np.float32)
    made = []
    for n in rows:
        part = np.resize(features, (n, len(names))).copy()
        objects = [dict(zip(names, row, strict=True)) for row in part.tolist()]
        json_type = {"content-type": "application/json"}
        made += [
            Case("V1", n, V1, orjson.dumps({"instances": objects}), json_type),
            Case("V2 JSON", n, V2, _v2(part, data=part.ravel().tolist()), json_type),
            _binary(part),
            Case("V2 gRPC", n, "", _protobuf(part)),
        ]
    return made


def _v2(part: NDArray[np.float32], **more: Any) -> bytes:
    tensor = {"name": "features", "shape": list(part.shape), "datatype": "FP32"} | more
    whole: dict[str, Any] = {"inputs": [tensor]}
    if "data" not in more:
        whole["parameters"] = {"binary_data_output": True}
    return orjson.dumps(whole)


def _binary(part: NDArray[np.float32]) -> Case:
    raw = part.tobytes()
    head = _v2(part, parameters={"binary_data_size": len(raw)})
    headers = {"content-type": "application/octet-stream", LENGTH: str(len(head))}
    return Case("V2 binary", len(part), V2, head + raw, headers)


def _protobuf(part: NDArray[np.float32]) -> bytes:
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

    tensor = {"name": "features", "shape": list(part.shape), "datatype": "FP32"}
    request = pb.ModelInferRequest(model_name="fraud", inputs=[tensor], raw_input_contents=[part.tobytes()])
    made: bytes = request.SerializeToString()
    return made


def wrk(url: str, case: Case, seconds: int, folder: Path) -> dict[str, float]:
    """Load by wrk.

    Raises:
        UnavailableError: it is not installed, or failed.
    """
    body = folder / f"{case.key}.body"
    body.write_bytes(case.body)
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(_SCRIPT), f"{url}{case.path}", "--"]
    for part in (str(body), *(text for pair in case.headers.items() for text in pair)):
        command.append(part)
    said = _output(command, "apt-get install wrk")
    found: dict[str, float] = json.loads(said.splitlines()[-1])
    return found


def ghz(address: str, case: Case, seconds: int, folder: Path) -> dict[str, float]:
    """Load by ghz.

    Raises:
        UnavailableError: it is not installed, or failed.
    """
    body, protoset = folder / f"{case.key}.protobuf", folder / "v2.protoset"
    body.write_bytes(case.body)
    protoset.write_bytes(_descriptors())
    command = [str(ghz_program()), "--insecure", "--protoset", str(protoset), "--call"]
    command += ["inference.GRPCInferenceService.ModelInfer", "-B", str(body), "-c", str(CONNECTIONS)]
    command += [
        "--connections",
        str(CONNECTIONS),
        "-z",
        f"{seconds:g}s",
        "--duration-stop",
        "wait",
        "-O",
        "json",
        address,
    ]
    said = json.loads(_output(command, "check the address"))
    quantiles = {item["percentage"]: item["latency"] / 1e6 for item in said["latencyDistribution"]}
    right = said["statusCodeDistribution"].get("OK", 0)
    return {
        "requests": right,
        "seconds": said["total"] / 1e9,
        "p50": quantiles[50],
        "p99": quantiles[99],
        "errors": said["count"] - right,
    }


def ghz_program() -> Path:
    """Ghz of the fixed version; built by Go the first time.

    Raises:
        UnavailableError: there is no Go.
    """
    folder = _ghz_folder()
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(folder) as made:
            _output(
                ["go", "install", f"github.com/bojand/ghz/cmd/ghz@v{GHZ}"],
                "Install Go 1.26, or leave gRPC out.",
                GOBIN=str(made.absolute()),
                GOTOOLCHAIN="local",
            )
    return folder / "ghz"


def ghz_available() -> bool:
    """Whether gRPC can be measured without building anything."""
    return _ghz_folder().is_dir()


def _ghz_folder() -> Path:
    return Path(os.environ.get("FRAUDLINE_CACHE", ".cache")) / f"ghz-{GHZ}"


def _descriptors() -> bytes:
    from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

    file = FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(file)
    made: bytes = FileDescriptorSet(file=[file]).SerializeToString()
    return made


def _output(command: list[str], action: str, **environment: str) -> str:
    if shutil.which(command[0]) is None:
        raise UnavailableError(f"There is no {command[0]}.", action)
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=900, env={**os.environ, **environment}
    )
    if done.returncode != 0:
        raise UnavailableError(f"{command[0]} failed: {done.stderr.strip()[-500:]}", action)
    return done.stdout
