//! Floor 4 (feature `chat`). Chat templates: how a model wants a conversation to be written down, in Jinja, in its metadata.
//!
//! A template is a program from a file that is not trusted. It is rendered as Transformers does, by an engine that reaches
//! neither files nor the network, in bounds of steps, text and depth (limits.rs). Rendering allocates.
#![forbid(unsafe_code)]

mod calls;
#[cfg(feature = "constrain")]
mod constrained;
mod content;
mod conversation;
mod date;
mod environment;
mod json;
mod limits;
mod message;
mod python;
mod pythonic;
mod syntaxes;
mod tagged;
mod thoughts;
mod tools;
mod value;

use std::borrow::Cow;
use std::string::{String, ToString};
use std::vec::Vec;

use minijinja::Value;

use crate::error::{Error, Result, text};

use crate::model::Model;
use crate::tokenizer::{EncodeOptions, TokenId, Tokenizer};
pub use calls::{Answer, CallSyntax, ToolChoice};
use content::Content;
pub use conversation::Conversation;
pub use message::{Message, Speaker};
pub use tools::{Tool, ToolCall};

/// What a conversation is written down with. The default is the conversation and nothing else. Fields may be added: write the
/// rest as `..RenderOptions::default()`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RenderOptions<'a> {
    /// Add what makes the model answer.
    pub add_generation_prompt: bool,
    /// What the model may call.
    pub tools: &'a [Tool],
    /// More variables of the template, as a JSON object: `{"enable_thinking": false}`. Nothing if empty. They count more than
    /// those of the same name that are always there.
    pub variables: &'a str,
    /// What `strftime_now` takes for the time, in seconds since 1970 began; the clock's if `None`.
    pub now: Option<u64>,
}

/// A model's chat template.
///
/// ```
/// use bantam::chat::{ChatTemplate, Message, Speaker};
///
/// let source = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ eos_token }}\n{% endfor %}\
///               {% if add_generation_prompt %}<|assistant|>{% endif %}";
/// let template = ChatTemplate::new(source, &[("eos_token", "</s>")])?;
/// let messages = [Message::new(Speaker::User, "Why is the sky blue?")];
/// assert_eq!(template.render(&messages, true)?, "<|user|>Why is the sky blue?</s>\n<|assistant|>");
/// # Ok::<(), bantam::Error>(())
/// ```
///
/// With a model, the conversation becomes the tokens to prefill:
///
/// ```no_run
/// use bantam::Model;
/// use bantam::chat::{ChatTemplate, Message, Speaker};
///
/// let model = Model::open("models/SmolLM2-135M-Instruct.Q4_1.gguf")?;
/// let template = ChatTemplate::from_model(&model)?;
/// let messages = [Message::new(Speaker::User, "Why is the sky blue?")];
/// let prompt = template.encode(model.tokenizer(), &messages, true)?;
/// # Ok::<(), bantam::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    source: String,
    /// Special tokens by the name that templates know: `bos_token`, `<s>`.
    tokens: Vec<(String, String)>,
    /// How it reads what a message says.
    content: Content,
}

/// The metadata key of a template.
const KEY: &str = "tokenizer.chat_template";

/// What a template calls special tokens, and the metadata key of each id.
const TOKENS: [(&str, &str); 6] = [
    ("bos_token", "tokenizer.ggml.bos_token_id"),
    ("eos_token", "tokenizer.ggml.eos_token_id"),
    ("unk_token", "tokenizer.ggml.unknown_token_id"),
    ("sep_token", "tokenizer.ggml.seperator_token_id"),
    ("pad_token", "tokenizer.ggml.padding_token_id"),
    ("mask_token", "tokenizer.ggml.mask_token_id"),
];

/// Characters that no text should hold (Unicode's noncharacters U+FDD0 to U+FDEF): one of them marks where the text of a
/// user's message is to be cut.
const CUTS: core::ops::RangeInclusive<char> = '\u{fdd0}'..='\u{fdef}';

impl ChatTemplate {
    /// The template in a model's metadata, with the special tokens of its vocabulary.
    ///
    /// # Errors
    /// [`Error::Template`] if there is none or it cannot be parsed; [`Error::Inconsistent`] if the key holds no text.
    pub fn from_model(model: &Model) -> Result<ChatTemplate> {
        let source = model.file().string(KEY)?.ok_or_else(|| {
            Error::Template(text!(
                "the model has none ({KEY}); hand one over, or give it the text as it stands"
            ))
        })?;
        ChatTemplate::with_tokens_of(model, source)
    }

    /// A template of one's own, with the special tokens of a model's vocabulary.
    ///
    /// # Errors
    /// As [`ChatTemplate::new`].
    pub fn with_tokens_of(model: &Model, source: &str) -> Result<ChatTemplate> {
        let (file, tokenizer) = (model.file(), model.tokenizer());
        let mut tokens = Vec::new();
        for (name, key) in TOKENS {
            let bytes = file.u32(key)?.and_then(|id| tokenizer.token_bytes(id));
            tokens.extend(bytes.map(|bytes| (name, String::from_utf8_lossy(bytes))));
        }
        let tokens: Vec<(&str, &str)> = tokens.iter().map(|(name, text)| (*name, &**text)).collect();
        ChatTemplate::new(source, &tokens)
    }

