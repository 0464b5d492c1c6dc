//! Tokenizers of characters over small vocabularies, against readings of their rules that are slow and short; and all
//! of them over vocabularies that make no sense.
#![forbid(unsafe_code)]

use super::*;

/// Tokens with their scores, behind one for each byte.
fn draft(model: &'static str, pieces: &[(String, f32)]) -> Draft {
    let mut draft = Draft { model, ..Draft::new("gpt-2", &[]) };
    draft.tokens = std::vec!["<unk>".into(), "<s>".into(), "</s>".into()];
    draft.types = std::vec![2, 3, 3];
    let mut scores = std::vec![0.0; 3];
    for byte in 0..=255u8 {
        draft.add(6, std::format!("<0x{byte:02X}>").as_bytes());
        scores.push(0.0);
    }
    for (piece, score) in pieces {
        let written = piece.replace(' ', "\u{2581}").into_bytes();
        if !draft.tokens.contains(&written) && !written.is_empty() {
            draft.add(1, &written);
            scores.push(*score);
        }
    }
    draft.scores = Some(scores);
    draft.roles[Role::Unknown as usize] = Some(0);
    draft
}

/// The pieces of a draft by their text.
fn pieces_of(draft: &Draft) -> Vec<(String, TokenId, f32)> {
    let scores = draft.scores.as_ref().unwrap();
    let normal = (0..draft.tokens.len()).filter(|id| draft.types[*id] == 1);
    normal
        .map(|id| {
            let text = String::from_utf8(draft.tokens[id].clone()).unwrap().replace('\u{2581}', " ");
            (text, id as TokenId, scores[id])
        })
        .collect()
}

/// Joins the two neighbours of the highest score, the leftmost of equals, as long as there are any.
fn merge_slowly(draft: &Draft, text: &str) -> Vec<TokenId> {
    let pieces = pieces_of(draft);
    let find = |text: &str| pieces.iter().find(|piece| piece.0 == text);
    let mut parts: Vec<String> = text.chars().map(String::from).collect();
    loop {
        let mut best: Option<(f32, usize)> = None;
        for place in 1..parts.len() {
            let joined = [&*parts[place - 1], &parts[place]].concat();
            if let Some((_, _, score)) = find(&joined)
                && best.is_none_or(|(highest, _)| *score > highest)
            {
                best = Some((*score, place));
            }
        }
        let Some((_, place)) = best else { break };
        let right = parts.remove(place);
        parts[place - 1].push_str(&right);
    }
    let mut ids = Vec::new();
    for part in parts {
        match find(&part) {
            Some((_, id, _)) => ids.push(*id),
            None => ids.extend(part.bytes().map(|byte| 3 + TokenId::from(byte))),
        }
    }
    ids
}

/// The highest sum of scores of all ways to write a text, by trying them all.
fn best_slowly(draft: &Draft, text: &str) -> f64 {
    let pieces = pieces_of(draft);
    let lowest = pieces.iter().map(|piece| piece.2).fold(f32::MAX, f32::min);
    let mut best: Vec<f64> = std::vec![0.0; text.len() + 1];
    let places: Vec<usize> = text.char_indices().map(|(place, _)| place).collect();
    for place in places.into_iter().rev() {
        let rest = &text[place..];
        let first = rest.chars().next().unwrap().len_utf8();
        let fits = pieces.iter().filter(|piece| rest.starts_with(&piece.0));
        let mut ways: Vec<f64> =
            fits.clone().map(|piece| f64::from(piece.2) + best[place + piece.0.len()]).collect();
        if !fits.clone().any(|piece| piece.0.len() == first) {
            ways.push(f64::from(lowest - 10.0) + best[place + first]);
        }
        best[place] = ways.into_iter().fold(f64::MIN, f64::max);
    }
    best[0]
}

#[test]
fn a_prefix_is_put_in_front_and_behind_special_tokens() {
    let mut draft = draft("llama", &[(" a".into(), -1.0), ("a".into(), -2.0), (" ".into(), -3.0)]);
    let user = draft.add(4, b"<u>");
    draft.scores.as_mut().unwrap().push(0.0);
    let [spaced, bare] = [259, 260];
    let tokenizer = draft.read().unwrap();
    assert_eq!(encode(&tokenizer, "aa", false), [spaced, bare]);
    assert_eq!(encode(&tokenizer, "a<u>a</s>", true), [spaced, user, spaced, 2]);
    assert!(encode(&tokenizer, "", true).is_empty());
    let mut more = Vec::new();
    tokenizer.encode_more("a<u>a", false, &mut more).unwrap();
    assert_eq!(more, [bare, user, spaced]);
    let mut text = String::new();
    tokenizer.decode(&[1, spaced, user, spaced, spaced, 2], &mut text).unwrap();
    assert_eq!(text, "a<u>a a");
    draft.add_space_prefix = Some(false);
    let tokenizer = draft.read().unwrap();
    assert_eq!(encode(&tokenizer, "a a", false), [bare, spaced]);
    assert_eq!(tokenizer.piece_after(None, spaced), b" a");
}

