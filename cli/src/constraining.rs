//! The options that hold an answer to a schema, a grammar or tools, and those of the chat template.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use bantam::chat::{CallSyntax, ChatTemplate, Tool, ToolChoice};
use bantam::constrain::Grammar;
use bantam::{Error, Tokenizer};
use clap::Args;

use crate::failure::{Failure, Result};
use crate::input;

/// What the answer may look like.
#[derive(Args)]
pub(crate) struct Constraining {
    #[command(flatten)]
    grammar: GrammarSource,
    /// Let the model call the tools of this file: a JSON array as in OpenAI's API. Its calls hold to their schemas
    ///
    /// The answer is then one JSON message, with its calls under `tool_calls`, that is printed when it is whole and not streamed.
    #[arg(long, value_name = "FILE", conflicts_with = "GrammarSource")]
    tools: Option<PathBuf>,
    /// Whether it calls a tool: auto, required, none, or the name of one
    #[arg(long, value_name = "CHOICE", default_value = "auto", requires = "tools")]
    tool_choice: String,
}

/// Where a grammar comes from: one of these.
#[derive(Args)]
#[group(id = "GrammarSource", multiple = false)]
struct GrammarSource {
    /// Answer in JSON that this schema accepts; {} accepts any
    ///
    /// Objects may have properties beyond those that are listed, and lack them, unless the schema says otherwise:
    /// "additionalProperties": false, "required": [...].
    #[arg(short = 'j', long, value_name = "SCHEMA", allow_hyphen_values = true)]
    json_schema: Option<String>,
    /// The same, with the schema in a file
    #[arg(long, visible_alias = "jf", value_name = "FILE")]
    json_schema_file: Option<PathBuf>,
    /// Answer in a text of this grammar, in GBNF
    #[arg(long, value_name = "GRAMMAR", allow_hyphen_values = true)]
    grammar: Option<String>,
    /// The same, with the grammar in a file
    #[arg(long, value_name = "FILE")]
    grammar_file: Option<PathBuf>,
    /// Answer in a text that this regular expression matches, in the syntax of Rust; \d, \w and \s are of ASCII
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true)]
    regex: Option<String>,
    /// Answer in a text of the grammar in this file, in Lark
    #[arg(long, value_name = "FILE")]
    lark_file: Option<PathBuf>,
}

/// What the chat template is told beside the messages.
#[derive(Args)]
pub(crate) struct Templating {
    /// More variables of the chat template, as a JSON object: {"enable_thinking": false}
    #[arg(long, value_name = "JSON")]
    chat_template_kwargs: Option<String>,
    /// Whether a model that can think before it answers does so [default: as its template has it]
    #[arg(long, value_name = "WHETHER", value_parser = ["on", "off"])]
    reasoning: Option<String>,
}

impl Constraining {
    /// The grammar of the answer, if it has one. Tools are not looked at.
    pub(crate) fn grammar(&self) -> Result<Option<Grammar>> {
        let GrammarSource { json_schema, json_schema_file, grammar, grammar_file, regex, lark_file } =
            &self.grammar;
        type Read = fn(&str) -> bantam::Result<Grammar>;
        let texts: [(&str, &Option<String>, Read); 3] = [
            ("--json-schema", json_schema, Grammar::json_schema),
            ("--grammar", grammar, Grammar::gbnf),
            ("--regex", regex, Grammar::regex),
        ];
        let files: [(&Option<PathBuf>, Read); 3] = [
            (json_schema_file, Grammar::json_schema),
            (grammar_file, Grammar::gbnf),
            (lark_file, Grammar::lark),
        ];
        for (name, text, read) in texts {
            if let Some(text) = text {
                return read(text).map(Some).map_err(|error| Failure::Usage(format!("{name}: {error}")));
            }
        }
        for (path, read) in files {
            if let Some(path) = path {
                return read(&file(path)?).map(Some).map_err(|error| in_file(path, &error));
            }
        }
        Ok(None)
    }

    /// An error of the grammar that only showed when it was compiled.
    pub(crate) fn blame(&self, error: &Error) -> Failure {
        let GrammarSource { json_schema, json_schema_file, grammar, grammar_file, regex, lark_file } =
            &self.grammar;
        let texts = [("--json-schema", json_schema), ("--grammar", grammar), ("--regex", regex)];
        if let Some((name, _)) = texts.into_iter().find(|(_, text)| text.is_some()) {
            return Failure::Usage(format!("{name}: {error}"));
        }
        match [json_schema_file, grammar_file, lark_file, &self.tools].into_iter().flatten().next() {
            Some(path) => in_file(path, error),
            None => Failure::Message(error.to_string()),
        }
    }

    /// Whether there are tools.
    pub(crate) fn has_tools(&self) -> bool {
        self.tools.is_some()
    }

    /// The tools, none if there is no such option.
    pub(crate) fn tools(&self) -> Result<Vec<Tool>> {
        match &self.tools {
            Some(path) => match Tool::list_from_json(&file(path)?).map_err(|error| in_file(path, &error))? {
                none if none.is_empty() => {
                    Err(Failure::Message(format!("{}: there are no tools", path.display())))
                }
                tools => Ok(tools),
            },
            None => Ok(Vec::new()),
        }
    }

    /// The grammar of an answer that may call `tools`, if there are any.
    pub(crate) fn calls(
        &self,
        template: &ChatTemplate,
        tokenizer: &Tokenizer,
        tools: &[Tool],
    ) -> Result<Option<Grammar>> {
        let choice = ToolChoice::from_word(&self.tool_choice);
        let thinks = template.source().contains("</think>");
        CallSyntax::of(template).grammar(tokenizer, tools, choice, thinks).map_err(|error| match error {
            Error::Argument(_) => {
                let names: Vec<&str> = tools.iter().map(Tool::name).collect();
                let names = names.join(", ");
                Failure::Usage(format!("--tool-choice: {error}; there are auto, required, none, {names}"))
            }
            _ => self.blame(&error),
        })
    }
}

impl Templating {
    /// The variables as a JSON object, for the template; empty if there are none.
    pub(crate) fn variables(&self) -> Result<String> {
        let wrong = |what: &dyn std::fmt::Display| Failure::Usage(format!("--chat-template-kwargs: {what}"));
        let mut variables = serde_json::Map::new();
        if let Some(reasoning) = &self.reasoning {
            // The two names that templates have for it.
            for name in ["enable_thinking", "thinking"] {
                variables.insert(name.into(), (reasoning == "on").into());
            }
        }
        if let Some(text) = &self.chat_template_kwargs {
            let given: serde_json::Value = serde_json::from_str(text).map_err(|error| wrong(&error))?;
            let serde_json::Value::Object(given) = given else {
                return Err(wrong(&"not a JSON object"));
            };
            variables.extend(given);
        }
        Ok(if variables.is_empty() {
            String::new()
        } else {
            serde_json::Value::Object(variables).to_string()
        })
    }
}

fn file(path: &Path) -> Result<String> {
    input::read_text(Some(path))
}

fn in_file(path: &Path, error: &Error) -> Failure {
    Failure::Message(format!("{}: {error}", path.display()))
}
