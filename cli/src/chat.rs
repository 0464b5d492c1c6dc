//! The interactive chat of `bantam run`: lines from the terminal, answers to it, until the user leaves.
#![forbid(unsafe_code)]

use std::io::{Write, stderr, stdin};

use bantam::Cancel;
use rustyline::error::ReadlineError;
use rustyline::{Behavior, Config, DefaultEditor};

use crate::answer::{Drawing, End};
use crate::conversation::Conversation;
use crate::failure::{Failure, Result};
use crate::output::note;
use crate::units;

const HELP: &str = "\
/clear      forget the conversation, but not the system text
/help       show this
/exit       leave, as Ctrl-D does
Ctrl-C stops an answer; at the prompt, twice in a row, it leaves.";

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Request<'a> {
    Say(&'a str),
    Clear,
    Help,
    Exit,
    Unknown(&'a str),
    Nothing,
}

impl Request<'_> {
    fn parse(line: &str) -> Request<'_> {
        let line = line.trim();
        match line {
            "" => Request::Nothing,
            "/clear" => Request::Clear,
            "/help" | "/?" => Request::Help,
            "/exit" | "/quit" | "/bye" => Request::Exit,
            // A path or a fraction is something to say, a single word is a mistyped command.
            _ if line.starts_with('/') && line[1..].chars().all(|c| c.is_ascii_alphabetic()) => {
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
            Err(error) => return Err(unreadable(error)),
        };
        was_interrupted = false;
        match Request::parse(&line) {
            Request::Nothing => {}
            Request::Help => note(HELP),
            Request::Exit => return Ok(()),
            Request::Unknown(command) => note(&format!("there is no command {command}; /help lists them")),
            Request::Clear => {
                conversation.clear();
                note("The conversation starts over.");
            }
            Request::Say(text) => {
                cancel.reset();
                let said = say(conversation, text, drawing, verbose);
                cancel.reset();
                said?;
            }
        }
    }
}

/// One turn. What goes wrong with a turn does not end the chat.
fn say(conversation: &mut Conversation, text: &str, drawing: &mut Drawing, verbose: bool) -> Result<()> {
    let turn = match conversation.say(text, drawing) {
        Ok(turn) => turn,
        Err(Failure::Interrupted) => {
            note("Stopped before the answer began.");
            return Ok(());
        }
        Err(Failure::Message(message)) => {
            note(&format!("error: {message}; /clear forgets the conversation"));
            return Ok(());
        }
        Err(failure) => return Err(failure),
    };
    if verbose {
        turn.describe();
    }
    match turn.answer.end {
        End::Model | End::Limit => {}
        End::Interrupt => note("Stopped."),
        End::Context(size) => {
            let size = units::plural(size, "token");
            note(&format!("The context of {size} is full (--ctx); /clear forgets the conversation."));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_single_words_behind_a_slash_are_commands() {
        assert_eq!(Request::parse(" /clear \n"), Request::Clear);
        assert_eq!(Request::parse("/claer"), Request::Unknown("/claer"));
        assert_eq!(Request::parse("/etc/passwd is a file"), Request::Say("/etc/passwd is a file"));
        assert_eq!(Request::parse("/help me"), Request::Say("/help me"));
        assert_eq!(Request::parse("   "), Request::Nothing);
    }
}