#[test]
fn plain_text_becomes_no_control_token() {
    let pieces = ["<", "/", "s", ">", "</", "</s", "s>"].map(|piece| (piece.into(), -1.0));
    let tokenizer = draft("llama", &pieces).read().unwrap();
    let ids = encode(&tokenizer, "</s><0x41>", false);
    assert!(ids.iter().all(|id| !tokenizer.is_control(*id)), "{ids:?}");
    let mut text = String::new();
    tokenizer.decode(&ids, &mut text).unwrap();
    assert_eq!(text, "</s><0x41>");
}

#[test]
fn words_are_written_in_the_longest_tokens() {
    let pieces =
        [" un", "aff", "able", " unaff", " a", " e", "é", " ,", " 中"].map(|piece| (piece.into(), 0.0));
    let mut draft = draft("bert", &pieces);
    (draft.roles[Role::Bos as usize], draft.roles[Role::Separator as usize]) = (Some(1), Some(2));
    let tokenizer = draft.read().unwrap();
    let mut shown = Vec::new();
    let all = EncodeOptions { add_special: true, parse_special: false };
    tokenizer.encode("  UnAffable é,a中\u{301}x unx\u{0}\u{fffd}", all, &mut shown).unwrap();
    let shown: Vec<String> =
        shown.iter().map(|id| String::from_utf8_lossy(tokenizer.token_bytes(*id).unwrap()).into()).collect();
    let expected = ["<s>", " unaff", "able", " e", " ,", " a", " 中", "<unk>", "<unk>", "</s>"];
    assert_eq!(shown, expected);
    let mut text = String::new();
    tokenizer.decode(&[261, 260], &mut text).unwrap();
    assert_eq!(text, "ableaff");
}

#[test]
fn a_map_of_characters_replaces_the_longest() {
    // "a" becomes "b", "aa" nothing: the root, and a node for each.
    let unit = |base: u32, leaf: u32, label: u8| base << 10 | leaf << 8 | u32::from(label);
    let mut units = std::vec![0u32; 512];
    units[0] = unit(0x100, 0, 0);
    let first = 0x100 ^ usize::from(b'a');
    units[first] = unit(0x10, 1, b'a');
    let value = first ^ 0x10;
    units[value] = 1 << 31;
    let second = value ^ usize::from(b'a');
    units[second] = unit(0x20, 1, b'a');
    units[second ^ 0x20] = 1 << 31 | 1;
    let mut bytes = (4 * units.len() as u32).to_le_bytes().to_vec();
    bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
    bytes.extend(b"b\0");
    let map = charsmap::Charsmap::read(&bytes).unwrap();
    assert_eq!(map.replacement(b"ac"), Some((1, &b"b"[..])));
    assert_eq!((map.replacement(b"c"), map.replacement(b"")), (None, None));
    assert_eq!(map.replacement(b"aac"), Some((2, &b""[..])));
    for cut in [1, 3, 4, 100, bytes.len() - 1] {
        assert!(charsmap::Charsmap::read(&bytes[..cut]).is_err(), "{cut}");
    }
}

/// A text over the letters of the pieces, and others.
const LETTERS: &str = "[ab cé\u{2581}🙂]{0,40}";

fn drawn_pieces() -> impl Strategy<Value = Vec<(String, f32)>> {
    prop::collection::vec(("[ab cé]{1,5}", (-8i8..0).prop_map(f32::from)), 0..30)
}

