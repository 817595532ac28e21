//! JSON Schemas of arguments and answers, without the parts that cost tokens or confuse clients.

use schemars::JsonSchema;
use schemars::generate::{Contract, SchemaSettings};
use serde_json::{Map, Value, json};

/// The schema of arguments that are read into `T`, without `$schema`, titles and number formats that only Rust knows.
pub(super) fn of_arguments<T: JsonSchema>() -> Map<String, Value> {
    of::<T>(Contract::Deserialize)
}

/// The schema of answers that `T` is written into: a field that may be left out is not required.
pub(super) fn of_answer<T: JsonSchema>() -> Map<String, Value> {
    of::<T>(Contract::Serialize)
}

fn of<T: JsonSchema>(contract: Contract) -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().with(|s| {
        s.inline_subschemas = true;
        s.contract = contract;
    });
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

/// The input schema as `tools/list` carries it: without what a name or a type says already.
///
/// An enumeration lists its words and not what each says; an argument that need not be given has no default that is empty; a
/// number has no bound that is only its type's; `host` has no description, as the instructions say what it is.
pub(super) fn brief(input: &Map<String, Value>) -> Map<String, Value> {
    let mut brief = input.clone();
    brief.values_mut().for_each(enumerate);
    if let Some(Value::Object(properties)) = brief.get_mut("properties") {
        for (name, property) in properties {
            let Value::Object(property) = property else { continue };
            if name == "host" {
                property.remove("description");
            }
            let says_nothing = |v: &Value| {
                matches!(v, Value::Bool(false) | Value::Null) || *v == json!([]) || *v == json!({})
            };
            property.retain(|key, value| match key.as_str() {
                "default" => !says_nothing(value),
                "minimum" => value.as_u64() != Some(0),
                "maximum" => value.as_u64() != Some(u64::from(u16::MAX)),
                _ => true,
            });
            if let Some(Value::Object(items)) = property.get_mut("items") {
                items.remove("description");
            }
        }
    }
    brief
}

fn enumerate(value: &mut Value) {
    match value {
        Value::Object(map) => {
            let words: Option<Vec<Value>> = map
                .get("oneOf")
                .and_then(Value::as_array)
                .and_then(|ways| ways.iter().map(|way| way.get("const").cloned()).collect());
            if let Some(words) = words {
                map.remove("oneOf");
                map.insert("enum".to_owned(), Value::Array(words));
            }
            map.values_mut().for_each(enumerate);
        }
        Value::Array(items) => items.iter_mut().for_each(enumerate),
        _ => {}
    }
}

/// Fields that most answers have and that no client looks for by name before it sees them.
const IN_EVERY_ANSWER: [&str; 6] =
    ["host", "untrusted", "removed_controls", "redactions", "truncated", "errors"];

/// The output schema as `tools/list` carries it: the fields that are always there and their types, one level deep.
///
/// It says less than the whole schema and nothing else, so every answer that the whole one permits is valid here.
/// Whole schemas of forty tools cost a model as many tokens as an incident does; they are in `tool list --json` and in
/// the resource `infra://tools/NAME`.
pub(super) fn outline(output: &Map<String, Value>) -> Map<String, Value> {
    let required = output.get("required").and_then(Value::as_array);
    let always = |name: &str| required.is_some_and(|names| names.iter().any(|n| n == name));
    let mut fields = Map::new();
    if let Some(Value::Object(properties)) = output.get("properties") {
        for (name, schema) in properties.iter().filter(|(name, _)| always(name)) {
            let kind = schema.get("type").filter(|kind| kind.is_string());
            if let (Some(kind), false) = (kind, IN_EVERY_ANSWER.contains(&name.as_str())) {
                fields.insert(name.clone(), json!({ "type": kind }));
            }
        }
    }
    let mut outline = Map::new();
    outline.insert("type".to_owned(), "object".into());
    outline.insert("properties".to_owned(), Value::Object(fields));
    outline
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

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn an_enumeration_is_its_words() {
        let full = object(&json!({"properties": {"state": {"description": "Which.", "oneOf": [
            {"const": "failed", "description": "a", "type": "string"}, {"const": "all", "type": "string"}]},
            "either": {"oneOf": [{"const": "x"}, {"type": "object"}]}}}));
        let brief = Value::Object(brief(&full));
        assert_eq!(brief["properties"]["state"], json!({"description": "Which.", "enum": ["failed", "all"]}));
        assert_eq!(
            brief["properties"]["either"], full["properties"]["either"],
            "what is no enumeration stays"
        );
    }

    #[test]
    fn what_says_nothing_is_left_out() {
        let full = object(&json!({"type": "object", "properties": {
            "host": {"type": "string", "description": "Name of a host."},
            "checks": {"type": "array", "default": [], "description": "Which.", "items": {"type": "string", "description": "x"}},
            "limit": {"type": "integer", "minimum": 0, "maximum": 65535, "default": 50}}}));
        assert_eq!(
            Value::Object(brief(&full)),
            json!({"type": "object", "properties": {
                "host": {"type": "string"},
                "checks": {"type": "array", "description": "Which.", "items": {"type": "string"}},
                "limit": {"type": "integer", "default": 50}}})
        );
    }

    #[test]
    fn an_outline_permits_what_the_schema_permits() {
        let full = object(
            &json!({"type": "object", "required": ["a", "b", "d", "host"], "additionalProperties": false, "properties": {
            "a": {"type": "array", "items": {"type": "object", "properties": {"deep": {"type": "string"}}}},
            "b": {"type": "string", "description": "long"},
            "c": {"type": "string"},
            "d": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            "host": {"type": "string"}}}),
        );
        assert_eq!(
            Value::Object(outline(&full)),
            json!({"type": "object", "properties": {"a": {"type": "array"}, "b": {"type": "string"}}})
        );
    }
}
