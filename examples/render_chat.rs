//! Renders conversations for scripts/chat-compare: `render_chat < cases > results`.
//!
//! A case is a line of JSON: `template` (a path), `tokens`, `messages`, `tools`, `variables`, `add_generation_prompt`, `now`. Its
//! result is a line with `text` or `error`.

use std::io::{BufRead, Write};

use bantam::chat::{ChatTemplate, Message, RenderOptions, Tool};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for line in std::io::stdin().lock().lines() {
        let case: Value = serde_json::from_str(&line?)?;
        let result = match render(&case) {
            Ok(text) => json!({ "text": text }),
            Err(error) => json!({ "error": error.to_string() }),
        };
        writeln!(std::io::stdout(), "{result}")?;
    }
    Ok(())
}

fn render(case: &Value) -> Result<String, Box<dyn std::error::Error>> {
    let source = std::fs::read_to_string(case["template"].as_str().ok_or("no template")?)?;
    let tokens = case["tokens"].as_object().ok_or("no tokens")?;
    let tokens: Vec<(&str, &str)> =
        tokens.iter().map(|(name, text)| (name.as_str(), text.as_str().unwrap_or_default())).collect();
    let template = ChatTemplate::new(&source, &tokens)?;
    let messages = Message::list_from_json(&case["messages"].to_string())?;
    let tools =
        if case["tools"].is_null() { Vec::new() } else { Tool::list_from_json(&case["tools"].to_string())? };
    let options = RenderOptions {
        add_generation_prompt: case["add_generation_prompt"].as_bool().unwrap_or_default(),
        tools: &tools,
        variables: &case["variables"].to_string(),
        now: case["now"].as_u64(),
    };
    Ok(template.render_with(&messages, &options)?)
}
