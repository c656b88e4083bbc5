"""Component that adds up what a pipeline run cost."""
