"""Quix Streams with exactly-once: JSON in, one ONNX call a record, a decision out. No state of cards: it does less.

With ``"asks_model": false`` every score is 0: what is left is the framework's own. In the environment of the peers:
``.venv-bench/bin/python -m benchmarks.streaming.quix '{...}'``.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from quixstreams import Application

from benchmarks.streaming.watch import Watch


def scorer(config: dict[str, Any], watch: Watch) -> Any:
    """A function from a transaction to its decision."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(config["onnx"], options, providers=["CPUExecutionProvider"])
    row = np.zeros((1, session.get_inputs()[0].shape[-1]), np.float32)

    def score(transaction: dict[str, Any]) -> dict[str, Any]:
        watch.start()
        row[0, 0] = transaction["amount_minor"] / 100
        row[0, 1] = transaction["category"]
        row[0, 2] = transaction["latitude"] or 0.0
        row[0, 3] = transaction["longitude"] or 0.0
        value = float(session.run(["score"], {"features": row})[0][0]) if config["asks_model"] else 0.0
        decision = "allow" if value < config["review"] else "review" if value < config["block"] else "block"
        return {
            "transaction_id": transaction["transaction_id"],
            "card_id": transaction["card_id"],
            "event_time": transaction["event_time"],
            "score": value,
            "decision": decision,
            "threshold": config["review"],
            "reasons": [],
            "model_version": "0123456789ab",
            "threshold_version": "0123456789ab",
            "profile_version": "none",
            "spec_version": "0123456789ab",
            "decided_at": int(time.time() * 1e6),
            "features": row[0].tolist(),
        }

    return score


def main(config: dict[str, Any]) -> None:
    """Run until all records are committed and print one JSON line."""
    watch = Watch()
    app = Application(
        broker_address=config["bootstrap"],
        consumer_group=f"quix-{config['sink']}",
        processing_guarantee="exactly-once",
        auto_offset_reset="earliest",
        commit_every=config["batch"],
        loglevel="ERROR",
        state_dir=config["state_dir"],
    )
    source = app.topic(config["source"], value_deserializer="json", key_deserializer="bytes")
    sink = app.topic(config["sink"], value_serializer="json", key_serializer="bytes")
    frame = app.dataframe(source)
    frame = frame.apply(scorer(config, watch)).to_topic(sink)
    app.run(count=config["count"], timeout=60.0)
    watch.finish(config["count"])


if __name__ == "__main__":
    main({**json.loads(sys.argv[1]), "state_dir": Path(sys.argv[2])})
