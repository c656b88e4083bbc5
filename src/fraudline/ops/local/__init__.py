"""Real servers on this machine, each a child process that cannot outlive its parent: Kafka, Envoy, predictors."""
