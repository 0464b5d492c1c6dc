//! The interactive chat of `bantam run`: lines from the terminal, answers to it, until the user leaves.
#![forbid(unsafe_code)]

use std::io::{ErrorKind, Write, stderr, stdin};
use std::path::Path;
use std::time::Duration;

use bantam::Cancel;
use rustyline::error::ReadlineError;
use rustyline::{Behavior, Config, DefaultEditor};

use crate::answer::{Drawing, Turn};
use crate::conversation::Conversation;
use crate::failure::{Failure, Result};
use crate::output::note;
use crate::units;

const HELP: &str = "\
/clear          forget the conversation, but not the system text
/undo           take the last question and its answer back
/system [TEXT]  show how to answer, or say so from here on
/save FILE      save the conversation; no file but a saved one is replaced
/load FILE      go on with a saved conversation
/stats          tokens, memory and speed since the chat began or was loaded
/help           show this
/exit           leave, as Ctrl-D does
Ctrl-C stops an answer; at the prompt, twice in a row, it leaves.";

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Request<'a> {
    Say(&'a str),
    Clear,
    Undo,
    System(&'a str),
    Save(&'a str),
    Load(&'a str),
    Stats,
    Help,
    Exit,
    Unknown(&'a str),
    /// A command with something behind it that it does not take.
    Surplus(&'a str),
    Nothing,
}

impl Request<'_> {
    fn parse(line: &str) -> Request<'_> {
        let line = line.trim();
        let (command, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match (command, argument.trim()) {
            ("", _) => Request::Nothing,
            ("/system", text) => Request::System(text),
            ("/save", file) => Request::Save(file),
            ("/load", file) => Request::Load(file),
            ("/clear", "") => Request::Clear,
            ("/undo", "") => Request::Undo,
            ("/stats", "") => Request::Stats,
            ("/help" | "/?", "") => Request::Help,
            ("/exit" | "/quit" | "/bye", "") => Request::Exit,
            ("/clear" | "/undo" | "/stats" | "/help" | "/?" | "/exit" | "/quit" | "/bye", _) => {
                Request::Surplus(command)
            }
            // A path or a fraction is something to say, a single word is a mistyped command.
            (_, "") if line.starts_with('/') && line[1..].chars().all(|c| c.is_ascii_alphabetic()) => {
                Request::Unknown(line)
            }
            _ => Request::Say(line),
        }
    }
}

/// Where lines are typed.
pub(crate) enum Terminal {
    /// One that shows a line while it is edited.
    Editor(Box<DefaultEditor>),
    /// One that cannot, such as a window of Emacs.
    Plain,
}

impl Terminal {
    /// Takes over the terminal, and with it Ctrl-C: whoever wants it during an answer has to ask for it afterwards.
    pub(crate) fn open() -> Result<Terminal> {
        // Here the editor would write its prompt to standard output.
        if std::env::var_os("TERM")
            .is_some_and(|name| ["dumb", "cons25", "emacs"].iter().any(|one| name == *one))
        {
            return Ok(Terminal::Plain);
        }
        // The line is edited on the terminal itself, so that standard output has the answers only.
        let config = Config::builder().behavior(Behavior::PreferTerm).auto_add_history(true).build();
        DefaultEditor::with_config(config)
            .map(|editor| Terminal::Editor(Box::new(editor)))
            .map_err(unreadable)
    }

    /// The next line.
    fn read(&mut self) -> std::result::Result<String, ReadlineError> {
        const PROMPT: &str = "> ";
        match self {
            Terminal::Editor(editor) => editor.readline(PROMPT),
            Terminal::Plain => {
                let mut line = String::new();
                // There is nowhere left to complain to.
                let _ = stderr().write_all(PROMPT.as_bytes());
                match stdin().read_line(&mut line)? {
                    0 => Err(ReadlineError::Eof),
                    _ => Ok(line),
                }
            }
        }
    }
}

fn unreadable(error: ReadlineError) -> Failure {
    Failure::Message(format!("cannot read from the terminal: {error}"))
}

/// Chats until the user leaves.
pub(crate) fn converse(
    mut terminal: Terminal,
    conversation: &mut Conversation,
    drawing: &mut Drawing,
    cancel: &Cancel,
    verbose: bool,
) -> Result<()> {
    note("Ask something, or /help. Ctrl-D leaves.");
    let mut was_interrupted = false;
    let mut stats = Stats::default();
    loop {
        let line = match terminal.read() {
            Ok(line) => line,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(ReadlineError::Interrupted) if was_interrupted => return Err(Failure::Interrupted),
            Err(ReadlineError::Interrupted) => {
                note("Ctrl-C again leaves.");
                was_interrupted = true;
                continue;
            }
            Err(ReadlineError::Io(error)) if error.kind() == ErrorKind::InvalidData => {
                note("error: what was typed is not UTF-8 text");
                continue;
            }
            Err(error) => return Err(unreadable(error)),
        };
        was_interrupted = false;
        match Request::parse(&line) {
            Request::Nothing => {}
            Request::Help => note(HELP),
            Request::Exit => return Ok(()),
            Request::Unknown(command) => note(&format!("there is no command {command}; /help lists them")),
            Request::Surplus(command) => {
                note(&format!("{command} takes nothing behind it; /help lists the commands"))
            }
            Request::Clear => {
                conversation.clear();
                note("The conversation starts over.");
            }
            Request::Undo => match conversation.undo() {
                Some(question) => note(&format!("Taken back: {question}")),
                None => note("There is nothing to take back."),
            },
            Request::System("") => note(conversation.system().unwrap_or("There is no system text.")),
            Request::System(text) => {
                conversation.set_system(text);
                note("The conversation goes on with this system text.");
            }
            Request::Save("") | Request::Load("") => note("name a file: /save FILE, /load FILE"),
            Request::Save(file) => tell(
                conversation
                    .save(Path::new(file))
                    .map(|()| format!("Saved to {file}, and what was read of it to {file}.session.")),
            )?,
            Request::Load(file) => tell(conversation.load(Path::new(file)).map(|unread| {
                stats = Stats::default();
                let turns = units::plural(conversation.turns(), "turn");
                let rest = unread.map_or(String::new(), |why| format!(", which will be read again: {why}"));
                format!("The conversation of {file} goes on after {turns}{rest}.")
            }))?,
            Request::Stats => stats.show(conversation),
            Request::Say(text) => {
                cancel.reset();
                let said = say(conversation, text, drawing, verbose);
                cancel.reset();
                if let Some(turn) = said? {
                    stats.add(&turn);
                }
            }
        }
    }
}

/// Says what became of a command. What goes wrong with one does not end the chat.
fn tell(result: Result<String>) -> Result<()> {
    match result {
        Ok(message) => note(&message),
        Err(Failure::Message(message)) => note(&format!("error: {message}")),
        Err(failure) => return Err(failure),
    }
    Ok(())
}

/// One turn, if there was an answer. What goes wrong with a turn does not end the chat.
fn say(
    conversation: &mut Conversation,
    text: &str,
    drawing: &mut Drawing,
    verbose: bool,
) -> Result<Option<Turn>> {
    let turn = match conversation.say(text, drawing) {
        Ok(turn) => turn,
        Err(Failure::Interrupted) => {
            note("Stopped before the answer began.");
            return Ok(None);
        }
        Err(Failure::Message(message)) => {
            note(&format!("error: {message}"));
            return Ok(None);
        }
        Err(failure) => return Err(failure),
    };
    if verbose {
        turn.describe();
    }
    // A question that is too long by itself is an error, and /clear does not help it: older turns are left out already.
    let remedy = match conversation.has_past() {
        false => "--ctx asks for more, --context-shift forgets what is old",
        true => "--ctx asks for more, --context-shift forgets what is old, /clear the whole conversation",
    };
    turn.warn(conversation.session().context(), remedy);
    Ok(Some(turn))
}

/// What a chat took so far.
#[derive(Default)]
struct Stats {
    read: usize,
    reading: Duration,
    drawn: usize,
    drawing: Duration,
    mean_logprob: Option<f32>,
}

impl Stats {
    fn add(&mut self, turn: &Turn) {
        self.read += turn.read;
        self.reading += turn.reading;
        self.drawn += turn.answer.drawn;
        self.drawing += turn.answer.time;
        self.mean_logprob = turn.answer.mean_logprob;
    }

    fn show(&self, conversation: &Conversation) {
        let session = conversation.session();
        let memory = units::bytes(session.memory().total_bytes() as u64);
        let rate = |tokens, time| units::per_second(tokens, time);
        note(&format!(
            "conversation: {}, {} of {} tokens of the context",
            units::plural(conversation.turns(), "turn"),
            session.position(),
            session.context()
        ));
        for (what, tokens, time) in
            [("read", self.read, self.reading), ("answered", self.drawn, self.drawing)]
        {
            match tokens {
                0 => note(&format!("{what}: nothing yet")),
                _ => note(&format!(
                    "{what}: {}, {:.1} tokens/s",
                    units::plural(tokens, "token"),
                    rate(tokens, time)
                )),
            }
        }
        if let Some(mean) = self.mean_logprob {
            note(&format!("last answer: mean log-probability {mean:.2} per token"));
        }
        note(&format!("memory: {memory} beside the model"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_single_words_behind_a_slash_are_commands() {
        assert_eq!(Request::parse(" /clear \n"), Request::Clear);
        assert_eq!(Request::parse("/claer"), Request::Unknown("/claer"));
        assert_eq!(Request::parse("/etc/passwd is a file"), Request::Say("/etc/passwd is a file"));
        assert_eq!(Request::parse("/help me"), Request::Surplus("/help"));
        assert_eq!(
            Request::parse("/home is where the heart is"),
            Request::Say("/home is where the heart is")
        );
        assert_eq!(Request::parse("/save my chat.json"), Request::Save("my chat.json"));
        assert_eq!(Request::parse("/system"), Request::System(""));
        assert_eq!(Request::parse("/system  Be brief. "), Request::System("Be brief."));
        assert_eq!(Request::parse("   "), Request::Nothing);
    }
}
