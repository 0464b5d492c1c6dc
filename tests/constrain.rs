//! Constrained output with the vocabulary of the demo model: whatever is chosen among what is allowed, the answer is a sentence of
//! the grammar. Answers to JSON schemas are checked by the crate jsonschema.
#![cfg(feature = "constrain")]

#[path = "constrain/schemas.rs"]
mod schemas;
#[path = "constrain/walk.rs"]
mod walk;

use bantam::constrain::Grammar;
use bantam::{EncodeOptions, Error, TokenId};
use serde_json::Value;

use walk::{demo, ids, walk};

/// Whether `text`, as the tokenizer writes it, is a sentence.
fn accepts(grammar: &Grammar, text: &str) -> bool {
    let (model, constrainer) = demo().unwrap();
    let mut tokens = Vec::new();
    model.tokenizer().encode(text, EncodeOptions::default(), &mut tokens).unwrap();
    let mut constraint = constrainer.constraint(grammar).unwrap();
    tokens.iter().all(|&id| constraint.accept(id).is_ok()) && constraint.is_complete().unwrap()
}

#[test]
fn random_answers_are_what_the_schema_accepts() {
    let Some((model, constrainer)) = demo() else { return };
    for (name, source) in schemas::ALL {
        let schema: Value = serde_json::from_str(source).unwrap();
        let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
        let grammar = Grammar::json_schema(source).unwrap();
        let fresh = constrainer.constraint(&grammar).unwrap_or_else(|error| panic!("{name}: {error}"));
        for seed in 0..5 {
            let answer = walk(model, &mut fresh.clone(), seed, 60);
            let value: Value = serde_json::from_str(&answer)
                .unwrap_or_else(|error| panic!("{name}, seed {seed}: {error}: {answer}"));
            let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{name}, seed {seed}: {errors:?}: {answer}");
        }
    }
}

#[test]
fn random_answers_to_any_schema_are_json() {
    let Some((model, constrainer)) = demo() else { return };
    let fresh = constrainer.constraint(&Grammar::json()).unwrap();
    for seed in 0..8 {
        let answer = walk(model, &mut fresh.clone(), seed, 80);
        assert!(serde_json::from_str::<Value>(&answer).is_ok(), "seed {seed}: {answer}");
    }
}

