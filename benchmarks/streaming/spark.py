"""Spark Structured Streaming: JSON in, ONNX on Arrow batches, a decision out. No state of cards: it does less.

Its Kafka sink is at-least-once: it has no transactions. Runs in the environment of the peers, with the jars of
spark-sql-kafka: ``.venv-bench/bin/python -m benchmarks.streaming.spark '{...}' CHECKPOINT_FOLDER``.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as f

SCHEMA = (
    "transaction_id string, event_time long, card_id string, merchant_id string, category int, amount_minor long, "
    "currency string, channel string, card_present boolean, country string, latitude float, longitude float, "
    "device_id string"
)
DECISION = "transaction_id string, card_id string, event_time long, score float, decision string, features array<float>"


def scorer(config: dict[str, Any]) -> Any:
    """A function from Arrow batches of transactions to those of decisions."""

    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import numpy as np
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = ort.InferenceSession(config["onnx"], options, providers=["CPUExecutionProvider"])
        width = session.get_inputs()[0].shape[-1]
        for batch in batches:
            rows = np.zeros((batch.num_rows, width), np.float32)
            rows[:, 0] = batch["amount_minor"].to_numpy() / 100
            rows[:, 1] = batch["category"].to_numpy()
            rows[:, 2] = np.nan_to_num(batch["latitude"].to_numpy(zero_copy_only=False))
            rows[:, 3] = np.nan_to_num(batch["longitude"].to_numpy(zero_copy_only=False))
            values = session.run(["score"], {"features": rows})[0]
            reached = (values >= config["review"]).astype(np.int8) + (values >= config["block"])
            decision = np.array(["allow", "review", "block"])[reached]
            features = pa.ListArray.from_arrays(np.arange(0, rows.size + 1, width, dtype=np.int32), rows.ravel())
            columns = [batch["transaction_id"], batch["card_id"], batch["event_time"], pa.array(values)]
            names = ["transaction_id", "card_id", "event_time", "score", "decision", "features"]
            yield pa.RecordBatch.from_arrays([*columns, pa.array(decision), features], names)

    return score


def main(config: dict[str, Any], folder: Path) -> None:
    """Run until all is written; print ``ready`` after the first batch, and then one JSON line of the others."""
    jars = ",".join(str(jar) for jar in sorted(Path(config["jars"]).glob("*.jar")))
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.jars", jars)
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "1")
        .config("spark.driver.memory", "2g")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    source = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", config["bootstrap"])
        .option("subscribe", config["source"])
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", config["per_trigger"])
        .load()
    )
    parsed = source.select(f.from_json(f.col("value").cast("string"), SCHEMA).alias("t")).select("t.*")
    decided = parsed.mapInArrow(scorer(config), DECISION)
    out = decided.select(f.col("card_id").alias("key"), f.to_json(f.struct("*")).alias("value"))
    query = (
        out.writeStream.format("kafka")
        .option("kafka.bootstrap.servers", config["bootstrap"])
        .option("topic", config["sink"])
        .option("checkpointLocation", str(folder / "checkpoint"))
        .trigger(availableNow=True)
        .start()
    )
    while not query.recentProgress:  # the first batch starts Python and compiles: it does not count
        time.sleep(0.01)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    started = time.monotonic()
    query.awaitTermination()
    wall = time.monotonic() - started
    rows = sum(progress["numInputRows"] for progress in query.recentProgress[1:])
    sys.stdout.write(json.dumps({"records": rows, "wall_s": wall}) + "\n")
    sys.stdout.flush()
    sys.stdin.readline()  # the parent reads the CPU seconds of this tree before it ends
    spark.stop()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), Path(sys.argv[2]))
