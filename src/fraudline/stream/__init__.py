"""Transactions scored exactly once: the Kafka worker, its messages, checkpoints, transports and the producer.

run_worker(settings, model_dir=Path("artifacts/..."), profiles_dir=Path("build/profiles"))
"""