    /// A template and the special tokens it may use, by name: `("bos_token", "<s>")`.
    ///
    /// # Errors
    /// [`Error::Template`] with the line that cannot be parsed.
    pub fn new(source: &str, tokens: &[(&str, &str)]) -> Result<ChatTemplate> {
        environment::check(source)?;
        let tokens = tokens.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
        let mut template = ChatTemplate { source: source.to_string(), tokens, content: Content::Either };
        template.content = Content::of(&template)?;
        Ok(template)
    }

    /// The template as the metadata has it.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Writes a conversation down. `add_generation_prompt` adds what makes the model answer.
    ///
    /// # Errors
    /// [`Error::Template`] with the line that failed, also where the template itself refuses the conversation, or takes
    /// more steps or room than a conversation can need.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        self.render_with(messages, &RenderOptions { add_generation_prompt, ..RenderOptions::default() })
    }

    /// Writes a conversation down with tools and variables.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`]; [`Error::Argument`] for variables that are no JSON object.
    pub fn render_with(&self, messages: &[Message], options: &RenderOptions<'_>) -> Result<String> {
        self.write(messages, options, &|_, text| Ok(text.to_string()))
    }

    /// The tokens of a conversation, BOS included where the metadata asks for it. What the template writes may name
    /// control tokens; the message of a user or a tool may not, and its `<|im_end|>` is so many characters.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`] and [`Tokenizer::encode`].
    pub fn encode(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<Vec<TokenId>> {
        let options = RenderOptions { add_generation_prompt, ..RenderOptions::default() };
        self.encode_with(tokenizer, messages, &options)
    }

    /// The tokens of a conversation with tools and variables.
    ///
    /// # Errors
    /// As [`ChatTemplate::render_with`] and [`Tokenizer::encode`].
    pub fn encode_with(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        options: &RenderOptions<'_>,
    ) -> Result<Vec<TokenId>> {
        let is_free = |cut: &char| !messages.iter().any(|message| message.contains(*cut));
        let Some(cut) = CUTS.into_iter().find(is_free) else {
            return Err(Error::Argument(text!("the messages hold every one of Unicode's noncharacters")));
        };
        let rendered = self.write(messages, options, &|speaker, text| {
            Ok(if speaker.is_stranger() { cut_control(tokenizer, text, cut)? } else { Cow::Borrowed(text) }
                .into())
        })?;
        let options = EncodeOptions { parse_special: true, ..EncodeOptions::default() };
        let mut tokens = Vec::new();
        let mut parts = rendered.split(cut);
        tokenizer.encode(parts.next().unwrap_or_default(), options, &mut tokens)?;
        for part in parts {
            tokenizer.encode_more(part, options.parse_special, &mut tokens)?;
        }
        // Most templates write BOS themselves.
        if tokenizer.adds_bos()
            && let Some(bos) = tokenizer.bos()
            && tokens.first() != Some(&bos)
        {
            tokens.insert(0, bos);
        }
        Ok(tokens)
    }

    fn write(
        &self,
        messages: &[Message],
        options: &RenderOptions<'_>,
        text: &dyn Fn(Speaker, &str) -> Result<String>,
    ) -> Result<String> {
        let mut bytes = options.variables.len();
        let mut list = Vec::new();
        for message in messages {
            bytes += message.size();
            list.push(message.value(self.content, &|content| text(message.speaker, content))?);
        }
        let tools: Vec<Value> = options.tools.iter().map(|tool| value::plain(tool.source())).collect();
        bytes += options.tools.iter().map(|tool| tool.source().to_string().len()).sum::<usize>();
        // Transformers defines tools and documents as None where there are none.
        let tools = if tools.is_empty() { Value::from(()) } else { Value::from(tools) };
        let mut context: Vec<(String, Value)> =
            self.tokens.iter().map(|(name, text)| (name.clone(), Value::from(text.as_str()))).collect();
        context.extend([
            ("messages".into(), Value::from(list)),
            ("add_generation_prompt".into(), Value::from(options.add_generation_prompt)),
            ("tools".into(), tools),
            ("documents".into(), Value::from(())),
        ]);
        if !options.variables.is_empty() {
            context.extend(
                object(options.variables)?.iter().map(|(name, json)| (name.clone(), value::plain(json))),
            );
        }
        let call = environment::Call { messages: messages.len(), bytes, now: options.now };
        environment::render(&self.source, Value::from_pairs(context), &call)
    }
}

/// The variables of a template: a JSON object.
fn object(variables: &str) -> Result<serde_json::Map<String, serde_json::Value>> {
    match crate::json::parse(variables) {
        Ok(serde_json::Value::Object(variables)) => Ok(variables),
        Ok(_) => Err(Error::Argument(text!("the template's variables are no JSON object"))),
        Err(error) => Err(Error::Argument(text!("the template's variables are not JSON: {error}"))),
    }
}

/// `content` with `cut` before and behind each character of the texts of control tokens, so that none is left.
fn cut_control<'a>(tokenizer: &Tokenizer, content: &'a str, cut: char) -> Result<Cow<'a, str>> {
    let control = tokenizer.find_control(content)?;
    if control.is_empty() {
        return Ok(Cow::Borrowed(content));
    }
    let mut parts = String::new();
    let mut copied = 0;
    for range in control {
        parts.push_str(content.get(copied..range.start).unwrap_or_default());
        parts.push(cut);
        copied = range.end;
        for c in content.get(range).unwrap_or_default().chars() {
            parts.push(c);
            parts.push(cut);
        }
    }
    parts.push_str(content.get(copied..).unwrap_or_default());
    Ok(Cow::Owned(parts))
}
