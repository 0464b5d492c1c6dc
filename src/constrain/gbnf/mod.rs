//! Floor 4. GBNF, the grammar language of llama.cpp, turned into the Lark that the compiler reads.
//!
//! GBNF has no words: a grammar is over characters. Lark's lexer takes the longest word, which is something else. So a part of a
//! grammar becomes a word only where that makes no difference (words.rs), and a single character where it would.
#![forbid(unsafe_code)]

mod graph;
mod parse;
mod words;
mod write;

use std::string::String;
use std::vec::Vec;

use crate::error::Result;

/// A grammar in Lark that accepts the same texts.
///
/// # Errors
/// [`Error::Grammar`](crate::Error::Grammar) with the line that cannot be read, or the rule that is not there.
pub(super) fn to_lark(source: &str) -> Result<String> {
    let rules = parse::parse(source)?;
    write::write(&rules)
}

/// A rule by its place; the first is `root`.
type RuleId = usize;

/// A rule of a grammar.
struct Rule {
    name: String,
    /// `None` until its definition is read.
    body: Option<Node>,
}

/// What a rule says.
#[derive(Clone, Debug, PartialEq)]
enum Node {
    /// One character of a set.
    Char(Set),
    /// A token by Lark's name of it: `<name>` or `<[id]>`.
    Token(String),
    Rule(RuleId),
    /// One after the other.
    Sequence(Vec<Node>),
    /// One of them.
    Choice(Vec<Node>),
    /// From so many times to so many, or without end.
    Repeat(std::boxed::Box<Node>, u32, Option<u32>),
}

/// A set of characters: ranges with both ends, or all but those.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Set {
    ranges: Vec<(char, char)>,
    is_negated: bool,
}

impl Set {
    fn one(c: char) -> Set {
        Set { ranges: std::vec![(c, c)], is_negated: false }
    }
}

#[cfg(test)]
mod tests {
    use super::to_lark;

    #[test]
    fn what_cannot_be_misread_is_one_word() {
        let lark = to_lark(
            "root ::= value\nvalue ::= string | \"[\" ws (value (\",\" ws value)*)? \"]\" ws\n\
             string ::= \"\\\"\" [^\"\\\\]* \"\\\"\" ws\nws ::= [ \\n]*",
        )
        .unwrap();
        assert_eq!(lark.matches("\nT").count(), 4, "{lark}");
    }

    #[test]
    fn a_name_is_one_word_though_keywords_begin_like_names() {
        let lark = to_lark(
            "root ::= statement*\nstatement ::= type name ws \"=\" ws name \";\" | \"return\" ws name \";\" | name \"()\" \";\"\n\
             type ::= \"int\" ws | \"char\" ws\nname ::= [a-z_] [a-z_0-9]*\nws ::= [ \\n]+",
        )
        .unwrap();
        // No rule repeats a single character.
        assert!(lark.lines().all(|line| line.starts_with('T') || !line.contains("(T")), "{lark}");
    }

    #[test]
    fn what_could_be_misread_is_not() {
        // The longest word would take the x that the rule wants.
        let lark = to_lark("root ::= \"(\" root \")\" | [a-z]+ \"x\" root?").unwrap();
        assert!(lark.contains(")+ T"), "{lark}");
    }
}
