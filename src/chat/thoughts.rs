//! Floor 4. What a model thought before it spoke, told from what it said.
#![forbid(unsafe_code)]

use std::string::{String, ToString};

/// The tags that models put around their thoughts.
const THOUGHTS: [(&str, &str); 4] = [
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel|>analysis<|message|>", "<|end|>"),
];

/// Thoughts and what follows them. Where the prompt ends in the first tag, only the second is there.
pub(super) fn split_reasoning(said: &str) -> (Option<String>, &str) {
    for (open, close) in THOUGHTS {
        let begun = said.trim_start();
        let has_open = begun.starts_with(open);
        let thoughts = begun.strip_prefix(open).unwrap_or(begun);
        let found = thoughts.split_once(close);
        let (thoughts, rest) = match found {
            Some(parts) => parts,
            // Cut short in the middle of its thoughts.
            None if has_open => (thoughts, ""),
            None => continue,
        };
        if !has_open && thoughts.contains("<tool_call>") {
            continue;
        }
        let rest = rest.trim_start();
        let rest = rest.strip_prefix("<|start|>assistant").unwrap_or(rest);
        let rest = rest.strip_prefix("<|channel|>final<|message|>").unwrap_or(rest);
        let thoughts = thoughts.trim();
        return (Some(thoughts.to_string()).filter(|thoughts| !thoughts.is_empty()), rest);
    }
    (None, said.strip_prefix("<|channel|>final<|message|>").unwrap_or(said))
}
