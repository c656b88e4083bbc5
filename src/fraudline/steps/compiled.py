"""Whether a component, whose text is in the compiled pipeline, fits the fraudline of the image that it runs in."""

from fraudline import __version__
from fraudline.core.errors import UsageError


def of_the_call(error: Exception) -> bool:
    """Whether a component raised it itself, at its own call of a function, and no code that the call ran.

    Args:
        error: raised in a block of :func:`~fraudline.steps.component.running`, where its traceback begins.
    """
    place = error.__traceback__ and error.__traceback__.tb_next
    return place is not None and place.tb_next is None


def of_another_release(problem: object) -> UsageError:
    """The error of a name or an argument that one of the two does not know.

    >>> print(of_another_release("train() got an unexpected keyword argument 'x'").problem)  # doctest: +ELLIPSIS
    Pipeline and image are of two states of fraudline (...): train() got an unexpected keyword argument 'x'.
    """
    return UsageError(
        f"Pipeline and image are of two states of fraudline (the image: {__version__}): {problem}.",
        "Compile the pipeline from the sources that its image was built from (python -m pipelines.training, monitoring "
        "and rollout), or build the image from those that it was compiled from; submit again, schedules too.",
    )
