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
    /// Stands for what the vocabulary cannot say.
    Unknown,
    /// Ends a text, or stands between two.
    Separator,
    /// Fills up.
    Padding,
    /// Stands for what is to be guessed.
    Mask,
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
    pub const ALL: [Role; 14] = [
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
        Role::Unknown,
        Role::Separator,
        Role::Padding,
        Role::Mask,
    ];

    /// The token that plays the role in tokenizers of kind `model` where the metadata does not say.
    pub(super) fn default_of(self, model: &str) -> Option<TokenId> {
        Some(match (model, self) {
            ("llama", Role::Bos) => 1,
            ("llama", Role::Eos) => 2,
            ("llama", Role::Unknown) => 0,
            ("bert", Role::Bos) => 101,
            ("bert", Role::Separator) => 102,
            ("bert", Role::Unknown) => 100,
            ("bert", Role::Padding) => 0,
            ("bert", Role::Mask) => 103,
            ("t5", Role::Eos) => 1,
            ("t5", Role::Unknown) => 2,
            ("t5", Role::Padding) => 0,
            _ => return None,
        })
    }

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
            Role::Unknown => (&["tokenizer.ggml.unknown_token_id"], &[], false),
            // The key is spelt so.
            Role::Separator => (&["tokenizer.ggml.seperator_token_id"], &[], false),
            Role::Padding => (&["tokenizer.ggml.padding_token_id"], &[], false),
            Role::Mask => (&["tokenizer.ggml.mask_token_id"], &[], false),
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

/// What a kind of tokenizer puts around a text where the metadata does not say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around {
    /// Whether a text begins with BOS; `None` for always, whatever the metadata says.
    pub(super) bos: Option<bool>,
    /// Whether a text ends with `last`; `None` for always.
    pub(super) eos: Option<bool>,
    /// Which token ends it.
    pub(super) last: Role,
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
    strips: Strips,
}

/// Which special tokens take the white space beside them.
#[derive(Clone, Copy, Debug)]
enum Strips {
    None,
    /// This one, the white space in front of it.
    Before(TokenId),
    /// All but the three that end or begin texts, the white space behind them.
    Behind,
}

impl Special {
    /// Finds the tokens with a task, and corrects the kinds of those that are known by their text. `around` counts where
    /// the metadata does not say.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] if the metadata gives a role to a token that is not there, or wants BOS or EOS added
    /// without telling which it is; [`Error::Memory`].
    pub(super) fn find<S, T, F>(
        source: &VocabularySource<'_, S, T, F>,
        vocabulary: &mut Vocabulary,
        around: Around,
    ) -> Result<Special> {
        let mut special = Special {
            roles: source.roles,
            ends: Vec::new(),
            first: None,
            last: None,
            strips: Strips::find(source, vocabulary),
        };
        let count = vocabulary.count();
        for (role, id) in Role::ALL.into_iter().zip(source.roles) {
            if let Some(id) = id.filter(|id| *id as usize >= count) {
                let key = role.keys().first().copied().unwrap_or_default();
                return Err(Error::Inconsistent(text!(
                    "{key} is {id}, but the vocabulary has {count} tokens"
                )));
            }
        }
        for (role, slot) in Role::ALL.into_iter().zip(&mut special.roles) {
            *slot = source.role(role, vocabulary);
        }
        special.find_by_text(vocabulary)?;
        for (role, id) in Role::ALL.into_iter().zip(special.roles) {
            if let Some(id) = id.filter(|_| role.known().ends_generation) {
                special.add_end(id)?;
            }
        }
        special.spare_end_of_message(vocabulary);
        special.spare_end_of_sequence(vocabulary);
        special.ends.sort_unstable();

        let adds =
            |asked: Option<bool>, usual: Option<bool>| usual.is_none_or(|usual| asked.unwrap_or(usual));
        special.first = special.get(Role::Bos).filter(|_| adds(source.add_bos, around.bos));
        special.last = special.get(around.last).filter(|_| adds(source.add_eos, around.eos));
        let missing = |key: &str, id: &str| {
            Error::Inconsistent(text!("tokenizer.ggml.{key} is true, but tokenizer.ggml.{id} is missing"))
        };
        match special {
            Special { first: None, .. } if source.add_bos == Some(true) => {
                Err(missing("add_bos_token", "bos_token_id"))
            }
            Special { last: None, .. } if source.add_eos == Some(true) && around.last == Role::Eos => {
                Err(missing("add_eos_token", "eos_token_id"))
            }
            special => Ok(special),
        }
    }

    /// Whether token `id` takes the white space in front of it.
    pub(super) fn strips_before(&self, id: TokenId) -> bool {
        matches!(self.strips, Strips::Before(stripping) if stripping == id)
    }

    /// Whether token `id` takes the white space behind it.
    pub(super) fn strips_behind(&self, vocabulary: &Vocabulary, id: TokenId) -> bool {
        matches!(self.strips, Strips::Behind)
            && !is_one_of(vocabulary.bytes(id), &["<unk>", "<s>", "<|endoftext|>"])
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

    /// Gemma 4 has `</s>` as text.
    fn spare_end_of_sequence(&mut self, vocabulary: &mut Vocabulary) {
        let find = |text: &str| self.ends.iter().copied().find(|id| vocabulary.bytes(*id) == text.as_bytes());
        if let (Some(end), Some(_)) = (find("</s>"), find("<|tool_response>")) {
            self.ends.retain(|id| *id != end);
            vocabulary.set_kind(end, Kind::Normal);
        }
    }
}

impl Strips {
    /// Files do not say which tokens do so; the names of models do, as in llama.cpp.
    fn find<S, T, F>(source: &VocabularySource<'_, S, T, F>, vocabulary: &Vocabulary) -> Strips {
        let names = |value: Option<&str>, parts: &[&str]| {
            let has = |part: &&str| {
                let mut windows = value.unwrap_or_default().as_bytes().windows(part.len());
                windows.any(|found| found.eq_ignore_ascii_case(part.as_bytes()))
            };
            parts.iter().any(has)
        };
        let before = |text: &str| {
            let find = vocabulary.ids().find(|id| vocabulary.bytes(*id) == text.as_bytes());
            find.map_or(Strips::None, Strips::Before)
        };
        if names(source.pre, &["jina-v2-de", "jina-v2-es", "jina-v2-code"])
            || names(source.architecture, &["nomic-bert-moe", "jina-bert-v3"])
        {
            before("<mask>")
        } else if names(source.name, &["phi-3", "phi3"]) {
            Strips::Behind
        } else if names(source.name, &["modern-bert"]) {
            before("[MASK]")
        } else {
            Strips::None
        }
    }
}
