//! Floor 2. Qwen 2's words: Llama 3's, but every number stands alone (`\p{N}` for `\p{N}{1,3}`).
#![forbid(unsafe_code)]

pub(super) fn first_word(text: &str) -> usize {
    super::llama3::first_word_with_numbers(text, 1)
}
