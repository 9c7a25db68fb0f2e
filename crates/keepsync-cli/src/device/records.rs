//! `put`, `patch`, `delete`, `get`, `list`.

use super::json;
use crate::{
    args::{Key, Write},
    failure::{Exit, Failure},
    form::{RecordForm, compact, label_or, time},
    out::{Out, short},
};
use keepsync::{
    Error, Store,
    record::{self, Query, Record, Written},
};

pub(super) async fn put(store: &Store, asked: Write, out: &mut Out) -> Result<Exit, Failure> {
    let body = json("JSON", &asked.body)?;
    let Key { collection, id } = asked.key;
    write(store, collection, out, move |write, collection| {
        record::put(write, collection, &id, &body)
    })
    .await
}

pub(super) async fn patch(store: &Store, asked: Write, out: &mut Out) -> Result<Exit, Failure> {
    let body = json("JSON", &asked.body)?;
    let Key { collection, id } = asked.key;
    write(store, collection, out, move |write, collection| {
        record::patch(write, collection, &id, &body)
    })
    .await
}

pub(super) async fn delete(store: &Store, key: Key, out: &mut Out) -> Result<Exit, Failure> {
    let Key { collection, id } = key;
    let deleted = store
        .write(move |write| {
            let before = write.read().record(&collection, &id)?;
            record::delete(write, &collection, &id)?;
            // What never left this device is gone without a trace.
            let gone = before.map(|record| Record { body: None, ..record });
            Ok(write.read().record(&collection, &id)?.or(gone))
        })
        .await?;
    if let Some(record) = deleted {
        show(&record, out)?;
    }
    Ok(Exit::Good)
}

async fn write(
    store: &Store,
    collection: String,
    out: &mut Out,
    mut change: impl FnMut(&mut keepsync::Write<'_>, &str) -> keepsync::Result<Written> + Send + 'static,
) -> Result<Exit, Failure> {
    let written = store
        .write(move |write| {
            let written = change(write, &collection)?;
            write.read().record(&collection, &written.id)
        })
        .await?;
    if let Some(record) = written {
        show(&record, out)?;
    }
    Ok(Exit::Good)
}

pub(super) async fn get(store: &Store, key: Key, out: &mut Out) -> Result<Exit, Failure> {
    let found = store.get(&key.collection, &key.id).await?;
    let record = found.ok_or(Error::NotFound {
        what: "record",
        id: key.id,
    })?;
    show(&record, out)?;
    Ok(Exit::Good)
}

pub(super) async fn list(store: &Store, collection: &str, limit: Option<u64>, out: &mut Out) -> Result<Exit, Failure> {
    let mut left = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut rows = Vec::new();
    let mut query = Query::new(collection);
    loop {
        let page = store.query(query.limit(left.min(500))).await?;
        left -= page.records.len().min(left);
        for record in &page.records {
            if out.json {
                out.object(&RecordForm::from(record))?;
            } else {
                rows.push(row(record));
            }
        }
        match page.next {
            Some(next) if left > 0 => query = Query::new(collection).after(next),
            _ => break,
        }
    }
    if !out.json {
        out.table(["id", "state", "version", "updated", "body"], &rows, "no records")?;
    }
    Ok(Exit::Good)
}

fn row(record: &Record) -> [String; 5] {
    [
        record.id.clone(),
        record.state.as_str().to_owned(),
        record.version.to_string(),
        time(record.updated_at),
        short(&compact(record.body.as_deref().unwrap_or("")), 60),
    ]
}

pub(super) fn show(record: &Record, out: &mut Out) -> Result<(), Failure> {
    if out.json {
        return out.object(&RecordForm::from(record));
    }
    let synced = record.synced_at.map_or_else(|| "never".to_owned(), time);
    let body = record.body.as_deref().map_or_else(|| "deleted".to_owned(), compact);
    out.pairs(&[
        ("record", format!("{}/{}", record.collection, record.id)),
        ("state", record.state.as_str().to_owned()),
        ("version", record.version.to_string()),
        ("created", time(record.created_at)),
        ("updated", time(record.updated_at)),
        ("synced", synced),
        ("device", label_or(record.device_label.as_ref(), &record.device_id)),
        ("body", body),
    ])
}
