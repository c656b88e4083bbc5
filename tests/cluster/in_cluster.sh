#!/bin/sh
# in_cluster.sh FOLDER PROGRAM ARGUMENTS: run a program that finds its account where one in a pod does, in a mount namespace
# of its own. FOLDER has token, ca.pem and hosts. Call it under `unshare --mount`.
set -eu
account=/var/run/secrets/kubernetes.io/serviceaccount
agent=/var/run/secrets/kubeflow/tokens
mount -t tmpfs -o mode=700 tmpfs /var/run
mkdir -p "$account" "$agent"
cp "$1/token" "$account/token"
cp "$1/ca.pem" "$account/ca.crt"
cp "$1/token" "$agent/persistenceagent-sa-token"
mount --bind "$1/hosts" /etc/hosts
shift
exec "$@"
