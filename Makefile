# make run   install what is missing, build, and serve a demo restaurant on http://localhost:8080
# make panel build the pages that `make run` serves under /admin and /demo
# make test  install what is missing, and run every test
# make test-panel the tests of the pages in a browser alone
# make prove kill, stop and cut everything under load, and count what was lost: a million operations, HOURS=8 for longer, SEED=7 for one seed
# make mutants take mechanisms out one at a time, and see that a test fails: MECHANISMS=1 for those of the promises alone, FILE=src/domain/
# make check formatting, lints, documentation
# make bench install what is missing, and measure the service against bare SQL: half an hour, or five minutes with QUICK=1
# make overload what becomes of the service when many times more is asked of it than it can do: five minutes
# make fuzz strangers who have read the OpenAPI document, made up by schemathesis: SEED=7 to repeat a run, EXAMPLES=200 for more of each

# Where cargo installs its tools, should the shell not look there; and where Homebrew keeps the pg_config that tells where libpq is.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin:/opt/homebrew/opt/libpq/bin:/usr/local/opt/libpq/bin

# Where cargo builds.
TARGET = $(or $(CARGO_TARGET_DIR),target)

# Where `make mutants` is built: it is a package of its own.
MUTANTS = $(TARGET)/mutants/tool

.PHONY: run panel test test-panel prove mutants check fuzz bench overload dependencies tools

# The last line is exec'd, so that Ctrl-C and SIGTERM reach the service itself. A panel that cannot be built keeps nobody from taking orders.
run: dependencies
	@scripts/panel build || echo "Goes on without the panel: /admin will say so"
	@cargo build --release
	@exec $(TARGET)/release/rowlock serve

test:
	@scripts/dependencies test
	@$(MAKE) --no-print-directory tools
	@scripts/panel build
	@cargo test
	@$(MAKE) --no-print-directory test-panel

# They press on the pages of a debug build, which reads them from panel/dist.
test-panel:
	@scripts/dependencies panel
	@scripts/panel build
	@cargo build
	@scripts/panel test

panel: dependencies
	@scripts/panel build

# What may be asked for is in tests/prove/main.rs.
prove: export OPERATIONS ?= 1000000
prove:
	@scripts/dependencies test
	@cargo test --release --test prove

mutants:
	@scripts/dependencies test
	@command -v cargo-mutants >/dev/null || cargo install --locked cargo-mutants
	@nice cargo run --quiet --manifest-path tests/mutants/Cargo.toml --target-dir $(MUTANTS)

check:
	cargo fmt --all --check
	cargo fmt --manifest-path tests/mutants/Cargo.toml --check
	cargo clippy --all-targets -- -D warnings
	cargo clippy --manifest-path tests/mutants/Cargo.toml --target-dir $(MUTANTS) -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items
	scripts/panel check

# Variables given to make (QUICK, ROUNDS, CELL_SECONDS) reach it by the environment. The report is left in bench/out.
bench:
	@scripts/dependencies bench
	@cargo bench --bench placement

overload:
	@scripts/dependencies bench
	@cargo bench --bench placement -- overload

fuzz:
	@scripts/dependencies fuzz
	@cargo build
	@scripts/fuzz

# PostgreSQL and libpq, by the system's package manager.
dependencies:
	@scripts/dependencies

# diesel_cli: a test holds src/store/schema.rs against what it generates from the migrations.
tools:
	@command -v diesel >/dev/null || cargo install --locked diesel_cli --no-default-features --features postgres
