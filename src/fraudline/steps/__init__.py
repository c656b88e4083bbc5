"""One function a pipeline step, files in, files out: called by dvc, by Kubeflow Pipelines and by the command line."""

STEPS = {
    "fetch": "bring the data set of a revision, its md5 checked",
    "validate": "hold the data against its expectations (exit 3 when a critical one fails)",
    "featurize": "one row of features a transaction, and the merchant profiles",
    "train": "train the autoencoder ensemble into an artifact",
    "evaluate": "measure it on later weeks, beside baselines and the champion",
    "gate": "bless it or not, by the rules (exit 4 when refused)",
    "infra_validate": "the real server loads the artifact and must reproduce its golden scores",
    "package": "store the artifact under its digest, with provenance and model card",
    "register": "register it as challenger",
    "profiles": "publish the merchant profiles for the worker",
}
"""Every step, in pipeline order; the function of step ``x`` is ``fraudline.steps.x.x``."""
