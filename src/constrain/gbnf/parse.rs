//! Floor 4. Reading GBNF.
//!
//! ```text
//!   rule     = name "::=" choice newline
//!   choice   = sequence { "|" sequence }
//!   sequence = { item [ "*" | "+" | "?" | "{m}" | "{m,}" | "{m,n}" ] }
//!   item     = "text" | [set] | [^set] | . | name | ( choice ) | <token> | <[id]>
//! ```
//! A comment goes from `#` to the end of its line. In parentheses, and behind `::=` and `|`, a sequence may go on in the next
//! line.
#![forbid(unsafe_code)]

use std::borrow::ToOwned;
use std::boxed::Box;
use std::collections::HashMap;
use std::format;
use std::string::String;
use std::vec::Vec;

use super::super::limits;
use super::{Node, Rule, RuleId, Set};
use crate::error::{Error, Result, text};

/// The rules of a grammar, `root` first; all are defined.
pub(super) fn parse(source: &str) -> Result<Vec<Rule>> {
    let mut parser = Parser { rest: source, line: 1, rules: Vec::new(), ids: HashMap::new() };
    let root = parser.rule_id("root");
    parser.blanks(true);
    while !parser.rest.is_empty() {
        parser.rule()?;
    }
    debug_assert_eq!(root, 0);
    for rule in &parser.rules {
        if rule.body.is_none() {
            return Err(Error::Grammar(text!("the rule {:?} is not defined", rule.name)));
        }
    }
    Ok(parser.rules)
}

struct Parser<'a> {
    rest: &'a str,
    line: usize,
    rules: Vec<Rule>,
    ids: HashMap<String, RuleId>,
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

