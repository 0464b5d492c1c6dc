//! Floor 4. How the models of each family write calls of tools, and what tells families apart.
#![forbid(unsafe_code)]

use super::calls::{CallSyntax, Form};
use super::tagged::Tags;

const fn object(name: &'static str, arguments: &'static str) -> Form {
    Form::Object { name, arguments, id: None }
}

pub(super) const HERMES: CallSyntax = CallSyntax {
    open: "",
    before: "<tool_call>\n",
    form: object("name", "arguments"),
    after: "\n</tool_call>",
    between: "\n",
    close: "",
    is_many: true,
    knows_tools: true,
    writes_calls: true,
    salt: 0,
};
/// Where nothing else is known: as Hermes, which the system message explains.
pub(super) const GENERIC: CallSyntax = CallSyntax { knows_tools: false, ..HERMES };
const LLAMA: CallSyntax = CallSyntax {
    before: "",
    form: object("name", "parameters"),
    after: "",
    between: "",
    is_many: false,
    ..HERMES
};
const MISTRAL: CallSyntax = CallSyntax {
    open: "[TOOL_CALLS][",
    before: "",
    form: Form::Object { name: "name", arguments: "arguments", id: Some("id") },
    after: "",
    between: ", ",
    close: "]",
    ..HERMES
};
const MISTRAL_SPACED: CallSyntax = CallSyntax { open: "[TOOL_CALLS] [", ..MISTRAL };
const MISTRAL_NAMED: CallSyntax =
    CallSyntax { before: "[TOOL_CALLS]", form: Form::Named("[ARGS]"), after: "", between: "", ..HERMES };
const FUNCTION: CallSyntax =
    CallSyntax { before: "<function=", form: Form::Named(">"), after: "</function>", between: "", ..HERMES };
const DEEPSEEK: CallSyntax = CallSyntax {
    open: "<｜tool▁calls▁begin｜>",
    before: "<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
    form: Form::Named("\n```json\n"),
    after: "\n```<｜tool▁call▁end｜>",
    between: "\n",
    close: "<｜tool▁calls▁end｜>",
    ..HERMES
};
const DEEPSEEK_3_1: CallSyntax = CallSyntax {
    before: "<｜tool▁call▁begin｜>",
    form: Form::Named("<｜tool▁sep｜>"),
    after: "<｜tool▁call▁end｜>",
    between: "",
    ..DEEPSEEK
};
const COMMAND: CallSyntax = CallSyntax {
    open: "<|START_ACTION|>[",
    before: "",
    form: Form::Object { name: "tool_name", arguments: "parameters", id: Some("tool_call_id") },
    after: "",
    between: ",",
    close: "]<|END_ACTION|>",
    ..HERMES
};
const GRANITE: CallSyntax = CallSyntax {
    open: "<|tool_call|>[",
    before: "",
    form: object("name", "arguments"),
    after: "",
    between: ", ",
    close: "]",
    ..HERMES
};
const PHI: CallSyntax = CallSyntax { close: "]<|/tool_call|>", ..GRANITE };
const GPT_OSS: CallSyntax = CallSyntax {
    before: "<|channel|>commentary to=functions.",
    form: Form::Named(" <|constrain|>json<|message|>"),
    after: "",
    between: "",
    is_many: false,
    ..HERMES
};
const FIRE: CallSyntax = CallSyntax { open: " functools[", ..MISTRAL };
const INTERN: CallSyntax = CallSyntax {
    before: "<|action_start|><|plugin|>\n",
    form: object("name", "parameters"),
    after: "<|action_end|>",
    between: "\n",
    ..HERMES
};

const KIMI: CallSyntax = CallSyntax {
    open: "<|tool_calls_section_begin|>",
    before: "<|tool_call_begin|>functions.",
    form: Form::Numbered("<|tool_call_argument_begin|>"),
    after: "<|tool_call_end|>",
    between: "",
    close: "<|tool_calls_section_end|>",
    ..HERMES
};
const QWEN_CODER: CallSyntax = CallSyntax {
    before: "<tool_call>\n<function=",
    form: Form::Tagged(Tags {
        behind_name: ">\n",
        before_name: "<parameter=",
        before_value: ">\n",
        behind_value: "\n</parameter>\n",
    }),
    after: "</function>\n</tool_call>",
    ..HERMES
};
const GLM: CallSyntax = CallSyntax {
    before: "<tool_call>",
    form: Form::Tagged(Tags {
        behind_name: "\n",
        before_name: "<arg_key>",
        before_value: "</arg_key>\n<arg_value>",
        behind_value: "</arg_value>\n",
    }),
    after: "</tool_call>",
    ..HERMES
};

const LFM: CallSyntax = CallSyntax {
    open: "<|tool_call_start|>[",
    before: "",
    form: Form::Python,
    after: "",
    between: ", ",
    close: "]<|tool_call_end|>",
    ..HERMES
};

/// What a template has to name, for its models to write calls so. The first that fits counts.
pub(super) const KNOWN: [(&[&str], CallSyntax); 19] = [
    (&["<|channel|>", "functions."], GPT_OSS),
    (&["<｜tool▁calls▁begin｜>", "```json"], DEEPSEEK),
    (&["<｜tool▁calls▁begin｜>"], DEEPSEEK_3_1),
    (&["[TOOL_CALLS]", "[ARGS]"], MISTRAL_NAMED),
    (&["[TOOL_CALLS] ["], MISTRAL_SPACED),
    (&["[TOOL_CALLS]"], MISTRAL),
    (&["<|START_ACTION|>"], COMMAND),
    (&["<|tool_call|>", "<|/tool_call|>"], PHI),
    (&["<|tool_call|>"], GRANITE),
    (&["<|action_start|>"], INTERN),
    (&["<|tool_call_start|>"], LFM),
    (&["<|tool_list_start|>"], LFM),
    (&[" functools["], FIRE),
    (&["<|tool_calls_section_begin|>"], KIMI),
    (&["<function=", "<parameter="], QWEN_CODER),
    (&["<arg_key>", "<arg_value>"], GLM),
    (&["<function=", "parameters", "JSON dict"], FUNCTION),
    (&["<tool_call>", "\"arguments\""], HERMES),
    (&["\"parameters\": ", "\"name\": "], LLAMA),
];
