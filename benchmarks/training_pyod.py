"""PyOD's part of ``benchmarks.training``, run by the interpreter of ``.venv-bench``, which has no fraudline.

Arguments: rows.npz, epochs, hidden units as JSON, learning rate, batch, the JSON file to write.
"""

import json
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pyod.models.auto_encoder import AutoEncoder


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Timed(AutoEncoder):  # type: ignore[misc]  # mypy sees no PyOD
    """Begins with given weights, and notes the CPU time of the training itself: ``fit`` scores all rows afterwards."""

    cost = 0.0
    weights: list[np.ndarray]

    def build_model(self) -> None:  # noqa: D102 - PyOD's
        super().build_model()
        layers = [module for module in self.model.modules() if isinstance(module, torch.nn.Linear)]
        with torch.no_grad():
            for layer, kernel, bias in zip(layers, self.weights[::2], self.weights[1::2], strict=True):
                layer.weight.copy_(torch.from_numpy(kernel.T))
                layer.bias.copy_(torch.from_numpy(bias))

    def train(self, train_loader: Any) -> None:  # noqa: D102 - PyOD's
        begun = cpu_seconds()
        super().train(train_loader)
        self.cost = cpu_seconds() - begun


def main() -> None:
    rows = np.load(sys.argv[1])
    detector = Timed(
        preprocessing=False,
        lr=float(sys.argv[4]),
        epoch_num=int(sys.argv[2]),
        batch_size=int(sys.argv[5]),
        random_state=1,
        verbose=0,
        optimizer_params={},
        hidden_neuron_list=json.loads(sys.argv[3]),
        hidden_activation_name="elu",
        batch_norm=False,
        dropout_rate=0.0,
    )
    detector.weights = [rows[name] for name in rows.files if name.startswith("weight_")]
    detector.fit(rows["train"])
    detector.model.eval()
    with torch.no_grad():
        rebuilt = detector.model(torch.from_numpy(rows["held_out"])).numpy()
    loss = float(np.mean((rebuilt - rows["held_out"]) ** 2))
    Path(sys.argv[6]).write_text(json.dumps({"cpu_s": detector.cost, "loss": loss}))


if __name__ == "__main__":
    main()
