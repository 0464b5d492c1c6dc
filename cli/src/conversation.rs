//! A conversation in a session, of whose turns only the tokens behind those that the session holds have to be read. When it
//! outgrows the context, its oldest turns are left out.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bantam::chat::{Message, Speaker};
use bantam::{Session, TokenId};
use serde::{Deserialize, Serialize};

use crate::answer::{Drawing, Turn, generate};
use crate::dialect::{self, Dialect};
use crate::failure::{Failure, Result};
use crate::input;
use crate::output::note;
use crate::prompt_cache::PromptCache;
use crate::{progress, units};

/// Messages, and the session that has read them.
pub(crate) struct Conversation {
    session: Session,
    dialect: Dialect,
    cache: PromptCache,
    system: Option<String>,
    /// The questions and their answers, in turns.
    messages: Vec<Message>,
    /// How many of them are left out, as the context has no room for them.
    left_out: usize,
}

/// A conversation as a file.
#[derive(Serialize)]
struct Saved {
    messages: Vec<SavedMessage>,
}

#[derive(Serialize, Deserialize)]
struct SavedMessage {
    role: String,
    content: String,
}

impl Conversation {
    /// A conversation that begins with a system text, if there is one.
    pub(crate) fn new(
        session: Session,
        dialect: Dialect,
        cache: PromptCache,
        system: Option<&str>,
    ) -> Conversation {
        let system = system.map(str::to_owned);
        Conversation { session, dialect, cache, system, messages: Vec::new(), left_out: 0 }
    }

    /// The session.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// How to answer, as far as that was said.
    pub(crate) fn system(&self) -> Option<&str> {
        self.system.as_deref()
    }

    /// Says how to answer from here on.
    pub(crate) fn set_system(&mut self, text: &str) {
        self.system = Some(text.to_owned()).filter(|text| !text.is_empty());
    }

    /// Questions that were answered.
    pub(crate) fn turns(&self) -> usize {
        self.messages.len() / 2
    }

    /// Forgets everything but the system text.
    pub(crate) fn clear(&mut self) {
        self.messages.clear();
        self.left_out = 0;
    }

    /// Takes the last question and its answer back; the question, if there was one.
    pub(crate) fn undo(&mut self) -> Option<String> {
        self.messages.pop()?;
        let question = self.messages.pop()?;
        self.left_out = self.left_out.min(self.messages.len());
        Some(question.content)
    }

    /// Says `text` and shows the answer. If that fails, it has not been said.
    pub(crate) fn say(&mut self, text: &str, drawing: &mut Drawing) -> Result<Turn> {
        let before = (self.messages.len(), self.left_out);
        self.messages.push(Message::new(Speaker::User, text));
        let answered = self.fitting_prompt().and_then(|prompt| self.answer(&prompt, drawing));
        let (turn, message) = answered.inspect_err(|_| {
            self.messages.truncate(before.0);
            self.left_out = before.1;
        })?;
        self.messages.push(message);
        Ok(turn)
    }

    /// Answers the last of `messages`, which are the whole conversation but for a system text, and shows the answer.
    pub(crate) fn go_on(&mut self, messages: Vec<Message>, drawing: &mut Drawing) -> Result<Turn> {
        self.messages = messages;
        let prompt = self.prompt()?;
        self.check_length(&prompt)?;
        let (turn, message) = self.answer(&prompt, drawing)?;
        self.messages.push(message);
        Ok(turn)
    }

    fn answer(&mut self, prompt: &[TokenId], drawing: &mut Drawing) -> Result<(Turn, Message)> {
        let start = Instant::now();
        let read = progress::prompt(&mut self.session, prompt)?;
        let reading = start.elapsed();
        self.cache.save_prompt(&self.session, read)?;
        let answer = generate(&mut self.session, drawing)?;
        self.cache.save_answer(&self.session)?;
        // Another one for each answer of the conversation, and for each run unless its seed is given.
        let salt = drawing.generator.sampler().seed().wrapping_add(self.messages.len() as u64);
        let said = self.dialect.read(&answer.text, answer.complete, salt);
        drawing.report.message(&said, answer.stop)?;
        Ok((Turn { read, reading, answer }, dialect::message(&said)))
    }

