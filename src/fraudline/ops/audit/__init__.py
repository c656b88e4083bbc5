"""The audit trail outside Kafka: daily files whose rows are chained by hashes, and the check that all is there."""
