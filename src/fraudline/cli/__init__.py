"""The command line: the only entry point, the only place that reads the environment, and the only one that prints."""