impl Parser<'_> {
    fn fail<T>(&self, what: &str) -> Result<T> {
        let found = self.rest.lines().next().unwrap_or_default();
        let found: String = found.chars().take(24).collect();
        Err(Error::Grammar(text!("line {}: {what}, not {found:?}", self.line)))
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.rest.strip_prefix(text);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    /// Skips blanks and comments, and the ends of lines if `lines`.
    fn blanks(&mut self, lines: bool) {
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' => {}
                '\r' | '\n' if lines => {}
                '#' => {
                    self.rest = &self.rest[self.rest.find(['\r', '\n']).unwrap_or(self.rest.len())..];
                    continue;
                }
                _ => break,
            }
            self.next();
        }
    }

    fn rule_id(&mut self, name: &str) -> RuleId {
        if let Some(&id) = self.ids.get(name) {
            return id;
        }
        let id = self.rules.len();
        self.rules.push(Rule { name: name.to_owned(), body: None });
        self.ids.insert(name.to_owned(), id);
        id
    }

    fn name(&mut self) -> Result<RuleId> {
        let len = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
        if len == 0 {
            return self.fail("expected the name of a rule");
        }
        let (name, rest) = self.rest.split_at(len);
        self.rest = rest;
        Ok(self.rule_id(name))
    }

    fn rule(&mut self) -> Result<()> {
        let id = self.name()?;
        self.blanks(false);
        if !self.take("::=") {
            return self.fail("expected ::=");
        }
        self.blanks(true);
        let body = self.choice(false)?;
        if !self.rest.is_empty() && !self.rest.starts_with(['\r', '\n']) {
            return self.fail("expected the end of the rule");
        }
        // The last definition counts, as it does in llama.cpp.
        self.rules[id].body = Some(body);
        self.blanks(true);
        Ok(())
    }

    fn choice(&mut self, is_nested: bool) -> Result<Node> {
        let mut choices = std::vec![self.sequence(is_nested)?];
        while self.take("|") {
            self.blanks(true);
            choices.push(self.sequence(is_nested)?);
        }
        Ok(if choices.len() == 1 { choices.remove(0) } else { Node::Choice(choices) })
    }

    fn sequence(&mut self, is_nested: bool) -> Result<Node> {
        let mut items: Vec<Node> = Vec::new();
        while let Some(c) = self.peek() {
            // Where the last item begins: a text is as many as it has characters, and all of them are repeated.
            let from = items.len();
            match c {
                '"' => self.text(&mut items)?,
                '[' => items.push(self.set()?),
                '(' => {
                    self.next();
                    self.blanks(true);
                    items.push(self.choice(true)?);
                    if !self.take(")") {
                        return self.fail("expected a closing parenthesis");
                    }
                }
                '.' => {
                    self.next();
                    items.push(Node::Char(Set { ranges: Vec::new(), is_negated: true }));
                }
                '<' => items.push(self.token()?),
                '!' => return self.fail("expected what may come, and not what may not"),
                c if is_name(c) => items.push(Node::Rule(self.name()?)),
                _ => break,
            }
            self.blanks(is_nested);
            while let Some((min, max)) = self.repeat()? {
                self.blanks(is_nested);
                let mut repeated: Vec<Node> = items.drain(from..).collect();
                let node = if repeated.len() == 1 { repeated.remove(0) } else { Node::Sequence(repeated) };
                items.push(Node::Repeat(Box::new(node), min, max));
            }
        }
        Ok(if items.len() == 1 { items.remove(0) } else { Node::Sequence(items) })
    }

    fn text(&mut self, items: &mut Vec<Node>) -> Result<()> {
        self.next();
        loop {
            match self.peek() {
                None | Some('\n' | '\r') => return self.fail("expected the end of a text"),
                Some('"') => break,
                Some(_) => items.push(Node::Char(Set::one(self.char()?))),
            }
        }
        self.next();
        Ok(())
    }

    fn set(&mut self) -> Result<Node> {
        self.next();
        let is_negated = self.take("^");
        let mut ranges = Vec::new();
        loop {
            match self.peek() {
                None | Some('\n' | '\r') => return self.fail("expected the end of a set"),
                Some(']') => break,
                Some(_) => {}
            }
            let first = self.char()?;
            let is_range = self.rest.starts_with('-') && !self.rest.starts_with("-]");
            let last = if is_range {
                self.next();
                self.char()?
            } else {
                first
            };
            if last < first {
                return self.fail("expected a range that ends behind its beginning");
            }
            ranges.push((first, last));
        }
        self.next();
        if ranges.is_empty() && !is_negated {
            return self.fail("expected a set that is not empty");
        }
        Ok(Node::Char(Set { ranges, is_negated }))
    }

    /// A character, or what stands for one.
    fn char(&mut self) -> Result<char> {
        let c = self.next();
        if c != Some('\\') {
            return c.map_or_else(|| self.fail("expected a character"), Ok);
        }
        let digits = match self.next() {
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            Some('t') => return Ok('\t'),
            Some('r') => return Ok('\r'),
            Some('n') => return Ok('\n'),
            Some(c @ ('"' | '\\' | '[' | ']' | '-' | '^' | '/')) => return Ok(c),
            _ => return self.fail("expected an escape that is known"),
        };
        let code = self.rest.get(..digits).and_then(|code| u32::from_str_radix(code, 16).ok());
        match code.and_then(char::from_u32) {
            Some(c) => {
                self.rest = &self.rest[digits..];
                Ok(c)
            }
            None => self.fail("expected the digits of a character"),
        }
    }

    fn token(&mut self) -> Result<Node> {
        let len = self.rest.find('>').map_or(0, |end| end + 1);
        let (token, rest) = self.rest.split_at(len);
        if len < 3 || token.contains(|c: char| c.is_whitespace()) {
            return self.fail("expected a token like <name> or <[1234]>");
        }
        self.rest = rest;
        Ok(Node::Token(token.to_owned()))
    }

    fn repeat(&mut self) -> Result<Option<(u32, Option<u32>)>> {
        let known = [("*", 0, None), ("+", 1, None), ("?", 0, Some(1))];
        for (mark, min, max) in known {
            if self.take(mark) {
                return Ok(Some((min, max)));
            }
        }
        if !self.take("{") {
            return Ok(None);
        }
        self.blanks(true);
        let min = self.number()?;
        self.blanks(true);
        let mut max = Some(min);
        if self.take(",") {
            self.blanks(true);
            max = if self.rest.starts_with('}') { None } else { Some(self.number()?) };
            self.blanks(true);
        }
        if !self.take("}") {
            return self.fail("expected } behind a number of times");
        }
        if max.is_some_and(|max| max < min) {
            return self.fail("expected at least as many times at most as at least");
        }
        Ok(Some((min, max)))
    }

    fn number(&mut self) -> Result<u32> {
        let len = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(len);
        match digits.parse() {
            Ok(number) if number as usize <= limits::REPEAT_MAX => {
                self.rest = rest;
                Ok(number)
            }
            _ => self.fail(&format!("expected a number of times up to {}", limits::REPEAT_MAX)),
        }
    }
}
