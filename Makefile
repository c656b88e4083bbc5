# fraudline: `make demo` and `make test` do everything on a machine with Python 3.11-3.13 and make.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

EXTRAS := base fast rules serve train pipeline tracing lineage keys lab local sign dev
LOCKS := $(EXTRAS:%=requirements/%.lock)
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

# One cache folder for what is built here by version: uv itself, Kafka's jars, compiled kernels.
export FRAUDLINE_CACHE ?= $(CURDIR)/.cache
export NUMBA_CACHE_DIR ?= $(FRAUDLINE_CACHE)/numba
# Two BLAS or OpenMP threads on busy cores are slower than one by far; determinism needs it too.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export TF_CPP_MIN_LOG_LEVEL ?= 3
export CUDA_VISIBLE_DEVICES ?=
export GX_ANALYTICS_ENABLED := false
export MLFLOW_DISABLE_TELEMETRY := true
export DVC_NO_ANALYTICS := true
export ORT_DISABLE_TELEMETRY := 1

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	if $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then echo $$p; break; fi; done)
BOOT := $(FRAUDLINE_CACHE)/bootstrap
# A uv found on the PATH is used as it is; otherwise pip installs the pinned one into the cache. Their paths and Python's may hold a space.
FOUND_UV := $(shell command -v uv 2>/dev/null)
UV := "$(or $(FOUND_UV),$(BOOT)/bin/uv)"
some_uv = test -n "$(PYTHON)" \
	|| { echo "fraudline needs Python 3.11, 3.12 or 3.13: install one, or name it with PYTHON=..."; exit 2; }; \
	test -x $(UV) || { "$(PYTHON)" -m venv "$(BOOT)" \
	&& "$(BOOT)/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r requirements/bootstrap.lock; }
# An environment names its own folder: one that was moved or copied, or whose Python is gone, is made anew.
WHOLE := $(shell test -x $(BIN)/python && grep -qF '$(CURDIR)/$(VENV)' $(BIN)/activate && echo yes)

.PHONY: help
help: ## list the targets
	@if [ -t 1 ]; then on=$$'\033[36m' off=$$'\033[0m'; else on= off=; fi; awk -F':.*## ' -v on="$$on" -v off="$$off" '\
		/^# ---- /{gsub(/^# -+ | -+$$/, ""); section = "\n" $$0 "\n"} \
		/^[a-z][a-z-]*:.*## /{printf "%s  %smake %-22s%s %s\n", section, on, $$1, off, $$2; section = ""}' $(MAKEFILE_LIST)

# ---- the environment -------------------------------------------------------------------------------------------------

.PHONY: setup
setup: $(VENV)/.ready ## make .venv from the hash-pinned locks

.PHONY: anew
$(VENV)/.ready: $(LOCKS) requirements/build.lock pyproject.toml $(if $(WHOLE),,anew)
	@$(some_uv)
	@echo "setting up .venv from $(LOCKS)"
	@$(if $(WHOLE),,rm -rf $(VENV); $(UV) venv -q --python "$(PYTHON)" $(VENV))
	@$(UV) pip install -q --python $(BIN)/python --require-hashes --compile-bytecode $(LOCKS:%=-r %)
	@$(UV) pip install -q --python $(BIN)/python --no-deps -b requirements/build.lock -e .
	@touch $@

# Peers that are measured beside fraudline; they pin other versions than the product does.
.venv-bench/.ready: requirements/bench.lock
	@$(some_uv)
	@echo "setting up .venv-bench from requirements/bench.lock"
	@test -x .venv-bench/bin/python || $(UV) venv -q --python "$(PYTHON)" .venv-bench
	@$(UV) pip install -q --python .venv-bench/bin/python --require-hashes -r requirements/bench.lock
	@touch $@

.PHONY: lock
lock: ## resolve pyproject.toml anew into requirements/*.lock
	@$(some_uv)
	@tmp=$$(mktemp -d); compile() { $(UV) pip compile -q --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-header --no-annotate "$$@"; }; \
	compile pyproject.toml $(patsubst %,--extra %,$(filter-out base,$(EXTRAS))) --extra docs --extra cloud -o $$tmp/all.lock; \
	compile pyproject.toml -c $$tmp/all.lock -o requirements/base.lock; \
	for extra in $(filter-out base,$(EXTRAS)) docs cloud; do compile pyproject.toml --extra $$extra -c $$tmp/all.lock -o requirements/$$extra.lock; done; \
	compile pyproject.toml --extra bench -o requirements/bench.lock; \
	echo uv | compile - -o requirements/bootstrap.lock; echo 'hatchling>=1.27' | compile - -o requirements/build.lock; \
	echo 'atheris>=3,<3.1' | compile - -o requirements/fuzz.lock; rm -r $$tmp

# ---- the main job ----------------------------------------------------------------------------------------------------

.PHONY: demo
demo: setup ## the main job: data, training, gate, two predictors behind Envoy, a scored stream
	@fraudline demo

.PHONY: demo-rollout
demo-rollout: repro ## a canary from 10 % to champion and a bad one back, each step a commit, on this machine
	@fraudline rollout demo

.PHONY: simulate
simulate: setup ## a year of drift, labels, retraining, promotion and rollback on a virtual clock; draws docs/assets/year.svg
	@fraudline simulate --days 365 --picture docs/assets/year.svg

.PHONY: data
data: setup ## fetch the versioned data from the in-repository remote
	@dvc pull -q data.dvc

.PHONY: repro
repro: data ## dvc repro: fetch, validate, featurize, train, evaluate, gate, infra-validate, package, register
	@dvc repro

.PHONY: pipeline
pipeline: data ## the same steps as a Kubeflow pipeline under kfp's local runner
	@fraudline pipeline run

.PHONY: serve
serve: repro ## the champion as a KServe predictor on loopback
	@fraudline serve

.PHONY: stream
stream: repro ## a broker, the worker and a producer until Ctrl-C
	@fraudline demo --stream-only

# ---- containers ------------------------------------------------------------------------------------------------------

# A registry's address before both names is set by IMAGE_PREFIX=...; a proxy that signs TLS by CA_BUNDLE=FILE; another base, or
# the same by its digest, by PYTHON_IMAGE=python:3.11-slim@sha256:...
DOCKER ?= docker
COMPOSE ?= $(shell if $(DOCKER) compose version >/dev/null 2>&1; then echo $(DOCKER) compose; else echo docker-compose; fi)
PROFILE ?= core
PROJECT ?= fraudline
VERSION := 0.1.0
CA_BUNDLE ?=
PYTHON_IMAGE ?=
export FRAUDLINE_PIPELINE_IMAGE ?= $(IMAGE_PREFIX)fraudline/pipeline:$(VERSION)-python3.11
export FRAUDLINE_SERVING_IMAGE ?= $(IMAGE_PREFIX)fraudline/predictor:$(VERSION)
# As fraudline.ops.provenance says it: dvc.lock, which every run rewrites, makes nothing dirty.
code_revision = $$(git rev-parse HEAD)$$(git diff --quiet HEAD -- ':/' ':(top,exclude)dvc.lock' || echo -dirty)
# build/images/TARGET.digest names what was built last; containers are started by that name, whatever a tag says meanwhile.
build_image = mkdir -p build/images; DOCKER_BUILDKIT=1 $(DOCKER) build -q -f docker/Dockerfile --target $(1) -t $(2) \
	--iidfile build/images/$(1).digest --build-arg VERSION=$(VERSION) --build-arg REVISION=$(code_revision) \
	--build-arg SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(if $(PYTHON_IMAGE),--build-arg PYTHON_IMAGE=$(PYTHON_IMAGE)) \
	$(if $(CA_BUNDLE),--secret id=ca$(comma)src=$(CA_BUNDLE)) .
compose_up = $(COMPOSE) -p $(PROJECT) --profile $(PROFILE)
compose_built = FRAUDLINE_SERVING_IMAGE=$$(cat build/images/serving.digest) \
	$(if $(filter full,$(PROFILE)),FRAUDLINE_PIPELINE_IMAGE=$$(cat build/images/pipeline.digest)) $(compose_up)
comma := ,

.PHONY: images image-serving image-pipeline
images: image-serving image-pipeline ## build the two images

image-serving:
	@$(call build_image,serving,$(FRAUDLINE_SERVING_IMAGE))

image-pipeline:
	@$(call build_image,pipeline,$(FRAUDLINE_PIPELINE_IMAGE))

# CHAMPION, CANARY, PROFILES and HISTORY name other folders than those of the last `make repro`. What mounts the folders
# is made anew: a container that runs goes on seeing the ones that it began with.
.PHONY: up
up: setup image-serving $(if $(filter full,$(PROFILE)),image-pipeline) $(if $(CHAMPION),,repro) ## the whole system in containers (PROFILE=core or full)
	@python docker/stack.py prepare $(if $(CHAMPION),--champion $(CHAMPION)) $(if $(CANARY),--canary $(CANARY)) \
		$(if $(PROFILES),--profiles $(PROFILES)) $(if $(HISTORY),--history $(HISTORY))
	@$(compose_built) rm -sf champion canary worker producer
	@$(compose_built) up -d

.PHONY: smoke
smoke: setup ## is it ready, does it split, is every transaction decided
	@python docker/stack.py smoke

.PHONY: logs
logs:
	@$(compose_up) logs --tail=100

.PHONY: down
down: ## stop the containers and remove what they kept
	@$(COMPOSE) -p $(PROJECT) --profile core --profile full down -v --remove-orphans

.PHONY: test-containers
test-containers: setup ## build both images with a real engine, run compose and every step in its image
	@pytest -q -p no:randomly tests/containers $(PYTEST_ARGS)

# ---- a cluster's brain ---------------------------------------------------------------------------------------------

# A real API server and KServe's controller, built by Go from their modules (cached by version under FRAUDLINE_CACHE).
.PHONY: test-cluster
test-cluster: setup ## apply every overlay to a real API server with KServe's controller and webhooks; Gitea, an S3 store, Kubeflow Pipelines
	@$(some_uv)
	@$(UV) pip install -q --python $(BIN)/python --require-hashes -r requirements/cloud.lock
	@python -m tests.cluster.binaries
	@pytest -q tests/cluster tests/contract/test_manifests.py $(PYTEST_ARGS)

.PHONY: test-scaling
test-scaling: setup ## KEDA's own operator on our scalers; building it takes a quarter of an hour of processor time, once
	@pytest -q -p no:randomly tests/scaling $(PYTEST_ARGS)

# ---- checks ----------------------------------------------------------------------------------------------------------

.PHONY: test
test: setup lint test-fast ## lint, types, layers, and every test that needs no container, cluster or half hour

.PHONY: lint
lint: setup ## ruff, mypy strict, import-linter
	@ruff check .
	@ruff format --check .
	@mypy src/fraudline docs benchmarks
	@lint-imports --no-cache

# A file is one process's; each process has a broker of its own. Coverage is that of these processes: to count in what they
# start as well made those half as slow again.
TEST_PROCESSES ?= 2

.PHONY: test-fast
test-fast: setup
	@coverage erase
	@pytest --cov --cov-report= --ignore tests/containers --ignore tests/cluster --ignore tests/scaling --ignore tests/loop \
		-n $(TEST_PROCESSES) --dist loadfile $(PYTEST_ARGS)
	@coverage report --fail-under=90

# FORM is long (the figures of docs/reference/reliability.md) or short (at most ten minutes).
RELIABILITY = FRAUDLINE_FORM=$(FORM) FRAUDLINE_FIGURES="$(CURDIR)/build/reliability" \
	pytest -q -p no:randomly tests/reliability $(PYTEST_ARGS)

.PHONY: test-reliability
test-reliability: FORM := long
test-reliability: setup ## kill workers and brokers, poison, outages: every scenario in full; writes its page
	@rm -rf build/reliability; begun=$$SECONDS; $(RELIABILITY); \
	python -m docs.reliability build/reliability $$((SECONDS - begun))

.PHONY: test-reliability-short
test-reliability-short: FORM := short
test-reliability-short: setup ## the same scenarios, smaller
	@rm -rf build/reliability; $(RELIABILITY)

# Real dvc, MLflow, Git and broker; apart from `make test`, because it trains twice.
.PHONY: test-loop
test-loop: setup ## stream to data set to retraining to pull request, once, on a real broker, registry and remote
	@pytest -q -p no:randomly tests/loop $(PYTEST_ARGS)

.PHONY: test-loop-kills
test-loop-kills: setup ## fraudline retrain killed a hundred times: no run, pull request or commit twice
	@python -m tests.loop.kills --kills 100

# FORM as above; SECURITY_FIGURES take the place of those of earlier runs.
SECURITY = FRAUDLINE_FORM=$(FORM) FRAUDLINE_FIGURES="$(CURDIR)/build/security" pytest -q -p no:randomly tests/security $(PYTEST_ARGS)

.PHONY: test-security
test-security: FORM := long
test-security: setup ## bad requests, hostile artifacts, Kafka access, card numbers, at rest: in full; writes its page
	@mkdir -p build/security; find build/security -name 'test_*' -delete; begun=$$SECONDS; $(SECURITY); \
	python -m docs.security build/security $$((SECONDS - begun))

.PHONY: test-security-short
test-security-short: FORM := short
test-security-short: setup ## the same, smaller
	@$(SECURITY)

.PHONY: fuzz-endpoint
fuzz-endpoint: setup ## more than 10,000 bad requests at the real server
	@FRAUDLINE_FORM=long pytest -q -p no:randomly tests/security/test_requests.py

# atheris in a folder of its own, before the environment: it pins nothing, and nothing but this needs it.
SECONDS_EACH ?= 60
.fuzz/.ready: requirements/fuzz.lock
	@$(some_uv)
	@$(some_uv)
	@$(UV) pip install -q --python $(BIN)/python --target .fuzz --require-hashes -r requirements/fuzz.lock
	@touch $@

.PHONY: fuzz
fuzz: setup .fuzz/.ready ## every parser under atheris, SECONDS_EACH=60 each; the page of make test-security takes the figures
	@PYTHONPATH=.fuzz python -m tests.fuzz all $(SECONDS_EACH) build/security

.PHONY: format
format: setup ## rewrite the sources in the house style
	@ruff check --fix -q . ; ruff format .

# ---- claims ----------------------------------------------------------------------------------------------------------

.PHONY: bench-handbook
bench-handbook: setup ## the Fraud Detection Handbook's protocol, beside its published figures
	@python -m benchmarks.handbook

.PHONY: bench-quality
bench-quality: setup ## the laboratory: every model over the successive weeks; what is missing is measured
	@python -m benchmarks.quality

.PHONY: bench-reasons
bench-reasons: repro ## the model's own shares beside SHAP: agreement, deletion, time; writes docs/reference/quality-reasons.md
	@python -m benchmarks.reasons --json build/bench/reasons.json --page docs/reference/quality-reasons.md

.PHONY: bench-features
bench-features: setup ## transactions a second through the feature kernel
	@python -m benchmarks.features

.PHONY: bench-stream
bench-stream: setup .venv-bench/.ready ## the worker beside its clients' limits, Quix Streams and Spark
	@python -m benchmarks.stream --write

.PHONY: bench-stream-short
bench-stream-short: setup ## its short form: a tenth of the records, nothing written
	@python -m benchmarks.stream --short

.PHONY: bench-endpoint
bench-endpoint: setup ## the endpoint beside an empty KServe server, bare FastAPI and a SavedModel; `fraudline score`
	@python -m benchmarks.endpoint --write

.PHONY: bench-endpoint-short
bench-endpoint-short: setup ## its short form: everything once, nothing written
	@python -m benchmarks.endpoint --short

.PHONY: bench-training
bench-training: setup .venv-bench/.ready ## CPU-seconds to the same loss, beside Keras fit and PyOD's AutoEncoder
	@python -m benchmarks.training --json build/bench/training.json --page docs/reference/training-speed.md

.PHONY: bench-domains
bench-domains: setup ## network intrusion and predictive maintenance through the same steps, beside the baselines
	@python -m benchmarks.domains --json build/bench/domains.json --page docs/reference/domains.md

.PHONY: bench-contamination
bench-contamination: setup ## AP against 0-10 % of unreported frauds among the normals, with and without the defence
	@python -m benchmarks.contamination --json build/bench/contamination.json --page docs/reference/contamination.md

.PHONY: bench-drift
bench-drift: repro ## false alarms on unchanged traffic, delay of injected drifts; writes docs/reference/drift.md
	@python -m benchmarks.drift --json build/bench/drift.json --page docs/reference/drift.md

.PHONY: bench-rollout
bench-rollout: setup ## a thousand rollouts of equal and of bad canaries, under the judge and under plain rules
	@python -m benchmarks.rollout --json build/bench/rollout.json --page docs/reference/rollout.md

.PHONY: docs
docs: setup ## build the documentation site into site/
	@$(some_uv)
	@$(UV) pip install -q --python $(BIN)/python --require-hashes -r requirements/docs.lock
	@NO_MKDOCS_2_WARNING=1 mkdocs build --strict -q

.PHONY: clean
clean: ## remove what was built; the environment and the data stay
	@rm -rf build dist artifacts mlflow.db mlruns mlartifacts site .coverage* htmlcov
