//! Local writes: the record and its queue entry, in the caller's transaction.

use super::{
    add_history,
    row::{Base, RecordState, Row, UNSEEN, find},
};
use crate::{
    body::{Body, merge_patch},
    collection::{Collection, Direction},
    conflict::{Stored, clocks_after},
    db::Write,
    error::{Error, Result},
    planted::{self, Bug},
    queue::{self, Append, Appended, Kind},
    session,
};
use rusqlite::params;
use serde_json::{Map, Value};
use uuid::Uuid;

/// One of several writes that happen together.
#[derive(Debug, Clone)]
pub enum Mutation {
    /// A whole body.
    Put {
        /// The collection.
        collection: String,
        /// The record.
        id: String,
        /// JSON text.
        body: String,
    },
    /// An RFC 7386 merge patch.
    Patch {
        /// The collection.
        collection: String,
        /// The record.
        id: String,
        /// JSON text.
        patch: String,
    },
    /// Away with it.
    Delete {
        /// The collection.
        collection: String,
        /// The record.
        id: String,
    },
}

/// What a local write did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The record.
    pub id: String,
    /// The operation it travels under; `None` where nothing travels (a local collection, or a
    /// record that was deleted before its creation left).
    pub op: Option<Uuid>,
}

/// Stores a whole body. An empty `id` makes a UUIDv7.
///
/// # Errors
/// [`Error::Invalid`] for the body, the id or the parent; [`Error::PulledOnly`];
/// [`Error::UnknownCollection`].
pub fn put(write: &mut Write<'_>, collection: &str, id: &str, body: &str) -> Result<Written> {
    let shared = write.shared;
    let collection = shared.collections.get(collection)?;
    let id = if id.is_empty() {
        write.uuid_v7().to_string()
    } else {
        id.to_owned()
    };
    let body = Body::parse(body, shared.settings.body_bytes, shared.settings.body_depth)?;
    let parent = parent_of(collection, &body)?;
    write_local(
        write,
        collection,
        &id,
        Local {
            kind: Kind::Update,
            body: Some(body),
            parent,
            held: false,
        },
    )
}

/// Changes some fields of a record, as RFC 7386 says: `null` removes a field, objects merge.
///
/// # Errors
/// As [`put`], and [`Error::NotFound`].
pub fn patch(write: &mut Write<'_>, collection: &str, id: &str, patch: &str) -> Result<Written> {
    let shared = write.shared;
    let collection = shared.collections.get(collection)?;
    let patch = Body::parse_object(patch, shared.settings.body_bytes, shared.settings.body_depth)?;
    let row = find(write.conn, collection.name(), id)?;
    let Some((row, body)) = row.and_then(|mut row| row.body.take().map(|body| (row, body))) else {
        return Err(Error::not_found("record", id));
    };
    let mut object = Body::stored(body).object()?;
    merge_patch(&mut object, patch);
    let body = Body::complete(object, shared.settings.body_bytes)?;
    write_local(
        write,
        collection,
        id,
        Local {
            kind: Kind::Update,
            body: Some(body),
            parent: row.parent_id,
            held: false,
        },
    )
}

/// Deletes a record.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NoDeletes`], [`Error::PulledOnly`], [`Error::UnknownCollection`];
/// [`Error::SessionState`] for a session in progress, which is discarded instead.
pub fn delete(write: &mut Write<'_>, collection: &str, id: &str) -> Result<Written> {
    let collection = write.shared.collections.get(collection)?;
    // What never left can be taken back anywhere: the server hears of no delete.
    if !collection.deletes && !queue::would_cancel(&write.read(), collection.name(), id)? {
        return Err(Error::NoDeletes(collection.name().to_owned()));
    }
    session::refuse_delete(&write.read(), collection.name(), id)?;
    write_local(
        write,
        collection,
        id,
        Local {
            kind: Kind::Delete,
            body: None,
            parent: None,
            held: false,
        },
    )
}

/// Several writes as one: all of them happen, or none.
///
/// # Errors
/// The first error of a part; then none has happened.
pub fn write(write: &mut Write<'_>, mutations: &[Mutation]) -> Result<Vec<Written>> {
    let one = |mutation: &Mutation| match mutation {
        Mutation::Put { collection, id, body } => put(write, collection, id, body),
        Mutation::Patch {
            collection,
            id,
            patch: change,
        } => patch(write, collection, id, change),
        Mutation::Delete { collection, id } => delete(write, collection, id),
    };
    mutations.iter().map(one).collect()
}

/// A local write, checked.
pub(crate) struct Local {
    /// `Update` also stands for a creation: what it is depends on what is there.
    pub(crate) kind: Kind,
    /// `None` for a delete.
    pub(crate) body: Option<Body>,
    /// For a new record.
    pub(crate) parent: Option<String>,
    /// Keeps a new entry from going out.
    pub(crate) held: bool,
}

