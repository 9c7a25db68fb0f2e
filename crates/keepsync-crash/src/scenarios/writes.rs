//! Writes of the user.

use super::{
    deeds::{delete, patch, put},
    scenario, three,
};
use crate::{
    act::{Act, Scenario, pass, work, write},
    server::Net,
};
use keepsync::{
    Result, Write,
    db::Job,
    kv,
    record::{self, Mutation},
};
use std::sync::{Arc, Mutex, PoisonError};

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

pub(super) fn all() -> Vec<Scenario> {
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
