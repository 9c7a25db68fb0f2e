//! What users do: everything the app can, in an order nobody planned.

use crate::{
    app::COUNTED,
    device::{App, Device},
    oracle::{Fate, Note, Oracle, Violation, broken, marker},
};
use keepsync::{
    Error,
    change::Changes,
    conflict::{self, ChildBody, Merged, Resolution},
    drain::{Event, Trigger},
    kv,
    queue::{self, Entry, EntryState},
    record::{self, Mutation, Query},
    session,
};
use keepsync_proxy::rng::Rng;
use uuid::Uuid;

/// Who acts, on what, and who takes notes.
pub(crate) struct Hands<'a> {
    /// The device; its app runs.
    pub(crate) device: &'a mut Device,
    /// Chance.
    pub(crate) rng: &'a mut Rng,
    /// The notes.
    pub(crate) oracle: &'a mut Oracle,
    /// Whether some bodies break the server's schema.
    pub(crate) bad: f64,
}

/// What came of it: a line for the trace, and what the drain is told.
pub(crate) struct Deed {
    /// For the trace.
    pub(crate) line: String,
    /// For the drain.
    pub(crate) events: Vec<Event>,
}

const PLAIN: [&str; 5] = ["note", "goal", "profile", "tag", "mixed"];
const SHARED: [&str; 11] = [
    "note", "goal", "profile", "tag", "mixed", "workout", "set_log", "run", "lap", "note", "goal",
];

pub(crate) type Done = Result<Deed, Violation>;

