"""Component of step register."""
