"""Kubeflow pipelines, each with the YAML it compiles to beside it."""
