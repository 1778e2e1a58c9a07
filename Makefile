# Two commands do everything on a fresh machine: `make run` and `make test`.
# The others are for those who work on Chatkeep; each forwards to a step that .ci/run runs.

VENV := .venv
BIN := $(VENV)/bin
PACKAGES := tests/chat/js/node_modules/ready tests/page/js/node_modules/ready
WORKSPACE ?= .demo
PORT ?= 8000

FUZZ_SECONDS ?= 60
FUZZ_AT_ONCE ?= 16
STREAMS ?= 10000
MUTATIONS ?= 2000
SCAN ?= 20000
LIFE ?= 400
SYNC_FILES ?= 1000
SYNC_SECONDS ?= 600

unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test compiled fuzz streams scan mutations coverage covered crash linear life sync page client lint lint-page format bench bench-parts conformance clean

run: $(VENV)/ready
	@$(BIN)/chatkeep demo --workspace "$(WORKSPACE)"
	@$(BIN)/chatkeep serve --workspace "$(WORKSPACE)" --port "$(PORT)"

test: $(VENV)/ready $(PACKAGES) compiled
	$(BIN)/python -m pytest -n 3 --dist worksteal

compiled: $(VENV)/ready  # the tests start hundreds of processes, and workers side by side would all compile the same
	@$(BIN)/python -m compileall -q -j 0 src

fuzz: $(VENV)/fuzz-ready
	$(BIN)/python -m tests.fuzz.run --seconds $(FUZZ_SECONDS) --at-once $(FUZZ_AT_ONCE)

streams: $(VENV)/ready
	CHATKEEP_STREAMS=$(STREAMS) $(BIN)/python -m pytest -q tests/chat/test_streams.py tests/core/history/protocols/test_anthropic.py \
		tests/core/history/protocols/test_items.py tests/core/history/protocols/test_gemini.py

mutations: $(VENV)/ready
	CHATKEEP_MUTATIONS=$(MUTATIONS) $(BIN)/python -m pytest -q tests/importers/formats/agents/test_mutations.py

scan: $(VENV)/ready
	CHATKEEP_SCAN=$(SCAN) $(BIN)/python -m pytest -q tests/store/files/index/search/test_scan.py

coverage: $(VENV)/ready
	$(BIN)/coverage erase
	CHATKEEP_COVERAGE=1 $(BIN)/python -m pytest -n 2 --dist worksteal \
		$$($(BIN)/python -c 'from tests.house.covering import FILES; print(*FILES)')
	$(MAKE) --no-print-directory covered

covered: $(VENV)/ready
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

life: $(VENV)/ready
	CHATKEEP_LIFE_EXAMPLES=$(LIFE) CHATKEEP_LIFE_STEPS=50 $(BIN)/python -m pytest -q tests/contract/test_stateful.py

sync: $(VENV)/ready
	CHATKEEP_SYNC_FILES=$(SYNC_FILES) CHATKEEP_SYNC_SECONDS=$(SYNC_SECONDS) CHATKEEP_SYNC_KILLS=5 $(BIN)/python -m pytest -q tests/syncing/test_campaign.py

crash: $(VENV)/ready
	CHATKEEP_CRASH_STEP=1 CHATKEEP_CRASH_STATES=100000 CHATKEEP_CRASH_CUTS=750 CHATKEEP_CRASH_DAMAGES=1000 CHATKEEP_CRASH_RETRIES=10000 \
		CHATKEEP_CRASH_GOOD_FILES=10000 CHATKEEP_CRASH_REPAIRS=1000 CHATKEEP_CRASH_LONG_BYTES=100000000 \
		CHATKEEP_CRASH_EDITS=2000 CHATKEEP_CRASH_JUNK=100000 CHATKEEP_CRASH_RECONNECTS=1000 \
		CHATKEEP_CRASH_KILLS=10000 CHATKEEP_CRASH_OPERATIONS=100000 \
		CHATKEEP_CRASH_BLOB_KILLS=1000 CHATKEEP_CRASH_BLOB_SESSIONS=1000 CHATKEEP_CRASH_LIFE_KILLS=2000 CHATKEEP_CRASH_LIFE_STATES=20000 CHATKEEP_CRASH_POPS=20000 \
		$(BIN)/python -m pytest -rs tests/crash

linear: $(VENV)/ready
	CHATKEEP_LINEAR_PART=1 $(BIN)/python -m pytest -q tests/linear

page: $(VENV)/ready $(PACKAGES)
	CHATKEEP_PAGE_PAYLOADS=500 $(BIN)/python -m pytest -s -rs tests/page

client: $(VENV)/ready
	$(BIN)/python tools/sync_client.py

lint: $(VENV)/ready tests/page/js/node_modules/ready
	$(BIN)/ruff format --check src tests bench tools
	$(BIN)/ruff check src tests bench tools
	$(BIN)/python tools/sync_client.py --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.house.measures
	@if [ -x tests/page/js/node_modules/.bin/tsc ]; then $(MAKE) --no-print-directory lint-page; \
	else echo "The scripts of the page are not checked: there is no npm here."; fi

lint-page:
	cd tests/page/js && node_modules/.bin/tsc
	tests/page/js/node_modules/.bin/tsc --noEmit --strict --target es2022 --lib es2022,dom,dom.asynciterable --module esnext --moduleResolution bundler tests/clients/typed.ts
	cd tests/page/js && node_modules/.bin/eslint sources

format: $(VENV)/ready
	$(BIN)/ruff format src tests bench tools
	$(BIN)/ruff check --fix src tests bench tools

bench: $(VENV)/ready
	$(BIN)/python bench/environments.py
	$(BIN)/python bench/wanted.py --import

bench-parts: $(VENV)/ready
	@test -d .bench || $(BIN)/python bench/generate.py .bench --sessions 10000 --messages 200000 --longest 10000
	$(BIN)/python bench/server.py .bench
	$(BIN)/python bench/room.py .bench
	$(BIN)/python bench/search.py .bench --rounds 50 --beside
	$(BIN)/python bench/proxy.py
	$(BIN)/python bench/hostile.py .bench
	$(BIN)/python bench/bodies.py
	-$(BIN)/python bench/lag.py
	$(BIN)/python bench/page.py .bench
	$(BIN)/python bench/durable.py
	$(BIN)/python bench/alternatives.py
	$(BIN)/python bench/limits.py

conformance: $(VENV)/ready
	$(BIN)/python tools/conformance/run.py $(SUITES)

# Packages of npm that tests need; those tests are skipped where there is no npm
%/node_modules/ready: %/package-lock.json
	@if command -v npm >/dev/null; then npm ci --prefix $* --silent --no-audit --no-fund --ignore-scripts; fi
	@mkdir -p $(@D) && touch $@

$(VENV)/ready: pyproject.toml constraints.txt
	@$(call installed,test)
	@touch $@

$(VENV)/fuzz-ready: pyproject.toml constraints.txt
	@$(call installed,test$(comma)fuzz)
	@touch $(VENV)/ready $@

comma := ,
define installed
echo "Setting up $(VENV) ..." && python3 -m venv $(VENV) && \
$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(1)]'
endef

clean:
	rm -rf $(VENV) .conformance .fuzz .demo .bench .bench-envs build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage \
		tests/chat/js/node_modules tests/page/js/node_modules
