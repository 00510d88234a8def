# Everything runs in .venv, which is made anew when what it is made from changes.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo unit test lint bench reconstruct interference record record-check contract completions clean

demo: .venv/.done
	@PATH="$(CURDIR)/$(BIN):$$PATH" aerokernel sandbox -- sh tests/tools/demo.sh

# What changes while one works, in seconds: no etcd, no cluster, no process; a tenth of the examples.
unit: .venv/.done
	$(BIN)/pytest tests/unit -q -n auto -m "not process" --hypothesis-profile=quick

test: .venv/.done .venv-bare/.done .venv-patroni-3.0.2/.done lint
	@sh tests/tools/all.sh $(BIN)/pytest

lint: .venv/.done
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.done
	@PATH="$(CURDIR)/$(BIN):$$PATH" aerokernel sandbox -- $(BIN)/python -m tests.tools.bench

# Has as many incidents happen, and holds what aeroctl tells of them to what really did.
SEEDS ?= 20
FIRST ?= 1
reconstruct: .venv/.done
	$(BIN)/python -m tests.live.reconstruct --seeds $(SEEDS) --first $(FIRST)

# Has somebody write the engine's keys during as many changes, and holds aerokernel to what happened.
interference: .venv/.done
	$(BIN)/python -m tests.live.interference --seeds $(SEEDS) --first $(FIRST)

# Runs the scenarios on real clusters and writes down what the kernel answered and aeroctl printed.
record: .venv/.done
	rm -rf cassettes/recorded tests/recorded/golden
	$(BIN)/pytest tests/recorded/test_recorded.py -x -k test_output --record-mode=rewrite
	$(BIN)/pytest tests/recorded/test_recorded.py --write-golden
	$(BIN)/python -m tests.tools.readme

# Fails where recording again differs from what is committed, and shows what differs.
record-check: record
	git add --intent-to-add cassettes tests/recorded/golden
	git diff --exit-code -- cassettes tests/recorded/golden README.md

# After a change of the contract's models.
contract: .venv/.done
	$(BIN)/python -m tests.tools.compile > aeroctl/contract/snapshot_schema.tmp
	mv aeroctl/contract/snapshot_schema.tmp aeroctl/contract/snapshot_schema.py

completions: .venv/.done
	for shell in bash zsh fish; do $(BIN)/aeroctl completion $$shell > completions/aeroctl.$$shell; done

.venv/.done: pyproject.toml constraints.txt tests/tools/environment.sh
	PYTHON="$(PYTHON)" sh tests/tools/environment.sh .venv --editable '.[sandbox]' --group test
	@touch $@

# What an operator installs: the command line alone.
.venv-bare/.done: pyproject.toml constraints.txt tests/tools/environment.sh
	PYTHON="$(PYTHON)" sh tests/tools/environment.sh .venv-bare --editable .
	@touch $@

# Patroni as Debian 12 has it: etcd in the same way, but it says less and writes other words. It knows
# psycopg 2 and 3; Debian's uses the former.
.venv-patroni-3.0.2/.done: constraints-patroni-3.0.2.txt tests/tools/environment.sh
	CONSTRAINTS=constraints-patroni-3.0.2.txt PYTHON="$(PYTHON)" sh tests/tools/environment.sh \
		.venv-patroni-3.0.2 'patroni[etcd3]==3.0.2' psycopg2-binary
	@touch $@

clean:
	rm -rf .venv .venv-bare .venv-patroni-3.0.2
