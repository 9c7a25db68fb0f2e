//! Two users who use each other's ids of records and operations, cursors and tokens. Each must get the
//! answers of a server that only they have, and the file must hold of each what that server holds.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the helpers of tests are tests too"
)]

mod support;

use keepsync_proxy::rng::Rng;
use keepsync_server::{Config, Rate, refresh_token};
use keepsync_sim::server::ModelServer;
use keepsync_wire::{
    Cursor, Hlc, Operation, PULL_PATH, PullRequest, PullResponse, SYNC_PATH, SyncItem, SyncRequest, SyncResponse,
    TOKEN_PATH, TokenRequest, TokenResponse,
};
use reqwest::StatusCode;
use rusqlite::Connection;
use serde_json::{Value, value::RawValue};
use std::{collections::BTreeMap, path::Path};
use support::{Client, Running, json, now_ms};
use uuid::Uuid;

const USERS: [&str; 2] = ["ann", "ben"];
const COLLECTIONS: [&str; 2] = ["note", "plan"];
const REQUESTS: u32 = 10_000;

struct Story {
    rng: Rng,
    clients: [Client; 2],
    /// A server of each one's own.
    models: [ModelServer; 2],
    refresh: [String; 2],
    /// What either of them was given or has sent.
    cursors: Vec<String>,
    ops: Vec<Uuid>,
    made: u128,
    foreign: u32,
}

#[tokio::test]
async fn neither_sees_or_changes_anything_of_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new(folder.path());
    let rate = Rate {
        per_second: 100_000,
        burst: 100_000,
    };
    (config.limits.per_user, config.limits.per_address) = (rate, rate);
    let running = Running::start(config).await;
    let seed = 42;
    println!("seed {seed}");
    let mut story = Story {
        rng: Rng::new(seed, 0),
        clients: USERS.map(|user| Client::new(&running, folder.path(), user)),
        models: [ModelServer::new(), ModelServer::new()],
        refresh: USERS.map(|user| refresh_token(folder.path(), user, now_ms()).unwrap()),
        cursors: Vec::new(),
        ops: vec![Uuid::from_u128(1)],
        made: 1,
        foreign: 0,
    };
    for _ in 0..REQUESTS {
        let who = story.rng.below(2) as usize;
        match story.rng.below(100) {
            0..55 => story.push(who).await,
            55..90 => story.pull(who).await,
            90..95 => story.in_the_others_name(who).await,
            _ => story.trade(who).await,
        }
    }
    assert!(story.foreign > 300);
    running.stop().await;
    look_at_the_file(folder.path(), &story.models);
}

impl Story {
    async fn push(&mut self, who: usize) {
        let items = (0..self.rng.between(1, 3)).map(|_| self.item(who)).collect();
        let request = self.sync_request(USERS[who], items);
        let here: SyncResponse = json(self.clients[who].post(SYNC_PATH, &request).await, StatusCode::OK).await;
        let there = self.models[who].sync(USERS[who], &request, here.server_time).unwrap();
        assert_eq!(timeless(&here.results), timeless(&there.results));
    }

    async fn pull(&mut self, who: usize) {
        let request = self.pull_request(USERS[who]);
        let here: PullResponse = json(self.clients[who].post(PULL_PATH, &request).await, StatusCode::OK).await;
        let there = self.models[who].pull(USERS[who], &request, here.server_time).unwrap();
        assert_eq!(timeless(&here.changes), timeless(&there.changes));
        assert_eq!(timeless(&here.cursors), timeless(&there.cursors));
        assert_eq!((here.remaining, here.has_more), (there.remaining, there.has_more));
        let other = format!("\"owner\":\"{}\"", USERS[1 - who]);
        assert!(!serde_json::to_string(&here).unwrap().contains(&other));
        self.cursors.extend(here.cursors.into_iter().filter_map(|at| at.cursor));
    }

    /// Own token, the other's name; or the other's name on both but for the token.
    async fn in_the_others_name(&mut self, who: usize) {
        let other = USERS[1 - who];
        let items = vec![self.item(who)];
        let response = if self.rng.chance(0.5) {
            let request = self.sync_request(other, items);
            self.clients[who].post(SYNC_PATH, &request).await
        } else {
            let request = self.pull_request(other);
            self.clients[who].post(PULL_PATH, &request).await
        };
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        self.foreign += 1;
    }

    /// A refresh token brings its own user's tokens, whoever's access token comes along.
    async fn trade(&mut self, who: usize) {
        let request = TokenRequest {
            refresh_token: self.refresh[who].clone(),
        };
        let by = self.rng.below(2) as usize;
        let tokens: TokenResponse = json(self.clients[by].post(TOKEN_PATH, &request).await, StatusCode::OK).await;
        assert_eq!(tokens.user_id, USERS[who]);
        self.refresh[who] = tokens.refresh_token;
        self.clients[who].token = tokens.access_token;
    }

    fn sync_request(&mut self, user: &str, items: Vec<SyncItem>) -> SyncRequest {
        SyncRequest {
            user_id: user.to_owned(),
            // The same names of devices on both sides.
            device_id: (*self.rng.pick(&["phone", "tablet"]).unwrap()).to_owned(),
            device_label: None,
            epoch: None,
            items,
        }
    }

