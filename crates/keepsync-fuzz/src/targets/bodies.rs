//! A body, and patches of it: one to a line.
//!
//! 1. A body that is taken is kept byte for byte, and nests no deeper than it may.
//! 2. One that is taken can also be patched, compared and exported: what is in the file can be read.
//! 3. A patch does what RFC 7386 says, and doing it twice is doing it once.

use crate::{device::Device, input::first_line};
use keepsync::{Body, Error, carry, record};
use serde_json::{Map, Value};

const LONGEST: usize = 1024 * 1024;
const DEEPEST: usize = 64;

pub(crate) fn run(data: &[u8]) {
    let (body, mut rest) = first_line(data);
    let parsed = Body::parse(body.clone(), 8 * 1024, DEEPEST);
    let mut device = Device::in_memory();
    if let Err(problem) = &parsed {
        assert!(matches!(problem, Error::Invalid { .. }));
        if body.len() <= 8 * 1024 {
            assert!(
                device
                    .db
                    .write(|write| record::put(write, "profile", "me", &body))
                    .is_err()
            );
        }
    } else {
        assert!(depth(&body) <= DEEPEST);
        device
            .db
            .write(|write| record::put(write, "profile", "me", &body))
            .unwrap();
        assert_eq!(
            shown(&device).as_deref(),
            Some(body.as_str()),
            "another body than was written"
        );
    }
    for _ in 0..4 {
        let (patch, after) = first_line(rest);
        rest = after;
        let Some(before) = shown(&device) else { break };
        let write = |device: &mut Device| device.db.write(|write| record::patch(write, "profile", "me", &patch));
        match write(&mut device) {
            Ok(_) => {
                let after = shown(&device).unwrap();
                assert!(after.len() <= LONGEST);
                let expected = patched(object(&before), object(&patch));
                assert_eq!(object(&after), expected);
                // What a patch made is a body like any other, unless it nests deeper than the app may write.
                write(&mut device).unwrap();
                assert_eq!(object(&shown(&device).unwrap()), expected);
            }
            Err(Error::Invalid { .. }) => assert_eq!(shown(&device), Some(before)),
            Err(problem) => panic!("a body that was taken cannot be patched: {problem}"),
        }
    }
    device.db.read(|read| carry::export(read, 0)).unwrap();
    assert_eq!(device.problems(), Vec::<String>::new());
}

fn shown(device: &Device) -> Option<String> {
    let found = device.db.read(|read| read.get("profile", "me")).unwrap();
    found.and_then(|found| found.body)
}

/// As the core reads it; what it reads is JSON's, wherever JSON can be held in memory at all.
fn object(text: &str) -> Map<String, Value> {
    let read = Body::parse(text, usize::MAX, usize::MAX).unwrap().object().unwrap();
    if let Ok(strictly) = serde_json::from_str::<Map<String, Value>>(text) {
        assert_eq!(read, strictly);
    }
    read
}

/// RFC 7386, section 2, word for word.
fn merge(target: Option<Value>, patch: Value) -> Value {
    let Value::Object(patch) = patch else { return patch };
    let mut object = match target {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            object.remove(&name);
        } else {
            let old = object.remove(&name);
            object.insert(name, merge(old, value));
        }
    }
    Value::Object(object)
}

fn patched(target: Map<String, Value>, patch: Map<String, Value>) -> Map<String, Value> {
    match merge(Some(Value::Object(target)), Value::Object(patch)) {
        Value::Object(object) => object,
        other => panic!("{other}"),
    }
}

/// How deep a text of JSON nests.
fn depth(text: &str) -> usize {
    let (mut now, mut most, mut inside, mut escaped) = (0_usize, 0, false, false);
    for character in text.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' if inside => escaped = true,
            '"' => inside = !inside,
            '{' | '[' if !inside => {
                now += 1;
                most = most.max(now);
            }
            '}' | ']' if !inside => now -= 1,
            _ => {}
        }
    }
    most
}
