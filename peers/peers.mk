# llama.cpp as parity oracle and benchmark. It is built natively and with OpenMP, as its users build it, in a target
# folder of its own: none of these flags reaches Bantam, which is measured as the portable binary that users get.
# PEER=avx2 builds it for CPUs that have AVX2 and nothing beyond, in a second folder, and has Bantam use its backend of
# that name.
PEER ?= native
PEER_CPU_native = native
PEER_CPU_avx2 = x86-64-v3
PEER_BACKEND_avx2 = --backend avx2
ifeq ($(PEER_CPU_$(PEER)),)
$(error PEER is native or avx2, not "$(PEER)")
endif
PEER_SUFFIX = $(if $(filter-out native,$(PEER)),-$(PEER))
PEERS_TARGET ?= $(CURDIR)/target/peers
PEER_TARGET = $(PEERS_TARGET)$(PEER_SUFFIX)
PEERS = $(PEER_TARGET)/release/bantam-peers
DEMO = models/SmolLM2-135M-Instruct.Q4_1.gguf
VOCABS = models/ggml-vocab-gpt-2.gguf models/ggml-vocab-llama-bpe.gguf models/ggml-vocab-qwen2.gguf

MORE_VOCABS = $(patsubst %,models/ggml-vocab-%.gguf,baichuan bert-bge command-r deepseek-coder deepseek-llm falcon llama-spm mpt \
    nomic-bert-moe phi-3 refact starcoder)
PRES = bloom deepseek-v3 default exaone-moe laguna minicpm5 qwen35 seed-coder ufakzeka viking

.PHONY: peers vocabs golden bench-peers chart bench-formats bench-embeddings models-1b

# Release is said outright: with debug information on, the crate's own choice would be -O2. CARGO_ENCODED_RUSTFLAGS
# would win over RUSTFLAGS, so it is taken away.
peers: ## Build the peer, llama.cpp (minutes the first time; PEER=avx2 builds one for AVX2 alone)
	sh peers/prepare
	env -u CARGO_ENCODED_RUSTFLAGS RUSTFLAGS="-C target-cpu=$(PEER_CPU_$(PEER))" LLAMA_LIB_PROFILE=Release \
	    cargo build --release --locked --target-dir "$(PEER_TARGET)" -p bantam-peers

vocabs: ## Fetch llama.cpp's vocabulary files into models/, unless they are there
	@scripts/fetch-vocabs

# Where the tests write their models for the peer.
VARIANTS = $(CURDIR)/target/variants
ARCHITECTURES = $(CURDIR)/target/architectures
ADAPTERS = $(CURDIR)/target/adapters
ENCODERS = $(CURDIR)/target/encoders

golden: peers model vocabs ## Write the golden files of tests/golden anew
	rm -rf "$(VARIANTS)" "$(ARCHITECTURES)" "$(ADAPTERS)" "$(ENCODERS)"
	MODELS="$(VARIANTS)" cargo test -p bantam --test variants -- --ignored --exact write_the_files
	MODELS="$(ARCHITECTURES)" cargo test -p bantam --test architectures -- --ignored --exact write_the_files
	MODELS="$(ADAPTERS)" cargo test -p bantam --test adapters -- --ignored --exact write_the_files
	MODELS="$(ENCODERS)" cargo test -p bantam --test embeddings -- --ignored --exact write_the_files
	$(PEERS) golden formats
	$(PEERS) golden tokens $(DEMO) $(VOCABS)
	scripts/gemma4-vocab
	$(PEERS) golden tokens --drawn 40 models/gemma4-made.gguf $(MORE_VOCABS)
	$(PEERS) golden tokens --drawn 40 $(PRES:%=--pre %) models/ggml-vocab-gpt-2.gguf
	scripts/tiktoken-golden
	$(PEERS) golden logits $(DEMO)
	$(PEERS) golden samplers $(DEMO)
	$(PEERS) golden variants "$(VARIANTS)"
	$(PEERS) golden architectures "$(ARCHITECTURES)"
	$(PEERS) golden adapters "$(ADAPTERS)"
	$(PEERS) golden embeddings "$(ENCODERS)"

bench-peers: peers models-1b ## Measure bantam against llama.cpp and the machine (PEER=avx2, ARGS=--help explains)
	env -u CARGO_ENCODED_RUSTFLAGS -u RUSTFLAGS cargo build --release --locked --target-dir target -p bantam-cli
	$(PEERS) compare --peer $(PEER) --out target/peers$(PEER_SUFFIX).json $(PEER_BACKEND_$(PEER)) $(ARGS)

chart: ## Draw what bench-peers found as docs/speed.svg (without results it measures first)
	@[ -f target/peers.json ] || $(MAKE) bench-peers
	@mkdir -p docs
	scripts/chart target/peers.json $(wildcard target/peers-avx2.json) > docs/speed.svg.new
	mv docs/speed.svg.new docs/speed.svg

bench-formats: peers ## Measure the matrix product of every format against ggml's, on one thread (PEER=avx2, ARGS="--format q4_0")
	env -u CARGO_ENCODED_RUSTFLAGS -u RUSTFLAGS cargo build --release --locked --target-dir target -p bantam-cli
	$(PEERS) products --out target/formats$(PEER_SUFFIX).json $(PEER_BACKEND_$(PEER)) $(ARGS)

bench-embeddings: peers minilm ## Measure vectors of sentences against llama.cpp's, on the two files of `make minilm` (ARGS="--rounds 9")
	env -u CARGO_ENCODED_RUSTFLAGS -u RUSTFLAGS cargo build --release --locked --target-dir target --example embedding_speed
	scripts/bench-embeddings $(PEERS) target/release/examples/embedding_speed $(ARGS)

# Llamas of 1.1 billion random weights, for speed and memory: 16 layers, dim 2048, 32 heads, 8 of keys and values, ffn 8192.
SHAPED = models/1.1b-q4_0.gguf models/1.1b-q4_k_m.gguf

models-1b: model $(SHAPED) ## Make the two models of 1.1 billion random weights in models/ (1.3 GB)

models/1.1b-%.gguf: | model
	$(MAKE) peers
	$(PEERS) make-model --out $@ --type $*