    fn pull_request(&mut self, user: &str) -> PullRequest {
        let cursors = &self.cursors;
        let rng = &mut self.rng;
        let mut cursor = || {
            if rng.chance(0.3) {
                None
            } else {
                rng.pick(cursors).cloned()
            }
        };
        let collections = COLLECTIONS.map(|name| Cursor {
            collection: name.to_owned(),
            cursor: cursor(),
            priority: i32::from(name == "plan"),
            ..Cursor::default()
        });
        PullRequest {
            user_id: user.to_owned(),
            device_id: (*self.rng.pick(&["phone", "tablet"]).unwrap()).to_owned(),
            epoch: None,
            collections: collections.to_vec(),
            limit: self.rng.between(1, 20) as u32,
        }
    }

    fn item(&mut self, who: usize) -> SyncItem {
        let known = |rng: &mut Rng, ops: &[Uuid]| *rng.pick(ops).unwrap();
        // Ids of either, half of the time of the latest.
        let op_id = if self.rng.chance(0.15) {
            known(&mut self.rng, &self.ops)
        } else {
            self.made += 1;
            Uuid::from_u128(self.made)
        };
        let key = (
            (*self.rng.pick(&COLLECTIONS).unwrap()).to_owned(),
            format!("r{}", self.rng.below(6)),
        );
        // Either one's version of it.
        let whose = if self.rng.chance(0.7) { who } else { 1 - who };
        let account = self.models[whose].account(USERS[whose]);
        let current = account.and_then(|account| account.record(&key));
        let (version, op) = current.map_or((0, None), |it| (it.version.version, it.version.op_id));
        let operation = *self
            .rng
            .pick(&[Operation::Update, Operation::Create, Operation::Delete])
            .unwrap();
        let body = format!("{{\"owner\":\"{}\",\"n\":{}}}", USERS[who], self.made);
        let after = if self.rng.chance(0.2) {
            vec![known(&mut self.rng, &self.ops)]
        } else {
            Vec::new()
        };
        let base_op = match self.rng.below(6) {
            0 => op,
            1 => Some(known(&mut self.rng, &self.ops)),
            _ => None,
        };
        self.ops.push(op_id);
        SyncItem {
            op_id,
            entity_type: key.0,
            entity_id: key.1,
            operation,
            data: (operation != Operation::Delete).then(|| RawValue::from_string(body).unwrap()),
            version,
            base_op,
            base_id: None,
            after,
            replaces: self.rng.chance(0.2).then(|| known(&mut self.rng, &self.ops)),
            earlier: Vec::new(),
            timestamp: 0,
            hlc: Hlc::at(5),
            clocks: None,
        }
    }
}

/// Without the times, which the model is told a moment later than the server looked at its clock.
fn timeless(value: &impl serde::Serialize) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.remove("created_at");
                fields.remove("updated_at");
                fields.values_mut().for_each(strip);
            }
            Value::Array(values) => values.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(value).unwrap();
    strip(&mut value);
    value
}

fn look_at_the_file(data: &Path, models: &[ModelServer; 2]) {
    let conn = Connection::open(data.join("server.db")).unwrap();
    for table in ["account", "record", "writer", "applied", "refresh"] {
        let mut statement = conn
            .prepare(&format!("SELECT DISTINCT user FROM {table} ORDER BY user"))
            .unwrap();
        let users: Vec<String> = statement
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(users, USERS, "{table}");
    }
    for (user, model) in USERS.iter().zip(models) {
        let account = model.account(user).unwrap();
        type Row = (Option<String>, i64, i64, Uuid);
        let mut statement = conn
            .prepare("SELECT collection, id, body, version, change, op FROM record WHERE user = ?1")
            .unwrap();
        let here: BTreeMap<(String, String), Row> = statement
            .query_map([user], |row| {
                let op = Uuid::from_bytes(row.get(5)?);
                Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?, row.get(4)?, op)))
            })
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let there: BTreeMap<(String, String), Row> = account
            .records()
            .map(|(key, it)| {
                let body = it.version.data.as_ref().map(|body| body.get().to_owned());
                (
                    key.clone(),
                    (body, it.version.version, it.change, it.version.op_id.unwrap()),
                )
            })
            .collect();
        assert_eq!(here, there);
        let mine = format!("\"owner\":\"{user}\"");
        assert!(
            here.values()
                .all(|(body, ..)| body.as_ref().is_none_or(|body| body.contains(&mine)))
        );
        let mut statement = conn
            .prepare("SELECT op FROM applied WHERE user = ?1 ORDER BY change")
            .unwrap();
        let applied: Vec<Uuid> = statement
            .query_map([user], |row| Ok(Uuid::from_bytes(row.get(0)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(applied, account.log().iter().map(|it| it.op).collect::<Vec<_>>());
        println!("{user}: {} applied, {} records", applied.len(), here.len());
        assert!(applied.len() > 1_000);
    }
}
