//! The stories, each with something that a crash could break.

use crate::{
    act::{Act, Scenario, close, open, pass, settle, work, world, write},
    server::{Net, START},
};
use keepsync::{
    Db, Error, OpenOptions, Place, Result, Write,
    carry::{self, Import, Imported},
    collection::{Collection, Collections, Direction, Sending},
    conflict::{self, Conflict, ConflictResolver, Merged, Policy, Resolution, Resolvers, Verdict},
    db::Job,
    kv, notice, queue,
    record::{self, Mutation},
    session,
    settings::Settings,
};
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};
use uuid::Uuid;

pub(crate) fn collections() -> Result<Collections> {
    Collections::new([
        Collection::new("workout", Policy::Ask)
            .priority(10)
            .index("date")
            .same_when(["date", "time"]),
        Collection::new("set_log", Policy::ClientWins)
            .child_of("workout", "workout_id")
            .priority(10),
        Collection::new("plan", Policy::Ask).sending(Sending::OnComplete),
        Collection::new("plan_set", Policy::ClientWins).child_of("plan", "plan_id"),
        Collection::new("profile", Policy::LastWriteWins),
        Collection::new("exercise", Policy::ServerWins).announce_changes(),
        Collection::new("weight", Policy::ClientWins),
        Collection::new("best", Policy::custom("larger")),
        Collection::new("tally", Policy::merge_max("n")),
        Collection::new("session", Policy::Ask)
            .group(["schedule"], Policy::ServerWins)
            .group(["weight", "reps"], Policy::ClientWins),
        Collection::new("draft", Policy::ClientWins).direction(Direction::Local),
    ])
}

/// What an earlier version of the app registered.
fn earlier() -> Result<Collections> {
    Collections::new([
        Collection::new("workout", Policy::Ask).priority(10).index("name"),
        Collection::new("set_log", Policy::ClientWins)
            .child_of("workout", "workout_id")
            .priority(10),
        Collection::new("profile", Policy::LastWriteWins),
    ])
}

/// The app's resolver: this device's version.
pub(crate) struct Larger;

impl ConflictResolver for Larger {
    fn resolve(&self, _: &Conflict) -> std::result::Result<Verdict, String> {
        Ok(Verdict::KeepLocal)
    }
}

fn put(collection: &'static str, id: &'static str, body: &'static str) -> Act {
    write(&format!("put {collection}/{id}"), move |write| {
        record::put(write, collection, id, body).map(|written| written.op)
    })
}

fn patch(collection: &'static str, id: &'static str, body: &'static str) -> Act {
    write(&format!("patch {collection}/{id}"), move |write| {
        record::patch(write, collection, id, body).map(|written| written.op)
    })
}

fn delete(collection: &'static str, id: &'static str) -> Act {
    write(&format!("delete {collection}/{id}"), move |write| {
        record::delete(write, collection, id).map(|written| written.op)
    })
}

