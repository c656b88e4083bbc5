"""The audit trail outside Kafka: daily files whose rows are chained by hashes, and the check that nothing is missing."""
