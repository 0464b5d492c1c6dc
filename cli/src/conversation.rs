//! A conversation in a session. Invariant: `held` are the tokens whose keys and values the session holds, so of a turn only
//! the tokens behind the part that is already read have to be.
#![forbid(unsafe_code)]

use std::time::Instant;

use bantam::chat::{ChatTemplate, Message, Speaker};
use bantam::{Session, TokenId};

use crate::answer::{Drawing, Turn, generate};
use crate::failure::{Failure, Result};
use crate::progress;

/// Messages, and the session that has read them.
pub(crate) struct Conversation {
    session: Session,
    template: ChatTemplate,
    /// How many messages at the start stay when the conversation is cleared.
    kept: usize,
    messages: Vec<Message>,
    held: Vec<TokenId>,
}

impl Conversation {
    /// A conversation that begins with a system text, if there is one.
    pub(crate) fn new(session: Session, template: ChatTemplate, system: Option<&str>) -> Conversation {
        let messages: Vec<Message> =
            system.into_iter().map(|text| Message::new(Speaker::System, text)).collect();
        Conversation { session, template, kept: messages.len(), messages, held: Vec::new() }
    }

    /// Forgets everything but the system text.
    pub(crate) fn clear(&mut self) {
        self.messages.truncate(self.kept);
    }

    /// Says `text` and shows the answer. If that fails, it has not been said.
    pub(crate) fn say(&mut self, text: &str, drawing: &mut Drawing) -> Result<Turn> {
        let before = self.messages.len();
        self.messages.push(Message::new(Speaker::User, text));
        let turn = self.answer(drawing).inspect_err(|_| self.messages.truncate(before))?;
        self.messages.push(Message::new(Speaker::Assistant, turn.answer.text.as_str()));
        Ok(turn)
    }

    fn answer(&mut self, drawing: &mut Drawing) -> Result<Turn> {
        let prompt = self.template.encode(self.session.model().tokenizer(), &self.messages, true)?;
        let context = self.session.context();
        if prompt.len() > context {
            return Err(too_long(prompt.len(), context));
        }
        // At least the last token is read again: the logits behind it are what the answer begins with.
        let common = self.held.iter().zip(&prompt).take_while(|(held, wanted)| held == wanted).count();
        let common = common.min(prompt.len().saturating_sub(1));
        self.session.rewind(common);
        self.held.truncate(common);
        let new = &prompt[common..];
        let start = Instant::now();
        let read = progress::prefill(&mut self.session, new);
        // A prefill that was stopped has read some of them.
        self.held.extend(&new[..self.session.position().saturating_sub(common).min(new.len())]);
        read?;
        let reading = start.elapsed();
        let answer = generate(&mut self.session, drawing, &mut self.held)?;
        Ok(Turn { read: new.len(), reading, answer })
    }
}

/// The error of a prompt that no context holds.
pub(crate) fn too_long(tokens: usize, context: usize) -> Failure {
    Failure::Message(format!(
        "the prompt has {tokens} tokens and the context holds {context}: shorten it, or ask for more with --ctx"
    ))
}
