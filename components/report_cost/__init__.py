"""Component that reports how a pipeline run ended."""