impl Hands<'_> {
    /// One thing a user does.
    pub(crate) fn act(&mut self) -> Done {
        match self.rng.below(100) {
            0..10 => self.put(),
            10..24 => self.more(),
            24..30 => self.shared_workout(),
            30..42 => self.change_any(false),
            42..48 => self.change_any(true),
            48..80 => self.session(),
            80..83 => self.several(),
            83..85 => self.aside(),
            85..91 => self.resolve_one(),
            91..95 => self.tend_queue(),
            _ => Ok(self.hint()),
        }
    }

    pub(crate) fn app(&mut self) -> Result<&mut App, Violation> {
        match self.device.app.as_mut() {
            Some(app) => Ok(app),
            None => broken("simulation", "nobody can use an app that does not run".to_owned()),
        }
    }

    fn body(&mut self, marker: &str) -> String {
        let bad = if self.rng.chance(self.bad) { ",\"bad\":true" } else { "" };
        let (n, p) = (self.rng.below(9), self.rng.below(9));
        format!("{{\"m\":\"{marker}\",\"n\":{n},\"p\":{p},\"c\":{n},\"d\":{p}{bad}}}")
    }

    pub(crate) fn fresh(&mut self) -> String {
        let (user, device) = (self.device.user(), self.device.index);
        self.oracle.new_marker(user, device)
    }

    /// The one place where what the app was told of its writes is noted, for the oracle and for the trace:
    /// a write that returned, that was refused, or of which nobody knows.
    pub(crate) fn tell<T>(&mut self, written: keepsync::Result<(T, Changes)>, what: String, notes: Vec<Note>) -> Done {
        let fate = match &written {
            Ok(_) => Fate::Returned,
            Err(error) if is_refusal(error) => return Ok(nothing(format!("{what}: refused"))),
            // What the disk did to it: it may be there, or not.
            Err(_) if self.device.disk.fired().is_some() || self.device.full => Fate::Unknown,
            Err(error) => return broken("never waiting", format!("{what}: {error}")),
        };
        let (user, device) = (self.device.user(), self.device.index);
        for note in notes {
            self.oracle.wrote(user, device, note, fate);
        }
        match written {
            Ok((_, changes)) => Ok(Deed {
                line: what,
                events: match changes.sendable {
                    true => vec![Event::Wake(Trigger::Write)],
                    false => Vec::new(),
                },
            }),
            Err(error) => Ok(nothing(format!("{what}: nobody knows ({})", error.code()))),
        }
    }

    pub(crate) fn seen(&mut self, collection: &str, id: &str) -> Result<Option<String>, Violation> {
        let record = self.app()?.db.read(|read| read.get(collection, id))?;
        Ok(record
            .and_then(|record| record.body)
            .as_deref()
            .and_then(marker)
            .map(str::to_owned))
    }

    pub(crate) fn put(&mut self) -> Done {
        let collection = *self.rng.pick(&PLAIN).unwrap_or(&"note");
        let id = format!("x{}", self.rng.below(4));
        self.put_to(collection, &id)
    }

    /// A note of something that just happened, to a record of one's own or to one that all have.
    pub(crate) fn jot(&mut self) -> Done {
        let collection = *self.rng.pick(&["note", "tag", "profile", "mixed"]).unwrap_or(&"note");
        let id = if self.rng.chance(0.8) {
            format!("d{}-{}", self.device.index, self.rng.below(30))
        } else {
            format!("x{}", self.rng.below(10))
        };
        self.put_to(collection, &id)
    }

    pub(crate) fn put_to(&mut self, collection: &str, id: &str) -> Done {
        let marker = self.fresh();
        let body = self.body(&marker);
        let saw = self.seen(collection, id)?;
        let written = self.app()?.db.write(|write| record::put(write, collection, id, &body));
        let what = format!("puts {collection}/{id} {marker}");
        self.tell(written, what, vec![note(collection, id, &marker, false, saw)])
    }

    /// A workout that every device of an account works on, and its sets.
    fn shared_workout(&mut self) -> Done {
        let id = format!("x{}", self.rng.below(2));
        if self.rng.chance(0.3) || self.app()?.db.read(|read| read.get("workout", &id))?.is_none() {
            return self.put_to("workout", &id);
        }
        let set = session::set_id(&id, &format!("s{}", self.rng.below(3)));
        let marker = self.fresh();
        let body = format!(
            "{{\"m\":\"{marker}\",\"workout_id\":\"{id}\",\"n\":{}}}",
            self.rng.below(9)
        );
        let saw = self.seen("set_log", &set)?;
        let delete = saw.is_some() && self.rng.chance(0.2);
        let written = self.app()?.db.write(|write| match delete {
            true => record::delete(write, "set_log", &set),
            false => record::put(write, "set_log", &set, &body),
        });
        let what = format!(
            "{} set_log/{set} of {id} {marker}",
            if delete { "deletes" } else { "puts" }
        );
        self.tell(written, what, vec![note("set_log", &set, &marker, delete, saw)])
    }

    /// Patches or deletes a record that is there.
    fn change_any(&mut self, delete: bool) -> Done {
        let collection = *self.rng.pick(&SHARED).unwrap_or(&"note");
        let page = self
            .app()?
            .db
            .read(|read| read.query(&Query::new(collection).limit(20)))?;
        let Some(record) = self.rng.pick(&page.records).cloned() else {
            return Ok(nothing(format!("finds nothing in {collection}")));
        };
        let id = record.id;
        let marker = self.fresh();
        let saw = record.body.as_deref().and_then(self::marker).map(str::to_owned);
        let (written, what) = if delete {
            let written = self.app()?.db.write(|write| record::delete(write, collection, &id));
            (written, format!("deletes {collection}/{id}"))
        } else {
            let patch = format!("{{\"m\":\"{marker}\",\"n\":{}}}", self.rng.below(9));
            let written = self
                .app()?
                .db
                .write(|write| record::patch(write, collection, &id, &patch));
            (written, format!("patches {collection}/{id} {marker}"))
        };
        self.tell(written, what, vec![note(collection, &id, &marker, delete, saw)])
    }

    fn session(&mut self) -> Done {
        let sessions = self.app()?.db.read(|read| read.active_sessions())?;
        let Some(session) = self.rng.pick(&sessions).cloned().filter(|_| !self.rng.chance(0.05)) else {
            return self.start();
        };
        let (collection, id) = (session.collection.as_str(), session.id.as_str());
        match self.rng.below(20) {
            0..12 => self.log_set(collection, id),
            12..14 => self.remove_set(&session),
            14 => {
                let written = self
                    .app()?
                    .db
                    .write(|write| session::note(write, collection, id, Some("rest 90 s")));
                Ok(deed(
                    format!("notes in {collection}/{id}"),
                    written.map(|(_, changes)| changes),
                ))
            }
            15..18 => self.end(&session, true),
            18 => self.end(&session, false),
            _ => self.discard_session(&session),
        }
    }

    fn start(&mut self) -> Done {
        let (collection, children) = if self.rng.chance(0.6) {
            ("workout", "set_log")
        } else {
            ("run", "lap")
        };
        let marker = self.fresh();
        let body = self.body(&marker);
        let written = self
            .app()?
            .db
            .write(|write| session::start(write, collection, children, "", &body));
        let what = format!("starts a {collection} {marker}");
        let id = written
            .as_ref()
            .map(|(written, _)| written.id.clone())
            .unwrap_or_default();
        let what = format!("{what} as {id}");
        self.tell(written, what, vec![note(collection, &id, &marker, false, None)])
    }

    fn log_set(&mut self, collection: &str, id: &str) -> Done {
        let children = if collection == "workout" { "set_log" } else { "lap" };
        let slot = format!("s{}", self.rng.below(4));
        let set = session::set_id(id, &slot);
        let marker = self.fresh();
        let body = self.body(&marker);
        let saw = self.seen(children, &set)?;
        let written = self
            .app()?
            .db
            .write(|write| session::log_set(write, collection, id, &slot, &body));
        let what = format!("logs {slot} of {collection}/{id} {marker}");
        self.tell(written, what, vec![note(children, &set, &marker, false, saw)])
    }

    fn remove_set(&mut self, session: &session::Session) -> Done {
        let Some(set) = self.rng.pick(&session.sets).cloned() else {
            return Ok(nothing("has no set to remove".to_owned()));
        };
        let slot = (0..4)
            .map(|slot| format!("s{slot}"))
            .find(|slot| session::set_id(&session.id, slot) == set.id)
            .unwrap_or_default();
        let (collection, id) = (session.collection.as_str(), session.id.as_str());
        let marker = self.fresh();
        let saw = set.body.as_deref().and_then(self::marker).map(str::to_owned);
        let written = self
            .app()?
            .db
            .write(|write| session::remove_set(write, collection, id, &slot));
        let what = format!("removes {slot} of {collection}/{id}");
        self.tell(written, what, vec![note(&set.collection, &set.id, &marker, true, saw)])
    }

    /// Completes or skips a session.
    pub(crate) fn end(&mut self, session: &session::Session, complete: bool) -> Done {
        let (collection, id) = (session.collection.as_str(), session.id.as_str());
        let marker = self.fresh();
        let patch = format!("{{\"m\":\"{marker}\"}}");
        let saw = self.seen(collection, id)?;
        let app = self.app()?;
        let written = if complete {
            app.db.write(|write| session::complete(write, collection, id, &patch))
        } else {
            app.db.write(|write| session::skip(write, collection, id, &patch))
        };
        let what = format!(
            "{} {collection}/{id} {marker}",
            if complete { "completes" } else { "skips" }
        );
        let ended = written.is_ok();
        let mut deed = self.tell(written, what, vec![note(collection, id, &marker, false, saw)])?;
        if ended {
            deed.events.push(Event::Wake(Trigger::SessionCompleted));
        }
        Ok(deed)
    }

    /// Throws a session away. Gives no events if the store refused.
    pub(crate) fn discard_session(&mut self, session: &session::Session) -> Done {
        let (collection, id) = (session.collection.as_str(), session.id.as_str());
        let written = self.app()?.db.write(|write| session::discard(write, collection, id));
        let what = format!("discards {collection}/{id}");
        let mut notes = Vec::new();
        for gone in session.sets.iter().chain([&session.record]) {
            let marker = self.fresh();
            let saw = gone.body.as_deref().and_then(self::marker).map(str::to_owned);
            notes.push(note(&gone.collection, &gone.id, &marker, true, saw));
        }
        self.tell(written, what, notes)
    }

    /// Three puts as one.
    fn several(&mut self) -> Done {
        let mut mutations = Vec::new();
        let mut notes = Vec::new();
        for collection in PLAIN.into_iter().take(3) {
            let id = format!("x{}", self.rng.below(4));
            let marker = self.fresh();
            let saw = self.seen(collection, &id)?;
            let body = self.body(&marker);
            notes.push(note(collection, &id, &marker, false, saw));
            mutations.push(Mutation::Put {
                collection: collection.to_owned(),
                id,
                body,
            });
        }
        let written = self.app()?.db.write(|write| record::write(write, &mutations));
        let what = "puts three records as one".to_owned();
        self.tell(written, what, notes)
    }

    /// What is not, or only, sent.
    fn aside(&mut self) -> Done {
        match self.rng.below(3) {
            0 => self.put_to("draft", "x0"),
            1 => {
                // Never pulled, so two devices do not write the same one.
                let id = format!("d{}-{}", self.device.index, self.rng.below(3));
                self.put_to("stat", &id)
            }
            _ => {
                let written = self
                    .app()?
                    .db
                    .write(|write| kv::merge(write, "prefs", "{\"unit\":\"kg\"}"));
                Ok(deed(
                    "keeps a preference".to_owned(),
                    written.map(|(_, changes)| changes),
                ))
            }
        }
    }

    fn resolve_one(&mut self) -> Done {
        let conflicts = self.app()?.db.read(|read| read.conflicts())?;
        match self.rng.pick(&conflicts).cloned() {
            Some(conflict) => self.resolve(&conflict),
            None => self.put(),
        }
    }

    /// Decides a conflict, one way or another: the record's and its children's.
    pub(crate) fn resolve(&mut self, conflict: &conflict::Conflict) -> Done {
        let (collection, id) = (conflict.collection.as_str(), conflict.id.as_str());
        let sides = sides(conflict);
        let kind = match self.rng.below(4) {
            // A body mixed of two would carry a marker that was sent before.
            2 if sides.iter().any(|side| {
                let proposed = conflict.proposal_of(&side.key);
                proposed != side.local.as_deref() && proposed != side.remote.as_deref()
            }) =>
            {
                3
            }
            kind => kind,
        };
        let mut news = Vec::new();
        let resolution = match kind {
            0 => Resolution::KeepLocal,
            1 => Resolution::KeepRemote,
            2 => Resolution::MergeWith(Merged::default()),
            _ => {
                let mut merge = Merged::default();
                for side in &sides {
                    let new = self.fresh();
                    let body = Some(merged(side, &new));
                    news.push(new);
                    if side.key == (conflict.collection.clone(), conflict.id.clone()) {
                        merge.body = body;
                    } else {
                        let (collection, id) = side.key.clone();
                        merge.children.push(ChildBody { collection, id, body });
                    }
                }
                Resolution::MergeWith(merge)
            }
        };
        let written = self
            .app()?
            .db
            .write(|write| conflict::resolve(write, collection, id, &conflict.token, &resolution));
        let words = [
            "keeps the local",
            "keeps the remote",
            "takes the proposed",
            "merges the",
        ];
        let word = words
            .get(usize::try_from(kind).unwrap_or(0))
            .copied()
            .unwrap_or_default();
        let what = format!("{word} version of {collection}/{id} {}", news.join(" "));
        let mut notes = Vec::new();
        let mut seen_too = Vec::new();
        for (at, side) in sides.into_iter().enumerate() {
            let proposed = conflict.proposal_of(&side.key).and_then(marker);
            let mark = |body: &Option<String>| body.as_deref().and_then(marker).map(str::to_owned);
            let (local, remote) = (mark(&side.local), mark(&side.remote));
            let (collection, id) = (side.key.0.as_str(), side.key.1.as_str());
            let keeps_local = kind == 0 || (kind == 2 && proposed != remote.as_deref());
            if let Some(new) = news.get(at) {
                notes.push(note(collection, id, new, false, local));
                if let Some(remote) = remote {
                    seen_too.push((new.clone(), remote));
                }
            } else if keeps_local {
                match (local, remote) {
                    (Some(local), Some(remote)) => seen_too.push((local, remote)),
                    (None, remote) => {
                        let new = self.fresh();
                        notes.push(note(collection, id, &new, true, remote));
                    }
                    _ => {}
                }
            }
        }
        let refused = matches!(&written, Err(error) if is_refusal(error));
        let deed = self.tell(written, what, notes)?;
        if !refused {
            for (marker, other) in seen_too {
                self.oracle.saw_too(&marker, &other);
            }
        }
        Ok(deed)
    }

    fn tend_queue(&mut self) -> Done {
        if self.rng.chance(0.2) {
            let written = self.app()?.db.write(queue::retry_all);
            return Ok(deed(
                "retries everything".to_owned(),
                written.map(|(_, changes)| changes),
            ));
        }
        let mut entries = self.app()?.db.read(|read| read.entries(i64::MIN, 1_000))?;
        // What is counted is not thrown away: the end is the sum.
        entries.retain(|entry| entry.collection != COUNTED);
        let parked: Vec<Entry> = entries
            .iter()
            .filter(|entry| entry.state == EntryState::Parked)
            .cloned()
            .collect();
        match self.rng.pick(&parked).cloned() {
            Some(entry) => self.tend(&entry, &entries),
            None => match self.rng.pick(&entries).cloned() {
                Some(entry) if self.rng.chance(0.3) => self.discard(entry.op),
                _ => self.put(),
            },
        }
    }

    /// Does something about a parked entry: edits, retries or discards it.
    pub(crate) fn tend(&mut self, entry: &Entry, all: &[Entry]) -> Done {
        let last = !all
            .iter()
            .any(|other| (&other.collection, &other.id) == (&entry.collection, &entry.id) && other.seq > entry.seq);
        let is_child = matches!(entry.collection.as_str(), "set_log" | "lap");
        match self.rng.below(3) {
            _ if entry.collection == COUNTED => self.retry(entry.op),
            0 => self.discard(entry.op),
            1 if is_child => self.discard(entry.op),
            1 if last => self.edit(entry),
            _ => self.retry(entry.op),
        }
    }

    fn retry(&mut self, op: Uuid) -> Done {
        let written = self.app()?.db.write(|write| queue::retry(write, op));
        Ok(deed(format!("retries {op}"), written.map(|(_, changes)| changes)))
    }

    fn edit(&mut self, entry: &Entry) -> Done {
        self.thrown(&entry.collection, &entry.id);
        let op = entry.op;
        let marker = self.fresh();
        let body = format!("{{\"m\":\"{marker}\",\"n\":1}}");
        let saw = self.seen(&entry.collection, &entry.id)?;
        let written = self.app()?.db.write(|write| queue::edit(write, op, &body));
        let what = format!("edits {op} of {}/{} {marker}", entry.collection, entry.id);
        self.tell(
            written,
            what,
            vec![note(&entry.collection, &entry.id, &marker, false, saw)],
        )
    }

    /// Throws an entry away, with those that cannot go without it.
    pub(crate) fn discard(&mut self, op: Uuid) -> Done {
        let doomed = self.app()?.db.read(|read| read.entry(op))?;
        self.thrown(&doomed.collection, &doomed.id);
        let written = self.app()?.db.write(|write| queue::discard(write, op, true));
        Ok(deed(format!("throws {op} away"), written.map(|(_, changes)| changes)))
    }

    fn hint(&mut self) -> Deed {
        let event = match self.rng.below(8) {
            0..3 => Event::Wake(Trigger::User),
            3 => Event::Wake(Trigger::NetworkBack),
            4 => Event::Wake(Trigger::Foreground),
            5 => Event::Wake(Trigger::Background { budget_ms: 400 }),
            6 => Event::NetworkLost,
            _ => Event::Cancel,
        };
        Deed {
            line: format!("{event:?}"),
            events: vec![event],
        }
    }
}

