//! A conversation in a session, of whose turns only the tokens behind those that the session holds have to be read.
#![forbid(unsafe_code)]

use std::time::Instant;

use bantam::Session;
use bantam::chat::{ChatTemplate, Message, Speaker};

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
}

impl Conversation {
    /// A conversation that begins with a system text, if there is one.
    pub(crate) fn new(session: Session, template: ChatTemplate, system: Option<&str>) -> Conversation {
        let messages: Vec<Message> =
            system.into_iter().map(|text| Message::new(Speaker::System, text)).collect();
        Conversation { session, template, kept: messages.len(), messages }
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
        let common =
            self.session.tokens().iter().zip(&prompt).take_while(|(held, wanted)| held == wanted).count();
        let common = common.min(prompt.len().saturating_sub(1));
        self.session.rewind(common);
        let new = &prompt[common..];
        let start = Instant::now();
        progress::prefill(&mut self.session, new)?;
        let reading = start.elapsed();
        let answer = generate(&mut self.session, drawing)?;
        Ok(Turn { read: new.len(), reading, answer })
    }
}

/// The error of a prompt that no context holds.
pub(crate) fn too_long(tokens: usize, context: usize) -> Failure {
    Failure::Message(format!(
        "the prompt has {tokens} tokens and the context holds {context}: shorten it, or ask for more with --ctx"
    ))
}
