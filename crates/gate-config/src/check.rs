//! A file against the schema: unknown keys, wrong types, impossible values, each with the bytes at fault.

use std::fmt::Write;
use std::ops::Range;
use std::sync::LazyLock;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::Note;
use crate::suggest;

/// Everything in the file that the schema does not allow.
pub(crate) fn check(table: &Spanned<DeTable<'_>>) -> Vec<Note> {
    let schema = crate::schema::value();
    let mut notes = Vec::new();
    let sections = properties(&schema);
    for (key, value) in table.get_ref() {
        match (sections.get(key.get_ref().as_ref()), value.get_ref().as_table()) {
            (Some(section), Some(keys)) => check_section(key.get_ref(), section, keys, &mut notes),
            (Some(_), None) => {
                let message = format!("\"{0}\" is a section: write [{0}] on a line of its own", key.get_ref());
                notes.push(Note { span: key.span(), message });
            }
            (None, keys) => notes.push(unknown_top(key, keys.is_some(), sections)),
        }
    }
    notes
}

/// The keys of a section against the schema's.
fn check_section(section: &str, schema: &Value, keys: &DeTable<'_>, notes: &mut Vec<Note>) {
    let known = properties(schema);
    for (key, value) in keys {
        let Some(rule) = known.get(key.get_ref().as_ref()) else {
            let mut message = format!("unknown key \"{}\" in [{section}]", key.get_ref());
            did_you_mean(&mut message, key.get_ref(), known);
            notes.push(Note { span: key.span(), message });
            continue;
        };
        if let Err(must) = check_value(value.get_ref(), rule) {
            let message = format!("\"{}\" in [{section}] {must}", key.get_ref());
            notes.push(Note { span: value.span(), message });
        }
    }
}

/// A name at the top of the file that is no section: a slip, or a key that lost its section.
fn unknown_top(key: &Spanned<std::borrow::Cow<'_, str>>, is_section: bool, sections: &Map<String, Value>) -> Note {
    let name = key.get_ref();
    let span: Range<usize> = key.span();
    if is_section {
        let mut message = format!("unknown section [{name}]");
        did_you_mean(&mut message, name, sections);
        return Note { span, message };
    }
    let mut message = format!("unknown key \"{name}\" outside of any section");
    let home = sections.iter().find(|(_, schema)| properties(schema).contains_key(name.as_ref()));
    if let Some((section, _)) = home {
        let _ = write!(message, "; it belongs under [{section}]");
    }
    Note { span, message }
}

fn did_you_mean(message: &mut String, word: &str, known: &Map<String, Value>) {
    match suggest::nearest(word, known.keys().map(String::as_str)) {
        Some(best) => {
            let _ = write!(message, "; did you mean \"{best}\"?");
        }
        None => {
            let _ = write!(message, "; there are: {}", known.keys().map(String::as_str).collect::<Vec<_>>().join(", "));
        }
    }
}

/// One value against its rule; the error says what it must be.
fn check_value(value: &DeValue<'_>, rule: &Value) -> Result<(), String> {
    if let Some(words) = choices(rule) {
        return check_choice(value, &words);
    }
    match rule["type"].as_str() {
        Some("string") => match value.as_str() {
            Some("") if rule["minLength"].as_u64().unwrap_or(0) > 0 => Err("must not be empty".to_owned()),
            Some(_) => Ok(()),
            None => Err(wrong_type("a text in quotes", value)),
        },
        Some("boolean") => value.as_bool().map(|_| ()).ok_or_else(|| wrong_type("true or false", value)),
        Some("integer") if value.is_integer() => check_range(value, rule),
        Some("number") if value.is_integer() || value.is_float() => check_range(value, rule),
        Some("integer") => Err(wrong_type(&format!("a whole number{}", range_of(rule)), value)),
        _ => Err(wrong_type(&format!("a number{}", range_of(rule)), value)),
    }
}

fn check_choice(value: &DeValue<'_>, words: &[&str]) -> Result<(), String> {
    let list = words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    match value.as_str() {
        Some(word) if words.contains(&word) => Ok(()),
        Some(word) => {
            let hint = suggest::nearest(word, words.iter().copied());
            let hint = hint.map_or(String::new(), |best| format!("; did you mean \"{best}\"?"));
            Err(format!("must be one of {list}{hint}"))
        }
        None => Err(wrong_type(&format!("one of {list}"), value)),
    }
}

fn check_range(value: &DeValue<'_>, rule: &Value) -> Result<(), String> {
    let number = number_of(value);
    let above = |key: &str| rule[key].as_f64();
    let inside = number.is_some_and(|number| {
        above("minimum").is_none_or(|min| number >= min)
            && above("exclusiveMinimum").is_none_or(|min| number > min)
            && above("maximum").is_none_or(|max| number <= max)
            && number.is_finite()
    });
    if inside { Ok(()) } else { Err(format!("is out of range: it must be{}", range_of(rule))) }
}

/// A TOML number; `None` where it does not fit.
fn number_of(value: &DeValue<'_>) -> Option<f64> {
    if let Some(integer) = value.as_integer() {
        return i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(|number| number as f64);
    }
    value.as_float()?.as_str().parse().ok()
}

fn range_of(rule: &Value) -> String {
    let max = &rule["maximum"];
    match (&rule["minimum"], &rule["exclusiveMinimum"]) {
        (Value::Number(min), _) => format!(" from {} to {}", plain(min), max),
        (_, Value::Number(min)) => format!(" above {} and up to {}", plain(min), max),
        _ => String::new(),
    }
}

/// 0.0 as 0: people write ranges without the point.
fn plain(number: &serde_json::Number) -> String {
    number.as_f64().map_or_else(|| number.to_string(), |number| number.to_string())
}

fn wrong_type(must: &str, value: &DeValue<'_>) -> String {
    let is = match value.type_str() {
        "string" => "text",
        "integer" => "a whole number",
        "float" => "a number with a point",
        "boolean" => "true or false",
        "array" => "a list",
        "table" => "a table",
        other => other,
    };
    format!("must be {must}, and is {is}")
}

/// The words an enumeration allows.
fn choices(rule: &Value) -> Option<Vec<&str>> {
    if let Some(words) = rule["enum"].as_array() {
        return Some(words.iter().filter_map(Value::as_str).collect());
    }
    rule["oneOf"].as_array().map(|cases| cases.iter().filter_map(|case| case["const"].as_str()).collect())
}

/// The properties of an object's schema.
fn properties(schema: &Value) -> &Map<String, Value> {
    static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
    schema["properties"].as_object().unwrap_or(&NONE)
}