proptest! {
    #[test]
    fn pairs_join_by_their_scores(text in LETTERS, pieces in drawn_pieces(), long: bool) {
        let mut draft = draft("llama", &pieces);
        draft.add_space_prefix = Some(false);
        // A long text without a break is merged in another way.
        let text = if long { text.repeat(4) } else { text };
        let tokenizer = draft.read().unwrap();
        prop_assert_eq!(encode(&tokenizer, &text, false), merge_slowly(&draft, &text.replace('\u{2581}', " ")));
    }

    #[test]
    fn the_best_sum_of_scores_is_found(text in "[ab cé]{0,20}", pieces in drawn_pieces()) {
        let draft = draft("t5", &pieces);
        let tokenizer = draft.read().unwrap();
        let ids = encode(&tokenizer, &text, false);
        let scores = draft.scores.as_ref().unwrap();
        let unknown = !ids.contains(&0);
        let sum: f64 = ids.iter().map(|id| f64::from(scores[*id as usize])).sum();
        prop_assert!(!unknown || sum == best_slowly(&draft, &text), "{} {}", sum, best_slowly(&draft, &text));
    }

    #[test]
    fn text_of_characters_comes_back(text in hard_text(), pieces in drawn_pieces(), prefix: bool) {
        let text = text.replace('\u{2581}', "");
        let mut draft = draft("llama", &pieces);
        draft.add_space_prefix = Some(prefix);
        let mut decoded = String::new();
        let tokenizer = draft.read().unwrap();
        tokenizer.decode(&encode(&tokenizer, &text, false), &mut decoded).unwrap();
        prop_assert_eq!(&decoded, &text);
        // Gemma 4's manner.
        draft.model = "gemma4";
        decoded.clear();
        let tokenizer = draft.read().unwrap();
        tokenizer.decode(&encode(&tokenizer, &text, false), &mut decoded).unwrap();
        prop_assert_eq!(&decoded, &text);
    }

    #[test]
    fn vocabularies_without_sense_are_refused_or_work(
        model in prop::sample::select(std::vec!["gpt2", "llama", "t5", "bert", "gemma4"]),
        tokens in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..6),
                "[ab \u{2581}<>Ġé]{0,5}".prop_map(String::into_bytes),
                Just(b"<0x41>".to_vec()),
                Just("a".repeat(700).into_bytes()),
            ],
            0..20,
        ),
        types in prop::collection::vec(-1i32..8, 0..21),
        scores in prop::option::of(prop::collection::vec(any::<f32>(), 0..21)),
        merges in prop::collection::vec("[ab \u{2581}Ġ]{0,5}".prop_map(String::into_bytes), 0..5),
        roles in prop::collection::vec(prop::option::of(0u32..25), Role::ALL.len()),
        map in prop::option::of(prop::collection::vec(any::<u8>(), 0..64)),
        flags: (Option<bool>, Option<bool>, Option<bool>),
        fill: bool,
        text in hard_text(),
    ) {
        let mut draft = Draft { model, tokens, types, merges, scores, charsmap: map, ..Draft::new("qwen35", &[]) };
        if fill {
            draft.types.resize(draft.tokens.len(), 1);
            draft.types.iter_mut().for_each(|number| *number = (*number).clamp(0, 5));
            draft.scores.iter_mut().for_each(|scores| scores.resize(draft.tokens.len(), f32::NAN));
        }
        draft.roles.copy_from_slice(&roles);
        (draft.add_bos, draft.add_eos, draft.add_space_prefix) = flags;
        let Ok(tokenizer) = draft.read() else { return Ok(()) };
        for parse_special in [false, true] {
            let mut ids = Vec::new();
            let options = EncodeOptions { add_special: true, parse_special };
            tokenizer.encode(&(text.clone() + "aaa \u{2581}<0x41>ab"), options, &mut ids).unwrap();
            prop_assert!(ids.iter().all(|id| (*id as usize) < tokenizer.vocab_size()), "{:?}", ids);
            let mut decoded = String::new();
            tokenizer.decode(&ids, &mut decoded).unwrap();
        }
        tokenizer.decode(&[0, 30, u32::MAX], &mut String::new()).unwrap();
    }

    #[test]
    fn a_map_of_any_bytes_is_refused_or_followed(
        units in prop::collection::vec(prop_oneof![any::<u32>(), (0u32..0x40000).prop_map(|unit| unit | 1 << 8)], 0..300),
        texts in prop::collection::vec(any::<u8>(), 0..20),
        text in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut bytes = (4 * units.len() as u32).to_le_bytes().to_vec();
        bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        bytes.extend(texts);
        if let Ok(map) = charsmap::Charsmap::read(&bytes) {
            let length = map.replacement(&text).map_or(0, |(length, _)| length);
            prop_assert!(length <= text.len());
        }
    }
}
