//! Floor 4. The rules of a grammar as one list of nodes, and what can be told of them: which are regular, which characters each can
//! begin with, and which can follow it.
//!
//! Characters are told apart only as far as the grammar does: a class is a range that no set of the grammar cuts.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::string::String;
use std::vec::Vec;

use super::{Node, Rule, RuleId, Set};
use crate::error::{Error, Result, text};

/// The most nodes of a grammar.
const NODES_MAX: usize = 200_000;
/// The most work of one look at a grammar: nodes times classes, or nodes times rounds.
const WORK_MAX: usize = 40_000_000;

/// A node by its place.
pub(super) type NodeId = usize;

/// What a node is.
pub(super) enum Kind {
    Char(Set),
    Token(String),
    Rule(RuleId),
    Sequence(Vec<NodeId>),
    Choice(Vec<NodeId>),
    Repeat(NodeId, u32, Option<u32>),
}

/// A set of classes of characters.
#[derive(Clone, PartialEq, Default)]
pub(super) struct Classes(Vec<u64>);

impl Classes {
    fn insert(&mut self, class: usize) {
        if self.0.len() <= class / 64 {
            self.0.resize(class / 64 + 1, 0);
        }
        self.0[class / 64] |= 1 << (class % 64);
    }

    /// Adds the others; whether that changed anything.
    fn add(&mut self, others: &Classes) -> bool {
        if self.0.len() < others.0.len() {
            self.0.resize(others.0.len(), 0);
        }
        let mut changed = false;
        for (own, other) in self.0.iter_mut().zip(&others.0) {
            changed |= *own | other != *own;
            *own |= other;
        }
        changed
    }

    pub(super) fn contains(&self, class: usize) -> bool {
        self.0.get(class / 64).is_some_and(|word| word >> (class % 64) & 1 == 1)
    }

    pub(super) fn meets(&self, others: &Classes) -> bool {
        self.0.iter().zip(&others.0).any(|(own, other)| own & other != 0)
    }
}

/// The rules of a grammar.
pub(super) struct Graph {
    pub(super) kinds: Vec<Kind>,
    /// The node of each rule.
    pub(super) rules: Vec<NodeId>,
    /// Whether a node is one of a regular language: no rule in it leads to itself, and no token is in it.
    pub(super) regular: Vec<bool>,
    pub(super) nullable: Vec<bool>,
    /// Which classes each node can begin with; for a character, its set.
    pub(super) first: Vec<Classes>,
    /// Which classes can follow each node.
    pub(super) follow: Vec<Classes>,
    pub(super) classes: usize,
}

impl Graph {
    /// Looks at a grammar.
    ///
    /// # Errors
    /// [`Error::Grammar`] for one that is too large.
    pub(super) fn new(rules: &[Rule]) -> Result<Graph> {
        let mut graph = Graph {
            kinds: Vec::new(),
            rules: Vec::new(),
            regular: Vec::new(),
            nullable: Vec::new(),
            first: Vec::new(),
            follow: Vec::new(),
            classes: 0,
        };
        let mut ends = Vec::new();
        for rule in rules {
            let id = rule.body.as_ref().map(|body| graph.push(body));
            let id = id.unwrap_or_else(|| graph.push(&Node::Sequence(Vec::new())));
            graph.rules.push(id);
            ends.push(graph.kinds.len());
        }
        let count = graph.kinds.len();
        let too_large = || Error::Grammar(text!("it is too large: it has {count} parts"));
        graph.nullable.resize(count, false);
        graph.regular.resize(count, false);
        graph.first.resize(count, Classes::default());
        graph.follow.resize(count, Classes::default());
        if count > NODES_MAX {
            return Err(too_large());
        }
        graph.classify().ok_or_else(too_large)?;
        let order = graph.bottom_up(&ends);
        for spread in [Graph::spread_regular, Graph::spread_first, Graph::spread_follow] {
            let mut rounds = 1;
            while spread(&mut graph, &order) {
                rounds += 1;
                if rounds * count > WORK_MAX {
                    return Err(too_large());
                }
            }
        }
        Ok(graph)
    }

    /// All nodes, those of a rule behind those of the rules that it names, as far as that can be; `ends` tells where the nodes of
    /// each rule end.
    fn bottom_up(&self, ends: &[usize]) -> Vec<NodeId> {
        let mut order = Vec::new();
        let mut seen = std::vec![false; self.rules.len()];
        for root in 0..self.rules.len() {
            let mut todo = std::vec![(root, false)];
            while let Some((rule, is_done)) = todo.pop() {
                if is_done {
                    let begin = rule.checked_sub(1).map_or(0, |before| ends[before]);
                    order.extend(begin..ends[rule]);
                } else if !core::mem::replace(&mut seen[rule], true) {
                    todo.push((rule, true));
                    let mut named = Vec::new();
                    self.rules_in(self.rules[rule], &mut named);
                    todo.extend(named.into_iter().filter(|&rule| !seen[rule]).map(|rule| (rule, false)));
                }
            }
        }
        order
    }

