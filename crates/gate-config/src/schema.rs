//! The JSON schema of `gate.toml`, made from the types.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::Config;

/// The schema as pretty JSON, for editors; `config/gate.schema.json` holds the same text.
#[must_use]
pub fn schema() -> String {
    format!("{:#}\n", value())
}

/// The schema as a value: what a file is checked against.
pub(crate) fn value() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>().to_value();
    tidy(&mut schema);
    schema
}

/// Two things the generator cannot know: TOML has no null, and an `f32`'s 0.05 is not 0.05000000074505806.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::Array(kinds)) = map.get_mut("type") {
                kinds.retain(|kind| kind != "null");
                if let [only] = kinds.as_slice() {
                    let only = only.clone();
                    map.insert("type".to_owned(), only);
                }
            }
            if map.get("default") == Some(&Value::Null) {
                map.remove("default");
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(values) => values.iter_mut().for_each(tidy),
        Value::Number(number) => {
            if let Some(wide) = number.as_f64().filter(|wide| number.is_f64() && f64::from(*wide as f32) == *wide)
                && let Ok(short) = (wide as f32).to_string().parse::<f64>()
            {
                *value = Value::from(short);
            }
        }
        _ => {}
    }
}
