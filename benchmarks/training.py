"""CPU-seconds to the same loss: fraudline's training beside Keras ``fit`` and PyOD's AutoEncoder.

    python -m benchmarks.training --json build/bench/training.json

The rows are features of the project's own generator, standardised. Every contestant fits the same network (ELU, linear
output) from the same weights with the same batch, learning rate and number of epochs, each in a process of its own. It
counts the CPU time of all its threads over the whole training call: tracing and compiling are in, imports and the
reading of the rows are not. The loss is the mean squared error on rows held out from all. Fraudline is charged up to
the end of the first epoch whose loss is not above the peer's final one. PyOD runs on one thread, because with its
default number it needs several times the CPU time; its batch norm, dropout and weight decay are off, so that all fit
the same function, and the scores that its ``fit`` makes afterwards are not counted.
"""

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import OWN_KERNELS, run_command
from fraudline.core.errors import UnavailableError
from fraudline.core.files import read_json, write_json

ROOT = Path(__file__).parents[1]
BENCH_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
HIDDEN, BOTTLENECK, RATE, BATCH = (64, 32), 3, 2e-3, 512
HELD_OUT = 10_000
MARGIN = 2.0  # fraudline may go on for so many times the epochs, to reach a loss that chance gave a peer
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    if arguments.contestant:
        _contest(arguments.contestant, arguments.rows_file, arguments.epochs, arguments.json)
        return 0
    return run_command(
        lambda: run(arguments.rows, arguments.epochs, arguments.repeats, arguments.bench_python),
        page,
        json=arguments.json,
        to=arguments.page,
    )


def run(rows: int, epochs: int, repeats: int, bench_python: Path) -> dict[str, Any]:
    """Measure every contestant ``repeats`` times in turn; the median of each figure counts.

    Raises:
        UnavailableError: a contestant failed; the text is what it wrote.
    """
    contestants = ["fraudline", "keras", "keras_one_thread", *(["pyod"] if bench_python.is_file() else [])]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        matrix = standardised_rows(rows + HELD_OUT, folder)
        weights = {f"weight_{k}": weight for k, weight in enumerate(initial_weights(matrix.shape[1]))}
        np.savez(folder / "rows.npz", allow_pickle=False, train=matrix[:rows], held_out=matrix[rows:], **weights)
        measured: dict[str, list[dict[str, Any]]] = {contestant: [] for contestant in contestants}
        for _ in range(repeats):
            for contestant in contestants:
                measured[contestant].append(_measure(contestant, folder, epochs, bench_python))
                last = measured[contestant][-1]
                print(f"{contestant}: loss {last['loss']:.4f}, {last['cpu_s']:.2f} CPU-seconds", file=sys.stderr)
    ours = measured["fraudline"]
    return {
        "protocol": {
            "rows": rows,
            "features": int(matrix.shape[1]),
            "held_out": HELD_OUT,
            "epochs": epochs,
            "batch": BATCH,
            "learning_rate": RATE,
            "network": [*HIDDEN, BOTTLENECK, *reversed(HIDDEN)],
            "repeats": repeats,
        },
        "fraudline": {"cpu_s_all_epochs": _median(run["epochs"][epochs - 1]["cpu_s"] for run in ours)}
        | {"loss": _median(run["epochs"][epochs - 1]["loss"] for run in ours)},
        "peers": {peer: _compared(ours, measured[peer]) for peer in contestants[1:]},
    }


