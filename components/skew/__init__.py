"""Component of step skew."""
