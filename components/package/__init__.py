"""Component of step package."""
