//! Holds JSON against a JSON schema, as far as the schemas here go: a keyword that is not known here is a failure.

use serde_json::{Map, Value};

/// What the schema in a file says of a value; empty where it fits.
pub fn complaints(file: &str, value: &Value) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let root: Value = serde_json::from_str(&text).unwrap();
    let mut found = Vec::new();
    check(&root, &root, value, "", &mut found);
    found
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let schema = schema.as_object().unwrap();
    let complain = |found: &mut Vec<String>, what: String| found.push(format!("{at}: {what}"));
    for (keyword, said) in schema {
        match keyword.as_str() {
            "$schema" | "title" | "description" | "$defs" => {}
            "type" if !types(said).any(|name| is_of(name, value)) => {
                complain(found, format!("{value} is no {said}"))
            }
            "const" if said != value => complain(found, format!("{value} is not {said}")),
            "enum" if !said.as_array().unwrap().contains(value) => {
                complain(found, format!("{value} is not in {said}"))
            }
            "minimum" if value.as_f64().is_some_and(|value| value < said.as_f64().unwrap()) => {
                complain(found, format!("{value} is below {said}"));
            }
            "type" | "const" | "enum" | "minimum" => {}
            "required" => {
                let names = said.as_array().unwrap().iter().map(|name| name.as_str().unwrap());
                for name in names.filter(|name| {
                    value
                        .as_object()
                        .is_some_and(|object| !object.contains_key(*name))
                }) {
                    complain(found, format!("{name} is missing"));
                }
            }
            "additionalProperties" => {
                assert_eq!(*said, Value::Bool(false));
                let known = schema["properties"].as_object().unwrap();
                for name in fields(value).keys().filter(|name| !known.contains_key(*name)) {
                    complain(found, format!("{name} is not known"));
                }
            }
            "properties" => {
                for (name, schema) in said.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        check(root, schema, value, &format!("{at}/{name}"), found);
                    }
                }
            }
            "items" => {
                for (position, value) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, said, value, &format!("{at}/{position}"), found);
                }
            }
            "$ref" => {
                let target = said.as_str().unwrap().strip_prefix('#').unwrap();
                check(root, root.pointer(target).unwrap(), value, at, found);
            }
            "anyOf" => {
                let fits = said.as_array().unwrap().iter().any(|schema| {
                    let mut found = Vec::new();
                    check(root, schema, value, at, &mut found);
                    found.is_empty()
                });
                if !fits {
                    complain(found, format!("{value} fits none of {said}"));
                }
            }
            _ => panic!("the keyword {keyword}"),
        }
    }
}

fn fields(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn types(said: &Value) -> Box<dyn Iterator<Item = &str> + '_> {
    match said {
        Value::Array(names) => Box::new(names.iter().filter_map(Value::as_str)),
        name => Box::new(name.as_str().into_iter()),
    }
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("the type {name}"),
    }
}

#[test]
fn what_does_not_fit_is_told() {
    let file = "docs/doctor.schema.json";
    let finding = serde_json::json!({"check": "a", "level": "ok", "message": "b", "remedy": null});
    let report = |findings: Value| serde_json::json!({"format": 1, "program": "c", "errors": 0, "warnings": 0, "findings": findings});
    assert_eq!(complaints(file, &report(serde_json::json!([finding]))), [""; 0]);
    let with = |field: &str, value: Value| {
        let mut finding = finding.clone();
        finding[field] = value;
        complaints(file, &report(serde_json::json!([finding]))).len()
    };
    assert_eq!(with("level", "bad".into()), 1);
    assert_eq!(with("message", Value::Null), 1);
    assert_eq!(with("extra", 1.into()), 1);
    assert_eq!(complaints(file, &serde_json::json!({"format": 2})).len(), 5);
}
