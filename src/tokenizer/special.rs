//! Floor 2. Tokens with a task: which begin and end a text, which end an answer. The metadata names some; others are
//! known by their text, since many files leave them out or type them as plain text.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use super::TokenId;
use super::source::VocabularySource;
use super::vocabulary::{Kind, Vocabulary, reserve};
use crate::error::{Error, Result, text};

/// A task that the metadata can give to one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Begins a text.
    Bos,
    /// Ends a text.
    Eos,
    /// Ends a turn of a chat.
    Eot,
    /// Ends a message within a turn.
    Eom,
    /// Fill in the middle: the text before the gap follows.
    FimPrefix,
    /// Fill in the middle: the text after the gap follows.
    FimSuffix,
    /// Fill in the middle: the gap's text follows.
    FimMiddle,
    /// Fill in the middle: pads.
    FimPad,
    /// Fill in the middle: the name of a repository follows.
    FimRepository,
    /// Fill in the middle: another file follows.
    FimSeparator,
}

/// What is known of a [`Role`].
struct Known {
    /// The metadata keys that name its token; of several, the last one present counts.
    keys: &'static [&'static str],
    /// Without a key, the token of lowest id with one of these texts takes the role, and is a control token.
    texts: &'static [&'static str],
    /// Whether an answer is over when its token comes.
    ends_generation: bool,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 10] = [
        Role::Bos,
        Role::Eos,
        Role::Eot,
        Role::Eom,
        Role::FimPrefix,
        Role::FimSuffix,
        Role::FimMiddle,
        Role::FimPad,
        Role::FimRepository,
        Role::FimSeparator,
    ];

    /// The metadata keys that name the role's token; of several, the last one present counts.
    pub fn keys(self) -> &'static [&'static str] {
        self.known().keys
    }

    fn known(self) -> Known {
        let (keys, texts, ends_generation): (&[&str], &[&str], bool) = match self {
            Role::Bos => (&["tokenizer.ggml.bos_token_id"], &[], false),
            Role::Eos => (&["tokenizer.ggml.eos_token_id"], &[], true),
            Role::Eot => (
                &["tokenizer.ggml.eot_token_id"],
                &[
                    "<|eot_id|>",
                    "<|im_end|>",
                    "<|end|>",
                    "<end_of_turn>",
                    "<|endoftext|>",
                    "<|end_of_text|>",
                    "<EOT>",
                    "_<EOT>",
                    "[EOT]",
                    "<｜end▁of▁sentence｜>",
                    "<end_of_utterance>",
                ],
                true,
            ),
            Role::Eom => (&["tokenizer.ggml.eom_token_id"], &["<|eom_id|>"], true),
            Role::FimPrefix => (
                &["tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.prefix_token_id"],
                &[
                    "<|fim_prefix|>",
                    "<fim-prefix>",
                    "<fim_prefix>",
                    "<｜fim▁begin｜>",
                    "<PRE>",
                    "▁<PRE>",
                    "<|code_prefix|>",
                    "<|prefix|>",
                ],
                false,
            ),
            Role::FimSuffix => (
                &["tokenizer.ggml.fim_suf_token_id", "tokenizer.ggml.suffix_token_id"],
                &[
                    "<|fim_suffix|>",
                    "<fim-suffix>",
                    "<fim_suffix>",
                    "<｜fim▁hole｜>",
                    "<SUF>",
                    "▁<SUF>",
                    "<|code_suffix|>",
                    "<|suffix|>",
                ],
                false,
            ),
            Role::FimMiddle => (
                &["tokenizer.ggml.fim_mid_token_id", "tokenizer.ggml.middle_token_id"],
                &[
                    "<|fim_middle|>",
                    "<fim-middle>",
                    "<fim_middle>",
                    "<｜fim▁end｜>",
                    "<MID>",
                    "▁<MID>",
                    "<|code_middle|>",
                    "<|middle|>",
                ],
                false,
            ),
            Role::FimPad => (
                &["tokenizer.ggml.fim_pad_token_id"],
                &["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"],
                true,
            ),
            Role::FimRepository => (
                &["tokenizer.ggml.fim_rep_token_id"],
                &["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"],
                true,
            ),
            Role::FimSeparator => (&["tokenizer.ggml.fim_sep_token_id"], &["<|file_sep|>"], true),
        };
        Known { keys, texts, ends_generation }
    }
}

/// Tokens of these texts end an answer and are control tokens, whatever their type.
const ENDS: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
];

/// Tokens of these texts structure an answer and are shown as part of it, whatever their type.
const SHOWN: &[&str] = &["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"];

/// In a vocabulary that has one of these sets as well, `<|end|>` ends a message and not the answer.
const END_IS_NO_END: &[&[&str]] = &[
    &["<|return|>", "<|call|>"],
    &["<|return|>", "<|calls|>"],
    &["<|flush|>", "<|call|>"],
    &["<|flush|>", "<|calls|>"],
];

