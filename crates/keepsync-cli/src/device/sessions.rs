//! `session`: started, logged into, ended.

use super::{json, records};
use crate::{
    args::SessionVerb,
    collections::SESSIONS,
    failure::{Exit, Failure},
    form::{SessionForm, compact, time},
    out::Out,
};
use keepsync::{
    Error, Read, Result, Store,
    record::{Record, Written},
    session::{self, Session},
};
use serde_json::json;

pub(super) async fn run(
    store: &Store,
    id: Option<String>,
    verb: SessionVerb,
    out: &mut Out,
) -> std::result::Result<Exit, Failure> {
    match verb {
        SessionVerb::Start { kind } => start(store, id, &kind, out).await,
        SessionVerb::Show => {
            let session = store.read(move |read| chosen(read, id.as_deref())).await??;
            show(&session, out)?;
            Ok(Exit::Good)
        }
        SessionVerb::Log { slot, body } => {
            let body = json("JSON", &body)?;
            change(store, id, out, move |write, collection, id| {
                session::log_set(write, collection, id, &slot, &body)
            })
            .await
        }
        SessionVerb::Complete { body } => {
            let body = json("JSON", &body)?;
            change(store, id, out, move |write, collection, id| {
                session::complete(write, collection, id, &body)
            })
            .await
        }
        SessionVerb::Skip { reason } => {
            let body = reason.map_or_else(|| json!({}), |reason| json!({ "skip_reason": reason }));
            change(store, id, out, move |write, collection, id| {
                session::skip(write, collection, id, &body.to_string())
            })
            .await
        }
        SessionVerb::Discard => discard(store, id, out).await,
    }
}

async fn start(store: &Store, id: Option<String>, kind: &str, out: &mut Out) -> std::result::Result<Exit, Failure> {
    let Some((collection, children)) = SESSIONS.into_iter().find(|(collection, _)| *collection == kind) else {
        let kinds = SESSIONS.map(|(collection, _)| collection).join(", ");
        return Err(Failure::new(
            "unknown_kind",
            format!("no session is of kind {kind:?}; there are: {kinds}"),
        ));
    };
    let started = store
        .write(move |write| {
            let written = session::start(write, collection, children, id.as_deref().unwrap_or(""), "{}")?;
            write.read().session(collection, &written.id)
        })
        .await?;
    if let Some(session) = started {
        show(&session, out)?;
    }
    Ok(Exit::Good)
}

/// Changes the session and shows the record that was written.
async fn change(
    store: &Store,
    id: Option<String>,
    out: &mut Out,
    mut change: impl FnMut(&mut keepsync::Write<'_>, &str, &str) -> Result<Written> + Send + 'static,
) -> std::result::Result<Exit, Failure> {
    let written = store
        .write(move |write| {
            let (collection, id) = match named(&write.read(), id.as_deref())? {
                Ok(key) => key,
                Err(failure) => return Ok(Err(failure)),
            };
            let written = change(write, &collection, &id)?;
            Ok(Ok(written_record(&write.read(), &collection, &written.id)?))
        })
        .await??;
    if let Some(record) = written {
        records::show(&record, out)?;
    }
    Ok(Exit::Good)
}

/// The session's own record, or that of one of its sets.
fn written_record(read: &Read<'_>, collection: &str, id: &str) -> Result<Option<Record>> {
    if let Some(record) = read.record(collection, id)? {
        return Ok(Some(record));
    }
    match SESSIONS.into_iter().find(|(kind, _)| *kind == collection) {
        Some((_, children)) => read.record(children, id),
        None => Ok(None),
    }
}

async fn discard(store: &Store, id: Option<String>, out: &mut Out) -> std::result::Result<Exit, Failure> {
    let (kind, id) = store
        .write(move |write| {
            let (collection, id) = match named(&write.read(), id.as_deref())? {
                Ok(key) => key,
                Err(failure) => return Ok(Err(failure)),
            };
            session::discard(write, &collection, &id)?;
            Ok(Ok((collection, id)))
        })
        .await??;
    if out.json {
        out.object(&json!({ "id": id, "kind": kind, "state": "discarded" }))?;
    } else {
        out.line(&format!("discarded {kind}/{id}"))?;
    }
    Ok(Exit::Good)
}

/// The one session in progress, or the one that is named.
fn chosen(read: &Read<'_>, id: Option<&str>) -> Result<std::result::Result<Session, Failure>> {
    let mut sessions = read.active_sessions()?;
    if let Some(id) = id {
        sessions.retain(|session| session.id == id);
    }
    Ok(match (sessions.pop(), sessions.len()) {
        (Some(session), 0) => Ok(session),
        (Some(_), _) => Err(Failure::new(
            "several_sessions",
            "several sessions are in progress; --id says which",
        )),
        (None, _) => match id {
            Some(id) => Err(Error::NotFound {
                what: "session in progress",
                id: id.to_owned(),
            }
            .into()),
            None => Err(Failure::new(
                "not_found",
                "no session is in progress; `session start workout` starts one",
            )),
        },
    })
}

/// Its key. One that is named and has ended is left to the core, which says so.
fn named(read: &Read<'_>, id: Option<&str>) -> Result<std::result::Result<(String, String), Failure>> {
    if let Some(id) = id {
        for (collection, _) in SESSIONS {
            if read.get(collection, id)?.is_some() {
                return Ok(Ok((collection.to_owned(), id.to_owned())));
            }
        }
    }
    Ok(chosen(read, id)?.map(|session| (session.collection, session.id)))
}

fn show(session: &Session, out: &mut Out) -> std::result::Result<(), Failure> {
    if out.json {
        return out.object(&SessionForm::from(session));
    }
    out.pairs(&[
        ("session", format!("{}/{}", session.collection, session.id)),
        ("state", session.state.as_str().to_owned()),
        ("started", time(session.started_at)),
        ("sets", session.sets.len().to_string()),
    ])?;
    for set in &session.sets {
        out.pairs(&[("  set", compact(set.body.as_deref().unwrap_or("")))])?;
    }
    if let Some(scratch) = &session.scratch {
        out.pairs(&[("scratch", scratch.clone())])?;
    }
    Ok(())
}
