//! A backend without a disk: it answers as the contract says, unless the script says otherwise.

use keepsync::{
    drain::{Answer, Request},
    hlc::Hlc,
    remote::{
        Accepted, Fault, Outcome, PullPage, PullRequest, PushAnswer, PushBatch, PushItem, RemoteChange, RemoteVersion,
    },
};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// What happens to the requests of a pass. What was applied before is answered as it was then, whatever the
/// script says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Net {
    /// Everything is answered.
    #[default]
    Well,
    /// There is no network.
    Offline,
    /// Pushes are applied; their answers are lost, and then the network is.
    Lost,
    /// Pushes take too long, though the server can be reached. They are not applied.
    Slow,
    /// Pushed entries are refused.
    Rejected,
    /// Only creations are refused.
    CreationsRejected,
    /// Pushed entries are to come later.
    Later,
    /// Every second entry of a push is answered and applied; the answers to the others are missing, and they
    /// are not applied.
    Partly,
    /// The answers to every second entry are missing, and they are applied.
    PartlyLost,
    /// Not so fast.
    Throttled,
    /// The server fails as a whole.
    Down,
    /// The token is refused once.
    TokenExpired,
    /// A batch of more than one is too large.
    TooLarge,
    /// Another device writes what is pushed, just before it arrives.
    Raced,
    /// Pulls break off after their first page.
    PullBreaks,
}

/// A record as the server has it.
#[derive(Debug, Clone)]
struct Kept {
    body: Option<String>,
    version: i64,
    change: i64,
    hlc: Hlc,
    clocks: Option<String>,
    op: Option<Uuid>,
    device: String,
}

/// The server.
#[derive(Debug, Clone)]
pub struct Server {
    records: BTreeMap<(String, String), Kept>,
    /// What came of each operation that was applied.
    applied: HashMap<Uuid, Accepted>,
    change: i64,
    epoch: &'static str,
    /// The epoch before, and the last change that both have.
    branch: Option<(String, i64)>,
    /// Changes in a page.
    pub page: usize,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            records: BTreeMap::new(),
            applied: HashMap::new(),
            change: 0,
            epoch: "first",
            branch: None,
            page: 100,
        }
    }
}

/// When the story begins: UTC milliseconds.
pub const START: i64 = 1_763_600_000_000;

impl Server {
    /// Whether an operation was applied.
    pub fn has_applied(&self, op: Uuid) -> bool {
        self.applied.contains_key(&op)
    }

    /// What it has, as text, without ids and times.
    pub fn told(&self) -> Vec<String> {
        let line = |((collection, id), kept): (&(String, String), &Kept)| {
            format!(
                "server {collection}/{id}: {}",
                kept.body.as_deref().unwrap_or("deleted")
            )
        };
        self.records.iter().map(line).collect()
    }

    /// Another device writes.
    pub fn elsewhere(&mut self, collection: &str, id: &str, body: Option<&str>) {
        self.change += 1;
        let key = (collection.to_owned(), id.to_owned());
        let version = self.records.get(&key).map_or(0, |kept| kept.version) + 1;
        let kept = Kept {
            body: body.map(str::to_owned),
            version,
            change: self.change,
            hlc: Hlc::at(START + 500 + self.change * 1_000),
            clocks: None,
            op: Some(Uuid::from_u128(0x7ab1e7 << 64 | u128::from(self.change.unsigned_abs()))),
            device: "tablet".to_owned(),
        };
        self.records.insert(key, kept);
    }

    /// It is restored from a backup that ends at an earlier change: what came after is gone.
    pub fn restore(&mut self, to: i64) {
        self.branch = Some((self.epoch.to_owned(), to));
        self.epoch = "second";
        self.records.retain(|_, kept| kept.change <= to);
        self.applied.retain(|_, accepted| accepted.change <= to);
        self.change = to;
    }

    /// Whether it lost what it had applied.
    pub fn was_restored(&self) -> bool {
        self.branch.is_some()
    }

    /// The number of its last change.
    pub fn head(&self) -> i64 {
        self.change
    }

    fn version(&self, kept: &Kept) -> RemoteVersion {
        RemoteVersion {
            body: kept.body.clone(),
            version: kept.version,
            hlc: kept.hlc,
            clocks: kept.clocks.clone(),
            op: kept.op,
            device_id: kept.device.clone(),
            device_label: Some("Tablet".to_owned()),
            server_id: None,
            created_at: START,
            updated_at: START + kept.change * 1_000,
        }
    }

    /// Answers a request. `first`: the first of its kind in the pass.
    pub(crate) fn answer(&mut self, request: Request, net: Net, first: bool) -> Answer {
        match request {
            Request::Probe if matches!(net, Net::Offline | Net::Lost) => Answer::Probed(Err(Fault::Offline)),
            Request::Probe => Answer::Probed(Ok(())),
            Request::Refresh => Answer::Refreshed(Ok(())),
            Request::Pull(_) if net == Net::Offline => Answer::Pulled(Err(Fault::Offline)),
            Request::Pull(_) if net == Net::PullBreaks && !first => Answer::Pulled(Err(Fault::Offline)),
            Request::Pull(request) => Answer::Pulled(Ok(self.pull(&request))),
            Request::Push(batch) => Answer::Pushed(self.push(&batch, net, first)),
            Request::Resolve(_) => Answer::Resolved(Err("nobody decides here".to_owned())),
        }
    }

