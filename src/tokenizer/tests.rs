//! The tokenizer as a whole, over small vocabularies made here, against readings of its rules that are slow and short.
#![forbid(unsafe_code)]

mod characters;

use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::pretokenize::tests::hard_text;
use super::*;

/// A vocabulary to be changed before it is read.
#[derive(Clone)]
struct Draft {
    model: &'static str,
    pre: Option<&'static str>,
    tokens: Vec<Vec<u8>>,
    types: Vec<i32>,
    merges: Vec<Vec<u8>>,
    roles: [Option<TokenId>; Role::ALL.len()],
    add_bos: Option<bool>,
    add_eos: Option<bool>,
    scores: Option<Vec<f32>>,
    add_space_prefix: Option<bool>,
    charsmap: Option<Vec<u8>>,
}

impl Draft {
    /// Every byte, and what `merges` of two texts make.
    fn new(pre: &'static str, merges: &[(&str, &str)]) -> Draft {
        let mut draft = Draft {
            model: "gpt2",
            pre: Some(pre),
            tokens: (0..=255).map(|byte| written(&[byte])).collect(),
            types: vec![1; 256],
            merges: Vec::new(),
            roles: [None; Role::ALL.len()],
            add_bos: None,
            add_eos: None,
            scores: None,
            add_space_prefix: None,
            charsmap: None,
        };
        for (left, right) in merges {
            draft.add_merge(left.as_bytes(), right.as_bytes());
        }
        draft
    }

    fn add_merge(&mut self, left: &[u8], right: &[u8]) {
        let (left, right) = (written(left), written(right));
        self.merges.push([&left[..], b" ", &right[..]].concat());
        let merged = [left, right].concat();
        if !self.tokens.contains(&merged) {
            self.add(1, &merged);
        }
    }

    fn add(&mut self, number: i32, text: &[u8]) -> TokenId {
        self.tokens.push(text.to_vec());
        self.types.push(number);
        self.tokens.len() as TokenId - 1
    }

    fn read(&self) -> Result<Tokenizer> {
        Tokenizer::new(&VocabularySource {
            model: self.model,
            pre: self.pre,
            tokens: self.tokens.iter().map(Vec::as_slice),
            types: Some(self.types.iter().copied()),
            merges: Some(self.merges.iter().map(Vec::as_slice)),
            roles: self.roles,
            add_bos: self.add_bos,
            add_eos: self.add_eos,
            scores: self.scores.as_ref().map(|scores| scores.iter().copied()),
            add_space_prefix: self.add_space_prefix,
            remove_extra_whitespaces: None,
            charsmap: self.charsmap.as_deref(),
            lowercase: None,
            strip_accents: None,
            name: None,
            architecture: None,
        })
    }

    fn message(&self) -> String {
        self.read().unwrap_err().to_string()
    }
}

/// Bytes in the byte alphabet.
fn written(bytes: &[u8]) -> Vec<u8> {
    let character = |byte: &u8| ('\0'..'\u{200}').find(|c| alphabet::byte(*c) == Some(*byte)).unwrap();
    bytes.iter().map(character).collect::<String>().into_bytes()
}

fn encode(tokenizer: &Tokenizer, text: &str, parse_special: bool) -> Vec<TokenId> {
    let mut ids = Vec::new();
    tokenizer.encode(text, EncodeOptions { add_special: false, parse_special }, &mut ids).unwrap();
    ids
}

fn pieces(tokenizer: &Tokenizer, text: &str, parse_special: bool) -> Vec<String> {
    let ids = encode(tokenizer, text, parse_special);
    ids.iter().map(|id| String::from_utf8_lossy(tokenizer.token_bytes(*id).unwrap()).into_owned()).collect()
}

const FAMILIES: [&str; 10] = [
    "smollm",
    "gpt-2",
    "llama-bpe",
    "qwen2",
    "qwen35",
    "gpt-4o",
    "deepseek-llm",
    "deepseek-v3",
    "falcon",
    "viking",
];