/// Changes the visible body and the queue.
pub(crate) fn write_local(write: &mut Write<'_>, collection: &Collection, id: &str, local: Local) -> Result<Written> {
    if collection.direction == Direction::PullOnly {
        return Err(Error::PulledOnly(collection.name().to_owned()));
    }
    check_id(id)?;
    let found = find(write.conn, collection.name(), id)?;
    // Later than the version it follows, also where that came from a clock ahead of ours.
    let hlc = write.tick_hlc_after(found.as_ref().map(|row| row.hlc));
    let clocks = found.as_ref().and_then(|row| {
        let before = Stored {
            body: row.body.as_deref(),
            hlc: row.hlc,
            device_id: &row.device_id,
            clocks: row.clocks.as_deref(),
        };
        let body = local.body.as_ref().map(Body::as_str);
        clocks_after(collection, &before, body, (hlc, &write.shared.device_id))
    });
    let append = |row: &Row, kind: Kind, body: Option<String>| Append {
        collection: collection.name().to_owned(),
        id: id.to_owned(),
        lane: row.lane().to_owned(),
        kind,
        body,
        base_version: row.version,
        base_id: row.base_id,
        hlc,
        clocks: row.clocks.clone(),
        priority: collection.priority,
        held: local.held,
    };
    let body = local.body.map(Body::into_string);
    match found {
        None if local.kind == Kind::Delete => Err(Error::not_found("record", id)),
        None => {
            let row = insert_local(write, collection, id, local.parent, body.as_deref(), hlc)?;
            if !collection.pushes() {
                return Ok(Written { id: row.id, op: None });
            }
            let kind = if local.kind == Kind::Update {
                Kind::Create
            } else {
                local.kind
            };
            planted::seam(Bug::TwoTransactions, write.conn)?;
            let op = queue::append_first(write, append(&row, kind, body))?;
            Ok(Written {
                id: row.id,
                op: Some(op),
            })
        }
        Some(row) if row.body.is_none() && local.kind == Kind::Delete => Err(Error::not_found("record", id)),
        Some(mut row) => {
            if local.parent.is_some() && row.parent_id.is_some() && local.parent != row.parent_id {
                let field = collection.parent.as_ref().map_or("parent", |parent| &parent.field);
                return Err(Error::invalid(
                    format!("body.{field}"),
                    "the parent of a record is fixed when it is made",
                ));
            }
            if row.base == Base::Visible {
                row.base = row.frozen_base();
                row.base_hlc = Some(row.hlc.to_i64());
                row.base_device = Some(row.device_id.clone());
                row.base_clocks = row.clocks.take();
                row.base_at = Some(row.updated_at);
            }
            let lost = std::mem::replace(&mut row.body, body.clone());
            row.hlc = hlc;
            row.clocks = clocks;
            row.device_id = write.shared.device_id.to_string();
            row.updated_at = write.now.wall_ms;
            if !collection.pushes() {
                row.base = Base::Visible;
                row.store(write)?;
                return Ok(Written { id: row.id, op: None });
            }
            let kind = if local.kind == Kind::Update && row.version == 0 && row.base == Base::None {
                Kind::Create
            } else {
                local.kind
            };
            match queue::append(write, append(&row, kind, body))? {
                Appended::Cancelled => {
                    let version = row.version;
                    add_history(
                        write,
                        (collection.name(), id),
                        lost.as_deref(),
                        version,
                        (hlc, &row.device_id),
                        "cancelled",
                    )?;
                    super::settle_state(write, collection.name(), id)?;
                    if row.version == 0 {
                        queue::cancel_children(write, collection.name(), id)?;
                    }
                    Ok(Written { id: row.id, op: None })
                }
                Appended::Entry { op, released } => {
                    planted::seam(Bug::TwoTransactions, write.conn)?;
                    row.state = row.state.max(RecordState::Pending);
                    row.store(write)?;
                    if released {
                        super::settle_state(write, collection.name(), id)?;
                    }
                    Ok(Written {
                        id: row.id,
                        op: Some(op),
                    })
                }
            }
        }
    }
}

fn insert_local(
    write: &mut Write<'_>,
    collection: &Collection,
    id: &str,
    parent_id: Option<String>,
    body: Option<&str>,
    hlc: crate::hlc::Hlc,
) -> Result<Row> {
    let pushes = collection.pushes();
    let (base, state) = if pushes {
        (Base::None, RecordState::Pending)
    } else {
        (Base::Visible, RecordState::Synced)
    };
    let wall_ms = write.now.wall_ms;
    let mut statement = write.conn.prepare_cached(
        "INSERT INTO record (collection, id, parent_id, body, hlc, device_id, base, state, created_at, updated_at, created_by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?6)",
    )?;
    let device: &str = &write.shared.device_id;
    let base_column = base.to_columns().0;
    statement.execute(params![
        collection.name(),
        id,
        parent_id,
        body,
        hlc.to_i64(),
        device,
        base_column,
        state as i64,
        wall_ms
    ])?;
    write.changes.record(collection.name());
    Ok(Row {
        rid: write.conn.last_insert_rowid(),
        collection: collection.name().to_owned(),
        id: id.to_owned(),
        parent_id,
        body: None,
        hlc,
        device_id: String::new(),
        clocks: None,
        base,
        base_hlc: None,
        base_device: None,
        base_clocks: None,
        base_at: None,
        version: 0,
        base_id: None,
        state,
        server_id: None,
        created_at: wall_ms,
        updated_at: wall_ms,
        synced_at: None,
        seen: UNSEEN,
    })
}

/// The parent a body names.
pub(crate) fn parent_of(collection: &Collection, body: &Body) -> Result<Option<String>> {
    let Some(parent) = &collection.parent else {
        return Ok(None);
    };
    let object: Map<String, Value> = body.object()?;
    match object.get(&parent.field) {
        Some(Value::String(id)) if !id.is_empty() => Ok(Some(id.clone())),
        _ => Err(Error::invalid(
            format!("body.{}", parent.field),
            format!("must be the id of a {}", parent.collection),
        )),
    }
}

/// Ids go into addresses and file forms, so control characters stay out.
pub(crate) fn check_id(id: &str) -> Result<()> {
    let fits = (1..=256).contains(&id.len()) && !id.chars().any(char::is_control);
    if fits {
        Ok(())
    } else {
        Err(Error::invalid("id", "1 to 256 bytes without control characters"))
    }
}
