//! Floor 4. A grammar over characters as Lark: words where they can be, and rules for the rest.
#![forbid(unsafe_code)]

use core::fmt::Write;
use std::collections::BTreeMap;
use std::format;
use std::string::String;
use std::vec::Vec;

use super::super::limits;
use super::graph::{Graph, Kind, NodeId};
use super::words::{Part, Words};
use super::{Rule, RuleId, Set};
use crate::error::{Error, Result, text};

/// The most bytes of what is written: a regular expression has a copy of a rule wherever it is used.
const BYTES_MAX: usize = 1 << 20;

/// The grammar in Lark.
///
/// # Errors
/// [`Error::Grammar`] for one that becomes too long.
pub(super) fn write(rules: &[Rule]) -> Result<String> {
    let graph = Graph::new(rules)?;
    if graph.regular[graph.rules[0]] {
        let mut regex = String::new();
        if regex_of(&graph, graph.rules[0], 0, &mut regex).is_ok() {
            // Two slashes and nothing between them begin a comment.
            return Ok(if regex.is_empty() { "start: \"\"\n".into() } else { format!("start: /{regex}/\n") });
        }
    }
    let mut lark = Lark {
        words: Words::of(&graph),
        text: String::new(),
        terminals: BTreeMap::new(),
        rules: std::vec![0],
    };
    let mut at = 0;
    while let Some(&rule) = lark.rules.get(at) {
        let name = rule_name(rule);
        lark.text.push_str(&name);
        lark.text.push_str(": ");
        lark.node(graph.rules[rule])?;
        lark.text.push('\n');
        at += 1;
    }
    for (regex, (number, is_nullable)) in &lark.terminals {
        // A word is not empty; the rules say where it may be left out.
        let not_empty = if *is_nullable { " & /(.|\\n)+/" } else { "" };
        let _ = writeln!(lark.text, "T{number}: /{regex}/{not_empty}");
    }
    Ok(lark.text)
}

fn rule_name(rule: RuleId) -> String {
    if rule == 0 { "start".into() } else { format!("r{rule}") }
}

struct Lark<'a> {
    words: Words<'a>,
    text: String,
    /// Regular expressions, the numbers of the words that they are, and whether they match nothing as well.
    terminals: BTreeMap<String, (usize, bool)>,
    /// The rules that are written, in their order.
    rules: Vec<RuleId>,
}

impl Lark<'_> {
    fn node(&mut self, node: NodeId) -> Result<()> {
        if self.text.len() > BYTES_MAX {
            return Err(Error::Grammar(text!("it is too long")));
        }
        let parts = self.words.parts(node);
        if parts.is_empty() {
            // An empty text is a rule's way to say nothing.
            self.text.push_str("\"\"");
        }
        for (i, part) in parts.into_iter().enumerate() {
            self.text.push_str(if i > 0 { " " } else { "" });
            match part {
                Part::Word(word) => self.word(&word)?,
                Part::Open(node) => self.open(node)?,
            }
        }
        Ok(())
    }

    fn word(&mut self, nodes: &[NodeId]) -> Result<()> {
        let graph = self.words.graph;
        let mut regex = String::new();
        for &node in nodes {
            regex.push_str("(?:");
            regex_of(graph, node, 0, &mut regex)?;
            regex.push(')');
        }
        let is_nullable = nodes.iter().all(|&node| graph.nullable[node]);
        if nodes.is_empty()
            || is_nullable && nodes.iter().all(|&node| graph.first[node] == Default::default())
        {
            self.text.push_str("\"\"");
            return Ok(());
        }
        let next = self.terminals.len();
        let (number, _) = *self.terminals.entry(regex).or_insert((next, is_nullable));
        let optional = if is_nullable { "?" } else { "" };
        let _ = write!(self.text, "T{number}{optional}");
        Ok(())
    }

    fn open(&mut self, node: NodeId) -> Result<()> {
        let graph = self.words.graph;
        match &graph.kinds[node] {
            Kind::Token(token) => self.text.push_str(token),
            Kind::Rule(rule) => {
                if !self.rules.contains(rule) {
                    self.rules.push(*rule);
                }
                self.text.push_str(&rule_name(*rule));
            }
            Kind::Sequence(nodes) if nodes.is_empty() => self.text.push_str("\"\""),
            // A word that is a single character comes as a word.
            Kind::Char(_) | Kind::Sequence(_) => {
                self.text.push('(');
                self.node(node)?;
                self.text.push(')');
            }
            Kind::Choice(nodes) => {
                self.text.push('(');
                for (i, &node) in nodes.iter().enumerate() {
                    self.text.push_str(if i > 0 { " | " } else { "" });
                    self.node(node)?;
                }
                self.text.push(')');
            }
            Kind::Repeat(child, min, max) => {
                self.text.push('(');
                self.node(*child)?;
                self.text.push(')');
                self.text.push_str(&times(*min, *max));
            }
        }
        Ok(())
    }
}

/// Writes a regular node as a regular expression.
fn regex_of(graph: &Graph, node: NodeId, depth: usize, out: &mut String) -> Result<()> {
    if out.len() > BYTES_MAX || depth > limits::DEPTH_MAX {
        return Err(Error::Grammar(text!("it is too long, or its rules lie too deep in each other")));
    }
    let group = |node, out: &mut String| {
        out.push_str("(?:");
        regex_of(graph, node, depth + 1, out)?;
        out.push(')');
        Ok::<(), Error>(())
    };
    match &graph.kinds[node] {
        Kind::Char(set) => class(set, out),
        Kind::Rule(rule) => group(graph.rules[*rule], out)?,
        Kind::Sequence(nodes) => {
            for &node in nodes {
                match graph.kinds[node] {
                    Kind::Char(_) => regex_of(graph, node, depth + 1, out)?,
                    _ => group(node, out)?,
                }
            }
        }
        Kind::Choice(nodes) => {
            for (i, &node) in nodes.iter().enumerate() {
                out.push_str(if i > 0 { "|" } else { "" });
                regex_of(graph, node, depth + 1, out)?;
            }
        }
        Kind::Repeat(child, min, max) => {
            group(*child, out)?;
            out.push_str(&times(*min, *max));
        }
        Kind::Token(_) => return Err(Error::Grammar(text!("a token is no text"))),
    }
    Ok(())
}

fn times(min: u32, max: Option<u32>) -> String {
    match (min, max) {
        (0, None) => "*".into(),
        (1, None) => "+".into(),
        (0, Some(1)) => "?".into(),
        (min, None) => format!("{{{min},}}"),
        (min, Some(max)) => format!("{{{min},{max}}}"),
    }
}

/// Writes a set as a class of a regular expression.
fn class(set: &Set, out: &mut String) {
    if set.ranges.is_empty() {
        out.push_str(r"[\x{0}-\x{10FFFF}]");
        return;
    }
    out.push_str(if set.is_negated { "[^" } else { "[" });
    for (first, last) in &set.ranges {
        // Writing to a String cannot fail.
        let _ = write!(out, r"\x{{{:x}}}-\x{{{:x}}}", u32::from(*first), u32::from(*last));
    }
    out.push(']');
}