#[test]
fn merges_go_by_rank_and_then_from_the_left() {
    let tokenizer = Draft::new("gpt-2", &[("b", "c"), ("a", "b"), ("a", "a"), ("aa", "a")]).read().unwrap();
    assert_eq!(pieces(&tokenizer, "abc", false), ["a", "bc"]);
    assert_eq!(pieces(&tokenizer, "ababc", false), ["ab", "a", "bc"]);
    assert_eq!(pieces(&tokenizer, "aaaaa", false), ["aa", "aaa"]);
}

#[test]
fn a_merge_is_split_at_the_first_space_after_its_first_character() {
    let mut draft = Draft::new("gpt-2", &[]);
    draft.add(1, &written(b"ab"));
    draft.merges.push(b"a b".to_vec());
    assert_eq!(pieces(&draft.read().unwrap(), "ab", false), ["ab"]);
    for line in ["ab", " ab", "a  b", "", " ", "a ", "a b c", "a \u{2581}"] {
        draft.merges[0] = line.as_bytes().to_vec();
        assert!(draft.message().contains("merge 0"), "{line:?}: {}", draft.message());
    }
}

#[test]
fn whole_words_skip_merging_only_in_their_families() {
    for (pre, expected) in [("llama-bpe", vec!["abc"]), ("qwen2", vec!["ab", "c"])] {
        let mut draft = Draft::new(pre, &[("a", "b")]);
        draft.add(1, b"abc");
        assert_eq!(pieces(&draft.read().unwrap(), "abc", false), expected, "{pre}");
    }
}

#[test]
fn special_texts_are_found_longest_first() {
    let mut draft = Draft::new("gpt-2", &[]);
    let control = draft.add(3, b"<|x|>");
    let user = draft.add(4, b"  ");
    let unknown = draft.add(2, "<é>".as_bytes());
    let overlapping = draft.add(4, b"cde");
    draft.add(4, b"bc");
    let tokenizer = draft.read().unwrap();
    assert_eq!(encode(&tokenizer, "<|x|><é>", true), [control, unknown]);
    assert!(!encode(&tokenizer, "<|x|><é>", false).iter().any(|id| *id >= control));
    assert_eq!(encode(&tokenizer, "   ", false), [user, TokenId::from(b' ')]);
    assert_eq!(encode(&tokenizer, "bcde", false), [TokenId::from(b'b'), overlapping]);
    assert_eq!(pieces(&tokenizer, "bcd", false), ["bc", "d"]);
}

#[test]
fn bos_and_eos_are_added_where_the_model_wants_them() {
    let all = EncodeOptions { add_special: true, parse_special: false };
    let added = |add_bos, add_eos, pre| {
        let mut draft = Draft::new(pre, &[]);
        draft.roles[Role::Bos as usize] = Some(1);
        draft.roles[Role::Eos as usize] = Some(2);
        (draft.add_bos, draft.add_eos) = (add_bos, add_eos);
        let mut ids = vec![7];
        draft.read().unwrap().encode("a", all, &mut ids).unwrap();
        ids
    };
    let a = TokenId::from(b'a');
    assert_eq!(added(None, None, "smollm"), [7, a]);
    assert_eq!(added(None, None, "llama-bpe"), [7, 1, a]);
    assert_eq!(added(Some(false), Some(true), "llama-bpe"), [7, a, 2]);
    assert_eq!(added(Some(true), Some(true), "gpt-2"), [7, 1, a, 2]);

    let mut draft = Draft::new("gpt-2", &[]);
    draft.add_eos = Some(true);
    assert!(draft.message().contains("eos_token_id is missing"));
}

#[test]
fn ends_of_generation_are_named_or_known_by_their_text() {
    let mut draft = Draft::new("gpt-2", &[]);
    let known = [
        draft.add(3, b"<|im_end|>"),
        draft.add(1, b"<|endoftext|>"),
        draft.add(4, "<｜end▁of▁sentence｜>".as_bytes()),
    ];
    let separator = draft.add(4, b"<|file_sep|>");
    let end = draft.add(3, b"<|end|>");
    let start = draft.add(3, b"<|im_start|>");
    draft.roles[Role::Eos as usize] = Some(5);
    let tokenizer = draft.read().unwrap();
    for id in known.into_iter().chain([separator, end, 5]) {
        assert!(tokenizer.is_end_of_generation(id), "{id}");
    }
    assert!(known.iter().all(|id| tokenizer.is_control(*id)) && !tokenizer.is_control(5));
    assert!(!tokenizer.is_end_of_generation(start) && !tokenizer.is_end_of_generation(6));
    assert_eq!(tokenizer.role(Role::Eot), Some(known[0]));
    assert_eq!(tokenizer.piece(known[0]), b"");
    assert_eq!(tokenizer.token_bytes(known[0]), Some(&b"<|im_end|>"[..]));

    draft.add(3, b"<|return|>");
    draft.add(3, b"<|call|>");
    let tokenizer = draft.read().unwrap();
    assert!(!tokenizer.is_end_of_generation(end) && !tokenizer.is_control(end));
}

