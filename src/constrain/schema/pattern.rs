//! Floor 4. Patterns of a schema, which are ECMA-262's expressions, in the syntax of the compiler, which is Rust's.
//!
//! They look alike; what means something else is written anew: `.` and `\s`, escapes that only ECMA-262 has, and characters that
//! are special in the sets of only one of the two. `\d` and `\w`, which are ASCII, are the compiler's own affair.
#![forbid(unsafe_code)]

use std::format;
use std::string::String;

use serde_json::{Map, Value};

/// What ends a line, and so is no `.`.
const LINE_ENDS: &str = r"\n\r\u{2028}\u{2029}";
/// What `\s` is.
const BLANKS: &str =
    r"\t-\r\x20\u{a0}\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}\u{feff}";

/// Translates the patterns of one schema, those below it left out.
pub(super) fn translate(map: &mut Map<String, Value>) {
    if let Some(Value::String(pattern)) = map.get_mut("pattern") {
        *pattern = translated(pattern);
    }
    if let Some(Value::Object(properties)) = map.get_mut("patternProperties") {
        let taken = core::mem::take(properties);
        properties.extend(taken.into_iter().map(|(pattern, schema)| (translated(&pattern), schema)));
    }
}

fn translated(pattern: &str) -> String {
    let mut out = String::new();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => {
                escape(&mut rest, &mut out);
            }
            '.' => out.push_str(&format!("[^{LINE_ENDS}]")),
            '[' => set(&mut rest, &mut out),
            c => out.push(c),
        }
    }
    out
}

/// Writes a set, from behind its bracket to that which closes it.
fn set(rest: &mut core::str::Chars<'_>, out: &mut String) {
    out.push('[');
    if rest.as_str().starts_with('^') {
        rest.next();
        out.push('^');
    }
    // Whether a range could begin with the character before, and whether one ends with the next.
    let (mut may_begin, mut ends) = (false, false);
    while let Some(c) = rest.next() {
        let mut is_one = true;
        match c {
            ']' => {
                out.push(']');
                return;
            }
            '-' if may_begin && !ends && !rest.as_str().starts_with(']') => {
                out.push('-');
                (may_begin, ends) = (false, true);
                continue;
            }
            '\\' => is_one = escape(rest, out),
            // Doubled, they are operations on sets.
            '[' | '&' | '~' | '-' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
        (may_begin, ends) = (is_one && !ends, false);
    }
}

/// Writes what a backslash and what follows it mean; whether that is one character.
fn escape(rest: &mut core::str::Chars<'_>, out: &mut String) -> bool {
    let Some(c) = rest.next() else {
        out.push('\\');
        return false;
    };
    match c {
        's' => out.push_str(&format!("[{BLANKS}]")),
        'S' => out.push_str(&format!("[^{BLANKS}]")),
        '0' if !rest.as_str().starts_with(|c: char| c.is_ascii_digit()) => out.push_str(r"\x00"),
        'c' if rest.as_str().starts_with(|c: char| c.is_ascii_alphabetic()) => {
            let letter = rest.next().map_or(0, u32::from);
            out.push_str(&format!("\\x{:02x}", letter % 32));
        }
        // Two escapes may make one character.
        'u' => match unit(rest.as_str()) {
            Some(high @ 0xd800..0xdc00) => {
                let low = rest.as_str().get(4..).and_then(|rest| rest.strip_prefix("\\u")).and_then(unit);
                match low {
                    Some(low @ 0xdc00..0xe000) => {
                        out.push_str(&format!(
                            "\\u{{{:x}}}",
                            0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
                        ));
                        *rest = rest.as_str().get(10..).unwrap_or_default().chars();
                    }
                    _ => out.push_str("\\u"),
                }
            }
            _ => out.push_str("\\u"),
        },
        // A word boundary of Rust's.
        '<' | '>' => out.push(c),
        c => {
            out.push('\\');
            out.push(c);
        }
    }
    !"dDsSwWpPbB".contains(c)
}

/// The number of four hexadecimal digits.
fn unit(text: &str) -> Option<u32> {
    text.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok())
}

#[cfg(test)]
mod tests {
    use super::translated;

    #[test]
    fn what_means_the_same_stays() {
        for same in [
            r"^[a-z0-9_.\-]+\.(jpg|png)$",
            r"\d{4}-\w+",
            r"^\u00e9\/\[\]\-$",
            r"^[^\]\[]*$",
            "a|b",
            r"[^\d\-]",
        ] {
            assert_eq!(translated(same), same);
        }
    }

    #[test]
    fn what_means_something_else_is_written_anew() {
        assert_eq!(translated("^.$"), r"^[^\n\r\u{2028}\u{2029}]$");
        assert_eq!(translated("[[&&~~.--]"), r"[\[\&\&\~\~.-\-]");
        assert_eq!(translated(r"[--a-c-e\d-]-"), r"[\--a\-c-e\d\-]-");
        assert_eq!(translated(r"\<\cJ\0\ud83d\udc4d\>"), r"<\x0a\x00\u{1f44d}>");
        assert!(translated(r"[a\s]").starts_with(r"[a[\t-\r"));
    }
}