/// Two versions of one record.
struct Side {
    key: (String, String),
    local: Option<String>,
    remote: Option<String>,
}

/// What is in conflict: the record itself, if it is, and those of its children that are.
fn sides(conflict: &conflict::Conflict) -> Vec<Side> {
    let children = conflict
        .children
        .iter()
        .filter(|child| child.in_conflict)
        .map(|child| Side {
            key: (child.collection.clone(), child.id.clone()),
            local: child.local.clone(),
            remote: child.remote.clone(),
        });
    let own = Side {
        key: (conflict.collection.clone(), conflict.id.clone()),
        local: conflict.local.clone(),
        remote: conflict.remote.clone(),
    };
    conflict
        .in_conflict
        .then_some(own)
        .into_iter()
        .chain(children)
        .collect()
}

/// A body made from both sides of a conflict; a child keeps its parent.
fn merged(side: &Side, marker: &str) -> String {
    let either = side.local.as_deref().or(side.remote.as_deref()).unwrap_or("{}");
    let mut body: serde_json::Value = serde_json::from_str(either).unwrap_or_default();
    if let Some(object) = body.as_object_mut() {
        object.remove("bad");
        object.insert("m".to_owned(), marker.into());
    }
    body.to_string()
}

pub(crate) fn nothing(line: String) -> Deed {
    Deed {
        line,
        events: Vec::new(),
    }
}

/// Whether the store refused for a reason a caller could have known.
fn is_refusal(error: &Error) -> bool {
    matches!(
        error,
        Error::Invalid { .. }
            | Error::NotFound { .. }
            | Error::SessionState { .. }
            | Error::ConflictChanged
            | Error::MaybeSent
    )
}

/// A note of a write, for the oracle.
pub(crate) fn note(collection: &str, id: &str, marker: &str, deletes: bool, saw: Option<String>) -> Note {
    Note {
        key: (collection.to_owned(), id.to_owned()),
        marker: marker.to_owned(),
        deletes,
        saw: saw.into_iter().collect(),
    }
}

pub(crate) fn deed(line: String, written: keepsync::Result<Changes>) -> Deed {
    match written {
        Ok(changes) if changes.sendable => Deed {
            line,
            events: vec![Event::Wake(Trigger::Write)],
        },
        Ok(_) => Deed {
            line,
            events: Vec::new(),
        },
        Err(error) => nothing(format!("{line} ({})", error.code())),
    }
}
