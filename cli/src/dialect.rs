//! How a conversation is written for a model, and what the model's answer says: template, tools, variables.
#![forbid(unsafe_code)]

use bantam::TokenId;
use bantam::Tokenizer;
use bantam::chat::{CallSyntax, ChatTemplate, Message, RenderOptions, Speaker, Tool};

use crate::failure::Result;

/// What a conversation is written with.
pub(crate) struct Dialect {
    template: ChatTemplate,
    syntax: CallSyntax,
    /// What the model may call.
    tools: Vec<Tool>,
    /// Variables of the template, a JSON object or nothing.
    variables: String,
}

impl Dialect {
    pub(crate) fn new(template: ChatTemplate, tools: Vec<Tool>, variables: String) -> Dialect {
        Dialect { syntax: CallSyntax::of(&template), template, tools, variables }
    }

    /// The tokens of `messages`, up to where the answer begins.
    pub(crate) fn encode(&self, tokenizer: &Tokenizer, messages: &[Message]) -> Result<Vec<TokenId>> {
        let options = RenderOptions {
            add_generation_prompt: true,
            tools: &self.tools,
            variables: &self.variables,
            ..RenderOptions::default()
        };
        Ok(self.template.encode_with(tokenizer, &self.syntax.prepare(messages, &self.tools), &options)?)
    }

    /// What the model said, as a message: thoughts and calls apart from the text. Text alone stays as it is to the last blank,
    /// so that it is the same tokens when it is written again.
    ///
    /// Of an answer that is not `complete`, a call that was only begun is left out. Ids that calls lack follow from `salt`.
    pub(crate) fn read(&self, said: &str, complete: Option<bool>, salt: u64) -> bantam::chat::Answer {
        let syntax = self.syntax.with_salt(salt);
        if !self.tools.is_empty() && complete == Some(false) {
            return syntax.read_unfinished(&self.tools, said);
        }
        let mut answer = syntax.read(&self.tools, said);
        if answer.reasoning.is_none() && answer.calls.is_empty() {
            said.clone_into(&mut answer.content);
        }
        answer
    }
}

/// The message that an answer becomes.
pub(crate) fn message(answer: &bantam::chat::Answer) -> Message {
    let mut message = Message::new(Speaker::Assistant, answer.content.as_str());
    if let Some(reasoning) = &answer.reasoning {
        message = message.with_reasoning(reasoning);
    }
    if answer.calls.is_empty() { message } else { message.with_tool_calls(&answer.calls) }
}