#[test]
fn vocabularies_that_contradict_themselves_are_refused() {
    let refused = |change: &dyn Fn(&mut Draft), part: &str| {
        let mut draft = Draft::new("gpt-2", &[("a", "b")]);
        change(&mut draft);
        assert!(draft.message().contains(part), "{part}: {}", draft.message());
    };
    refused(&|draft| draft.model = "rwkv", "tokenizer \"rwkv\"");
    refused(&|draft| draft.pre = Some("x"), "\"x\"");
    refused(&|draft| draft.pre = None, "tokenizer.ggml.pre");
    refused(&|draft| _ = draft.types.pop(), "257 tokens, but only 256 types");
    refused(&|draft| draft.types.push(1), "more types");
    refused(&|draft| draft.types[3] = 7, "token 3 has type 7");
    refused(&|draft| draft.types[3] = -1, "token 3 has type -1");
    refused(&|draft| draft.tokens[7] = b"a".to_vec(), "tokens 7 and 97 are both \"a\"");
    refused(
        &|draft| (draft.tokens[7], draft.types[7]) = (b"\xff".to_vec(), 3),
        "special token 7 is not UTF-8",
    );
    refused(&|draft| draft.types[7] = 6, "byte token 7");
    refused(&|draft| _ = draft.tokens.splice(7..7, [b"<x>".to_vec()]), "257 types");
    refused(&|draft| draft.tokens[256] = b"ax".to_vec(), "merge 0");
    refused(&|draft| draft.roles[0] = Some(257), "tokenizer.ggml.bos_token_id is 257");
    refused(
        &|draft| [draft.add(4, b"  "), draft.add(3, b"  ")].into_iter().for_each(drop),
        "special tokens 257 and 258 are both \"  \"",
    );
}

#[test]
fn odd_tokens_are_kept() {
    let mut draft = Draft::new("gpt-2", &[]);
    let empty = draft.add(1, b"");
    let byte = draft.add(6, b"<0x41>");
    let unused = draft.add(5, "[unused ▁]".as_bytes());
    let character = draft.add(1, "\u{200d}".as_bytes());
    let tokenizer = draft.read().unwrap();
    assert_eq!(tokenizer.vocab_size(), 260);
    assert_eq!(tokenizer.piece(character), "\u{200d}".as_bytes());
    assert_eq!(encode(&tokenizer, "\u{200d}", false), [0xe2, 0x80, 0x8d]);
    assert_eq!(
        (tokenizer.piece(empty), tokenizer.piece(byte), tokenizer.piece(unused)),
        (&b""[..], &b"A"[..], &b""[..])
    );
    assert_eq!((tokenizer.token_bytes(260), tokenizer.piece(u32::MAX)), (None, &b""[..]));
    assert!(encode(&tokenizer, "", true).is_empty());
}

#[test]
fn a_byte_that_the_vocabulary_lacks_is_left_out() {
    let mut draft = Draft::new("gpt-2", &[]);
    draft.tokens.remove(0xc3);
    draft.types.remove(0xc3);
    assert_eq!(encode(&draft.read().unwrap(), "é", false), [0xa9]);
    assert_eq!(encode(&draft.read().unwrap(), &"é".repeat(40), false), [0xa9; 40]);
}

/// A vocabulary whose merges are drawn: each joins two tokens that exist by then.
fn drawn_draft(pre: &'static str, picks: &[(u16, u16)]) -> Draft {
    let mut draft = Draft::new(pre, &[]);
    let mut tokens: Vec<Vec<u8>> = b"abc '\xc3\xa9".iter().map(|byte| vec![*byte]).collect();
    for (left, right) in picks {
        let (left, right) = (&tokens[*left as usize % tokens.len()], &tokens[*right as usize % tokens.len()]);
        draft.add_merge(left, right);
        tokens.push([&left[..], &right[..]].concat());
    }
    draft
}

