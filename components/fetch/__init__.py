"""Component of step fetch."""
