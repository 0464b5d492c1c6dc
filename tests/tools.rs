//! Calls of tools: read from what models write, and constrained so that every call is one of a tool with arguments that its schema
//! accepts.
#![cfg(all(feature = "chat", feature = "constrain"))]

#[path = "constrain/walk.rs"]
mod walk;

use bantam::chat::{
    Answer, CallSyntax, ChatTemplate, Message, RenderOptions, Speaker, Tool, ToolCall, ToolChoice,
};
use bantam::{EncodeOptions, Error};
use serde_json::Value;

use walk::{demo, walk};

const TOOLS: &str = r##"[
    { "type": "function", "function": { "name": "get_weather", "description": "The weather of a city", "parameters": {
        "type": "object", "required": ["city"], "additionalProperties": false, "properties": {
            "city": { "$ref": "#/$defs/city" }, "days": { "type": "integer", "minimum": 1, "maximum": 14 } },
        "$defs": { "city": { "type": "string", "minLength": 1, "maxLength": 20 } } } } },
    { "name": "add", "parameters": { "type": "object", "required": ["a", "b"], "additionalProperties": false,
        "properties": { "a": { "type": "integer" }, "b": { "type": "integer" } } } },
    { "name": "now" }
]"##;

/// A piece of a template of each family, and an answer with calls as its models write it.
const FAMILIES: &[(&str, &str, &str)] = &[
    (
        "hermes",
        r#"{{ tools }} <tool_call>{"name": "x", "arguments": {}}</tool_call>"#,
        "I look it up.\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Rome\"}}\n</tool_call>\n<tool_call>\n\
         {\"name\": \"add\", \"arguments\": {\"a\": 1, \"b\": 2}}\n</tool_call>",
    ),
    (
        "generic",
        "{{ messages }}",
        "I look it up.\n<tool_call>{\"name\":\"get_weather\",\"arguments\":{\"city\":\"Rome\"}}</tool_call>\n<tool_call>\
         {\"name\": \"add\", \"arguments\": \"{\\\"a\\\": 1, \\\"b\\\": 2}\"}",
    ),
    (
        "mistral",
        "{{ tools }}[TOOL_CALLS][",
        "I look it up.[TOOL_CALLS][{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Rome\"}, \"id\": \"call00001\"}, \
         {\"name\": \"add\", \"arguments\": {\"a\": 1, \"b\": 2}, \"id\": \"call00002\"}]",
    ),
    (
        "mistral, named",
        "{{ tools }}[TOOL_CALLS]x[ARGS]",
        "I look it up.[TOOL_CALLS]get_weather[ARGS]{\"city\": \"Rome\"}[TOOL_CALLS]add[CALL_ID]call00002[ARGS]{\"a\": 1, \"b\": 2}",
    ),
    (
        "functions",
        "{{ tools }}<function=name>{parameters}</function> parameters => a JSON dict",
        "I look it up.<function=get_weather>{\"city\": \"Rome\"}</function><function=add>{\"a\": 1, \"b\": 2}</function>",
    ),
    (
        "kimi",
        "{{ tools }}<|tool_calls_section_begin|>",
        "I look it up.<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>\
         {\"city\": \"Rome\"}<|tool_call_end|><|tool_call_begin|>functions.add:1<|tool_call_argument_begin|>{\"a\": 1, \"b\": 2}\
         <|tool_call_end|><|tool_calls_section_end|>",
    ),
    (
        "qwen coder",
        "{{ tools }}<tool_call>\n<function=example>\n<parameter=one>\n1\n</parameter>",
        "I look it up.\n<tool_call>\n<function=get_weather>\n<parameter=city>\nRome\n</parameter>\n</function>\n</tool_call>\n\
         <tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\n<parameter=b>\n2\n</parameter>\n</function>\n</tool_call>",
    ),
    (
        "glm",
        "{{ tools }}<tool_call>{name}\n<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>",
        "I look it up.\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Rome</arg_value>\n</tool_call>\n\
         <tool_call>add\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n<arg_key>b</arg_key>\n<arg_value>2</arg_value>\n</tool_call>",
    ),
    (
        "deepseek",
        "{{ tools }}<｜tool▁calls▁begin｜>```json",
        "I look it up.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{\"city\": \"Rome\"}\n```\
         <｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{\"a\": 1, \"b\": 2}\n```<｜tool▁call▁end｜>\
         <｜tool▁calls▁end｜>",
    ),
    (
        "deepseek 3.1",
        "{{ tools }}<｜tool▁calls▁begin｜>",
        "I look it up.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{\"city\": \"Rome\"}<｜tool▁call▁end｜>\
         <｜tool▁call▁begin｜>add<｜tool▁sep｜>{\"a\": 1, \"b\": 2}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    ),
    (
        "command",
        "{{ tools }}<|START_ACTION|>",
        "I look it up.<|START_ACTION|>[{\"tool_call_id\": \"0\", \"tool_name\": \"get_weather\", \"parameters\": \
         {\"city\": \"Rome\"}},{\"tool_call_id\": \"1\", \"tool_name\": \"add\", \"parameters\": {\"a\": 1, \"b\": 2}}]<|END_ACTION|>",
    ),
    (
        "granite",
        "{{ tools }}<|tool_call|>",
        "I look it up.<|tool_call|>[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Rome\"}}, \
         {\"name\": \"add\", \"arguments\": {\"a\": 1, \"b\": 2}}]",
    ),
    (
        "intern",
        "{{ tools }}<|action_start|>",
        "I look it up.<|action_start|><|plugin|>\n{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Rome\"}}<|action_end|>\n\
         <|action_start|><|plugin|>\n{\"name\": \"add\", \"parameters\": {\"a\": 1, \"b\": 2}}<|action_end|>",
    ),
    (
        "lfm",
        "{{ tools }}<|tool_list_start|>",
        "I look it up.<|tool_call_start|>[get_weather(city=\"Rome\"), add(a=1, b=2)]<|tool_call_end|>",
    ),
    (
        "gpt-oss",
        "{{ tools }}<|channel|>functions.",
        "<|channel|>analysis<|message|>Rome, then.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather \
         <|constrain|>json<|message|>{\"city\": \"Rome\"}",
    ),
    (
        "llama",
        r#"{{ tools }}{"name": "x", "parameters": {}}"#,
        "{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Rome\"}}",
    ),
];

fn tools() -> Vec<Tool> {
    Tool::list_from_json(TOOLS).unwrap()
}

fn syntax(source: &str) -> CallSyntax {
    CallSyntax::of(&ChatTemplate::new(source, &[]).unwrap())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn calls_are_read_as_each_family_writes_them() {
    for (name, template, said) in FAMILIES {
        let Answer { reasoning, content, calls } = syntax(template).read(&tools(), said);
        let names: Vec<&str> = calls.iter().map(|call| call.name.as_str()).collect();
        let is_single = ["gpt-oss", "llama"].contains(name);
        assert_eq!(names, if is_single { &["get_weather"][..] } else { &["get_weather", "add"] }, "{name}");
        assert_eq!(json(&calls[0].arguments), json("{\"city\": \"Rome\"}"), "{name}");
        assert!(
            calls.get(1).is_none_or(|call| json(&call.arguments) == json("{\"a\": 1, \"b\": 2}")),
            "{name}"
        );
        assert_eq!(content, if is_single { "" } else { "I look it up." }, "{name}");
        assert_eq!(reasoning.as_deref(), (*name == "gpt-oss").then_some("Rome, then."), "{name}");
        // In whatever syntax a model answers, its calls are found.
        assert_eq!(syntax("{{ messages }}").read(&tools(), said).calls.len(), calls.len(), "{name}");
    }
}

#[test]
fn calls_in_python_have_pythons_values_and_are_written_where_the_template_does_not() {
    let tools = Tool::list_from_json("[{\"name\": \"now\"}]").unwrap();
    let lfm = syntax("{{ tools }}<|tool_list_start|>");
    let said = "<|tool_call_start|>[now(a='it\\'s', b=[True, None, (1, -2.5)], c={'k': \"v\", \"w\": False}, d='', e=\"\\n\")]";
    let answer = lfm.read(&tools, said);
    let expected = r#"{"a":"it's","b":[true,null,[1,-2.5]],"c":{"k":"v","w":false},"d":"","e":"\n"}"#;
    assert_eq!(answer.calls.iter().map(|call| json(&call.arguments)).collect::<Vec<_>>(), [json(expected)]);
    let nested = format!("<|tool_call_start|>[now(a={})]", "[".repeat(100_000));
    for bad in
        ["now(a='x)", "now(a=)", "now(", "now(1)", "now(a=1 b=2)", "now(a=[1 2])", "now(a={1: 2})", &nested]
    {
        assert!(lfm.read(&tools, &format!("<|tool_call_start|>[{bad}]")).calls.is_empty(), "{bad:.40}");
    }
    let message = Message::new(Speaker::Assistant, "").with_tool_calls(&answer.calls);
    let told = &lfm.prepare(std::slice::from_ref(&message), &tools)[0].content;
    assert_eq!(lfm.read(&tools, told).calls[0].arguments, answer.calls[0].arguments, "{told}");
    let writes = syntax("{{ tools }}<|tool_call_start|>{{ message.tool_calls }}");
    assert_eq!(writes.prepare(std::slice::from_ref(&message), &tools), [message]);
}

#[test]
fn what_is_no_call_stays_text() {
    let hermes = syntax(FAMILIES[0].1);
    for said in [
        "Hello.",
        "<tool_call>\n{\"name\": \"no_such_tool\", \"arguments\": {}}\n</tool_call>",
        "<tool_call>\n{\"name\": \"add\", \"argume",
        "{\"name\": \"Ann\", \"age\": 3}",
        "[1, 2]",
        "A <tool_call> is what I would write.",
        "",
    ] {
        let answer = hermes.read(&tools(), said);
        assert!(answer.calls.is_empty(), "{said}: {answer:?}");
        assert_eq!(answer.content, said.trim());
    }
}

#[test]
fn thoughts_are_told_from_what_is_said() {
    let hermes = syntax(FAMILIES[0].1);
    let call = "<tool_call>\n{\"name\": \"now\"}\n</tool_call>";
    for (said, reasoning, content, calls) in [
        ("<think>\nHm.\n</think>\n\nYes.", Some("Hm."), "Yes.", 0),
        ("Hm.\n</think>\n\nYes.", Some("Hm."), "Yes.", 0),
        ("<think>\n\n</think>\n\nYes.", None, "Yes.", 0),
        ("<think>Hm", Some("Hm"), "", 0),
        (&format!("<think>I could {call}</think>{call}"), Some(&*format!("I could {call}")), "", 1),
        ("[THINK]Hm.[/THINK]Yes.", Some("Hm."), "Yes.", 0),
    ] {
        let answer = hermes.read(&tools(), said);
        assert_eq!(answer.reasoning.as_deref(), reasoning, "{said}");
        assert_eq!(answer.content, content, "{said}");
        assert_eq!(answer.calls.len(), calls, "{said}");
        assert!(answer.calls.iter().all(|call| call.arguments == "{}"));
    }
}

#[test]
fn required_calls_are_calls_for_any_choice_of_tokens() {
    let Some((model, constrainer)) = demo() else { return };
    let tools = tools();
    let validators: Vec<_> =
        tools.iter().map(|tool| jsonschema::validator_for(&json(&tool.parameters())).unwrap()).collect();
    for (name, template, _) in FAMILIES {
        let syntax = syntax(template);
        for choice in [ToolChoice::Required, ToolChoice::Named("add")] {
            let grammar = syntax.grammar(model.tokenizer(), &tools, choice, false).unwrap().unwrap();
            let fresh = constrainer.constraint(&grammar).unwrap_or_else(|error| panic!("{name}: {error}"));
            for seed in 0..3 {
                let said = walk(model, &mut fresh.clone(), seed, 40);
                let answer = syntax.read(&tools, &said);
                assert!(!answer.calls.is_empty(), "{name}: {said}");
                assert_eq!(answer.content, "", "{name}: {said}");
                assert!(choice == ToolChoice::Required || answer.calls.len() == 1, "{name}: {said}");
                for call in &answer.calls {
                    let at = tools.iter().position(|tool| tool.name() == call.name).unwrap();
                    assert!(validators[at].is_valid(&json(&call.arguments)), "{name}: {said}");
                    assert!(choice == ToolChoice::Required || call.name == "add", "{name}: {said}");
                }
            }
        }
    }
}

#[test]
fn a_call_has_no_arguments_that_its_tool_does_not_list() {
    let Some((model, constrainer)) = demo() else { return };
    let tools = Tool::list_from_json(
        r##"[{ "name": "book", "parameters": { "type": "object", "required": ["from", "seat"],
            "properties": { "from": { "enum": ["Rome", "Oslo"] }, "note": { "type": "object" },
                "seat": { "type": "object", "required": ["row"], "properties": { "row": { "enum": [1, 2] } } },
                "bags": { "type": "array", "maxItems": 2, "items": { "$ref": "#/$defs/bag" } } },
            "$defs": { "bag": { "type": "object", "properties": { "kg": { "enum": [5, 10] } } } } } }]"##,
    )
    .unwrap();
    // They are told as they were given.
    assert!(!tools[0].parameters().contains("additionalProperties"));
    for (name, template, _) in FAMILIES {
        let syntax = syntax(template);
        let grammar =
            syntax.grammar(model.tokenizer(), &tools, ToolChoice::Required, false).unwrap().unwrap();
        for (arguments, is_right) in [
            (r#"{"from": "Rome", "note": {"any": 1}, "seat": {"row": 1}, "bags": [{"kg": 5}]}"#, true),
            (r#"{"from": "Rome", "to": "Oslo", "seat": {"row": 1}}"#, false),
            (r#"{"from": "Rome", "seat": {"row": 1, "side": 2}}"#, false),
            (r#"{"from": "Rome", "seat": {"row": 1}, "bags": [{"kg": 5, "size": 1}]}"#, false),
        ] {
            // Of the others, arguments are no JSON.
            let said = match *name {
                "hermes" => {
                    format!("<tool_call>\n{{\"name\": \"book\", \"arguments\": {arguments}}}\n</tool_call>")
                }
                "functions" => format!("<function=book>{arguments}</function>"),
                _ => continue,
            };
            let mut constraint = constrainer.constraint(&grammar).unwrap();
            let mut tokens = Vec::new();
            let options = EncodeOptions { parse_special: true, ..EncodeOptions::default() };
            model.tokenizer().encode(&said, options, &mut tokens).unwrap();
            let accepted = tokens.iter().all(|&id| constraint.accept(id).is_ok());
            assert_eq!(accepted && constraint.is_complete().unwrap(), is_right, "{name}: {arguments}");
        }
    }
}

#[test]
fn a_model_that_decides_may_talk_and_then_has_to_call_well() {
    let Some((model, constrainer)) = demo() else { return };
    for (name, template, said) in FAMILIES {
        let grammar =
            syntax(template).grammar(model.tokenizer(), &tools(), ToolChoice::Auto, false).unwrap().unwrap();
        let accepts = |text: &str| {
            let mut constraint =
                constrainer.constraint(&grammar).unwrap_or_else(|error| panic!("{name}: {error}"));
            let mut tokens = Vec::new();
            let options = EncodeOptions { parse_special: true, ..EncodeOptions::default() };
            model.tokenizer().encode(text, options, &mut tokens).unwrap();
            tokens.iter().all(|&id| constraint.accept(id).is_ok()) && constraint.is_complete().unwrap()
        };
        assert!(accepts("It is sunny. 1 < 2\n"), "{name}");
        // The number of a call is read, and not written.
        let said = &said.replace("[CALL_ID]call00002", "");
        assert!(*name == "generic" || accepts(said), "{name}: {said}");
        let bad = said.replace("get_weather", "get_climate");
        assert!(!accepts(&bad), "{name}");
        let bad = said.replace("Rome", "Rome, the city of seven hills");
        assert!(!accepts(&bad), "{name}");
    }
}

#[test]
fn a_choice_that_cannot_be_is_an_error() {
    let Some((model, _)) = demo() else { return };
    let syntax = syntax(FAMILIES[0].1);
    let grammar = |tools: &[Tool], choice| syntax.grammar(model.tokenizer(), tools, choice, false);
    assert!(matches!(grammar(&tools(), ToolChoice::Named("subtract")), Err(Error::Argument(_))));
    assert!(matches!(grammar(&[], ToolChoice::Required), Err(Error::Argument(_))));
    assert!(matches!(grammar(&tools(), ToolChoice::None), Ok(None)));
    assert!(matches!(grammar(&[], ToolChoice::Auto), Ok(None)));
    for (source, expected) in [
        ("{}", "the tools are not a JSON array"),
        ("[{}]", "tool 0: it has no name"),
        ("[{\"name\": \"a b\"}]", "tool 0: its name is not"),
        ("[{\"name\": \"a\"}, {\"name\": \"a\"}]", "two tools have the name \"a\""),
        ("[{\"name\": \"a\", \"parameters\": 1}]", "tool 0: its parameters are no JSON schema"),
    ] {
        let error = Tool::list_from_json(source).unwrap_err().to_string();
        assert!(error.contains(expected), "{source}: {error}");
    }
}

#[test]
fn a_template_without_tools_is_told_of_them() {
    let template =
        ChatTemplate::new("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}", &[]).unwrap();
    let syntax = CallSyntax::of(&template);
    let call = ToolCall { id: "call00001".into(), name: "now".into(), arguments: "{}".into() };
    let messages = [
        Message::new(Speaker::System, "Be brief."),
        Message::new(Speaker::User, "What time is it?"),
        Message::new(Speaker::Assistant, "").with_tool_calls(&[call]),
        Message::tool_result("call00001", "now", "noon"),
    ];
    let text = template.render(&syntax.prepare(&messages, &tools()), false).unwrap();
    let (told, rest) = text.split_once("user: What time is it?\n").unwrap();
    assert!(
        told.starts_with("system: Be brief.\n\n") && told.contains("{\"name\":\"now\"}\n</tools>"),
        "{told}"
    );
    assert_eq!(
        rest,
        "assistant: <tool_call>\n{\"name\":\"now\",\"arguments\":{}}\n</tool_call>\n\
         user: <tool_response>\nnoon\n</tool_response>\n"
    );
    let without = syntax.prepare(&messages[1..2], &tools());
    assert_eq!(without[0].speaker, Speaker::System);
    assert_eq!(syntax.prepare(&messages[..2], &[]), messages[..2]);
    let options = RenderOptions { tools: &tools(), ..RenderOptions::default() };
    assert!(template.render_with(&messages, &options).is_ok());
}

#[test]
fn a_call_that_was_cut_off_in_its_last_mark_leaves_no_text() {
    let hermes = syntax(FAMILIES[0].1);
    let said = "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Rome\"}}\n</tool_call>";
    for end in said.find("</tool").unwrap()..=said.len() {
        let answer = hermes.read(&tools(), &said[..end]);
        assert_eq!((answer.content.as_str(), answer.calls.len()), ("", 1), "{:?}", &said[..end]);
    }
}

#[test]
fn a_call_that_was_only_begun_is_no_text_of_an_unfinished_answer() {
    let hermes = syntax(FAMILIES[0].1);
    let whole = "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Rome\"}}\n</tool_call>";
    for before in ["", "I look.\n", whole] {
        for end in 0..whole.find("</").unwrap() - 2 {
            let said = format!("{before}{}", &whole[..end]);
            let answer = hermes.read_unfinished(&tools(), &said);
            assert_eq!(answer.content, if before == whole { "" } else { before.trim() }, "{said:?}");
            assert_eq!(answer.calls.len(), usize::from(before == whole), "{said:?}");
        }
    }
}

#[test]
fn calls_without_ids_get_ones_that_are_unique_and_come_again() {
    let said = "<tool_call>{\"name\": \"now\"}</tool_call><tool_call>{\"name\": \"now\"}</tool_call>";
    let ids = |salt| {
        let answer = syntax(FAMILIES[0].1).with_salt(salt).read(&tools(), said);
        answer.calls.into_iter().map(|call| call.id).collect::<Vec<String>>()
    };
    let all: Vec<String> = (0..50).flat_map(ids).collect();
    let different: std::collections::HashSet<&String> = all.iter().collect();
    assert_eq!((all.len(), different.len()), (100, 100));
    assert!(all.iter().all(|id| id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric())));
    assert_eq!(ids(7), ids(7));
}
