//! Single acts.

use crate::act::{Act, world, write};
use keepsync::{
    Error, Result, Write,
    conflict::{self, Resolution},
    record, session,
};
use uuid::Uuid;

pub(super) fn put(collection: &'static str, id: &'static str, body: &'static str) -> Act {
    write(&format!("put {collection}/{id}"), move |write| {
        record::put(write, collection, id, body).map(|written| written.op)
    })
}

pub(super) fn patch(collection: &'static str, id: &'static str, body: &'static str) -> Act {
    write(&format!("patch {collection}/{id}"), move |write| {
        record::patch(write, collection, id, body).map(|written| written.op)
    })
}

pub(super) fn delete(collection: &'static str, id: &'static str) -> Act {
    write(&format!("delete {collection}/{id}"), move |write| {
        record::delete(write, collection, id).map(|written| written.op)
    })
}

pub(super) fn start(collection: &'static str, children: &'static str, id: &'static str) -> Act {
    write(&format!("start {collection}/{id}"), move |write| {
        session::start(
            write,
            collection,
            children,
            id,
            r#"{"date":"2025-11-20","name":"Legs"}"#,
        )
        .map(|written| written.op)
    })
}

pub(super) fn log(collection: &'static str, id: &'static str, slot: &'static str, body: &'static str) -> Act {
    write(&format!("log {slot} of {collection}/{id}"), move |write| {
        session::log_set(write, collection, id, slot, body).map(|written| written.op)
    })
}

pub(super) fn complete(collection: &'static str, id: &'static str) -> Act {
    write(&format!("complete {collection}/{id}"), move |write| {
        session::complete(write, collection, id, r#"{"rating":4}"#).map(|written| written.op)
    })
}

pub(super) fn elsewhere(collection: &'static str, id: &'static str, body: Option<&'static str>) -> Act {
    world(&format!("another device writes {collection}/{id}"), move |server| {
        server.elsewhere(collection, id, body);
    })
}

pub(super) fn resolve(collection: &'static str, id: &'static str, resolution: Resolution) -> Act {
    write(&format!("resolve {collection}/{id}: {resolution:?}"), move |write| {
        let shown = write.read().conflict(collection, id)?;
        let shown = shown.ok_or_else(|| missing("conflict", id))?;
        conflict::resolve(write, collection, id, &shown.token, &resolution).map(|()| None)
    })
}

fn missing(what: &'static str, id: &str) -> Error {
    Error::NotFound {
        what,
        id: id.to_owned(),
    }
}

/// The newest entry of a record.
pub(super) fn entry_of(write: &Write<'_>, collection: &str, id: &str) -> Result<Uuid> {
    let entries = write.read().entries(i64::MIN, 10_000)?;
    let mut found = entries
        .into_iter()
        .filter(|entry| entry.collection == collection && entry.id == id);
    found
        .next_back()
        .map(|entry| entry.op)
        .ok_or_else(|| missing("entry", id))
}
