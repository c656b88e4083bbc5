"""Component of step drift."""
