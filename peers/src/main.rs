//! llama.cpp and ggml as parity oracle and side-by-side benchmark.
fn main() {}
