//! JSON held against the schemas in `docs/`.

use std::fs;
use std::path::Path;

use jsonschema::Validator;
use serde_json::{Value, json};

const MEASUREMENTS: &str = "measurements.schema.json";

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).unwrap()
}

fn schema(name: &str) -> Validator {
    let schema: Value = serde_json::from_str(&page(name)).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

/// What a schema says of a value; empty where it fits.
pub fn complaints(name: &str, value: &Value) -> Vec<String> {
    let errors = schema(name);
    let errors = errors.iter_errors(value);
    errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// Holds each line of a file of measurements against the schema.
pub fn check(text: &str) {
    let schema = schema(MEASUREMENTS);
    for line in text.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        let wrong: Vec<String> = schema
            .iter_errors(&value)
            .map(|error| error.to_string())
            .collect();
        assert!(wrong.is_empty(), "{line}: {wrong:#?}");
    }
}

/// The examples of the page.
fn examples() -> Vec<Value> {
    let page = page("measurements.md");
    let blocks = page.split("```json\n").skip(1);
    let text = |block: &str| serde_json::from_str(block.split("```").next().unwrap()).unwrap();
    blocks.map(text).collect()
}

#[test]
fn the_examples_of_the_page_are_a_file_of_the_schema() {
    let examples = examples();
    let kinds: Vec<_> = examples.iter().map(|example| &example["record"]).collect();
    assert_eq!(kinds, ["run", "row", "left_out", "end"]);
    let lines: String = examples.iter().map(|example| format!("{example}\n")).collect();
    check(&lines);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("examples.json");
    fs::write(&file, lines).unwrap();
    let runs = crate::reading::read(&file).unwrap();
    assert_eq!(
        (runs.len(), runs[0].rows.len(), runs[0].is_complete()),
        (1, 1, false)
    );
}

#[test]
fn the_page_describes_each_field_of_the_schema() {
    let page = page("measurements.md");
    let schema: Value = serde_json::from_str(&self::page(MEASUREMENTS)).unwrap();
    for kind in ["run", "row", "end"] {
        for field in schema["$defs"][kind]["properties"].as_object().unwrap().keys() {
            assert!(page.contains(&format!("`{field}`")), "{kind}: {field}");
        }
    }
}

#[test]
fn the_schema_refuses_what_is_no_record() {
    let schema = schema(MEASUREMENTS);
    for (example, changes) in examples().into_iter().zip([
        json!({"format": 2, "ranks": 0, "simulated": null, "variables": {"HOME": "/root"}, "date": "today"}),
        json!({"bytes": -1, "place": "gpu", "path": "host", "samples": [], "overlap": 1.5, "seconds": 1.0}),
        json!({"reason": null, "path": "nowhere"}),
        json!({"complete": "yes", "samples": 1}),
    ]) {
        assert!(schema.is_valid(&example));
        for (field, value) in changes.as_object().unwrap() {
            let mut changed = example.clone();
            changed[field] = value.clone();
            assert!(!schema.is_valid(&changed), "{field}: {value}");
        }
        let may_be_missing = |field: &str| {
            field == "carried" || field == "build" || field == "bytes" && example["record"] == "left_out"
        };
        for field in example
            .as_object()
            .unwrap()
            .keys()
            .filter(|field| !may_be_missing(field))
        {
            let mut changed = example.clone();
            changed.as_object_mut().unwrap().remove(field);
            assert!(!schema.is_valid(&changed), "without {field}");
        }
    }
}
