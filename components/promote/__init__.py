"""Component that promotes."""
