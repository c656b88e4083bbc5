"""Make S3 buckets that are missing: ``python bucket.py NAME...``; the address and keys come from the environment."""

import os
import sys

import boto3

client = boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"])
present = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
for name in sys.argv[1:]:
    if name not in present:
        client.create_bucket(Bucket=name)