#[test]
fn a_schema_that_cannot_be_enforced_is_an_error() {
    let Some((_, constrainer)) = demo() else { return };
    for (source, expected) in [
        ("{", "the schema is not JSON: EOF while parsing an object at line 1 column 1"),
        ("[]", "a schema is an object"),
        ("false", "accepts nothing"),
        (r#"{ "type": "strin" }"#, "strin"),
        (r##"{ "$ref": "#/$defs/nothing" }"##, "nothing"),
        (r#"{ "$ref": "https://example.com/other.json" }"#, "leads nowhere"),
        (r#"{ "not": { "type": "string" } }"#, "keywords [\"not\"] cannot be enforced: leave them out"),
        (r#"{ "type": "string", "format": "phone" }"#, "the schema's format phone is not known"),
        (r#"{ "type": "string", "pattern": "(" }"#, ""),
        (r#"{ "type": "integer", "minimum": 4, "maximum": 3 }"#, "no value is of the schema: minimum"),
        (r#"{ "enum": [1, 12345678901234567] }"#, "#: 12345678901234567 is more exact than a double"),
        (
            r#"{ "minProperties": 3, "required": ["a"] }"#,
            "#: minProperties: 3 cannot be held to where names are free",
        ),
        (
            r##"{ "properties": { "a": { "oneOf": [{ "type": "string" }, { "type": "string", "maxLength": 3 }] } } }"##,
            "#/properties/a/oneOf: a value may be of both 0 and 1",
        ),
        (r#"{ "oneOf": [{ "type": "integer" }, { "type": "number" }] }"#, "of both 0 and 1"),
        (r#"{ "oneOf": [{ "const": 1 }, { "const": 2 }, { "const": 1.0 }] }"#, "of both 0 and 2"),
        (r#"{ "oneOf": [{ "required": ["a"] }, { "required": ["b"] }] }"#, "of both 0 and 1"),
        (
            r#"{ "type": "object", "oneOf": [{ "required": ["a"] }, { "required": ["a", "b"] }] }"#,
            "of both 0 and 1",
        ),
        (
            r#"{ "oneOf": [{ "pattern": "^a", "type": "string" }, { "enum": ["b", "ba", "ab"] }] }"#,
            "of both 0 and 1",
        ),
    ] {
        let made = Grammar::json_schema(source).and_then(|grammar| constrainer.constraint(&grammar));
        let Err(error @ Error::Grammar(_)) = made else { panic!("{source}: {made:?}") };
        assert!(error.to_string().contains(expected), "{source}: {error}");
    }
}

#[test]
fn a_name_is_not_written_in_another_way() {
    let Some(_) = demo() else { return };
    let grammar = Grammar::json_schema(r#"{ "properties": { "a": { "type": "integer" } } }"#).unwrap();
    for (text, expected) in [
        (r#"{"a": 1, "b": "x"}"#, true),
        (r#"{"a": "x"}"#, false),
        (r#"{"a": 1, "\u0061": "x"}"#, false),
        (r#"{"b": "\u0061"}"#, false),
        (r#"{"b": "\t\\\""}"#, true),
    ] {
        assert_eq!(accepts(&grammar, text), expected, "{text}");
    }
}

#[test]
fn patterns_are_those_of_ecma_script() {
    let Some(_) = demo() else { return };
    for (pattern, yes, no) in [
        (r"^\\d$", "7", "٣"),
        (r"^\\w$", "z", "é"),
        (r"^\\s$", "\u{a0}", "\u{85}"),
        (r"^.$", "é", "\u{2028}"),
        (r"^[[&&a]$", "&", "b"),
        (r"^[+--]$", ",", "."),
        (r"^\\ud83d\\udc4d\\<$", "👍<", "👍"),
    ] {
        let grammar =
            Grammar::json_schema(&format!(r#"{{ "type": "string", "pattern": "{pattern}" }}"#)).unwrap();
        assert!(accepts(&grammar, &format!("\"{yes}\"")), "{pattern}: {yes}");
        assert!(!accepts(&grammar, &format!("\"{no}\"")), "{pattern}: {no:?}");
    }
}

#[test]
fn numbers_end() {
    let Some((model, constrainer)) = demo() else { return };
    let written = |schema: &str, wish: &str| {
        let mut constraint = constrainer.constraint(&Grammar::json_schema(schema).unwrap()).unwrap();
        let mut text = String::new();
        for digit in wish.chars() {
            let mut tokens = Vec::new();
            model.tokenizer().encode(&digit.to_string(), EncodeOptions::default(), &mut tokens).unwrap();
            let is_allowed = constraint.is_allowed(tokens[0]).unwrap();
            let allowed = constraint.allowed().unwrap();
            assert_eq!(
                allowed[tokens[0] as usize / 32] >> (tokens[0] % 32) & 1 == 1,
                is_allowed,
                "{schema}: {text}"
            );
            if is_allowed {
                constraint.accept(tokens[0]).unwrap();
                text.push(digit);
            }
        }
        text
    };
    let third = format!("0.{}", "3".repeat(30));
    assert_eq!(written("{}", &third), format!("0.{}", "3".repeat(16)));
    assert_eq!(written("{}", &format!("{}.5e-123", "9".repeat(30))), format!("{}.5e-12", "9".repeat(16)));
    assert_eq!(written(r#"{ "type": "array" }"#, &format!("[{third},{third}]")).len(), 2 * 18 + 3);
    assert_eq!(written(r#"{ "type": "integer" }"#, &"1".repeat(20)), "1".repeat(16));
    // A text is no number, and what has to be is.
    let text = format!("\"{}\"", "1".repeat(20));
    assert_eq!(written("{}", &text), text);
    assert_eq!(written(r#"{ "const": 1152921504606846976 }"#, "1152921504606846976"), "1152921504606846976");
}

#[test]
fn a_regular_expression_is_matched_from_beginning_to_end() {
    let Some((model, constrainer)) = demo() else { return };
    for (regex, yes, no) in [
        (r"^\d{4}-\d{2}-\d{2}$", "2026-11-22", "2026-11-2"),
        ("[a-z]+/[a-z]*", "over/", "over"),
        (r"(yes|no)\$", "yes$", "yes"),
        ("(Grüße|你好|👍🏽)+", "你好Grüße👍🏽", "Grü"),
        ("[^a-z]*", "ÄÖ 42", "a"),
        (r"\d+", "42", "٤٢"),
        (r"[\w-]+\s", "a-b ", "é "),
    ] {
        let grammar = Grammar::regex(regex).unwrap();
        assert!(accepts(&grammar, yes), "{regex}: {yes}");
        assert!(!accepts(&grammar, no), "{regex}: {no}");
        let fresh = constrainer.constraint(&grammar).unwrap();
        for seed in 0..10 {
            let answer = walk(model, &mut fresh.clone(), seed, 20);
            assert!(accepts(&grammar, &answer), "{regex}: {answer}");
        }
    }
}

#[test]
fn a_character_may_come_in_pieces() {
    let Some((model, constrainer)) = demo() else { return };
    // The two begin with the same byte, which the vocabulary has as a token.
    let grammar = Grammar::regex("𝄞|𝄢").unwrap();
    let mut constraint = constrainer.constraint(&grammar).unwrap();
    let mut bytes = Vec::new();
    while !constraint.must_stop() {
        let allowed = ids(constraint.allowed().unwrap());
        let id = allowed.into_iter().min_by_key(|&id| model.tokenizer().piece(id).len()).unwrap();
        constraint.accept(id).unwrap();
        bytes.extend_from_slice(model.tokenizer().piece(id));
    }
    let answer = String::from_utf8(bytes).unwrap();
    assert!(["𝄞", "𝄢"].contains(&answer.as_str()), "{answer}");
}

#[test]
fn a_control_token_is_never_text() {
    let Some((model, constrainer)) = demo() else { return };
    let tokenizer = model.tokenizer();
    let mut constraint = constrainer.constraint(&Grammar::regex("(.|\\n)*").unwrap()).unwrap();
    let allowed = ids(constraint.allowed().unwrap());
    assert!(allowed.len() > 40_000);
    assert!(allowed.iter().all(|&id| !tokenizer.is_control(id) || tokenizer.is_end_of_generation(id)));
}

#[test]
fn a_lark_grammar_is_followed() {
    let Some(_) = demo() else { return };
    let grammar = Grammar::lark(
        "start: sum\nsum: product (\" + \" product)*\nproduct: NUMBER (\" * \" NUMBER)*\nNUMBER: /[0-9]+/\n",
    )
    .unwrap();
    assert!(accepts(&grammar, "1 + 22 * 3"));
    assert!(!accepts(&grammar, "1 + "));
    assert!(!accepts(&grammar, "1 - 2"));
}

#[test]
fn an_error_in_a_grammar_names_the_place() {
    let Some((_, constrainer)) = demo() else { return };
    let lark = |source: &str| Grammar::lark(source).and_then(|grammar| constrainer.constraint(&grammar));
    let regex = |source: &str| Grammar::regex(source).and_then(|grammar| constrainer.constraint(&grammar));
    let gbnf = |source: &str| Grammar::gbnf(source).and_then(|grammar| constrainer.constraint(&grammar));
    for (made, expected) in [
        (lark("start: \"a\"\nother \"b\""), "2("),
        (lark("begin: \"a\""), "start"),
        (regex(""), "empty"),
        (regex("(a"), "regex"),
        (gbnf("root ::= \"a\"\nother := \"b\""), "line 2: expected ::="),
        (gbnf("root ::= other"), "the rule \"other\" is not defined"),
        (gbnf("other ::= \"a\""), "the rule \"root\" is not defined"),
        (gbnf("root ::= \"a\n"), "line 1: expected the end of a text"),
        (gbnf("root ::= [z-a]"), "line 1: expected a range"),
        (gbnf("root ::= \"a\"{3,2}"), "line 1: expected at least as many"),
        (gbnf("root ::= (\"a\""), "line 1: expected a closing"),
        (gbnf("root ::= \"\\q\""), "line 1: expected an escape"),
    ] {
        let Err(error @ Error::Grammar(_)) = made else { panic!("{expected}: {made:?}") };
        assert!(error.to_string().contains(expected), "{error}, not {expected}");
    }
}

/// Grammars in GBNF of the kinds that there are, with texts that are sentences, and texts that are none.
const GBNF: &[(&str, &[&str], &[&str])] = &[
    (
        "# JSON without numbers that have points\nroot ::= object\nvalue ::= object | array | string | number | (\"true\" | \"null\") ws\n\
         object ::=\n  \"{\" ws (\n    string \":\" ws value (\",\" ws string \":\" ws value)*\n  )? \"}\" ws # members\n\
         array ::= \"[\" ws (value (\",\" ws value)*)? \"]\" ws\n\
         string ::= \"\\\"\" ([^\"\\\\\\x7F\\x00-\\x1F] | \"\\\\\" ([\"\\\\bfnrt] | \"u\" [0-9a-fA-F]{4}))* \"\\\"\" ws\n\
         number ::= \"-\"? (\"0\" | [1-9] [0-9]{0,15}) ws\nws ::= | \" \" | \"\\n\" [ \\t]{0,20}\n",
        &["{}", "{\"a\": [1, -20, true], \"é👍\": {\"b\": \"\\u00e9 \\\" x\"}}", "{\"a\":\n  null}"],
        &["[1]", "{\"a\": 01}", "{\"a\"}", "{\"a\": \"\n\"}"],
    ),
    (
        "root ::= (expr \"=\" ws term \"\\n\")+\nexpr ::= term ([-+*/] ws term)*\nterm ::= name | [0-9]+ ws | \"(\" ws expr \")\" ws\n\
         name ::= [a-z] [a-z0-9_]* ws\nws ::= [ \\t\\n]*",
        &["1+1 = 2\n", "(a + b_1) * 3 =\n x\n1=1\n"],
        &["1+1", "1+ = 2\n", "(1=1\n"],
    ),
    (
        // No longest match finds these: what a repetition takes has to be given back.
        "root ::= [a-z]+ \"x\" | \"abc\" \"1\" | \"ab\" \"c2\"",
        &["aax", "xxx", "abc1", "abc2"],
        &["x", "abc", "ab2"],
    ),
    (
        "root ::= pair{2,3} (\"!\" | \"?\")?\npair ::= \"<\" pair? [^<>]{1,} \">\"",
        &["<a><b>", "<<a>b><c><d>!", "<ü>< >?"],
        &["<a>", "<a><b><c><d>", "<><>"],
    ),
    (
        "root ::= \"\\u00e9\" . [\\U0001F44D-\\U0001F44F] [\\]a-] \"/\"",
        &["é\n👍]/", "éx👎-/"],
        &["e\n👍]/", "éx👍b/"],
    ),
    (
        // Keywords are the beginnings of names, and names themselves.
        "root ::= statement*\nstatement ::= type name ws \"=\" ws name \";\" | \"return\" ws name \";\" | name \"()\" \";\"\n\
         type ::= \"int\" ws | \"char\" ws\nname ::= [a-z_] [a-z_0-9]*\nws ::= [ \\n]+",
        &["int a = b;", "return x;return_1();int();", "integer();char c  =\nd;"],
        &["int = b;", "returnx;", "int a=b;", "1();"],
    ),
    ("root ::= nothing | \"a\" root\nnothing ::= ", &["", "a", "aaa"], &["b"]),
];

#[test]
fn a_gbnf_grammar_is_followed() {
    let Some((model, constrainer)) = demo() else { return };
    for (source, sentences, others) in GBNF {
        let grammar = Grammar::gbnf(source).unwrap_or_else(|error| panic!("{source}: {error}"));
        let fresh = constrainer.constraint(&grammar).unwrap_or_else(|error| panic!("{source}: {error}"));
        for sentence in *sentences {
            assert!(accepts(&grammar, sentence), "{source}: {sentence:?}");
        }
        for other in *others {
            assert!(!accepts(&grammar, other), "{source}: {other:?}");
        }
        for seed in 0..4 {
            let answer = walk(model, &mut fresh.clone(), seed, 30);
            assert!(accepts(&grammar, &answer), "{source}: {answer:?}");
        }
    }
}

#[test]
fn a_grammar_that_means_no_good_ends_in_an_error_or_an_answer() {
    let Some((model, constrainer)) = demo() else { return };
    let nested = |open: &str, close: &str, n: usize| format!("{}{}", open.repeat(n), close.repeat(n));
    let chain: String =
        (0..20_000).map(|i| format!("\"d{i}\": {{ \"$ref\": \"#/$defs/d{}\" }},", i + 1)).collect();
    let doubling: String = (0..40)
        .map(|i| format!("\"d{i}\": {{ \"allOf\": [{{ \"$ref\": \"#/$defs/d{0}\" }}, {{ \"$ref\": \"#/$defs/d{0}\" }}] }},", i + 1))
        .collect();
    let any = |i: usize| {
        format!("{{ \"anyOf\": [{{ \"required\": [\"a{i}\"] }}, {{ \"required\": [\"b{i}\"] }}] }},")
    };
    let all: String = (0..40).map(any).collect();
    let schemas = [
        nested("{\"items\":", "}", 100),
        nested("[", "]", 100_000),
        format!("{{\"type\":\"array\",\"items\":{}", nested("{\"anyOf\":[", "]}", 90)),
        format!("{{ \"$ref\": \"#/$defs/d0\", \"$defs\": {{ {chain} \"d20000\": {{}} }} }}"),
        format!("{{ \"$ref\": \"#/$defs/d0\", \"$defs\": {{ {doubling} \"d40\": {{ \"type\": \"object\" }} }} }}"),
        format!("{{ \"type\": \"object\", \"allOf\": [ {all} {{}} ] }}"),
        "{ \"$ref\": \"#\" }".into(),
        "{ \"allOf\": [{ \"$ref\": \"#\" }] }".into(),
        "{ \"$ref\": \"#/$defs/a\", \"$defs\": { \"a\": { \"$ref\": \"#/$defs/b\" }, \"b\": { \"$ref\": \"#/$defs/a\" } } }".into(),
        "{ \"type\": \"string\", \"minLength\": 4000000000, \"maxLength\": 4000000001 }".into(),
        "{ \"type\": \"string\", \"pattern\": \"^((a{1,1000}){1,1000}){1,1000}$\" }".into(),
        "{ \"type\": \"string\", \"pattern\": \"(a|b)*a(a|b){30}\" }".into(),
        "{ \"type\": \"string\", \"pattern\": \"^(?=a)b\" }".into(),
        "{ \"type\": \"array\", \"items\": {}, \"minItems\": 1000000000 }".into(),
        "{ \"type\": \"integer\", \"multipleOf\": 999999937, \"minimum\": -1e300, \"maximum\": 1e300 }".into(),
        "{ \"type\": \"number\", \"multipleOf\": 1e-300 }".into(),
        "{ \"patternProperties\": { \"(a|b)*a(a|b){20}\": {}, \"(a|b)*b(a|b){20}\": {} } }".into(),
        format!("{{ \"enum\": [{}0] }}", "\"ab\",".repeat(100_000)),
        format!("{{ \"type\": {:?} }}", "é".repeat(60)),
        format!("{{ \"format\": {:?}, \"type\": \"string\" }}", "é".repeat(60)),
    ];
    let larks = [
        nested("start: (", ")", 1),
        format!("start: {}\"a\"{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("start: {}\"a\"{}", "(".repeat(190), ")".repeat(190)),
        format!("start: {}\"a\"", "~".repeat(100_000)),
        format!("start: {}", "%lark { start: ".repeat(150)),
        "start: start start | \"a\"".into(),
        "start: a\na: b\nb: a".into(),
        "start: a{1000000}\na: \"x\"{1000000}".into(),
        "start: ((((\"a\"?){1000}){1000}){1000}){1000}".into(),
        "start: T\nT: T \"a\"".into(),
        "start: /(a*)*b/ | /(a|aa)+$/".into(),
        "start: /\\p{L}{1,60000}/".into(),
        "start: <[0-4294967295]>".into(),
        "start: <|no_such_token|>".into(),
        "start: @nothing".into(),
        "start: \"\\ud800\"".into(),
        format!("start: {}", "\"a\" | ".repeat(100_000) + "\"b\""),
    ];
    let regexes = [
        "(a|a)*b".into(),
        "(?:a{1,1000}){1,1000}".into(),
        "(.*a){40}".into(),
        ".*(a.{12}|b.{13}).*".into(),
        "(".repeat(150) + &")".repeat(150),
        "\\b\\d+\\b".into(),
        "a".repeat(500_000),
        "(?i)".to_string() + &"[a-zé]".repeat(2000),
    ];
    let gbnfs = [
        "root ::= ((((\"a\"){100000}){100000}){100000}){100000}".into(),
        "root ::= root".into(),
        "root ::= root root | \"a\"".into(),
        format!("root ::= {}\"a\"{}", "(".repeat(190), ")".repeat(190)),
        format!(
            "root ::= r0\n{}r60 ::= \"a\"",
            (0..60).map(|i| format!("r{i} ::= r{0} r{0}\n", i + 1)).collect::<String>()
        ),
        (0..5000).map(|i| format!("r{i} ::= r{} \"a\"\n", i + 1)).collect::<String>()
            + "r5000 ::= \"b\"\nroot ::= r0",
    ];
    let read = [Grammar::json_schema, Grammar::lark, Grammar::regex, Grammar::gbnf];
    for (read, sources) in read.into_iter().zip([&schemas[..], &larks, &regexes, &gbnfs]) {
        for source in sources {
            let shown = &source[..source.floor_char_boundary(120)];

            let Ok(mut constraint) = read(source).and_then(|grammar| constrainer.constraint(&grammar)) else {
                continue;
            };
            // It may also go wrong at some token, but it has to end.
            for step in 0..12 {
                let allowed = match constraint.allowed() {
                    Ok(allowed) => ids(allowed),
                    Err(error) => {
                        assert!(matches!(error, Error::Grammar(_)), "{shown}: {error}");
                        assert!(constraint.allowed().is_err(), "{shown}");
                        break;
                    }
                };
                let id = allowed[step * 7919 % allowed.len()];
                if model.tokenizer().is_end_of_generation(id) || constraint.accept(id).is_err() {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_token_that_is_not_allowed_changes_nothing() {
    let Some((model, constrainer)) = demo() else { return };
    let mut constraint = constrainer.constraint(&Grammar::regex("ab+").unwrap()).unwrap();
    let token = |text: &str| {
        let mut tokens = Vec::new();
        model.tokenizer().encode(text, EncodeOptions::default(), &mut tokens).unwrap();
        tokens[0]
    };
    for id in [token("b"), TokenId::MAX, model.tokenizer().eos().unwrap()] {
        assert!(matches!(constraint.accept(id), Err(Error::Argument(_))));
    }
    constraint.accept(token("a")).unwrap();
    assert!(!constraint.is_complete().unwrap());
    constraint.accept(token("b")).unwrap();
    assert!(constraint.is_complete().unwrap() && !constraint.must_stop());
    assert_eq!(constraint.accepted(), 2);
    assert!(matches!(constraint.roll_back(3), Err(Error::Argument(_))));
    constraint.roll_back(1).unwrap();
    assert!(!constraint.is_complete().unwrap());
    assert!(!constraint.is_allowed(token("a")).unwrap());
    assert!(constraint.is_allowed(token("b")).unwrap());
}

#[test]
fn a_fork_goes_its_own_way() {
    let Some((model, constrainer)) = demo() else { return };
    let grammar = Grammar::json_schema(schemas::ALL[0].1).unwrap();
    let fresh = constrainer.constraint(&grammar).unwrap();
    let forks: Vec<_> = (0..4).map(|seed| (seed, fresh.clone())).collect();
    let answers: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = forks
            .into_iter()
            .map(|(seed, mut fork)| scope.spawn(move || walk(model, &mut fork, seed, 40)))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (seed, answer) in answers.iter().enumerate() {
        assert_eq!(answer, &walk(model, &mut fresh.clone(), seed as u64, 40));
    }
}

#[test]
fn what_is_forced_is_what_is_allowed() {
    let Some((model, constrainer)) = demo() else { return };
    let grammar = Grammar::regex("The capital of France is (Paris|London)\\.").unwrap();
    let mut constraint = constrainer.constraint(&grammar).unwrap();
    let forced = constraint.forced();
    assert!(forced.len() >= 4);
    for id in forced {
        assert_eq!(ids(constraint.allowed().unwrap()), [id]);
        constraint.accept(id).unwrap();
    }
    assert!(walk(model, &mut constraint, 1, 5).ends_with('.'));
}
