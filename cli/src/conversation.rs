//! A conversation in a session, of whose turns only the tokens behind those that the session holds have to be read. When it
//! outgrows the context, its oldest turns are left out.
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bantam::chat::{Conversation as Talk, Message, Speaker};
use bantam::{Session, StopReason, TokenId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answer::{Drawing, Turn, generate};
use crate::failure::{Failure, Result};
use crate::input;
use crate::output::note;
use crate::progress;
use crate::prompt_cache::PromptCache;

/// Messages, and the session that has read them.
pub(crate) struct Conversation {
    session: Session,
    /// A system text, and questions and their answers in turns.
    talk: Talk,
    cache: PromptCache,
}

/// A conversation as a file.
#[derive(Serialize, Deserialize)]
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

    /// Whether the model sees turns before the last one.
    pub(crate) fn has_past(&self) -> bool {
        self.turns() > self.talk.left_out() / 2 + 1
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
        // A session that was cancelled saves nothing; the beginning of the answer counts all the same.
        if answer.stop != StopReason::Cancelled {
            self.cache.save_answer(&self.session)?;
        }
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
            let turns = match self.talk.left_out() / 2 {
                1 => "turn of the conversation is".to_owned(),
                turns => format!("{turns} turns of the conversation are"),
            };
            note(&format!("note: the context is full; the first {turns} left out"));
        }
        self.check_length(&prompt)?;
        Ok(prompt)
    }

    fn check_length(&self, prompt: &[TokenId]) -> Result<()> {
        let context = self.session.context();
        if prompt.len() > context { Err(too_long(prompt.len(), context)) } else { Ok(()) }
    }

    /// Saves the messages to a file of JSON, and what the session has read of them beside it. Only a saved chat is replaced, and
    /// when all is written.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let saved = |message: &Message| SavedMessage {
            role: message.speaker.name().into(),
            content: message.content.clone(),
        };
        let messages = self.talk.messages().iter().map(saved).collect();
        let failed = |error: String| Failure::Message(format!("cannot save {}: {error}", path.display()));
        let json =
            serde_json::to_string_pretty(&Saved { messages }).map_err(|error| failed(error.to_string()))?;
        replace(path, &(json + "\n")).map_err(failed)?;
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

/// Writes `text` to a file, in place of a saved conversation if there is one.
fn replace(path: &Path, text: &str) -> std::result::Result<(), String> {
    // What a link leads to is replaced, and not the link.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if path.exists() && !is_saved(path) {
        return Err("the file is there and is no saved chat: it stays as it is, name another".into());
    }
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    fs::write(&new, text).and_then(|()| fs::rename(&new, path)).map_err(|error| {
        // What is left of it is of no use; that it cannot be removed either is not worth another error.
        let _ = fs::remove_file(&new);
        error.to_string()
    })
}

/// Whether the file is a saved conversation, with nothing in it that another would not have; or empty. What is no JSON is not
/// read to its end.
fn is_saved(path: &Path) -> bool {
    let Ok(found) = fs::metadata(path) else { return false };
    let saved = |file| {
        let read: Value = serde_json::from_reader(BufReader::new(file)).unwrap_or_default();
        let again = serde_json::from_value::<Saved>(read.clone()).and_then(serde_json::to_value);
        again.is_ok_and(|again| again == read)
    };
    found.is_file() && (found.len() == 0 || File::open(path).is_ok_and(saved))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_saved_conversations_are_replaced() {
        let folder = tempfile::tempdir().expect("there is room for files");
        let path = folder.path().join("chat.json");
        let text = r#"{"messages": [{"role": "user", "content": "a"}]}"#;
        assert_eq!(replace(&path, text), Ok(()));
        assert_eq!(replace(&path, text), Ok(()));
        for other in [
            "GGUF\u{3}",
            "a diary",
            "[]",
            r#"{"messages": [], "model": "m"}"#,
            r#"{"messages": [1]}"#,
            r#"{"messages": [{"role": "user", "content": "a", "name": "Eva"}]}"#,
        ] {
            fs::write(&path, other).expect("the file can be written");
            assert!(replace(&path, text).is_err_and(|error| error.contains("no saved chat")), "{other}");
            assert_eq!(fs::read_to_string(&path).expect("the file is there"), other);
        }
        fs::write(&path, "").expect("the file can be written");
        assert_eq!(replace(&path, text), Ok(()));
        assert!(replace(folder.path(), text).is_err());
        assert!(
            replace(&folder.path().join("no/such"), text).is_err_and(|error| error.contains("No such file"))
        );
        // Nothing is left of what failed.
        assert_eq!(fs::read_dir(folder.path()).expect("the folder is there").count(), 1);
    }
}
