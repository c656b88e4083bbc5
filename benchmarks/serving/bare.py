"""The same model behind bare FastAPI, as one writes it in an afternoon: nothing is checked.

python -m benchmarks.serving.bare --http_port 8080 --model_dir build/model --engine onnx
"""

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import uvicorn
from fastapi import FastAPI, Request, Response
from numpy.typing import NDArray

from fraudline.decide.policy import DECISIONS, decide, threshold_of
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.model.reasons import top_reasons
from fraudline.model.scorer import Scorer, Scores
from fraudline.model.wording import Wording

LENGTH = "inference-header-content-length"


def engine(name: str, artifact: Artifact) -> Callable[[NDArray[np.float32]], Scores]:
    """The artifact's scores by ONNX Runtime, or by TensorFlow from its SavedModel."""
    if name == "onnx":
        return Scorer(artifact).score
    import tensorflow as tf

    for set_threads in (tf.config.threading.set_intra_op_parallelism_threads,
                        tf.config.threading.set_inter_op_parallelism_threads):  # fmt: skip
        set_threads(1)
    loaded = tf.saved_model.load(str(artifact.path / "savedmodel" / "1"))
    serve = loaded.signatures["serving_default"]

    def score(features: NDArray[np.float32]) -> Scores:
        found = serve(features=tf.constant(features))
        return Scores(*(found[key].numpy() for key in ("score", "contributions", "expected")))

    score.keep = loaded  # type: ignore[attr-defined]  # the signature alone does not hold the variables
    return score


def application(artifact: Artifact, score: Callable[[NDArray[np.float32]], Scores]) -> FastAPI:
    """V1, and V2 in JSON and binary."""
    app = FastAPI()
    names, thresholds, wording = tuple(artifact.spec.names), artifact.thresholds, Wording.of(artifact.spec)

    @app.get("/v2/models/fraud/ready")
    async def ready() -> dict[str, bool]:
        return {"ready": True}

    @app.post("/v1/models/fraud:predict")
    async def predict(body: dict[str, Any]) -> dict[str, Any]:
        rows = np.array([[row[name] for name in names] for row in body["instances"]], np.float32)
        found = score(rows)
        reasons = top_reasons(names, found.contributions, rows, found.expected, 3, wording=wording)
        return {
            "predictions": [
                {
                    "score": value,
                    "decision": DECISIONS[decision],
                    "threshold": threshold_of(decision, thresholds),
                    "reasons": [reason._asdict() for reason in why],
                    "model_version": artifact.version,
                }
                for value, decision, why in zip(
                    found.score.tolist(), decide(found.score, thresholds).tolist(), reasons, strict=True
                )
            ]
        }

    @app.post("/v2/models/fraud/infer")
    async def infer(request: Request) -> Response:
        body = await request.body()
        length = int(request.headers.get(LENGTH, len(body)))
        asked = orjson.loads(body[:length])
        tensor = asked["inputs"][0]
        values = np.frombuffer(body, np.float32, offset=length) if length < len(body) else tensor["data"]
        found = score(np.array(values, np.float32).reshape(tensor["shape"]))
        decisions = [DECISIONS[i] for i in decide(found.score, thresholds).tolist()]
        arrays = {"score": found.score, "contributions": found.contributions, "expected": found.expected}
        described: list[dict[str, Any]] = [
            {"name": name, "datatype": "FP32", "shape": array.shape} for name, array in arrays.items()
        ]
        described.append({"name": "decision", "datatype": "BYTES", "shape": [len(decisions)]})
        answer = {"id": "1", "model_name": "fraud", "outputs": described}
        if length == len(body):
            for output, array in zip(described, arrays.values(), strict=False):
                output["data"] = array.ravel()
            described[-1]["data"] = decisions
            return Response(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")
        raw = [array.tobytes() for array in arrays.values()]
        raw.append(b"".join(len(text).to_bytes(4, "little") + text.encode() for text in decisions))
        for output, content in zip(described, raw, strict=True):
            output["parameters"] = {"binary_data_size": len(content)}
        head = orjson.dumps(answer)
        return Response(b"".join([head, *raw]), headers={LENGTH: str(len(head))})

    return app


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--http_port", type=int, required=True)
    parser.add_argument("--model_dir", type=Path, required=True)
    parser.add_argument("--engine", choices=("onnx", "savedmodel"), default="onnx")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    artifact = load_artifact(arguments.model_dir)
    app = application(artifact, engine(arguments.engine, artifact))
    uvicorn.run(app, host="127.0.0.1", port=arguments.http_port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