    fn push(&mut self, node: &Node) -> NodeId {
        let kind = match node {
            Node::Char(set) => Kind::Char(set.clone()),
            Node::Token(token) => Kind::Token(token.clone()),
            Node::Rule(id) => Kind::Rule(*id),
            Node::Sequence(nodes) => Kind::Sequence(nodes.iter().map(|node| self.push(node)).collect()),
            Node::Choice(nodes) => Kind::Choice(nodes.iter().map(|node| self.push(node)).collect()),
            Node::Repeat(node, min, max) => Kind::Repeat(self.push(node), *min, *max),
        };
        self.kinds.push(kind);
        self.kinds.len() - 1
    }

    /// Cuts the characters into classes, and tells those of each set.
    fn classify(&mut self) -> Option<()> {
        let mut cuts = BTreeSet::from([0u32]);
        for kind in &self.kinds {
            if let Kind::Char(set) = kind {
                let ends = set.ranges.iter().flat_map(|(a, b)| [u32::from(*a), u32::from(*b) + 1]);
                cuts.extend(ends);
            }
        }
        let starts: Vec<u32> = cuts.into_iter().collect();
        self.classes = starts.len();
        if self.classes * self.kinds.len() > WORK_MAX {
            return None;
        }
        for (kind, first) in self.kinds.iter().zip(&mut self.first) {
            let Kind::Char(set) = kind else { continue };
            for (class, start) in starts.iter().enumerate() {
                let inside = set.ranges.iter().any(|(a, b)| (u32::from(*a)..=u32::from(*b)).contains(start));
                if inside != set.is_negated {
                    first.insert(class);
                }
            }
        }
        Some(())
    }

    /// The rules that a node names, others' left out.
    fn rules_in(&self, node: NodeId, found: &mut Vec<RuleId>) {
        match &self.kinds[node] {
            Kind::Rule(id) => found.push(*id),
            Kind::Sequence(nodes) | Kind::Choice(nodes) => {
                nodes.iter().for_each(|&node| self.rules_in(node, found))
            }
            Kind::Repeat(node, ..) => self.rules_in(*node, found),
            Kind::Char(_) | Kind::Token(_) => {}
        }
    }

    /// One round of which nodes are regular; whether any was new. A rule that leads to itself never becomes so, nor one that
    /// leads to such a one.
    fn spread_regular(&mut self, order: &[NodeId]) -> bool {
        let mut changed = false;
        for &node in order {
            let of = |node: &NodeId| self.regular[*node];
            let is_regular = match &self.kinds[node] {
                Kind::Char(_) => true,
                Kind::Token(_) => false,
                Kind::Rule(rule) => of(&self.rules[*rule]),
                Kind::Sequence(nodes) | Kind::Choice(nodes) => nodes.iter().all(of),
                Kind::Repeat(node, ..) => of(node),
            };
            changed |= is_regular != self.regular[node];
            self.regular[node] = is_regular;
        }
        changed
    }

    /// One round of what nodes can begin with; whether anything was new.
    fn spread_first(&mut self, order: &[NodeId]) -> bool {
        let mut changed = false;
        for &node in order {
            let mut first = Classes::default();
            let nullable = match &self.kinds[node] {
                Kind::Char(_) => continue,
                Kind::Token(_) => false,
                Kind::Rule(id) => {
                    first.add(&self.first[self.rules[*id]]);
                    self.nullable[self.rules[*id]]
                }
                Kind::Sequence(nodes) => {
                    let mut nullable = true;
                    for &node in nodes {
                        if nullable {
                            first.add(&self.first[node]);
                            nullable = self.nullable[node];
                        }
                    }
                    nullable
                }
                Kind::Choice(nodes) => {
                    nodes.iter().for_each(|&node| {
                        first.add(&self.first[node]);
                    });
                    nodes.iter().any(|&node| self.nullable[node])
                }
                Kind::Repeat(child, min, _) => {
                    first.add(&self.first[*child]);
                    *min == 0 || self.nullable[*child]
                }
            };
            changed |= self.first[node].add(&first) || nullable != self.nullable[node];
            self.nullable[node] |= nullable;
        }
        changed
    }

    /// One round of what can follow nodes; whether anything was new.
    fn spread_follow(&mut self, order: &[NodeId]) -> bool {
        let Graph { kinds, rules, nullable, first, follow, .. } = self;
        let mut changed = false;
        for &node in order.iter().rev() {
            let mut behind = follow[node].clone();
            match &kinds[node] {
                Kind::Char(_) | Kind::Token(_) => {}
                Kind::Rule(id) => changed |= follow[rules[*id]].add(&behind),
                Kind::Choice(nodes) => {
                    for &node in nodes {
                        changed |= follow[node].add(&behind);
                    }
                }
                Kind::Repeat(child, ..) => {
                    behind.add(&first[*child]);
                    changed |= follow[*child].add(&behind);
                }
                Kind::Sequence(nodes) => {
                    for &node in nodes.iter().rev() {
                        changed |= follow[node].add(&behind);
                        if !nullable[node] {
                            behind = Classes::default();
                        }
                        behind.add(&first[node]);
                    }
                }
            }
        }
        changed
    }
}
