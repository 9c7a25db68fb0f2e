use super::{super::place::Record, *};
use serde_json::json;

const DATE: &str = "2021-02-10 16:46:13";
const ID: &str = "2021-02-10T16:46:13";

struct Story {
    rows: Vec<Vec<String>>,
    phone: Place,
    tablet: Place,
    server: Place,
    applied: Vec<Applied>,
    edits: Vec<Edit>,
    resolved: BTreeMap<String, String>,
}

fn key(collection: &str, id: &str) -> Key {
    (collection.to_owned(), id.to_owned())
}

fn record(body: Value, version: i64) -> Record {
    Record { body, version }
}

/// One workout with two sets that arrived everywhere; the operations are numbered.
fn good() -> Story {
    let row = |order: &str, weight: &str| {
        let fields = [DATE, "Leg", "1h", "Squat", order, weight, "8", "0", "0", "", "", ""];
        fields.map(str::to_owned).to_vec()
    };
    let set = |order: i64, weight: Value| {
        json!({ "workout_id": ID, "slot": format!("Squat/{order}"), "exercise": "Squat", "order": order, "weight": weight,
                "reps": 8, "distance": 0, "seconds": 0, "notes": "" })
    };
    let workout = json!({ "name": "Leg", "date": DATE, "duration": "1h", "notes": "", "state": "completed" });
    let records: BTreeMap<Key, Record> = [
        (key("workout", ID), record(workout, 2)),
        (key("set_log", "a"), record(set(1, json!(75.0)), 1)),
        (key("set_log", "b"), record(set(2, json!(80)), 1)),
    ]
    .into();
    let place = || Place {
        records: records.clone(),
        ..Place::default()
    };
    let keys = [
        ("workout", ID, 1),
        ("set_log", "a", 1),
        ("set_log", "b", 1),
        ("workout", ID, 2),
    ];
    let applied: Vec<Applied> = (1..)
        .zip(keys)
        .map(|(op, (collection, id, version))| Applied {
            op: Uuid::from_u128(op),
            key: key(collection, id),
            version,
        })
        .collect();
    let mut phone = place();
    phone.journal = applied.iter().map(|applied| applied.op).collect();
    Story {
        rows: vec![row("1", "75.0"), row("2", "80.0")],
        phone,
        tablet: place(),
        server: place(),
        applied,
        edits: Vec::new(),
        resolved: BTreeMap::new(),
    }
}

fn found(story: Story) -> Findings {
    compare(&Evidence {
        rows: story.rows,
        library: Vec::new(),
        phone: story.phone,
        tablet: story.tablet,
        server: story.server,
        applied: story.applied,
        edits: &story.edits,
        resolved: &story.resolved,
    })
}

fn numbers(findings: &Findings) -> [usize; 4] {
    [findings.lost, findings.doubled, findings.overwritten, findings.unequal]
}

#[test]
fn what_arrived_once_and_as_written_is_good() {
    let findings = found(good());
    assert!(findings.good(), "{findings:?}");
    assert_eq!(
        findings.sets,
        Column {
            paper: 2,
            phone: 2,
            tablet: 2,
            server: 2
        }
    );
}

#[test]
fn a_set_missing_anywhere_is_lost_once() {
    let mut story = good();
    for place in [&mut story.phone, &mut story.tablet, &mut story.server] {
        place.records.remove(&key("set_log", "b"));
    }
    assert_eq!(numbers(&found(story)), [1, 0, 0, 0]);
    let mut story = good();
    story.tablet.records.remove(&key("set_log", "b"));
    assert_eq!(numbers(&found(story)), [1, 0, 0, 1]);
}

#[test]
fn a_set_under_a_second_id_is_doubled() {
    let mut story = good();
    let twin = story.server.records[&key("set_log", "a")].clone();
    for place in [&mut story.phone, &mut story.tablet, &mut story.server] {
        place.records.insert(key("set_log", "c"), twin.clone());
    }
    assert_eq!(numbers(&found(story)), [0, 1, 0, 0]);
}

#[test]
fn a_set_that_was_applied_twice_is_doubled() {
    for version in [1, 2] {
        let mut story = good();
        let op = Uuid::from_u128(9);
        story.phone.journal.insert(op);
        story.applied.push(Applied {
            op,
            key: key("set_log", "a"),
            version,
        });
        assert_eq!(numbers(&found(story)), [0, 1, 0, 0], "version {version}");
    }
}

#[test]
fn another_value_is_overwritten() {
    for (field, value) in [("weight", json!(75.5)), ("reps", json!(9)), ("notes", json!("x"))] {
        let mut story = good();
        for place in [&mut story.phone, &mut story.tablet, &mut story.server] {
            if let Some(record) = place.records.get_mut(&key("set_log", "a")) {
                record.body[field] = value.clone();
            }
        }
        assert_eq!(numbers(&found(story)), [0, 0, 1, 0], "{field}");
    }
}

#[test]
fn a_workout_that_was_not_completed_is_not_as_written() {
    let mut story = good();
    for place in [&mut story.phone, &mut story.tablet, &mut story.server] {
        if let Some(record) = place.records.get_mut(&key("workout", ID)) {
            record.body["state"] = json!("active");
        }
    }
    assert_eq!(numbers(&found(story)), [0, 0, 1, 0]);
}

#[test]
fn an_operation_that_arrived_and_is_not_there_is_lost() {
    let mut story = good();
    story.applied.remove(1);
    assert_eq!(numbers(&found(story)), [1, 0, 0, 0]);
}

#[test]
fn another_device_may_replace_only_what_it_has_seen() {
    let edited = |edits: Vec<Edit>| {
        let mut story = good();
        let op = Uuid::from_u128(9);
        story.tablet.journal.insert(op);
        story.applied.push(Applied {
            op,
            key: key("workout", ID),
            version: 3,
        });
        story.edits = edits;
        numbers(&found(story))
    };
    assert_eq!(edited(vec![Edit::new("tablet", "workout", ID, 2)]), [0, 0, 0, 0]);
    assert_eq!(edited(vec![]), [0, 0, 1, 0]);
    assert_eq!(
        edited(vec![Edit::new("tablet", "workout", ID, 1)]),
        [0, 0, 1, 0],
        "it saw an older one"
    );
    assert_eq!(
        edited(vec![Edit::new("phone", "workout", ID, 2)]),
        [0, 0, 1, 0],
        "the other device saw it"
    );
}

#[test]
fn a_decision_stands_everywhere_or_counts() {
    let mut story = good();
    story.resolved.insert(ID.to_owned(), "both".to_owned());
    assert_eq!(numbers(&found(story)), [0, 0, 1, 0]);
    let mut story = good();
    story.resolved.insert(ID.to_owned(), "both".to_owned());
    for place in [&mut story.phone, &mut story.server] {
        if let Some(record) = place.records.get_mut(&key("workout", ID)) {
            record.body["notes"] = json!("both");
        }
    }
    assert_eq!(numbers(&found(story)), [0, 0, 1, 1], "the tablet does not have it");
}

#[test]
fn what_is_left_in_a_queue_is_not_good() {
    let mut story = good();
    story.phone.unsent = 1;
    let findings = found(story);
    assert_eq!((findings.left, findings.good()), (1, false));
}