/// Merges the bytes of a word as the rule says: again and again the leftmost of the most urgent pairs.
fn merge_slowly(draft: &Draft, word: &[u8]) -> Vec<Vec<u8>> {
    let mut parts: Vec<Vec<u8>> = word.iter().map(|byte| written(&[*byte])).collect();
    let rank = |pair: &[Vec<u8>]| {
        let line = [&pair[0][..], b" ", &pair[1][..]].concat();
        draft.merges.iter().position(|merge| *merge == line)
    };
    while let Some((_, place)) =
        parts.windows(2).enumerate().filter_map(|(place, pair)| Some((rank(pair)?, place))).min()
    {
        let right = parts.remove(place + 1);
        parts[place].extend(right);
    }
    parts
}

/// Cuts special tokens out of a text one after the other, the longest first.
fn cut_slowly(draft: &Draft, text: &str, parse_special: bool) -> Vec<(usize, TokenId)> {
    let mut special: Vec<usize> = (0..draft.tokens.len())
        .filter(|id| draft.types[*id] == 4 || draft.types[*id] == 3 && parse_special)
        .collect();
    special.sort_by_key(|id| core::cmp::Reverse(draft.tokens[*id].len()));
    let mut free = vec![true; text.len()];
    let mut found = Vec::new();
    for id in special {
        let token = &draft.tokens[id];
        for start in 0..(text.len() + 1).saturating_sub(token.len()) {
            let range = start..start + token.len();
            if text.as_bytes()[range.clone()] == token[..] && free[range.clone()].iter().all(|free| *free) {
                free[range].fill(false);
                found.push((start, id as TokenId));
            }
        }
    }
    found.sort_unstable();
    found
}

proptest! {
    #[test]
    fn text_comes_back_in_every_family(text in hard_text(), picks in prop::collection::vec(any::<(u16, u16)>(), 0..40)) {
        for pre in FAMILIES {
            let mut draft = drawn_draft(pre, &picks);
            draft.add(3, b"<|a|>");
            draft.add(4, b"  ");
            let tokenizer = draft.read().unwrap();
            for parse_special in [false, true] {
                let ids = encode(&tokenizer, &text, parse_special);
                let bytes: Vec<u8> = ids.iter().flat_map(|id| tokenizer.token_bytes(*id).unwrap()).copied().collect();
                prop_assert_eq!(String::from_utf8_lossy(&bytes), text.as_str());
            }
        }
    }

    #[test]
    fn words_of_any_length_merge_by_the_rule(
        word in "[abcé]{1,70}",
        picks in prop::collection::vec(any::<(u16, u16)>(), 0..60),
    ) {
        let draft = drawn_draft("gpt-2", &picks);
        let tokenizer = draft.read().unwrap();
        let ids = encode(&tokenizer, &word, false);
        let found: Vec<&Vec<u8>> = ids.iter().map(|id| &draft.tokens[*id as usize]).collect();
        let expected = merge_slowly(&draft, word.as_bytes());
        prop_assert_eq!(found, expected.iter().collect::<Vec<_>>());
    }

    #[test]
    fn special_texts_are_cut_out_by_the_rule(
        text in "[abc]{0,60}",
        special in prop::collection::btree_map("[abc]{1,6}", 3..5, 0..8),
        parse_special: bool,
    ) {
        let mut draft = Draft::new("gpt-2", &[]);
        for (text, number) in special.into_iter().filter(|(text, _)| text.len() > 1) {
            draft.add(number, text.as_bytes());
        }
        let tokenizer = draft.read().unwrap();
        let marks = if parse_special { &tokenizer.all_marks } else { &tokenizer.plain_marks };
        let found = marks.find_in(&tokenizer.vocabulary, text.as_bytes()).unwrap();
        let found: Vec<(usize, TokenId)> = found.iter().map(|mark| (mark.start, mark.id)).collect();
        prop_assert_eq!(found, cut_slowly(&draft, &text, parse_special));
    }
}
