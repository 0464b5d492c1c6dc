//! Floor 4. Which parts of a grammar can be words of Lark's lexer, so that following it costs little.
//!
//! The lexer takes the longest word, and GBNF knows no words. A part is one only if that makes no difference: behind a whole word, no
//! character that may follow it in the grammar can also make it a longer word, or the beginning of another. Whoever breaks this is
//! opened, and its parts are tried instead; single characters never break it.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

use super::super::limits;
use super::graph::{Classes, Graph, Kind, NodeId};

/// The most places that the words of a grammar may have together.
const PLACES_MAX: usize = 6000;
/// The most states of all words together.
const STATES_MAX: usize = 3000;
/// The most work of looking for conflicts once, in places looked at.
const WORK_MAX: usize = 20_000_000;
/// The most rounds of opening.
const ROUNDS_MAX: usize = 50;

/// Which nodes are more than one word.
pub(super) struct Words<'a> {
    pub(super) graph: &'a Graph,
    /// Nodes that join no others.
    alone: Vec<bool>,
    /// Nodes that are written as what they are.
    opened: Vec<bool>,
}

/// A part of a node, as it is written.
pub(super) enum Part {
    /// Nodes that are one word together.
    Word(Vec<NodeId>),
    /// A node that is written as what it is.
    Open(NodeId),
}

impl<'a> Words<'a> {
    /// The largest words that can be: of two ways to part those in conflict, the one that leaves fewer characters by themselves.
    pub(super) fn of(graph: &'a Graph) -> Words<'a> {
        let ways = [Words::parted(graph, false), Words::parted(graph, true)];
        let singles = |words: &Words<'_>| words.all().iter().filter(|word| words.is_single(word)).count();
        let [first, second] = ways;
        if singles(&second) < singles(&first) { second } else { first }
    }

    /// Words without conflicts. Where two are in conflict, `later` opens the one that goes on, as a keyword that is the beginning of
    /// names does, and not the one that could end.
    fn parted(graph: &'a Graph, later: bool) -> Words<'a> {
        let no = std::vec![false; graph.kinds.len()];
        let mut words = Words { graph, alone: no.clone(), opened: no };
        for _ in 0..ROUNDS_MAX {
            let all = words.all();
            match words.conflicts(&all, later) {
                Some(found) if found.is_empty() => return words,
                Some(found) => found.iter().for_each(|&word| words.open(&all[word])),
                None => break,
            }
        }
        words.alone.fill(true);
        words.opened.fill(true);
        words
    }

    /// Whether a word is a single character.
    fn is_single(&self, word: &[NodeId]) -> bool {
        matches!(*word, [node] if matches!(self.graph.kinds[node], Kind::Char(_)))
    }

    /// Makes parts of a word.
    fn open(&mut self, word: &[NodeId]) {
        match *word {
            [node] => self.opened[node] = true,
            _ => word.iter().for_each(|&node| self.alone[node] = true),
        }
    }

    /// Whether a node is, or is a part of, one word.
    fn is_whole(&self, node: NodeId) -> bool {
        match self.graph.kinds[node] {
            Kind::Char(_) => true,
            _ => self.graph.regular[node] && !self.opened[node],
        }
    }

    /// The parts of a node, in their order.
    pub(super) fn parts(&self, node: NodeId) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        if self.is_whole(node) {
            parts.push(Part::Word(std::vec![node]));
        } else if let Kind::Sequence(nodes) = &self.graph.kinds[node] {
            let joins = |node: NodeId| self.is_whole(node) && !self.alone[node];
            let mut before = false;
            for &node in nodes {
                match parts.last_mut() {
                    Some(Part::Word(run)) if before && joins(node) => run.push(node),
                    _ if self.is_whole(node) => parts.push(Part::Word(std::vec![node])),
                    _ => parts.push(Part::Open(node)),
                }
                before = joins(node);
            }
        } else {
            parts.push(Part::Open(node));
        }
        parts
    }

    /// Every word of what `root` needs.
    fn all(&self) -> Vec<Vec<NodeId>> {
        let (mut words, mut todo) = (Vec::new(), std::vec![self.graph.rules[0]]);
        let mut rules = BTreeSet::from([0]);
        while let Some(node) = todo.pop() {
            for part in self.parts(node) {
                match part {
                    Part::Word(word) => words.push(word),
                    Part::Open(node) => match &self.graph.kinds[node] {
                        Kind::Sequence(nodes) if nodes.is_empty() => {}
                        Kind::Sequence(_) => todo.push(node),
                        Kind::Choice(nodes) => todo.extend(nodes),
                        Kind::Repeat(node, ..) => todo.push(*node),
                        Kind::Rule(rule) if rules.insert(*rule) => todo.push(self.graph.rules[*rule]),
                        Kind::Rule(_) | Kind::Char(_) | Kind::Token(_) => {}
                    },
                }
            }
        }
        words
    }

    /// The words that have to be opened; `None` if they are too many to tell.
    fn conflicts(&self, words: &[Vec<NodeId>], later: bool) -> Option<BTreeSet<usize>> {
        let mut machine = Machine { graph: self.graph, places: Vec::new(), word: 0, depth: 0 };
        let mut begin = Vec::new();
        for (word, nodes) in words.iter().enumerate() {
            machine.word = word;
            let span = machine.sequence(nodes)?;
            span.last.iter().for_each(|&place| machine.places[place].is_last = true);
            begin.extend(span.first);
        }
        let follow = |word: usize| words[word].last().map(|&node| &self.graph.follow[node]);
        let is_single = |word: usize| self.is_single(&words[word]);
        let is_run = |word: usize| words[word].len() > 1;
        let mut found = BTreeSet::new();
        let mut seen: BTreeSet<Vec<usize>> = BTreeSet::new();
        let mut todo = std::vec![(Vec::new(), begin)];
        let mut work = 0;
        while let Some((state, next)) = todo.pop() {
            work += next.len() * (state.len() + self.graph.classes);
            if work > WORK_MAX {
                return None;
            }
            for &place in &state {
                let place: &Place = &machine.places[place];
                if !place.is_last {
                    continue;
                }
                for &other in &next {
                    let other = &machine.places[other];
                    if follow(place.word).is_some_and(|follow| other.classes.meets(follow)) {
                        // What is several nodes comes apart first; a single character cannot.
                        let goes_first = if later {
                            !is_single(other.word)
                        } else {
                            is_run(other.word) && !is_run(place.word)
                        };
                        let is_other = is_single(place.word) || goes_first;
                        found.insert(if is_other { other.word } else { place.word });
                    }
                }
            }
            let mut by_class: BTreeMap<Vec<usize>, ()> = BTreeMap::new();
            for class in 0..self.graph.classes {
                let reached: Vec<usize> = next
                    .iter()
                    .copied()
                    .filter(|&place| machine.places[place].classes.contains(class))
                    .collect();
                if !reached.is_empty() {
                    by_class.insert(reached, ());
                }
            }
            for (reached, ()) in by_class {
                if seen.len() > STATES_MAX {
                    return None;
                }
                if seen.insert(reached.clone()) {
                    let next: BTreeSet<usize> = reached
                        .iter()
                        .flat_map(|&place| machine.places[place].next.iter().copied())
                        .collect();
                    todo.push((reached, next.into_iter().collect()));
                }
            }
        }
        Some(found)
    }
}

/// A character of a word: which it can be, and which characters can come next (Glushkov's automaton).
struct Place {
    word: usize,
    classes: Classes,
    next: BTreeSet<usize>,
    is_last: bool,
}

struct Machine<'a> {
    graph: &'a Graph,
    places: Vec<Place>,
    word: usize,
    /// Rules that lie in each other.
    depth: usize,
}

