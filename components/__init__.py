"""Kubeflow components: one folder a step, each a thin caller of the one function in ``fraudline.steps``."""
