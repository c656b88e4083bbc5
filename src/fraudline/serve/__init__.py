"""The KServe predictor: V1, V2 (REST and gRPC) and CloudEvents in front of one verified artifact.

    python -m fraudline.serve --model_dir /mnt/models --model_name fraud --http_port 8080 --grpc_port 8081

Runs without tensorflow, mlflow, dvc, great_expectations and kfp.
"""
