"""Component of step gate."""
