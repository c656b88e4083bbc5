"""Promotion by commits: what stands in Git, who may change it and how, and the pull requests that do."""
