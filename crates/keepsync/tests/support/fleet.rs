//! A server in memory that keeps the wire's contract as far as conflicts need it, for several devices of
//! `device.rs`. Every pull brings everything.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of this")]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use crate::device::Device;
use keepsync::{
    drain::{Answer, Request},
    remote::{Accepted, Outcome, PullPage, PushAnswer, PushItem, RemoteChange, RemoteVersion},
};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

#[derive(Default)]
pub struct Server {
    records: BTreeMap<(String, String), RemoteVersion>,
    /// The versions that operations produced.
    produced: HashMap<Uuid, i64>,
    /// Whether it gives clocks back.
    pub forgets_clocks: bool,
}

impl Server {
    pub fn version(&self, collection: &str, id: &str) -> Option<&RemoteVersion> {
        self.records.get(&(collection.to_owned(), id.to_owned()))
    }

    /// Another body under the next version, as if some device had sent it.
    pub fn set(&mut self, collection: &str, id: &str, version: RemoteVersion) {
        self.records.insert((collection.to_owned(), id.to_owned()), version);
    }

    pub fn answer(&mut self, request: Request) -> Answer {
        match request {
            Request::Pull(_) => {
                let change = |((collection, id), version): (&(String, String), &RemoteVersion)| RemoteChange {
                    collection: collection.clone(),
                    id: id.clone(),
                    version: version.clone(),
                };
                Answer::Pulled(Ok(PullPage {
                    changes: self.records.iter().map(change).collect(),
                    ..PullPage::default()
                }))
            }
            Request::Push(batch) => {
                let device = batch.device_id;
                let results = batch.items.into_iter().map(|item| (item.op, self.take(&device, item)));
                Answer::Pushed(Ok(PushAnswer {
                    results: results.collect(),
                    server_time: None,
                    epoch: None,
                }))
            }
            other => crate::device::well(other),
        }
    }

    fn take(&mut self, device: &str, item: PushItem) -> Outcome {
        if let Some(&version) = self.produced.get(&item.op) {
            return accepted(version);
        }
        let key = (item.collection.clone(), item.id.clone());
        let current = self.records.get(&key);
        let base = item
            .base_op
            .map_or(item.base_version, |op| self.produced.get(&op).copied().unwrap_or(-1));
        let version = current.map_or(0, |current| current.version);
        if base != version {
            return Outcome::Conflict(current.cloned().unwrap_or_default());
        }
        let told = item.clocks.unwrap_or_else(|| "{}".to_owned());
        let next = RemoteVersion {
            body: item.body,
            version: version + 1,
            hlc: item.hlc,
            clocks: (!self.forgets_clocks).then_some(told),
            op: Some(item.op),
            device_id: device.to_owned(),
            updated_at: item.created_at,
            ..RemoteVersion::default()
        };
        self.produced.insert(item.op, next.version);
        self.records.insert(key, next);
        accepted(version + 1)
    }
}

fn accepted(version: i64) -> Outcome {
    Outcome::Accepted(Accepted {
        version,
        change: version,
        ..Accepted::default()
    })
}

/// One pass of a device against the server.
pub fn sync(device: &mut Device, server: &mut Server) {
    device.pass_time(120_000);
    device.sync(|request| Some(server.answer(request)));
}