    /// The tokens of the conversation. If they leave less than a quarter of the context to the answer, the oldest turns are
    /// left out until the rest takes half of it: so the rest does not have to be read again at every turn.
    fn fitting_prompt(&mut self) -> Result<Vec<TokenId>> {
        let context = self.session.context();
        let mut prompt = self.prompt()?;
        if prompt.len() > context - context / 4 {
            let before = self.left_out;
            while prompt.len() > context / 2 && self.left_out + 2 < self.messages.len() {
                self.left_out += 2;
                prompt = self.prompt()?;
            }
            if self.left_out > before {
                let turns = units::plural(self.left_out / 2, "turn");
                note(&format!(
                    "note: the context is full; the first {turns} of the conversation are left out"
                ));
            }
        }
        self.check_length(&prompt)?;
        Ok(prompt)
    }

    fn check_length(&self, prompt: &[TokenId]) -> Result<()> {
        let context = self.session.context();
        if prompt.len() > context { Err(too_long(prompt.len(), context)) } else { Ok(()) }
    }

    fn prompt(&self) -> Result<Vec<TokenId>> {
        let system = self.system.iter().map(|text| Message::new(Speaker::System, text.as_str()));
        let messages: Vec<Message> = system.chain(self.messages[self.left_out..].iter().cloned()).collect();
        self.dialect.encode(self.session.model().tokenizer(), &messages)
    }

    /// Saves the messages to a file of JSON, and what the session has read of them beside it.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let system = self.system.iter().map(|text| (Speaker::System, text));
        let messages = system.chain(self.messages.iter().map(|message| (message.speaker, &message.content)));
        let messages = messages
            .map(|(speaker, content)| SavedMessage { role: speaker.name().into(), content: content.clone() })
            .collect();
        let failed = |error: String| Failure::Message(format!("cannot save {}: {error}", path.display()));
        let json =
            serde_json::to_string_pretty(&Saved { messages }).map_err(|error| failed(error.to_string()))?;
        fs::write(path, json + "\n").map_err(|error| failed(error.to_string()))?;
        Ok(self.session.save(session_path(path))?)
    }

    /// Takes over the messages of a file, and what a session has read of them; if that is not there or does not fit, why.
    pub(crate) fn load(&mut self, path: &Path) -> Result<Option<bantam::Error>> {
        let failed = |what: &str| Failure::Message(format!("cannot load {}: {what}", path.display()));
        let text = fs::read_to_string(path).map_err(|error| failed(&error.to_string()))?;
        let messages = input::messages(&text).map_err(|what| failed(&what))?;
        let saved: Vec<SavedMessage> =
            serde_json::from_value(messages).map_err(|error| failed(&error.to_string()))?;
        let (mut system, mut messages) = (None, Vec::new());
        for (i, SavedMessage { role, content }) in saved.into_iter().enumerate() {
            let turn = [Speaker::User, Speaker::Assistant][messages.len() % 2];
            if i == 0 && role == Speaker::System.name() {
                system = Some(content);
            } else if role == turn.name() {
                messages.push(Message::new(turn, content));
            } else {
                return Err(failed(&format!(
                    "message {} is of {role:?}, and it is the turn of {:?}",
                    i + 1,
                    turn.name()
                )));
            }
        }
        if messages.len() % 2 != 0 {
            return Err(failed("the last question has no answer"));
        }
        (self.system, self.messages, self.left_out) = (system, messages, 0);
        Ok(self.session.restore(session_path(path)).err())
    }
}

/// Where the session of a saved conversation is.
fn session_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".session");
    name.into()
}

/// The error of a prompt that no context holds.
pub(crate) fn too_long(tokens: usize, context: usize) -> Failure {
    Failure::Message(format!(
        "the prompt has {tokens} tokens and the context holds {context}: shorten it, or ask for more with --ctx"
    ))
}
