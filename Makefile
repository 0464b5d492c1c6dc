# `make help` lists what can be done here. Everything runs on a machine with Rust, python3, make and a C compiler;
# what a target needs beyond that, it says when it is missing.

MODEL := models/SmolLM2-135M-Instruct.Q4_1.gguf
export PROMPT ?= Why is the sky blue?
PREFIX ?= /usr/local
FUZZ_TARGET ?= gguf
FUZZ_SECONDS ?= 60

.DEFAULT_GOAL := help
.PHONY: help demo model minilm build lib header install test test-c test-c-arm sizes test-swift test-kotlin aar firmware check-targets check-abi sanitize dist check fmt lint doc notices check-notices check-bare test-arm bench-arm deny fuzz

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build model ## Have the demo model answer a question (PROMPT="..." asks another one)
	target/release/bantam run $(MODEL) -p "$$PROMPT" --temp 0

model: ## Fetch the demo model into models/, unless it is there
	@scripts/fetch-model

minilm: ## Write all-MiniLM-L6-v2, which makes vectors of sentences, into models/ (needs the Python package gguf)
	@scripts/minilm

build: ## Build the bantam command, optimised, as target/release/bantam
	cargo build --release --target-dir target -p bantam-cli

lib: ## Build libbantam.a and libbantam.so, as target/lib (CORE=1 leaves chat templates, grammars and AVX-512 out)
	scripts/build-lib $(if $(CORE),--core)

header: ## Write include/bantam.h anew from ffi/src
	BANTAM_WRITE_HEADER=1 cargo test -q -p bantam-ffi --test header

install: lib ## Install header and libraries into PREFIX (/usr/local)
	scripts/install-lib $(PREFIX)

test: model ## Run the tests
	cargo test

test-c: model ## Run the C tests and examples against the libraries
	scripts/test-c
	scripts/test-c --core

test-c-arm: model ## Build the C library for 64-bit Arm, run its tests under qemu, and tell its size (ARGS=--core leaves chat templates and grammars out)
	scripts/test-c --arm $(ARGS)
	scripts/size-ledger "$${CARGO_TARGET_DIR:-target}/lib$(if $(filter --core,$(ARGS)),-core)-aarch64"

sizes: ## Tell what the libraries of test-c are made of, and that none has grown over its limit
	scripts/size-ledger "$${CARGO_TARGET_DIR:-target}/lib-core" "$${CARGO_TARGET_DIR:-target}/lib"

test-swift: model ## Run the tests and the example of the Swift package (Swift 6, or root and debootstrap)
	scripts/test-swift

test-kotlin: ## Run the Kotlin and Java tests and examples on a JVM (needs a JDK, and npm for the compiler)
	@scripts/test-kotlin

aar: ## Pack the Android library from NATIVES=FOLDER, after test-kotlin, as target/bantam.aar
	scripts/pack-aar $(NATIVES) target/bantam.aar

firmware: model ## Build examples/firmware for a board without an operating system, and run it under qemu
	scripts/firmware

check-targets: ## Check that the library builds for every target, from phones to microcontrollers (TARGETS="..." checks some)
	scripts/check-targets $(TARGETS)

check-abi: ## Hold include/bantam.h against that of the last release (needs abigail-tools)
	scripts/check-abi

sanitize: model ## Run the C tests under sanitizers and valgrind (RUNS="tests valgrind" is quick; "address thread" take clang-22, nightly, rustc-web; TESTS=hostile is the quick half)
	TESTS="$(TESTS)" scripts/sanitize $(RUNS)

dist: model ## Make the archives for app developers in target/dist-files (PARTS="linux jvm android ..."), with checksums and bill of materials
	scripts/dist $(if $(PARTS),--parts "$(PARTS)")

check: fmt lint doc check-notices ## Check format, lints, documentation and notices; warnings are errors

fmt:
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check

# The command asks the library for its optional parts; alone it is linted as others use it, and without `std`.
lint:
	cargo clippy --all-targets -- -D warnings
	cargo clippy -p bantam -- -D warnings
	cargo clippy -p bantam --features chat -- -D warnings
	cargo clippy -p bantam --features constrain -- -D warnings
	cargo clippy -p bantam-kernels --no-default-features -- -D warnings
	cargo clippy -p bantam --no-default-features -- -D warnings
	cargo clippy -p bantam-ffi --no-default-features -- -D warnings
	cargo clippy -p bantam-ffi --no-default-features --features std,allocator -- -D warnings
	cargo clippy --manifest-path fuzz/Cargo.toml --target-dir "$${CARGO_TARGET_DIR:-target}/fuzz" --no-default-features -- -D warnings

# The kernels are documented for those who work on them: with everything that is private.
doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --lib -p bantam --features chat,constrain
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --no-deps --lib -p bantam-kernels --features std,avx512 \
	    --document-private-items

notices: ## Write THIRD-PARTY-NOTICES, the licences of the dependencies that ship
	scripts/notices > THIRD-PARTY-NOTICES.new
	mv THIRD-PARTY-NOTICES.new THIRD-PARTY-NOTICES

check-notices:
	scripts/notices | diff -u THIRD-PARTY-NOTICES - || { echo "THIRD-PARTY-NOTICES is out of date: run 'make notices'"; exit 1; }

deny: ## Check the licences and sources of the dependencies (needs cargo-deny)
	cargo deny check licenses bans sources

# Debian's compiler builds `core` and `alloc` from source: rustup's has none for that target.
check-bare: export RUSTC = /usr/bin/rustc
check-bare: export RUSTC_BOOTSTRAP = 1
check-bare: ## Check that the core needs no operating system (Debian's rustc-web and rust-web-src)
	cargo check -p bantam --no-default-features --target aarch64-unknown-none -Zbuild-std=core,alloc \
	    --target-dir "$${CARGO_TARGET_DIR:-target}/bare"

test-arm: model ## Run the kernel tests and golden answers as Arm CPUs of three generations (qemu)
	scripts/test-arm

bench-arm: model ## Count the instructions per token of three generations of Arm CPUs (qemu; ARGS="--models q4_1 --symbols 20")
	scripts/bench-arm $(ARGS)

fuzz: ## Fuzz FUZZ_TARGET, gguf, model or tokenizer, for FUZZ_SECONDS (needs a nightly toolchain and cargo-fuzz)
	fuzz/make-seeds fuzz/corpus/$(FUZZ_TARGET)
	cargo +nightly fuzz run $(FUZZ_TARGET) -- -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=1024

# peers, golden, bench-peers: what needs llama.cpp to be built.
-include peers/peers.mk