fn start(collection: &'static str, children: &'static str, id: &'static str) -> Act {
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

fn log(collection: &'static str, id: &'static str, slot: &'static str, body: &'static str) -> Act {
    write(&format!("log {slot} of {collection}/{id}"), move |write| {
        session::log_set(write, collection, id, slot, body).map(|written| written.op)
    })
}

fn complete(collection: &'static str, id: &'static str) -> Act {
    write(&format!("complete {collection}/{id}"), move |write| {
        session::complete(write, collection, id, r#"{"rating":4}"#).map(|written| written.op)
    })
}

fn elsewhere(collection: &'static str, id: &'static str, body: Option<&'static str>) -> Act {
    world(&format!("another device writes {collection}/{id}"), move |server| {
        server.elsewhere(collection, id, body);
    })
}

fn resolve(collection: &'static str, id: &'static str, resolution: Resolution) -> Act {
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
fn entry_of(write: &Write<'_>, collection: &str, id: &str) -> Result<Uuid> {
    let entries = write.read().entries(i64::MIN, 10_000)?;
    let mut found = entries
        .into_iter()
        .filter(|entry| entry.collection == collection && entry.id == id);
    found
        .next_back()
        .map(|entry| entry.op)
        .ok_or_else(|| missing("entry", id))
}

fn scenario(name: &'static str, base: Vec<Act>, acts: Vec<Act>) -> Scenario {
    let mut base = base;
    if !base.is_empty() {
        base.insert(0, open());
        base.push(close());
    }
    let mut acts = acts;
    acts.insert(0, open());
    Scenario {
        name,
        before: collections,
        collections,
        wal_bytes: 4 * 1024 * 1024,
        base,
        spoil: None,
        room: None,
        salvages: false,
        by_hand: false,
        grows: false,
        acts,
    }
}

/// A session in progress with two sets, sent as far as it goes.
fn in_progress() -> Vec<Act> {
    vec![
        start("workout", "set_log", "s"),
        log("workout", "s", "bench/1", r#"{"kg":60}"#),
        log("workout", "s", "bench/2", r#"{"kg":70}"#),
        settle(),
    ]
}

/// Three unsent writes, one of them to a record that the server has.
fn three() -> Vec<Act> {
    vec![
        put("profile", "me", r#"{"n":1}"#),
        settle(),
        put("workout", "w1", r#"{"date":"1"}"#),
        put("weight", "today", r#"{"kg":80}"#),
        put("profile", "me", r#"{"n":2}"#),
    ]
}

/// Three unsent writes, met by such an answer, and then by a good one.
fn answered(name: &'static str, net: Net) -> Scenario {
    scenario(name, three(), vec![pass(net), pass(Net::Well)])
}

/// A workout with a set that two devices changed, in conflict.
fn in_conflict() -> Vec<Act> {
    vec![
        put("workout", "w", r#"{"date":"1","n":1}"#),
        put("set_log", "x", r#"{"workout_id":"w","kg":1}"#),
        settle(),
        put("workout", "w", r#"{"date":"1","n":2}"#),
        put("set_log", "x", r#"{"workout_id":"w","kg":2}"#),
        elsewhere("workout", "w", Some(r#"{"date":"1","n":3,"note":"x"}"#)),
        elsewhere("set_log", "x", Some(r#"{"workout_id":"w","kg":3}"#)),
        pass(Net::Well),
    ]
}

fn resolved(name: &'static str, resolution: Resolution) -> Scenario {
    let acts = vec![resolve("workout", "w", resolution), pass(Net::Well)];
    scenario(name, in_conflict(), acts)
}

/// What another device exported.
fn exported() -> Result<String> {
    let options = OpenOptions {
        place: Place::Memory,
        account: "another".to_owned(),
        device_id: Some("another".to_owned()),
        collections: collections()?,
        settings: Settings::default(),
        resolvers: Resolvers::new(),
        env: Arc::new(crate::phone::Clock::default()),
    };
    let mut db = Db::open(options)?;
    db.write(|write| {
        for n in 0..6 {
            record::put(write, "workout", &format!("w{n}"), &format!("{{\"date\":\"{n}\"}}"))?;
            let set = format!("{{\"workout_id\":\"w{n}\",\"kg\":{n}}}");
            record::put(write, "set_log", &format!("x{n}"), &set)?;
        }
        session::start(write, "workout", "set_log", "live", "{}")?;
        session::log_set(write, "workout", "live", "bench/1", r#"{"kg":60}"#)?;
        Ok(())
    })?;
    Ok(db.read(|read| carry::export(read, START))?.text)
}

fn import() -> Result<Act> {
    let text = exported()?;
    let (known, limits) = (collections()?, Settings::default());
    Ok(work("import", move |db, done| {
        let import =
            Import::parse(text.as_bytes(), &known, &limits).map_err(|error| Error::Internal(error.to_string()))?;
        let mut so_far = Imported::default();
        while !import.is_done(so_far) {
            so_far = db.write(|write| import.bring(write, so_far))?.0;
            done();
        }
        Ok(())
    }))
}

/// A job of a group: puts a record, or fails.
struct Put {
    id: &'static str,
    verdicts: Arc<Mutex<Vec<Result<()>>>>,
}

impl Job for Put {
    fn run(&mut self, write: &mut Write<'_>) -> Result<()> {
        match self.id {
            "nowhere" => {
                record::put(write, "profile", "half", "{}")?;
                record::delete(write, "profile", "nowhere").map(|_| ())
            }
            id => record::put(write, "profile", id, r#"{"group":true}"#).map(|_| ()),
        }
    }

    fn finish(self: Box<Self>, commit: Result<()>) {
        self.verdicts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(commit);
    }
}

fn group() -> Act {
    work("write as a group", |db, done| {
        let verdicts = Arc::new(Mutex::new(Vec::new()));
        let job = |id| -> Box<dyn Job + Send> {
            Box::new(Put {
                id,
                verdicts: Arc::clone(&verdicts),
            })
        };
        db.write_group(vec![job("one"), job("nowhere"), job("two")], |_| ());
        let verdicts = verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.iter().cloned().collect::<Result<()>>()?;
        done();
        Ok(())
    })
}

/// Zeroes the first page of the records' tree, and marks the file as suspect, as a read that met it does.
fn spoil_records(file: &Path) -> std::io::Result<()> {
    let of = |error: rusqlite::Error| std::io::Error::other(error);
    let conn = rusqlite::Connection::open(file).map_err(of)?;
    let sql = "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_schema WHERE name = 'record'";
    let (root, size): (u32, u32) = conn
        .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(of)?;
    drop(conn);
    let mut bytes = std::fs::read(file)?;
    let (root, size) = (root as usize, size as usize);
    if let Some(page) = bytes.get_mut((root - 1) * size..root * size) {
        page.fill(0);
    }
    std::fs::write(file, bytes)?;
    let mut mark = file.as_os_str().to_owned();
    mark.push(".suspect");
    std::fs::write(mark, "")
}

/// The file that the first release wrote.
fn freeze(file: &Path) -> std::io::Result<()> {
    std::fs::remove_file(file)?;
    let conn = rusqlite::Connection::open(file).map_err(std::io::Error::other)?;
    let frozen = include_str!("../../keepsync/tests/frozen/0001.sql");
    conn.execute_batch(frozen).map_err(std::io::Error::other)
}

fn noted(id: &str) -> String {
    format!("{{\"id\":\"{id}\",\"text\":\"{}\"}}", "x".repeat(1_500))
}

/// Writes much, one transaction each.
fn many(name: &'static str, prefix: &'static str, count: usize) -> Act {
    work(name, move |db, done| {
        for n in 0..count {
            let id = format!("{prefix}{n}");
            db.write(|write| record::put(write, "weight", &id, &noted(&id)))?;
            done();
        }
        Ok(())
    })
}

/// All of them.
///
/// # Errors
/// A registration that is not accepted.
pub fn all() -> Result<Vec<Scenario>> {
    Ok(
        [sessions(), writes(), drains(), pulls(), conflicts(), queues(), files()?]
            .into_iter()
            .flatten()
            .collect(),
    )
}

fn sessions() -> Vec<Scenario> {
    vec![
        scenario(
            "log-set",
            in_progress(),
            vec![
                log("workout", "s", "squat/1", r#"{"kg":100}"#),
                log("workout", "s", "squat/1", r#"{"kg":101}"#),
                write("note", |write| {
                    session::note(write, "workout", "s", Some("rest")).map(|()| None)
                }),
                write("remove a set", |write| {
                    session::remove_set(write, "workout", "s", "bench/2").map(|written| written.op)
                }),
            ],
        ),
        scenario(
            "complete-session",
            in_progress(),
            vec![
                log("workout", "s", "squat/1", "{}"),
                complete("workout", "s"),
                pass(Net::Well),
            ],
        ),
        scenario(
            "session-sent-when-complete",
            vec![start("plan", "plan_set", "p"), log("plan", "p", "a", "{}")],
            vec![
                log("plan", "p", "b", "{}"),
                pass(Net::Well),
                complete("plan", "p"),
                pass(Net::Lost),
                pass(Net::Well),
            ],
        ),
        scenario(
            "skip-session",
            in_progress(),
            vec![
                write("skip", |write| {
                    session::skip(write, "workout", "s", "{}").map(|written| written.op)
                }),
                pass(Net::Well),
            ],
        ),
        scenario(
            "discard-session",
            vec![start("workout", "set_log", "s"), log("workout", "s", "bench/1", "{}")],
            vec![
                write("discard", |write| {
                    session::discard(write, "workout", "s").map(|()| None)
                }),
                pass(Net::Well),
            ],
        ),
    ]
}

fn writes() -> Vec<Scenario> {
    vec![
        scenario(
            "fold",
            three(),
            vec![
                put("workout", "w1", r#"{"date":"2"}"#),
                patch("profile", "me", r#"{"more":true}"#),
                delete("weight", "today"),
                put("draft", "d", "{}"),
            ],
        ),
        scenario(
            "edit-in-flight",
            three(),
            vec![
                pass(Net::Lost),
                put("workout", "w1", r#"{"date":"2"}"#),
                delete("weight", "today"),
                pass(Net::Well),
            ],
        ),
        scenario(
            "several-at-once",
            three(),
            vec![
                write("three mutations", |write| {
                    let put = |id: &str| Mutation::Put {
                        collection: "workout".to_owned(),
                        id: id.to_owned(),
                        body: r#"{"date":"3"}"#.to_owned(),
                    };
                    record::write(write, &[put("a"), put("b"), put("w1")]).map(|_| None)
                }),
                group(),
            ],
        ),
        scenario(
            "pairs",
            three(),
            vec![
                write("set a pair", |write| kv::set(write, "k", "v").map(|()| None)),
                write("merge a pair", |write| {
                    kv::merge(write, "m", r#"{"a":1}"#).map(|()| None)
                }),
                write("remove a pair", |write| kv::remove(write, "k").map(|()| None)),
            ],
        ),
    ]
}

fn drains() -> Vec<Scenario> {
    vec![
        answered("drain-accepted", Net::Well),
        answered("drain-offline", Net::Offline),
        answered("drain-lost-answer", Net::Lost),
        answered("drain-slow", Net::Slow),
        answered("drain-partly-answered", Net::Partly),
        answered("drain-partly-lost", Net::PartlyLost),
        answered("drain-later", Net::Later),
        answered("drain-throttled", Net::Throttled),
        answered("drain-server-down", Net::Down),
        answered("drain-token-expired", Net::TokenExpired),
        answered("drain-too-large", Net::TooLarge),
        answered("drain-rejected", Net::Rejected),
        answered("drain-raced", Net::Raced),
        scenario(
            "drain-gives-up",
            three(),
            (0..9).map(|_| pass(Net::Later)).chain([pass(Net::Well)]).collect(),
        ),
        scenario(
            "drain-children-of-a-refused-parent",
            vec![
                start("workout", "set_log", "s"),
                log("workout", "s", "a", "{}"),
                log("workout", "s", "b", "{}"),
            ],
            vec![pass(Net::CreationsRejected), complete("workout", "s"), pass(Net::Well)],
        ),
    ]
}

fn pulls() -> Vec<Scenario> {
    let theirs = || {
        vec![
            elsewhere("exercise", "squat", Some(r#"{"name":"Squat"}"#)),
            elsewhere("exercise", "bench", Some(r#"{"name":"Bench"}"#)),
            elsewhere("workout", "theirs", Some(r#"{"date":"9"}"#)),
            elsewhere("set_log", "their-set", Some(r#"{"workout_id":"theirs"}"#)),
            elsewhere("profile", "me", Some(r#"{"n":7}"#)),
        ]
    };
    let with = |mut acts: Vec<Act>, more: Vec<Act>| {
        acts.extend(more);
        acts
    };
    let paged = || world("pages of two", |server| server.page = 2);
    vec![
        scenario(
            "apply-pages",
            with(vec![paged()], theirs()),
            vec![pass(Net::Well), pass(Net::Well)],
        ),
        scenario(
            "apply-pages-that-break-off",
            with(vec![paged()], theirs()),
            vec![pass(Net::PullBreaks), pass(Net::Well)],
        ),
        scenario(
            "apply-page-beside-unsent",
            with(three(), with(theirs(), vec![paged()])),
            vec![pass(Net::Offline), put("exercise", "mine", "{}"), pass(Net::Well)],
        ),
        scenario(
            "apply-deletions",
            with(theirs(), vec![settle(), put("workout", "theirs", r#"{"date":"10"}"#)]),
            vec![
                elsewhere("exercise", "squat", None),
                elsewhere("workout", "theirs", None),
                elsewhere("profile", "me", None),
                pass(Net::Well),
            ],
        ),
        scenario(
            "server-restored",
            with(
                three(),
                vec![settle(), put("profile", "me", r#"{"n":9}"#), put("workout", "w2", "{}")],
            ),
            vec![
                world("the server is restored", |server| server.restore(1)),
                pass(Net::Well),
                pass(Net::Well),
            ],
        ),
    ]
}

fn conflicts() -> Vec<Scenario> {
    let policies = || {
        let mut acts = Vec::new();
        for (collection, local, remote) in [
            ("profile", r#"{"n":2}"#, r#"{"n":3}"#),
            ("exercise", r#"{"n":2}"#, r#"{"n":3}"#),
            ("weight", r#"{"n":2}"#, r#"{"n":3}"#),
            ("best", r#"{"n":2}"#, r#"{"n":3}"#),
            ("tally", r#"{"n":4}"#, r#"{"n":3}"#),
            (
                "session",
                r#"{"schedule":1,"weight":2}"#,
                r#"{"schedule":2,"weight":1}"#,
            ),
        ] {
            acts.push((
                put(collection, "r", r#"{"n":1}"#),
                put(collection, "r", local),
                elsewhere(collection, "r", Some(remote)),
            ));
        }
        let (mut base, mut edits, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for (first, edit, other) in acts {
            base.push(first);
            edits.push(edit);
            others.push(other);
        }
        base.push(settle());
        base.extend(edits);
        base.extend(others);
        base
    };
    vec![
        scenario(
            "conflict-opens",
            in_conflict().into_iter().take(7).collect(),
            vec![pass(Net::Well), pass(Net::Well)],
        ),
        scenario("policies", policies(), vec![pass(Net::Well), pass(Net::Well)]),
        scenario(
            "policies-lost-answers",
            policies(),
            vec![pass(Net::Lost), pass(Net::PartlyLost)],
        ),
        resolved("resolve-local", Resolution::KeepLocal),
        resolved("resolve-remote", Resolution::KeepRemote),
        resolved("resolve-merge", Resolution::Merge(r#"{"date":"1","n":23}"#.to_owned())),
        resolved("resolve-as-proposed", Resolution::MergeWith(Merged::default())),
        scenario(
            "resolve-and-meet-another",
            in_conflict(),
            vec![
                resolve("workout", "w", Resolution::KeepLocal),
                elsewhere("workout", "w", Some(r#"{"date":"1","n":5}"#)),
                pass(Net::Well),
                resolve("workout", "w", Resolution::KeepRemote),
                pass(Net::Lost),
                pass(Net::Well),
            ],
        ),
        scenario(
            "merge-twins",
            vec![
                put("workout", "ours", r#"{"date":"1","time":"9"}"#),
                put("set_log", "x", r#"{"workout_id":"ours","slot":"a"}"#),
                elsewhere("workout", "yours", Some(r#"{"date":"1","time":"9"}"#)),
                elsewhere("set_log", "y", Some(r#"{"workout_id":"yours","slot":"a"}"#)),
                settle(),
            ],
            vec![
                write("merge them", |write| {
                    record::merge_into(write, "workout", "ours", "yours").map(|_| None)
                }),
                pass(Net::Well),
            ],
        ),
    ]
}

fn queues() -> Vec<Scenario> {
    let refused = || {
        let mut acts = three();
        acts.push(pass(Net::Rejected));
        acts
    };
    let of = |collection: &'static str, id: &'static str, name: &str, what: fn(&mut Write<'_>, Uuid) -> Result<()>| {
        write(name, move |write| {
            let op = entry_of(write, collection, id)?;
            what(write, op).map(|()| None)
        })
    };
    vec![
        scenario(
            "tend-refused",
            refused(),
            vec![
                of("workout", "w1", "edit", |write, op| {
                    queue::edit(write, op, r#"{"date":"5"}"#).map(|_| ())
                }),
                of("weight", "today", "retry", queue::retry),
                of("profile", "me", "discard", |write, op| {
                    queue::discard(write, op, false).map(|_| ())
                }),
                pass(Net::Well),
            ],
        ),
        scenario(
            "discard-with-children",
            vec![
                put("workout", "w", "{}"),
                put("set_log", "x", r#"{"workout_id":"w"}"#),
                pass(Net::CreationsRejected),
            ],
            vec![
                of("workout", "w", "discard", |write, op| {
                    queue::discard(write, op, true).map(|_| ())
                }),
                pass(Net::Well),
            ],
        ),
        scenario(
            "rollback",
            three(),
            vec![
                of("profile", "me", "roll back", |write, op| {
                    queue::rollback(write, op, false).map(|_| ())
                }),
                pass(Net::Well),
            ],
        ),
        scenario(
            "rollback-when-answered",
            vec![
                put("profile", "me", r#"{"n":1}"#),
                settle(),
                put("profile", "me", r#"{"n":2}"#),
                pass(Net::Lost),
            ],
            vec![
                of("profile", "me", "roll back", |write, op| {
                    queue::rollback(write, op, false).map(|_| ())
                }),
                pass(Net::Offline),
                pass(Net::Well),
            ],
        ),
    ]
}

fn files() -> Result<Vec<Scenario>> {
    let more = |name: &'static str, base: Vec<Act>, acts: Vec<Act>| scenario(name, base, acts);
    let old: Vec<Act> = vec![
        put("workout", "w", r#"{"date":"1","name":"Legs"}"#),
        put("profile", "me", "{}"),
    ];
    Ok(vec![
        Scenario {
            grows: true,
            ..more("new-file", Vec::new(), vec![put("workout", "w", "{}"), pass(Net::Well)])
        },
        Scenario {
            before: earlier,
            grows: true,
            ..more(
                "new-collections",
                old,
                vec![put("exercise", "e", "{}"), pass(Net::Well)],
            )
        },
        Scenario {
            spoil: Some(freeze),
            by_hand: true,
            grows: true,
            ..more(
                "frozen-file",
                vec![world("a server of its own", |server| server.restore(0))],
                vec![put("workout", "w", "{}"), pass(Net::Well)],
            )
        },
        more(
            "sign-out",
            three(),
            vec![
                put("profile", "me", r#"{"n":3}"#),
                close(),
                open(),
                pass(Net::Well),
                close(),
            ],
        ),
        more(
            "import",
            vec![put("workout", "w1", r#"{"mine":true}"#)],
            vec![import()?, pass(Net::Well)],
        ),
        Scenario {
            spoil: Some(spoil_records),
            salvages: true,
            grows: true,
            ..more(
                "salvage",
                three(),
                vec![put("profile", "me", r#"{"n":3}"#), pass(Net::Well)],
            )
        },
        Scenario {
            wal_bytes: 48 * 1024,
            ..more(
                "move-the-log",
                vec![many("write much", "a", 8)],
                vec![many("write more", "b", 6), pass(Net::Well), close()],
            )
        },
        Scenario {
            wal_bytes: 64 * 1024,
            room: Some(16 * 1024),
            ..more(
                "prune-for-room",
                vec![many("write much", "a", 40), settle()],
                vec![many("write more", "b", 1), pass(Net::Well)],
            )
        },
        more(
            "notices",
            vec![
                put("workout", "w", r#"{"n":1}"#),
                settle(),
                elsewhere("workout", "w", Some(r#"{"n":2}"#)),
                elsewhere("exercise", "e", Some("{}")),
            ],
            vec![
                pass(Net::Well),
                write("dismiss all", |write| {
                    for one in write.read().notices()? {
                        notice::dismiss(write, one.n)?;
                    }
                    Ok(None)
                }),
            ],
        ),
    ])
}
