//! Floor 4. A grammar over characters as Lark.
#![forbid(unsafe_code)]

use core::fmt::Write;
use std::collections::BTreeMap;
use std::format;
use std::string::String;
use std::vec::Vec;

use super::super::limits;
use super::{Node, Rule, RuleId, Set};
use crate::error::{Error, Result, text};

/// The most bytes of what is written: a regular expression has a copy of a rule wherever it is used.
const BYTES_MAX: usize = 1 << 20;

/// The grammar in Lark.
///
/// # Errors
/// [`Error::Grammar`] for one that becomes too long.
pub(super) fn write(rules: &[Rule]) -> Result<String> {
    let used = used(rules);
    let mut lark = Lark { rules, text: String::new(), terminals: BTreeMap::new() };
    if !used
        .iter()
        .any(|&id| is_recursive(rules, id) || body(rules, id).any(&|n| matches!(n, Node::Token(_))))
    {
        let mut regex = String::new();
        if lark.regex(body(rules, 0), 0, &mut regex).is_ok() {
            return Ok(format!("start: /{regex}/\n"));
        }
    }
    for id in used {
        let name = if id == 0 { "start".into() } else { format!("r{id}") };
        lark.text.push_str(&name);
        lark.text.push_str(": ");
        lark.node(body(rules, id))?;
        lark.text.push('\n');
    }
    let terminals = core::mem::take(&mut lark.terminals);
    for (set, number) in terminals {
        let _ = write!(lark.text, "T{number}: /");
        class(&set, &mut lark.text);
        lark.text.push_str("/\n");
    }
    Ok(lark.text)
}

fn body(rules: &[Rule], id: RuleId) -> &Node {
    const NOTHING: &Node = &Node::Sequence(Vec::new());
    rules.get(id).and_then(|rule| rule.body.as_ref()).unwrap_or(NOTHING)
}

impl Node {
    fn children(&self) -> &[Node] {
        match self {
            Node::Sequence(nodes) | Node::Choice(nodes) => nodes,
            Node::Repeat(node, ..) => core::slice::from_ref(node),
            Node::Char(_) | Node::Token(_) | Node::Rule(_) => &[],
        }
    }

    /// Whether `is_it` holds for this node or one inside it, other rules left out.
    fn any(&self, is_it: &dyn Fn(&Node) -> bool) -> bool {
        is_it(self) || self.children().iter().any(|node| node.any(is_it))
    }

    fn rules_into(&self, ids: &mut Vec<RuleId>) {
        if let Node::Rule(id) = self {
            ids.push(*id);
        }
        self.children().iter().for_each(|node| node.rules_into(ids));
    }
}

/// The rules that `from` leads to, by way of others or not.
fn reachable(rules: &[Rule], from: RuleId) -> Vec<RuleId> {
    let (mut found, mut todo) = (std::vec![false; rules.len()], Vec::new());
    body(rules, from).rules_into(&mut todo);
    while let Some(id) = todo.pop() {
        if !core::mem::replace(&mut found[id], true) {
            body(rules, id).rules_into(&mut todo);
        }
    }
    (0..rules.len()).filter(|&id| found[id]).collect()
}

/// `root` and what it needs.
fn used(rules: &[Rule]) -> Vec<RuleId> {
    let mut used = reachable(rules, 0);
    if used.first() != Some(&0) {
        used.insert(0, 0);
    }
    used
}

fn is_recursive(rules: &[Rule], id: RuleId) -> bool {
    reachable(rules, id).contains(&id)
}

struct Lark<'a> {
    rules: &'a [Rule],
    text: String,
    terminals: BTreeMap<Set, usize>,
}

impl Lark<'_> {
    /// Writes a node as a part of a rule.
    fn node(&mut self, node: &Node) -> Result<()> {
        if self.text.len() > BYTES_MAX {
            return Err(Error::Grammar(text!("it is too long")));
        }
        match node {
            Node::Char(set) => {
                let next = self.terminals.len();
                let number = *self.terminals.entry(set.clone()).or_insert(next);
                let _ = write!(self.text, "T{number}");
            }
            Node::Token(token) => self.text.push_str(token),
            Node::Rule(0) => self.text.push_str("start"),
            Node::Rule(id) => {
                let _ = write!(self.text, "r{id}");
            }
            Node::Sequence(nodes) => {
                // An empty text is a rule's way to say nothing.
                if nodes.is_empty() {
                    self.text.push_str("\"\"");
                }
                for (i, node) in nodes.iter().enumerate() {
                    self.text.push_str(if i > 0 { " " } else { "" });
                    self.group(node, matches!(node, Node::Choice(_)))?;
                }
            }
            Node::Choice(nodes) => {
                for (i, node) in nodes.iter().enumerate() {
                    self.text.push_str(if i > 0 { " | " } else { "" });
                    self.node(node)?;
                }
            }
            Node::Repeat(node, min, max) => {
                self.group(node, true)?;
                self.text.push_str(&times(*min, *max));
            }
        }
        Ok(())
    }

    fn group(&mut self, node: &Node, in_parentheses: bool) -> Result<()> {
        if in_parentheses {
            self.text.push('(');
        }
        self.node(node)?;
        if in_parentheses {
            self.text.push(')');
        }
        Ok(())
    }

    /// Writes a node as a regular expression; the rules that it names lead not to themselves.
    fn regex(&self, node: &Node, depth: usize, out: &mut String) -> Result<()> {
        if out.len() > BYTES_MAX || depth > limits::DEPTH_MAX {
            return Err(Error::Grammar(text!("it is too long")));
        }
        match node {
            Node::Char(set) => class(set, out),
            Node::Rule(id) => {
                out.push_str("(?:");
                self.regex(body(self.rules, *id), depth + 1, out)?;
                out.push(')');
            }
            Node::Sequence(nodes) => {
                for node in nodes {
                    out.push_str("(?:");
                    self.regex(node, depth + 1, out)?;
                    out.push(')');
                }
            }
            Node::Choice(nodes) => {
                for (i, node) in nodes.iter().enumerate() {
                    out.push_str(if i > 0 { "|" } else { "" });
                    self.regex(node, depth + 1, out)?;
                }
            }
            Node::Repeat(node, min, max) => {
                out.push_str("(?:");
                self.regex(node, depth + 1, out)?;
                out.push(')');
                out.push_str(&times(*min, *max));
            }
            Node::Token(_) => return Err(Error::Grammar(text!("a token is no text"))),
        }
        Ok(())
    }
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