    fn pull(&self, request: &PullRequest) -> PullPage {
        let mut found = Vec::new();
        for (collection, cursor) in &request.cursors {
            let after: i64 = cursor.as_deref().and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
            let of = self
                .records
                .iter()
                .filter(|((of, _), kept)| of == collection && kept.change > after);
            found.extend(of.map(|((collection, id), kept)| {
                let change = RemoteChange {
                    collection: collection.clone(),
                    id: id.clone(),
                    version: self.version(kept),
                };
                (kept.change, change)
            }));
        }
        found.sort_by_key(|(change, _)| *change);
        let has_more = found.len() > self.page;
        found.truncate(self.page);
        let last = if has_more {
            found.last().map_or(0, |(change, _)| *change)
        } else {
            self.change
        };
        let cursor = |(collection, cursor): &(String, Option<String>)| {
            let before: i64 = cursor.as_deref().and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
            (collection.clone(), before.max(last).to_string())
        };
        let elsewhere = request.epoch.as_deref().is_some_and(|epoch| epoch != self.epoch);
        PullPage {
            epoch: Some(self.epoch.to_owned()),
            branch: self.branch.clone().filter(|_| elsewhere),
            changes: found.into_iter().map(|(_, change)| change).collect(),
            cursors: request.cursors.iter().map(cursor).collect(),
            has_more,
            ..PullPage::default()
        }
    }

    fn push(&mut self, batch: &PushBatch, net: Net, first: bool) -> Result<PushAnswer, Fault> {
        match net {
            Net::Offline => return Err(Fault::Offline),
            Net::Slow => return Err(Fault::Timeout),
            Net::Throttled => return Err(Fault::Throttled { after_ms: Some(5_000) }),
            Net::Down => return Err(Fault::Server { status: 503 }),
            Net::TokenExpired if first => return Err(Fault::SignIn),
            Net::TooLarge if batch.items.len() > 1 => return Err(Fault::TooLarge),
            _ => {}
        }
        let mut answer = PushAnswer {
            epoch: Some(self.epoch.to_owned()),
            ..PushAnswer::default()
        };
        if batch.epoch.as_deref().is_some_and(|epoch| epoch != self.epoch) {
            return Ok(answer);
        }
        if net == Net::Raced && first {
            for item in &batch.items {
                if !self.applied.contains_key(&item.op) {
                    self.elsewhere(&item.collection, &item.id, Some(r#"{"by":"tablet"}"#));
                }
            }
        }
        for (place, item) in batch.items.iter().enumerate() {
            let odd = place % 2 == 1;
            if odd && net == Net::Partly {
                continue;
            }
            let outcome = self.take(item, net, &batch.device_id);
            if !(odd && net == Net::PartlyLost) {
                answer.results.push((item.op, outcome));
            }
        }
        if net == Net::Lost {
            Err(Fault::Timeout)
        } else {
            Ok(answer)
        }
    }

    fn take(&mut self, item: &PushItem, net: Net, device: &str) -> Outcome {
        if let Some(accepted) = item
            .earlier
            .iter()
            .chain([&item.op])
            .find_map(|op| self.applied.get(op))
        {
            return Outcome::Accepted(accepted.clone());
        }
        let refused = net == Net::Rejected || (net == Net::CreationsRejected && item.base_version == 0);
        if refused && item.base_op.is_none() {
            return Outcome::Rejected {
                code: "validation".to_owned(),
                message: "no".to_owned(),
            };
        }
        if net == Net::Later {
            return Outcome::Retry { after_ms: None };
        }
        let must = item.after.iter().chain(&item.base_op);
        if must.into_iter().any(|op| !self.applied.contains_key(op)) {
            return Outcome::Blocked;
        }
        let key = (item.collection.clone(), item.id.clone());
        let there = self.records.get(&key);
        let chained = item.base_op.and_then(|op| self.applied.get(&op));
        let base = chained.map_or(item.base_version, |accepted| accepted.version);
        let version = there.map_or(0, |kept| kept.version);
        if base != version {
            return match there {
                Some(kept) => Outcome::Conflict(self.version(kept)),
                None => Outcome::Conflict(RemoteVersion::default()),
            };
        }
        self.change += 1;
        let kept = Kept {
            body: item.body.clone(),
            version: version + 1,
            change: self.change,
            hlc: item.hlc,
            clocks: item.clocks.clone(),
            op: Some(item.op),
            device: device.to_owned(),
        };
        self.records.insert(key, kept);
        let accepted = Accepted {
            version: version + 1,
            change: self.change,
            ..Accepted::default()
        };
        self.applied.insert(item.op, accepted.clone());
        Outcome::Accepted(accepted)
    }
}