/// Whether `text` alone says what a token is for.
pub(super) fn is_well_known(text: &[u8]) -> bool {
    is_one_of(text, ENDS)
        || is_one_of(text, SHOWN)
        || Role::ALL.iter().any(|role| is_one_of(text, role.known().texts))
}

fn is_one_of(text: &[u8], texts: &[&str]) -> bool {
    texts.iter().any(|known| known.as_bytes() == text)
}

/// The tokens with a task in one vocabulary.
#[derive(Debug)]
pub(super) struct Special {
    roles: [Option<TokenId>; Role::ALL.len()],
    /// The tokens that end an answer, ascending.
    ends: Vec<TokenId>,
    /// A text begins with it when special tokens are added.
    pub(super) first: Option<TokenId>,
    /// A text ends with it when special tokens are added.
    pub(super) last: Option<TokenId>,
}

impl Special {
    /// Finds the tokens with a task, and corrects the kinds of those that are known by their text. `adds_bos` counts
    /// where the metadata does not say.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] if the metadata gives a role to a token that is not there, or wants BOS or EOS added
    /// without telling which it is; [`Error::Memory`].
    pub(super) fn find<S, T>(
        source: &VocabularySource<'_, S, T>,
        vocabulary: &mut Vocabulary,
        adds_bos: bool,
    ) -> Result<Special> {
        let mut special = Special { roles: source.roles, ends: Vec::new(), first: None, last: None };
        let count = vocabulary.count();
        for (role, id) in Role::ALL.into_iter().zip(source.roles) {
            if let Some(id) = id.filter(|id| *id as usize >= count) {
                let key = role.keys().first().copied().unwrap_or_default();
                return Err(Error::Inconsistent(text!(
                    "{key} is {id}, but the vocabulary has {count} tokens"
                )));
            }
        }
        special.find_by_text(vocabulary)?;
        for (role, id) in Role::ALL.into_iter().zip(special.roles) {
            if let Some(id) = id.filter(|_| role.known().ends_generation) {
                special.add_end(id)?;
            }
        }
        special.spare_end_of_message(vocabulary);
        special.ends.sort_unstable();

        special.first = special.get(Role::Bos).filter(|_| source.add_bos.unwrap_or(adds_bos));
        special.last = special.get(Role::Eos).filter(|_| source.add_eos.unwrap_or(false));
        let missing = |key: &str, id: &str| {
            Error::Inconsistent(text!("tokenizer.ggml.{key} is true, but tokenizer.ggml.{id} is missing"))
        };
        match special {
            Special { first: None, .. } if source.add_bos == Some(true) => {
                Err(missing("add_bos_token", "bos_token_id"))
            }
            Special { last: None, .. } if source.add_eos == Some(true) => {
                Err(missing("add_eos_token", "eos_token_id"))
            }
            special => Ok(special),
        }
    }

    /// The token that plays `role`.
    pub(super) fn get(&self, role: Role) -> Option<TokenId> {
        self.roles.get(role as usize).copied().flatten()
    }

    /// Whether an answer is over when token `id` comes.
    pub(super) fn ends_generation(&self, id: TokenId) -> bool {
        self.ends.binary_search(&id).is_ok()
    }

    /// The memory held, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        self.ends.capacity() * size_of::<TokenId>()
    }

    fn find_by_text(&mut self, vocabulary: &mut Vocabulary) -> Result<()> {
        for id in vocabulary.ids() {
            let text = vocabulary.bytes(id);
            // Every text of the lists begins in one of four ways; nearly no token does.
            if !matches!(text, [b'<' | b'[' | b'_', ..] | [0xe2, 0x96, 0x81, ..]) || !is_well_known(text) {
                continue;
            }
            let (ends, shown) = (is_one_of(text, ENDS), is_one_of(text, SHOWN));
            let mut is_control = ends;
            for (role, slot) in Role::ALL.into_iter().zip(&mut self.roles) {
                if slot.is_none() && is_one_of(text, role.known().texts) {
                    *slot = Some(id);
                    is_control = true;
                }
            }
            if shown {
                vocabulary.set_kind(id, Kind::UserDefined);
            } else if is_control {
                vocabulary.set_kind(id, Kind::Control);
            }
            // Every token comes once here, so there is no need to look for it among the others.
            if ends {
                reserve(&mut self.ends, 1)?;
                self.ends.push(id);
            }
        }
        Ok(())
    }

    fn add_end(&mut self, id: TokenId) -> Result<()> {
        if !self.ends.contains(&id) {
            reserve(&mut self.ends, 1)?;
            self.ends.push(id);
        }
        Ok(())
    }

    fn spare_end_of_message(&mut self, vocabulary: &mut Vocabulary) {
        let find =
            |text: &&str| self.ends.iter().copied().find(|id| vocabulary.bytes(*id) == text.as_bytes());
        let Some(end) = find(&"<|end|>") else { return };
        if END_IS_NO_END.iter().any(|set| set.iter().all(|text| find(text).is_some())) {
            self.ends.retain(|id| *id != end);
            vocabulary.set_kind(end, Kind::UserDefined);
        }
    }
}