/// A part of a word: the places that it can begin and end with.
struct Span {
    is_nullable: bool,
    first: Vec<usize>,
    last: Vec<usize>,
}

impl Machine<'_> {
    fn join(&mut self, last: &[usize], first: &[usize]) {
        for &place in last {
            self.places[place].next.extend(first);
        }
    }

    fn sequence(&mut self, nodes: &[NodeId]) -> Option<Span> {
        let mut all = Span { is_nullable: true, first: Vec::new(), last: Vec::new() };
        for &node in nodes {
            let span = self.span(node)?;
            self.join(&all.last, &span.first);
            if all.is_nullable {
                all.first.extend(&span.first);
            }
            if span.is_nullable {
                all.last.extend(span.last);
            } else {
                all.last = span.last;
            }
            all.is_nullable &= span.is_nullable;
        }
        Some(all)
    }

    fn span(&mut self, node: NodeId) -> Option<Span> {
        let graph = self.graph;
        Some(match &graph.kinds[node] {
            Kind::Char(_) => {
                let place = self.places.len();
                if place >= PLACES_MAX {
                    return None;
                }
                let classes = graph.first[node].clone();
                self.places.push(Place { word: self.word, classes, next: BTreeSet::new(), is_last: false });
                Span { is_nullable: false, first: std::vec![place], last: std::vec![place] }
            }
            Kind::Rule(rule) => {
                self.depth += 1;
                let span = if self.depth > limits::DEPTH_MAX { None } else { self.span(graph.rules[*rule]) };
                self.depth -= 1;
                span?
            }
            Kind::Sequence(nodes) => self.sequence(nodes)?,
            Kind::Choice(nodes) => {
                let mut all = Span { is_nullable: false, first: Vec::new(), last: Vec::new() };
                for &node in nodes {
                    let span = self.span(node)?;
                    all.is_nullable |= span.is_nullable;
                    all.first.extend(span.first);
                    all.last.extend(span.last);
                }
                all
            }
            Kind::Repeat(child, min, max) => {
                // Any number of times stands for a number: that allows more, and so finds no fewer conflicts.
                let mut span = self.span(*child)?;
                if *max != Some(1) {
                    let first = span.first.clone();
                    self.join(&span.last.clone(), &first);
                }
                span.is_nullable |= *min == 0;
                span
            }
            Kind::Token(_) => return None,
        })
    }
}
