"""Component of a look at a rollout."""
