//! Schemas: what breaks them is refused by name, and nothing else is.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use keepsync_server::{Config, Server};
use keepsync_wire::{SYNC_PATH, SyncResponse, SyncStatus, code};
use reqwest::StatusCode;
use std::{fs, path::Path};
use support::{Client, Running, create, json, update};

const NOTE: &str = r#"{
    "type": "object",
    "required": ["title"],
    "properties": {
        "title": {"type": "string", "maxLength": 10, "pattern": "^[A-Z]"},
        "sets": {"type": "array", "items": {"properties": {"reps": {"type": "integer", "minimum": 1}}}},
        "a/b": {"const": 1}
    },
    "additionalProperties": false
}"#;

fn config(folder: &Path, schemas: &[(&str, &str)]) -> Config {
    let dir = folder.join("schemas");
    fs::create_dir_all(&dir).unwrap();
    for (name, text) in schemas {
        fs::write(dir.join(name), text).unwrap();
    }
    let mut config = Config::new(folder.join("data"));
    config.schemas = Some(dir);
    config
}

#[tokio::test]
async fn a_body_that_breaks_its_schema_is_refused_by_field_and_rule_and_fixed_it_is_applied() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &[("note.json", NOTE), ("README.txt", "not one")]);
    let running = Running::start(config).await;
    let ann = Client::new(&running, &folder.path().join("data"), "ann");
    let bad = [
        (r#"{}"#, "data/title", "required"),
        (r#"{"title":7}"#, "data/title", "type"),
        (r#"{"title":"Secret, and far too long"}"#, "data/title", "maxLength"),
        (r#"{"title":"secret"}"#, "data/title", "pattern"),
        (
            r#"{"title":"A","sets":[{"reps":3},{"reps":-4711}]}"#,
            "data/sets/1/reps",
            "minimum",
        ),
        (r#"{"title":"A","a/b":"secret"}"#, "data/a~1b", "const"),
        (r#"{"title":"A","secret":1}"#, "data", "additionalProperties"),
    ];
    for (n, (body, field, rule)) in bad.iter().enumerate() {
        let request = ann.request(vec![create(1 + n as u128, "n", body)]);
        let answer: SyncResponse = json(ann.post(SYNC_PATH, &request).await, StatusCode::UNPROCESSABLE_ENTITY).await;
        let result = &answer.results[0];
        assert_eq!(result.code.as_deref(), Some(code::VALIDATION));
        let message = result.error_message.as_deref().unwrap();
        assert_eq!(message, format!("{field} breaks the rule {rule}"));
    }
    let mixed = ann
        .push(vec![create(20, "a", "{}"), create(21, "b", r#"{"title":"A"}"#)])
        .await;
    assert_eq!(
        (mixed[0].status, mixed[1].status),
        (SyncStatus::Error, SyncStatus::Success)
    );
    let mut fixed = create(22, "a", r#"{"title":"B"}"#);
    fixed.replaces = Some(mixed[0].op_id);
    let same_id = create(20, "c", r#"{"title":"C"}"#);
    let good = ann.push(vec![fixed, same_id]).await;
    assert!(
        good.iter().all(|it| it.status == SyncStatus::Success),
        "a refusal is not remembered"
    );
    let mut other = create(30, "x", r#"{"anything":1}"#);
    other.entity_type = "plan".to_owned();
    assert_eq!(
        ann.push(vec![other]).await[0].status,
        SyncStatus::Success,
        "a collection without a schema"
    );
    let deleted = ann.push(vec![support::delete(31, "a", 1)]).await;
    assert_eq!(
        deleted[0].status,
        SyncStatus::Success,
        "a deletion has no body to look at"
    );
    // A schema that came later does not take back what was answered.
    let again = ann.push(vec![update(22, "a", 0, "{}")]).await;
    assert_eq!(again[0].code.as_deref(), Some(code::OP_REUSED));
    running.stop().await;
}

#[tokio::test]
async fn where_only_known_collections_are_taken_others_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), &[("note.json", "{}")]);
    config.known_only = true;
    let running = Running::start(config).await;
    let ann = Client::new(&running, &folder.path().join("data"), "ann");
    let mut other = create(1, "x", "{}");
    other.entity_type = "plan".to_owned();
    let results = ann.push(vec![other, create(2, "n", "{}")]).await;
    assert_eq!(results[0].code.as_deref(), Some(code::UNKNOWN_COLLECTION));
    assert_eq!(results[1].status, SyncStatus::Success);
    running.stop().await;
}

#[tokio::test]
async fn a_bad_schema_is_told_at_the_start_with_its_file() {
    let bad = [
        ("note.json", "{"),
        ("note.json", r#"{"type":"nonsense"}"#),
        ("note.json", r#"{"$ref":"https://example.com/schema.json"}"#),
        ("note.json", r#"{"$ref":"file:///etc/passwd"}"#),
        ("note.json", r#"{"properties":{"a":{"pattern":"("}}}"#),
        // Patterns that look around can be kept busy by a body.
        ("note.json", r#"{"properties":{"a":{"pattern":"(?=a)b"}}}"#),
        ("Not a name.json", "{}"),
    ];
    for (name, text) in bad {
        let folder = tempfile::tempdir().unwrap();
        let refused = Server::bind(config(folder.path(), &[(name, text)]))
            .await
            .err()
            .unwrap();
        assert_eq!(refused.code(), "schema", "{text}");
        assert!(refused.to_string().contains(name), "{refused}");
    }
    let folder = tempfile::tempdir().unwrap();
    let mut absent = Config::new(folder.path());
    absent.schemas = Some(folder.path().join("none"));
    assert_eq!(Server::bind(absent).await.err().unwrap().code(), "io");
}
