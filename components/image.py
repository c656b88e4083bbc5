"""The one image that every component runs in; its tag is part of what Kubeflow's cache compares."""

IMAGE = "fraudline/pipeline:0.1.0-python3.11"
