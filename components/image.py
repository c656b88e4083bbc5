"""The one image that every component runs in; its tag is part of what Kubeflow's cache compares."""

VERSION = "0.1.0"
IMAGE = f"fraudline/pipeline:{VERSION}-python3.11"
