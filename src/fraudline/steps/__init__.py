"""One function a pipeline step, files in, files out: called by dvc, by Kubeflow Pipelines and by the command line."""
