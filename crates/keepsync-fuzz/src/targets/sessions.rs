//! A device with unsent writes, and any answers to what it asks, one after another.
//!
//! 1. A pass ends, whatever is answered.
//! 2. A write that no answer of ours names is still in the queue afterwards, under its id and with its body,
//!    and the app still shows it.
//! 3. The file is sound after any of it, a report of it holds nothing the user wrote, and every record
//!    that is there can still be read, edited, and exported.

use crate::{
    device::Device,
    input::{Reply, now},
    remote::{
        Fault, Remote as _,
        http::{HttpOptions, HttpRemote},
        transport,
    },
};
use keepsync::{
    Error, carry,
    drain::{Answer, Request},
    record::{self, Query},
    session,
};

/// In every body that the user wrote.
const WROTE: &str = "kestrel-19c2";

/// A device that has a workout in progress with a set, and edits of its own.
pub(crate) fn device() -> Device {
    let mut device = Device::in_memory();
    let text = |more: &str| format!(r#"{{"text":"{WROTE}"{more}}}"#);
    device
        .db
        .write(|write| {
            session::start(write, "workout", "set_log", "w1", &text(""))?;
            session::log_set(write, "workout", "w1", "squat/1", &text(r#","reps":5"#))?;
            record::put(write, "workout", "w2", &text(""))?;
            record::put(write, "profile", "me", &text(r#","n":1"#))?;
            record::put(write, "counter", "steps", &text(r#","n":7"#))?;
            record::put(write, "exercise", "squat", &text(""))
        })
        .unwrap();
    device
}

pub(crate) fn run(data: &[u8]) {
    let replies = Reply::read_all(data);
    let mut device = device();
    let before = device.db.read(|read| read.entries(i64::MIN, 1_000)).unwrap();
    let bodies: Vec<Option<String>> = before
        .iter()
        .map(|entry| device.db.read(|read| read.entry(entry.op)).unwrap().body)
        .collect();
    transport::will_answer(replies.clone());
    let remote = HttpRemote::new(HttpOptions::new(super::answers::BASE)).unwrap();
    // A second pass meets what the first has left.
    for _ in 0..2 {
        device.sync(|request| match request {
            Request::Push(batch) => Answer::Pushed(now(remote.push(None, batch))),
            Request::Pull(request) => Answer::Pulled(now(remote.pull(None, request))),
            Request::Probe => Answer::Probed(now(remote.probe())),
            Request::Refresh => Answer::Refreshed(Err(keepsync::remote::TokenFault::SignInNeeded)),
            Request::Resolve(_) => Answer::Resolved(Err("nobody decides here".to_owned())),
        });
    }
    let says = |text: &str| {
        let ours = replies
            .iter()
            .filter(|reply| reply.is_ours() && (reply.is_success() || reply.status == 422));
        ours.clone().any(|reply| said(&reply.body, text))
    };
    // A page may tell of another life of the server, or that all was told: nothing unsent goes by that.
    for (entry, body) in before.iter().zip(&bodies) {
        if says(&entry.id) {
            continue;
        }
        let there = device
            .db
            .read(|read| read.entry(entry.op))
            .expect("it was not named, and is gone");
        assert_eq!(there.body, *body, "it was not named, and is another");
        let shown = device.db.read(|read| read.get(&entry.collection, &entry.id)).unwrap();
        let shown = shown.expect("it was not named, and is not shown");
        assert!(shown.body.is_some_and(|text| text.contains(WROTE)));
    }
    assert_eq!(device.problems(), Vec::<String>::new());
    let report = device.db.read(|read| read.bundle()).unwrap().to_string();
    assert!(!report.contains(WROTE), "the report says what the user wrote");
    use_it(&mut device);
}

/// Whether the answer has this text, plain or with escapes.
fn said(body: &[u8], text: &str) -> bool {
    crate::backend::contains(body, text.as_bytes()) || body.contains(&b'\\')
}

/// Reads and edits everything that is there.
fn use_it(device: &mut Device) {
    let exported = device.db.read(|read| carry::export(read, 0)).unwrap();
    assert!(exported.text.starts_with("{\"keepsync_export\":1"));
    device.db.read(|read| read.conflicts()).unwrap();
    for collection in ["workout", "set_log", "profile", "counter", "exercise"] {
        let page = device
            .db
            .read(|read| read.query(&Query::new(collection).limit(1_000)))
            .unwrap();
        for found in page.records {
            let edited = device
                .db
                .write(|write| record::patch(write, collection, &found.id, r#"{"edited":true}"#));
            match edited {
                Ok(_) | Err(Error::Invalid { .. } | Error::SessionState { .. }) => {}
                Err(problem) => panic!("a {collection} cannot be edited: {problem}"),
            }
        }
    }
    assert_eq!(device.problems(), Vec::<String>::new());
    // Nobody answers; and nothing comes of that but that it waits.
    device.sync(|request| match request {
        Request::Push(_) => Answer::Pushed(Err(Fault::Offline)),
        Request::Pull(_) => Answer::Pulled(Err(Fault::Offline)),
        Request::Probe => Answer::Probed(Err(Fault::Offline)),
        Request::Refresh => Answer::Refreshed(Ok(())),
        Request::Resolve(_) => Answer::Resolved(Err("nobody decides here".to_owned())),
    });
}
