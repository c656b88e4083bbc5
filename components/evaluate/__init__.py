"""Component of step evaluate."""
