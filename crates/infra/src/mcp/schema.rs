//! JSON Schemas of arguments and answers, without the parts that cost tokens or confuse clients.

use schemars::JsonSchema;
use serde_json::{Map, Value};

/// The schema of `T` as an object, without `$schema`, titles and number formats that only Rust knows.
pub(super) fn of<T: JsonSchema>() -> Map<String, Value> {
    let settings = schemars::generate::SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    let mut value = settings.into_generator().into_root_schema_for::<T>().to_value();
    tidy(&mut value);
    match value {
        Value::Object(mut map) => {
            map.entry("type").or_insert_with(|| "object".into());
            // Some clients ask for it even when a tool takes no argument.
            if map["type"] == "object" {
                map.entry("properties").or_insert_with(|| Value::Object(Map::new()));
            }
            map
        }
        _ => Map::new(),
    }
}

/// `anyOf: [T, null]` of an optional value says no more than T, as it need not be given.
fn drop_null(map: &mut Map<String, Value>) {
    let Some(Value::Array(ways)) = map.get_mut("anyOf") else { return };
    ways.retain(|w| w["type"] != "null");
    if let [Value::Object(only)] = ways.as_mut_slice() {
        let only = std::mem::take(only);
        map.remove("anyOf");
        for (key, value) in only {
            map.entry(key).or_insert(value);
        }
    }
}

fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("$schema");
            if map.get("title").is_some_and(Value::is_string) {
                map.remove("title");
            }
            if map.get("format").and_then(Value::as_str).is_some_and(|f| {
                f.starts_with("uint") || f.starts_with("int") || f == "double" || f == "float"
            }) {
                map.remove("format");
            }
            // Option<T> says `["T", "null"]` with `default: null`; absent says the same.
            if map.get("default") == Some(&Value::Null) {
                map.remove("default");
                if let Some(Value::Array(types)) = map.get_mut("type") {
                    types.retain(|t| t != "null");
                    if let [one] = types.as_slice() {
                        let one = one.clone();
                        map.insert("type".to_owned(), one);
                    }
                }
            }
            drop_null(map);
            for (key, inner) in map.iter_mut() {
                if key == "properties" {
                    // Names of properties, which may be `title` or `format` themselves.
                    if let Value::Object(properties) = inner {
                        properties.values_mut().for_each(tidy);
                    }
                } else {
                    tidy(inner);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}
