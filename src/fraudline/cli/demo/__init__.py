"""``fraudline demo``: everything once, from versioned data to a scored stream."""

from fraudline.cli.demo.command import command

__all__ = ["command"]
