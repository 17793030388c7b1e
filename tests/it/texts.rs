//! The texts that the document says can be sent, and what is sent in their places.

use serde_json::{Value, json};

use crate::routes::{Row, TABLE};
use crate::world::World;

/// Stands where a text goes.
pub(crate) const HERE: &str = "\u{1}here";

/// What is sent, as JSON has it.
pub(crate) fn texts() -> Vec<String> {
    let plain = [
        "' OR '1'='1",
        "'; DROP TABLE orders; --",
        "\\'; SELECT pg_sleep(9)--",
        "$1",
        "%",
        "_",
        "%s%n",
        "{{7*7}}",
        "${jndi:x}",
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "javascript:alert(1)",
        "&lt;b&gt;",
        "../../etc/passwd",
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1+1",
        "＝1+1",
        "'=1+1",
        "=cmd|' /C calc'!A0",
        "a\r\nX-Forged: 1",
        "a\n[2026-01-01T00:00:00Z ERROR forged] x",
        "a\u{85}b",
        "a\u{2028}b",
        "\0",
        "a\0b",
        "\u{1b}[31m",
        "abc\u{202e}txt.exe",
        "\u{200b}",
        "\u{feff}a",
        "😀👩‍👩‍👧‍👦",
        "e\u{301}",
        "null",
        "true",
        "NaN",
        "1e999",
        "",
        " ",
        "  a  ",
    ];
    let long = ["x".repeat(201), "饺".repeat(501), "x".repeat(60_000)];
    let literals = plain.into_iter().map(str::to_owned).chain(long).map(|text| json!(text).to_string());
    // These are no texts at all, though they are written as some.
    literals
        .chain(["\"\\ud800\"", "\"\\udc00a\"", "\"\\u00\"", "{}", "[\"a\"]", "1e999", "null"].map(str::to_owned))
        .collect()
}

/// Parts of the document that stand elsewhere.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(to) => resolved(document, document.pointer(to.trim_start_matches('#')).unwrap()),
        None => schema,
    }
}

fn is_a(schema: &Value, kind: &str) -> bool {
    schema["type"] == kind || schema["type"].as_array().is_some_and(|kinds| kinds.contains(&json!(kind)))
}

/// Something that a schema takes.
fn sample(document: &Value, schema: &Value) -> Value {
    let schema = resolved(document, schema);
    if let Some(example) =
        schema.get("example").or_else(|| schema.pointer("/examples/0")).or_else(|| schema.pointer("/enum/0"))
    {
        return example.clone();
    }
    if let Some(variant) = schema.pointer("/oneOf/0") {
        return sample(document, variant);
    }
    match () {
        () if is_a(schema, "object") => {
            let required = schema["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap());
            required.map(|name| (name.to_owned(), sample(document, &schema["properties"][name]))).collect()
        }
        () if is_a(schema, "integer") => schema.get("minimum").cloned().unwrap_or(json!(1)),
        () if is_a(schema, "boolean") => json!(false),
        () if is_a(schema, "array") => json!([]),
        () if schema["format"] == "uuid" => json!(uuid::Uuid::nil()),
        () => json!("text"),
    }
}

/// For each text in a schema: where it is, and something that the schema takes with a mark in its place.
fn marked(document: &Value, schema: &Value, at: &str) -> Vec<(String, Value)> {
    let schema = resolved(document, schema);
    let parts = ["oneOf", "anyOf", "allOf"].iter().flat_map(|of| schema[of].as_array().into_iter().flatten());
    let mut found: Vec<_> = parts.flat_map(|part| marked(document, part, at)).collect();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        for (at, value) in marked(document, property, &format!("{at}.{name}")) {
            let mut whole = sample(document, schema);
            whole[name] = value;
            found.push((at, whole));
        }
    }
    if is_a(schema, "array") {
        found.extend(
            marked(document, &schema["items"], &format!("{at}[]")).into_iter().map(|(at, one)| (at, json!([one]))),
        );
    }
    if is_a(schema, "string") {
        found.push((at.to_owned(), json!(HERE)));
    }
    found
}

/// A text that can be sent: its route's row, its name, and how to send it.
pub(crate) struct Field {
    pub(crate) row: &'static Row,
    pub(crate) name: String,
    pub(crate) place: Place,
}

pub(crate) enum Place {
    /// A body, with a mark in the place of the text.
    Body(Value),
    /// The whole body, which is no JSON.
    Raw,
    Query(String),
    /// The path's parameter of that number.
    Path(usize),
}

pub(crate) fn fields(document: &Value, world: &World) -> Vec<Field> {
    let mut fields = Vec::new();
    for row in TABLE {
        let (method, path) = row.0.split_once(' ').unwrap();
        let operation = &document["paths"][path][method.to_lowercase()];
        let mut number = 0;
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap().to_owned();
            match parameter["in"].as_str().unwrap() {
                "query" => fields.push(Field { row, place: Place::Query(name.clone()), name: format!("?{name}") }),
                "path" if name != "m" => {
                    fields.push(Field { row, place: Place::Path(number), name });
                    number += 1;
                }
                _ => {}
            }
        }
        let Some(content) = operation["requestBody"]["content"].as_object() else { continue };
        let Some(schema) = content.get("application/json").map(|json| &json["schema"]) else {
            fields.push(Field { row, name: "body".to_owned(), place: Place::Raw });
            continue;
        };
        let base: Value = serde_json::from_str(&world.body(row)).unwrap();
        let properties = resolved(document, schema);
        let mut marks = marked(document, schema, "");
        assert!(properties["oneOf"].is_null(), "{}: a body is one object", row.0);
        for (name, value) in &mut marks {
            // What the row knows to be right stays around the text.
            let top = name[1..].split(['.', '[']).next().unwrap();
            let text = value[top].take();
            *value = base.clone();
            value[top] = text;
        }
        fields.extend(marks.into_iter().map(|(name, body)| Field { row, name, place: Place::Body(body) }));
    }
    fields
}