def _compared(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> dict[str, Any]:
    """A peer's cost and loss, and what fraudline needed for that loss, run by run."""
    reached = [
        next((epoch["cpu_s"] for epoch in run["epochs"] if epoch["loss"] <= peer["loss"]), float("nan"))
        for run, peer in zip(ours, theirs, strict=True)
    ]
    ratios = [peer["cpu_s"] / cost for peer, cost in zip(theirs, reached, strict=True)]
    return {
        "loss": _median(peer["loss"] for peer in theirs),
        "cpu_s": _median(peer["cpu_s"] for peer in theirs),
        "fraudline_cpu_s_to_that_loss": _median(reached),
        "times_fewer": _median(ratios),
        "times_fewer_range": [float(np.min(ratios)), float(np.max(ratios))],
    }


def _median(values: Any) -> float:
    return float(np.median(list(values)))


def _measure(contestant: str, folder: Path, epochs: int, bench_python: Path) -> dict[str, Any]:
    out = folder / f"{contestant}.json"
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    for name in ONE_THREAD:
        environment.pop(name, None)
    if contestant in ("keras_one_thread", "pyod"):
        environment |= ONE_THREAD
    if contestant != "fraudline":
        environment |= OWN_KERNELS
    if contestant == "pyod":
        command = [str(bench_python), str(Path(__file__).with_name("training_pyod.py")), str(folder / "rows.npz")]
        command += [str(epochs), json.dumps([*HIDDEN, BOTTLENECK]), str(RATE), str(BATCH), str(out)]
    else:
        command = [sys.executable, "-m", "benchmarks.training", "--contestant", contestant, "--rows-file"]
        command += [str(folder / "rows.npz"), "--epochs", str(epochs), "--json", str(out)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError(f"{contestant} failed: {done.stderr[-2000:]}.", "Run `make setup` and try again.")
    measured: dict[str, Any] = read_json(out)
    return measured


def _contest(contestant: str, rows_file: Path, epochs: int, out: Path) -> None:
    """One contestant in this process."""
    import keras

    from fraudline.model.members import build_member
    from fraudline.model.params import TrainParams

    rows = np.load(rows_file)
    train, held_out = rows["train"], rows["held_out"]
    keras.utils.set_random_seed(1)
    network = build_member(train.shape[1], TrainParams(hidden=HIDDEN), BOTTLENECK)
    network.set_weights([rows[f"weight_{k}"] for k in range(len(network.weights))])
    begun = cpu_seconds()
    history = (_ours if contestant == "fraudline" else _keras)(network, train, held_out, epochs, begun)
    cost = cpu_seconds() - begun
    loss = float(np.mean((np.asarray(network(held_out)) - held_out) ** 2))
    write_json(out, {"cpu_s": cost, "loss": loss, "epochs": history})


def _ours(network: Any, train: np.ndarray, held_out: np.ndarray, epochs: int, begun: float) -> list[dict[str, float]]:
    from fraudline.model.params import TrainParams
    from fraudline.model.training import train_member

    most = int(epochs * MARGIN)
    params = TrainParams(learning_rate=RATE, batch_size=BATCH, epochs=most, patience=most)
    history: list[dict[str, float]] = []

    def report(number: int, loss: float, held_out_loss: float) -> None:
        history.append({"cpu_s": cpu_seconds() - begun, "loss": held_out_loss})

    train_member(network, train, held_out, params, np.random.default_rng(1), report)
    return history


def _keras(network: Any, train: np.ndarray, held_out: np.ndarray, epochs: int, begun: float) -> list[Any]:
    import keras

    network.compile(keras.optimizers.Adam(RATE), "mse")
    network.fit(train, train, batch_size=BATCH, epochs=epochs, verbose=0)
    return []


def cpu_seconds() -> float:
    """User and system time of all threads of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def initial_weights(width: int) -> list[np.ndarray]:
    """Kernels by Glorot and Bengio (2010), biases 0: what a network of the product begins with."""
    rng = np.random.default_rng(1)
    units = [width, *HIDDEN, BOTTLENECK, *reversed(HIDDEN), width]
    weights: list[np.ndarray] = []
    for below, above in itertools.pairwise(units):
        limit = np.sqrt(6 / (below + above))
        weights += [rng.uniform(-limit, limit, (below, above)).astype(np.float32), np.zeros(above, np.float32)]
    return weights


def standardised_rows(count: int, folder: Path) -> np.ndarray:
    """Features of ``count`` generated transactions, standardised, in random order: (count, d) float32."""
    from fraudline.data.generate import generate
    from fraudline.data.params import GenerateParams
    from fraudline.data.store import write_dataset
    from fraudline.model.scaling import learn
    from fraudline.steps.featurize import featurize
    from fraudline.steps.params import Params

    params = Params()
    transactions, labels = generate(GenerateParams(days=40, cards=max(500, count // 30), merchants=800))
    write_dataset(folder / "dataset", transactions, labels, {"name": "bench"})
    featurize(dataset=folder / "dataset", features=folder / "features", profiles=folder / "profiles", params=params)
    import pyarrow.parquet as pq

    spec = params.features.resolve()
    table = pq.read_table(folder / "features" / "features.parquet", columns=list(spec.names))
    matrix = np.column_stack([column.to_numpy() for column in table.columns]).astype(np.float32)
    chosen = np.random.default_rng(1).choice(len(matrix), count, replace=False)
    return learn(matrix, spec, method="standard", clip=10.0).apply(matrix[chosen])


def page(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    protocol, ours = result["protocol"], result["fraudline"]
    units = "-".join(map(str, protocol["network"]))
    names = {
        "keras": "Keras `fit`",
        "keras_one_thread": "Keras `fit`, one thread",
        "pyod": "PyOD `AutoEncoder`, one thread",
    }
    lines = [
        "# Training speed",
        "",
        "<!-- written by `make bench-training`: do not edit -->",
        "",
        f"CPU-seconds to the same held-out loss: {protocol['rows']:,} rows of {protocol['features']} features, network "
        f"{units} (ELU), batch {protocol['batch']}, Adam {protocol['learning_rate']:g}, {protocol['epochs']} epochs; "
        f"median of {protocol['repeats']} runs. Tracing and compiling are counted, imports are not.",
        "",
        "| trainer | held-out loss | its CPU-s | fraudline's CPU-s to that loss | times fewer (range) |",
        "|---|---:|---:|---:|---:|",
    ]
    for peer, figures in result["peers"].items():
        low, high = figures["times_fewer_range"]
        lines.append(
            f"| {names[peer]} | {figures['loss']:.4f} | {figures['cpu_s']:.2f} | "
            f"{figures['fraudline_cpu_s_to_that_loss']:.2f} | **{figures['times_fewer']:.1f}** ({low:.1f}–{high:.1f}) |"
        )
    lines += [
        "",
        f"Fraudline's own {protocol['epochs']} epochs end at {ours['loss']:.4f} after {ours['cpu_s_all_epochs']:.2f} "
        "CPU-seconds. All begin with the same weights; PyOD's batch norm, dropout and weight decay are off, so that "
        "all fit the same function.",
    ]
    if "pyod" not in result["peers"]:
        lines.append("PyOD was not measured: `make .venv-bench/.ready` makes its environment.")
    return "\n".join(lines) + "\n"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000, help="rows to fit on (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=20, help="of every contestant (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, in turn (default: %(default)s)")
    parser.add_argument(
        "--bench-python", type=Path, default=BENCH_PYTHON, help="the interpreter that has PyOD and torch"
    )
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--page", type=Path, help="where to write them as Markdown")
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    parser.add_argument("--rows-file", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
