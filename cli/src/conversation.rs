//! A conversation in a session, of whose turns only the tokens behind those that the session holds have to be read. When it
//! outgrows the context, its oldest turns are left out.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bantam::chat::{Conversation as Talk, Message, Speaker};
use bantam::{Session, TokenId};
use serde::{Deserialize, Serialize};

use crate::answer::{Drawing, Turn, generate};
use crate::failure::{Failure, Result};
use crate::input;
use crate::output::note;
use crate::prompt_cache::PromptCache;
use crate::{progress, units};

/// Messages, and the session that has read them.
pub(crate) struct Conversation {
    session: Session,
    /// A system text, and questions and their answers in turns.
    talk: Talk,
    cache: PromptCache,
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
        mut talk: Talk,
        cache: PromptCache,
        system: Option<&str>,
    ) -> Conversation {
        talk.set_system(system);
        Conversation { session, talk, cache }
    }

    /// The session.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// How to answer, as far as that was said.
    pub(crate) fn system(&self) -> Option<&str> {
        self.talk.system()
    }

    /// Says how to answer from here on.
    pub(crate) fn set_system(&mut self, text: &str) {
        self.talk.set_system(Some(text).filter(|text| !text.is_empty()));
    }

    /// Questions that were answered.
    pub(crate) fn turns(&self) -> usize {
        self.talk.messages().len() / 2
    }

    /// Forgets everything but the system text.
    pub(crate) fn clear(&mut self) {
        self.talk.truncate(usize::from(self.system().is_some()));
    }

    /// Takes the last question and its answer back; the question, if there was one.
    pub(crate) fn undo(&mut self) -> Option<String> {
        if self.turns() == 0 {
            return None;
        }
        let last = self.talk.messages().len() - 2;
        let question = self.talk.messages()[last].content.clone();
        self.talk.truncate(last);
        Some(question)
    }

    /// Says `text` and shows the answer. If that fails, it has not been said.
    pub(crate) fn say(&mut self, text: &str, drawing: &mut Drawing) -> Result<Turn> {
        let before = self.talk.clone();
        self.talk.push(Message::new(Speaker::User, text));
        let answered = self.fitting_prompt().and_then(|prompt| self.answer(&prompt, drawing));
        answered.inspect_err(|_| self.talk = before)
    }

    /// Answers the last of `messages`, which are the whole conversation but for a system text, and shows the answer.
    pub(crate) fn go_on(&mut self, messages: Vec<Message>, drawing: &mut Drawing) -> Result<Turn> {
        messages.into_iter().for_each(|message| self.talk.push(message));
        let prompt = self.talk.tokens(self.session.model().tokenizer())?;
        self.check_length(&prompt)?;
        self.answer(&prompt, drawing)
    }

    fn answer(&mut self, prompt: &[TokenId], drawing: &mut Drawing) -> Result<Turn> {
        let start = Instant::now();
        let read = progress::prompt(&mut self.session, prompt)?;
        let reading = start.elapsed();
        self.cache.save_prompt(&self.session, read)?;
        let answer = generate(&mut self.session, drawing)?;
        self.cache.save_answer(&self.session)?;
        // Another one for each answer of the conversation, and for each run unless its seed is given.
        let salt = drawing.generator.sampler().seed().wrapping_add(self.talk.messages().len() as u64);
        let said = self.talk.read(&answer.text, answer.complete != Some(false), salt);
        drawing.report.message(&said, answer.stop)?;
        self.talk.push(said.into());
        Ok(Turn { read, reading, answer })
    }

    /// The tokens of the conversation, without its oldest turns if the context has no room for them.
    fn fitting_prompt(&mut self) -> Result<Vec<TokenId>> {
        let before = self.talk.left_out();
        let prompt = self.talk.fitting_tokens(self.session.model().tokenizer(), self.session.context())?;
        if self.talk.left_out() > before {
            let turns = units::plural(self.talk.left_out() / 2, "turn");
            note(&format!("note: the context is full; the first {turns} of the conversation are left out"));
        }
        self.check_length(&prompt)?;
        Ok(prompt)
    }

    fn check_length(&self, prompt: &[TokenId]) -> Result<()> {
        let context = self.session.context();
        if prompt.len() > context { Err(too_long(prompt.len(), context)) } else { Ok(()) }
    }

    /// Saves the messages to a file of JSON, and what the session has read of them beside it.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let saved = |message: &Message| SavedMessage {
            role: message.speaker.name().into(),
            content: message.content.clone(),
        };
        let messages = self.talk.messages().iter().map(saved).collect();
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
        let messages = input::messages(input::without_mark(&text)).map_err(|what| failed(&what))?;
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
        self.talk.truncate(0);
        self.talk.set_system(system.as_deref());
        messages.into_iter().for_each(|message| self.talk.push(message));
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
