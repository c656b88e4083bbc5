"""Component of step infra_validate."""
