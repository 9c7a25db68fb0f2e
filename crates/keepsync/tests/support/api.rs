//! A workout API of plain endpoints: what it keeps, how it answers, and how the app describes it.

#![allow(dead_code, reason = "each test binary uses a part of this")]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use crate::scripted::{Reply, Request};
use keepsync::remote::rest::{Api, Endpoints, ErrorForm, ListForm, RecordForm};
use keepsync_wire::Operation::{Complete, Create, Delete, Skip, Update};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// How the app describes it.
pub(crate) fn described() -> Api {
    let errors = ErrorForm::new("application/json", "/error/code")
        .and_then(|it| it.message("/error/message"))
        .unwrap()
        .in_progress("in_progress")
        .token("token_expired");
    let record = || {
        RecordForm::new()
            .version_number("/version")
            .unwrap()
            .deleted("/deleted")
            .unwrap()
    };
    let workouts = Endpoints::new("workout")
        .on(Create, "PUT /v1/workouts/{id}")
        .and_then(|it| it.on(Update, "PUT /v1/workouts/{id}"))
        .and_then(|it| it.on(Complete, "POST /v1/workouts/{id}/complete"))
        .and_then(|it| it.on(Delete, "DELETE /v1/workouts/{id}"))
        .and_then(|it| it.read("GET /v1/workouts/{id}"))
        .unwrap()
        .as_update(Skip)
        .record(record().send_base().unwrap())
        .list(
            ListForm::since("GET /v1/workouts?since={cursor}&limit={limit}")
                .and_then(|it| it.items("/items"))
                .and_then(|it| it.next_cursor("/next"))
                .unwrap(),
        );
    let sets = Endpoints::new("set_log")
        .on(Create, "PUT /v1/workouts/{parent}/sets/{id}")
        .and_then(|it| it.on(Update, "PUT /v1/workouts/{parent}/sets/{id}"))
        .and_then(|it| it.on(Delete, "DELETE /v1/workouts/{parent}/sets/{id}"))
        .unwrap();
    let exercises = Endpoints::new("exercise").list(ListForm::whole("GET /v1/exercises").unwrap());
    // What has no delete, no update and no way to be read again.
    let note = Endpoints::new("note").on(Create, "POST /v1/notes").unwrap();
    let api = Api::new(errors).probe("GET /v1/health").unwrap();
    [workouts, sets, exercises, note]
        .into_iter()
        .try_fold(api, Api::collection)
        .unwrap()
}

/// A refusal in its form.
pub(crate) fn error(status: u16, code: &str) -> Reply {
    let body = json!({"error": {"code": code, "message": format!("no: {code}")}});
    Reply::json(status, body.to_string())
}

/// What it keeps.
#[derive(Default)]
pub(crate) struct Backend {
    /// By path; a deleted one keeps its version.
    pub(crate) records: BTreeMap<String, Value>,
    /// Which change made each, counted from 1.
    changed: HashMap<String, u64>,
    changes: u64,
    /// The first answer to each key.
    answers: HashMap<String, Reply>,
    /// How many writes were applied.
    pub(crate) applied: usize,
    pub(crate) exercises: Vec<Value>,
    /// Cursors below this are forgotten.
    pub(crate) oldest_cursor: u64,
}

impl Backend {
    pub(crate) fn put(&mut self, path: &str, mut body: Value) {
        let version = self.records.get(path).map_or(0, |it| it["version"].as_i64().unwrap());
        body["version"] = json!(version + 1);
        self.changes += 1;
        self.changed.insert(path.to_owned(), self.changes);
        self.records.insert(path.to_owned(), body);
    }

    pub(crate) fn serve(&mut self, request: &Request) -> Reply {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        if request.method == "GET" {
            return self.read(path, query);
        }
        let Some(key) = request.header("idempotency-key").map(str::to_owned) else {
            return error(400, "no_key");
        };
        if let Some(first) = self.answers.get(&key) {
            return first.clone();
        }
        let reply = self.write(&request.method, path, &request.body);
        if reply.status < 300 {
            self.applied += 1;
            self.answers.insert(key, reply.clone());
        }
        reply
    }

    fn read(&self, path: &str, query: &str) -> Reply {
        match path {
            "/v1/health" => Reply::json(200, r#"{"ok":true}"#),
            "/v1/exercises" => Reply::json(200, Value::from(self.exercises.clone()).to_string()),
            "/v1/workouts" => self.list(query),
            _ => match self.records.get(path).filter(|it| it["deleted"].is_null()) {
                Some(record) => Reply::json(200, record.to_string()),
                None => error(404, "not_found"),
            },
        }
    }

    fn list(&self, query: &str) -> Reply {
        let parameter = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .filter(|(n, _)| *n == name)
                .map(|(_, value)| value.parse().unwrap())
                .next()
        };
        let (since, limit): (Option<u64>, u64) = (parameter("since"), parameter("limit").unwrap());
        if since.is_some_and(|since| since < self.oldest_cursor) {
            return error(410, "cursor_forgotten");
        }
        let since = since.unwrap_or(0);
        let mut found: Vec<_> = self
            .changed
            .iter()
            .filter(|(path, change)| **change > since && path.split('/').count() == 4)
            .filter_map(|(path, change)| Some((*change, self.records.get(path)?)))
            .collect();
        found.sort_by_key(|(change, _)| *change);
        found.truncate(usize::try_from(limit).unwrap());
        let next = found.last().map(|(change, _)| *change);
        let items: Vec<&Value> = found.into_iter().map(|(_, record)| record).collect();
        Reply::json(200, json!({"items": items, "next": next}).to_string())
    }

    fn write(&mut self, method: &str, path: &str, body: &[u8]) -> Reply {
        let resource = path.strip_suffix("/complete").unwrap_or(path).to_owned();
        let known = self.records.get(&resource).filter(|it| it["deleted"].is_null());
        if method == "DELETE" {
            let Some(id) = known.map(|it| it["id"].clone()) else {
                return error(404, "not_found");
            };
            self.put(&resource, json!({"id": id, "deleted": true}));
            return Reply::new(204, "");
        }
        let body: Value = serde_json::from_slice(body).unwrap();
        // Only a write that names the version it was made on is checked.
        let based_on = body["version"].as_i64();
        if known.is_some_and(|it| based_on.is_some_and(|base| it["version"] != base)) {
            return error(409, "changed");
        }
        self.put(&resource, body);
        let answer = json!({"id": self.records[&resource]["id"], "version": self.records[&resource]["version"]});
        Reply::json(if method == "PUT" { 200 } else { 201 }, answer.to_string())
    }
}
