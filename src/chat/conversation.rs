//! Floor 4. A conversation: its messages, and how they are written down for a model so that they fit into a context.
//!
//! Invariant: what is left out are the oldest turns, whole ones, and no more than it takes; the system text and the last message stay.
#![forbid(unsafe_code)]

use std::string::String;
use std::vec::Vec;

use super::{Answer, CallSyntax, ChatTemplate, Message, RenderOptions, Speaker, Tool};
use crate::error::Result;
use crate::tokenizer::{TokenId, Tokenizer};

/// A conversation with a model of one chat template.
///
/// ```no_run
/// use bantam::Model;
/// use bantam::chat::{ChatTemplate, Conversation, Message, Speaker};
///
/// let model = Model::open("models/SmolLM2-135M-Instruct.Q4_1.gguf")?;
/// let mut conversation = Conversation::new(ChatTemplate::from_model(&model)?);
/// conversation.push(Message::new(Speaker::User, "Why is the sky blue?"));
/// let prompt = conversation.fitting_tokens(model.tokenizer(), 4096)?;
/// // Session::prompt reads what of it is new, a Generator answers, and then
/// let answer = conversation.read("Because of Rayleigh scattering.", true, 0);
/// conversation.push(answer.into());
/// # Ok::<(), bantam::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Conversation {
    template: ChatTemplate,
    syntax: CallSyntax,
    tools: Vec<Tool>,
    variables: String,
    messages: Vec<Message>,
    /// How many messages behind the system text are left out.
    left_out: usize,
}

impl Conversation {
    /// A conversation without messages.
    pub fn new(template: ChatTemplate) -> Conversation {
        let syntax = CallSyntax::of(&template);
        let (tools, variables, messages) = (Vec::new(), String::new(), Vec::new());
        Conversation { template, syntax, tools, variables, messages, left_out: 0 }
    }

    /// What the model may call from here on.
    pub fn set_tools(&mut self, tools: Vec<Tool>) {
        self.tools = tools;
    }

    /// What the model may call.
    pub fn tools(&self) -> &[Tool] {
        &self.tools
    }

    /// How the model writes calls.
    pub fn call_syntax(&self) -> &CallSyntax {
        &self.syntax
    }

    /// More variables of the template from here on: see [`RenderOptions::variables`].
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) if they are no JSON object.
    pub fn set_variables(&mut self, variables: String) -> Result<()> {
        if !variables.is_empty() {
            super::object(&variables)?;
        }
        self.variables = variables;
        Ok(())
    }

    /// All messages, those that are left out too.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// How many messages are left out when the conversation is written down.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// How to answer, as far as that was said.
    pub fn system(&self) -> Option<&str> {
        self.messages.first().filter(|first| first.speaker == Speaker::System).map(|first| &*first.content)
    }

    /// Says how to answer from here on, in place of what was said of it before; `None` says nothing.
    pub fn set_system(&mut self, text: Option<&str>) {
        self.messages.drain(..self.system_len());
        if let Some(text) = text {
            self.messages.insert(0, Message::new(Speaker::System, text));
        }
    }

    /// Adds a message.
    pub fn push(&mut self, message: Message) {
        self.messages.push(message);
    }

    /// Takes back all messages behind the first `count`.
    pub fn truncate(&mut self, count: usize) {
        self.messages.truncate(count);
        let behind_system = self.messages.len() - self.system_len();
        self.left_out = self.left_out.min(behind_system.saturating_sub(1));
    }

    /// How many messages of the system's there are at the beginning.
    fn system_len(&self) -> usize {
        self.messages.iter().take_while(|message| message.speaker == Speaker::System).count()
    }

    /// The messages that are written down.
    fn fitting_messages(&self) -> Vec<Message> {
        let (system, rest) = self.messages.split_at(self.system_len());
        let kept = system.iter().chain(rest.iter().skip(self.left_out));
        self.syntax.prepare(&kept.cloned().collect::<Vec<Message>>(), &self.tools)
    }

    fn options(&self) -> RenderOptions<'_> {
        RenderOptions {
            add_generation_prompt: true,
            tools: &self.tools,
            variables: &self.variables,
            ..RenderOptions::default()
        }
    }

    /// The conversation as the template writes it down, up to where the answer begins.
    ///
    /// # Errors
    /// As [`ChatTemplate::render_with`].
    pub fn render(&self) -> Result<String> {
        self.template.render_with(&self.fitting_messages(), &self.options())
    }

    /// The tokens of the conversation, up to where the answer begins.
    ///
    /// # Errors
    /// As [`ChatTemplate::encode_with`].
    pub fn tokens(&self, tokenizer: &Tokenizer) -> Result<Vec<TokenId>> {
        self.template.encode_with(tokenizer, &self.fitting_messages(), &self.options())
    }

    /// The tokens of the conversation for a context. If they leave less than a quarter of it to the answer, the oldest turns are left out
    /// until the rest takes half of it, so that the rest need not be read again at every turn.
    ///
    /// If the last message is too long by itself, there are more tokens than the context holds, and nothing more is left out.
    ///
    /// # Errors
    /// As [`ChatTemplate::encode_with`].
    pub fn fitting_tokens(&mut self, tokenizer: &Tokenizer, context: usize) -> Result<Vec<TokenId>> {
        let mut tokens = self.tokens(tokenizer)?;
        if tokens.len() > context - context / 4 {
            let before = self.left_out;
            while tokens.len() > context / 2 && self.leave_turn_out() {
                tokens = self.tokens(tokenizer)?;
            }
            if tokens.len() > context {
                self.left_out = before;
            }
        }
        Ok(tokens)
    }

    /// Leaves out the oldest turn that is left, if that is not the last: everything up to the next message of the user.
    fn leave_turn_out(&mut self) -> bool {
        let begin = self.system_len() + self.left_out;
        let later = self.messages.iter().enumerate().skip(begin + 1);
        let mut turns = later.filter(|(_, message)| message.speaker == Speaker::User).map(|(i, _)| i);
        let Some(next) = turns.next() else { return false };
        self.left_out = next - self.system_len();
        true
    }

    /// What the model said, with thoughts and calls apart from the text. Text alone stays as it is to the last blank, so that it is the same
    /// tokens when it is written down again. Of an answer that is not `complete`, a call that was only begun is left out. Ids that
    /// calls lack follow from `salt`: see [`CallSyntax::with_salt`].
    pub fn read(&self, said: &str, complete: bool, salt: u64) -> Answer {
        let syntax = self.syntax.with_salt(salt);
        if !self.tools.is_empty() && !complete {
            return syntax.read_unfinished(&self.tools, said);
        }
        let mut answer = syntax.read(&self.tools, said);
        if answer.reasoning.is_none() && answer.calls.is_empty() {
            said.clone_into(&mut answer.content);
        }
        answer
    }
}

impl From<Answer> for Message {
    fn from(answer: Answer) -> Message {
        let mut message = Message::new(Speaker::Assistant, answer.content);
        if let Some(reasoning) = &answer.reasoning {
            message = message.with_reasoning(reasoning);
        }
        if answer.calls.is_empty() { message } else { message.with_tool_calls(&answer.calls) }
    }
}
