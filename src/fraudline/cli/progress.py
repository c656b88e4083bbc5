"""Progress of long steps, on a terminal; elsewhere a line now and then."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from fraudline.model.training import Epoch

_LINE_EVERY = 10


@contextmanager
def epochs(console: Console) -> Iterator[None]:
    """Show the epochs of step ``train`` as one bar a network."""
    from fraudline.steps.train import EPOCH_LISTENER

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[loss]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks = {}

        def heard(epoch: "Epoch") -> None:
            name = f"network {epoch.member + 1} of {epoch.members}"
            loss = f"epoch {epoch.epoch} of at most {epoch.epochs}, validation loss {epoch.validation_loss:.4f}"
            if console.is_terminal:
                if epoch.member not in tasks:
                    tasks[epoch.member] = bars.add_task(name, total=epoch.epochs, loss="")
                bars.update(tasks[epoch.member], completed=epoch.epoch, loss=loss)
            elif epoch.epoch % _LINE_EVERY == 0:
                console.print(f"  {name}, {loss}")

        token = EPOCH_LISTENER.set(heard)
        try:
            yield
        finally:
            EPOCH_LISTENER.reset(token)


@contextmanager
def rows(console: Console, what: str) -> Iterator[None]:
    """Show how far the step ``score`` is as one bar."""
    from fraudline.steps.score import LISTENER

    counted = TextColumn("{task.fields[rows]:,} rows")
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), counted, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(what, total=1.0, rows=0)
        token = LISTENER.set(lambda done, share: bars.update(task, completed=share, rows=done))
        try:
            yield
        finally:
            LISTENER.reset(token)
