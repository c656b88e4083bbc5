"""Component of step validate."""
