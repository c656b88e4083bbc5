"""Component of step featurize."""
