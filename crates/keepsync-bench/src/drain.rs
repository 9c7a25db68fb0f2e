//! A queue of ten thousand on its way to a real server: the store's drain, and the same by hand.
//!
//! By hand: batches of two hundred are read from the queue, sent in the wire's JSON with reqwest, and
//! those the server took are deleted and their documents marked, one transaction for each batch. It
//! follows no order between records, keeps no bases, no journal and no schedule, and marks nothing
//! before it leaves.

use crate::{
    Outcome,
    data::Set,
    fill::{Twins, session_id},
    measure::cpu_of,
    ours::{Ours, options},
    serve::Serving,
    yardstick::{Queued, Taken, Yardstick},
};
use keepsync::{
    Backend, Store,
    drain::HalfResult,
    remote::{
        RemoteFuture, Token, TokenFault, TokenProvider,
        http::{HttpOptions, HttpRemote},
    },
    settings::Settings,
};
use keepsync_wire::{
    Hlc, MEDIA_TYPE, Operation, PROTOCOL_HEADER, PROTOCOL_VERSION, SYNC_PATH, SyncItem, SyncRequest, SyncResponse,
    SyncStatus,
};
use serde_json::value::RawValue;
use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

pub(crate) const ACCOUNT: &str = "lifter@example.org";
/// Sessions of sixteen entries: their creation, fourteen sets, their completion.
pub(crate) const ENTRIES: usize = 10_000;
const IN_SESSION: usize = 16;
const BATCH: usize = 200;

/// What a drain took.
pub(crate) struct Drained {
    pub(crate) cpu: Duration,
    pub(crate) requests: u64,
}

struct Signed(String);

impl TokenProvider for Signed {
    fn token<'a>(
        &'a self,
        _account: &'a str,
        _rejected: Option<&'a Token>,
    ) -> RemoteFuture<'a, Result<Option<Token>, TokenFault>> {
        let token = Token::new(self.0.clone(), None);
        Box::pin(async move { Ok(Some(token)) })
    }
}

fn runtime() -> Outcome<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}

/// The same sessions in both queues.
pub(crate) fn filled(folder: &Path) -> Outcome<Twins> {
    let (twins, mut ours, yardstick) = Twins::create(folder, false)?;
    let sets = crate::fill::sets(0, ENTRIES);
    for (n, sets) in sets.chunks(IN_SESSION - 2).take(ENTRIES / IN_SESSION).enumerate() {
        let session = session_id(n);
        ours.start(&session)?;
        ours.log_many(sets.iter().map(|set| (session.as_str(), set)))?;
        ours.complete(&session)?;
        by_hand(&yardstick, &ours, &session, sets)?;
    }
    if ours.queued()? != ENTRIES as u64 || yardstick.count("queue")? != ENTRIES as i64 {
        return Err("the queues are not what they should be".into());
    }
    Ok(twins)
}

/// Started, logged and completed, as the app itself would write it down; the bodies are ours.
fn by_hand(yardstick: &Yardstick, ours: &Ours, session: &str, sets: &[Set]) -> Outcome<()> {
    let body = ours.workout(session)?;
    yardstick.enqueue_session(session, &body, "create")?;
    yardstick.log_many(sets.iter().map(|set| {
        let id = keepsync::session::set_id(session, &set.slot);
        (session, id, set.stored(session))
    }))?;
    yardstick.enqueue_session(session, &body, "complete")
}

/// The store's drain of a copy.
pub(crate) fn ours(twins: &Twins, folder: &Path) -> Outcome<Drained> {
    let twins = twins.copy(&folder.join("device"))?;
    let server = Serving::start(&folder.join("server"))?;
    let runtime = runtime()?;
    let mut options = options(&twins.ours, twins.by_date)?;
    options.settings = Settings {
        automatic: false,
        ..Settings::default()
    };
    let backend = Backend {
        remote: Arc::new(HttpRemote::new(HttpOptions::new(server.url.clone()))?),
        tokens: Some(Arc::new(Signed(server.token.clone()))),
    };
    let store = runtime.block_on(Store::open(options, Some(backend)))?;
    let mut requests = 0;
    let cpu = cpu_of(|| {
        let report = runtime.block_on(store.sync())?;
        requests = report.requests;
        if report.accepted != ENTRIES as u64 || report.push != HalfResult::Worked {
            return Err(format!("not everything arrived: {report:?}").into());
        }
        Ok(())
    })?;
    runtime.block_on(store.close())?;
    Ok(Drained { cpu, requests })
}

/// The same by hand. See [`Yardstick::arrived`] for `marked`.
pub(crate) fn yardstick(twins: &Twins, folder: &Path, marked: bool) -> Outcome<Drained> {
    let twins = twins.copy(&folder.join("device"))?;
    let server = Serving::start(&folder.join("server"))?;
    let runtime = runtime()?;
    let yardstick = Yardstick::open(&twins.yardstick)?;
    // Another one that was installed before does as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build()?;
    let mut requests = 0;
    let cpu = cpu_of(|| {
        loop {
            let rows = yardstick.queued(BATCH)?;
            if rows.is_empty() {
                return Ok(());
            }
            requests += 1;
            let mut sent: HashMap<Uuid, i64> = rows.iter().map(|row| (row.op, row.seq)).collect();
            let response = runtime.block_on(send(&client, &server, request(rows)?))?;
            let taken: Vec<Taken> = response
                .results
                .into_iter()
                .filter(|result| result.status == SyncStatus::Success)
                .filter_map(|result| {
                    Some(Taken {
                        seq: sent.remove(&result.op_id)?,
                        record: result.entity_id,
                        version: result.server_version,
                    })
                })
                .collect();
            if !sent.is_empty() {
                return Err("not everything arrived".into());
            }
            yardstick.arrived(&taken, marked)?;
        }
    })?;
    Ok(Drained { cpu, requests })
}

fn request(rows: Vec<Queued>) -> Outcome<Vec<u8>> {
    let item = |row: Queued| {
        let (operation, version) = match row.kind.as_str() {
            "complete" => (Operation::Complete, 1),
            _ => (Operation::Create, 0),
        };
        Ok(SyncItem {
            op_id: row.op,
            entity_type: row.collection,
            entity_id: row.record,
            operation,
            data: Some(RawValue::from_string(row.body)?),
            version,
            base_op: None,
            base_id: None,
            after: Vec::new(),
            replaces: None,
            earlier: Vec::new(),
            timestamp: row.created_at,
            hlc: Hlc::at(row.created_at),
            clocks: None,
        })
    };
    let request = SyncRequest {
        user_id: ACCOUNT.to_owned(),
        device_id: "yardstick".to_owned(),
        device_label: None,
        epoch: None,
        items: rows.into_iter().map(item).collect::<Outcome<_>>()?,
    };
    Ok(serde_json::to_vec(&request)?)
}

async fn send(client: &reqwest::Client, server: &Serving, body: Vec<u8>) -> Outcome<SyncResponse> {
    let response = client
        .post(format!("{}/{SYNC_PATH}", server.url))
        .header("content-type", MEDIA_TYPE)
        .header(PROTOCOL_HEADER, PROTOCOL_VERSION)
        .bearer_auth(&server.token)
        .body(body)
        .send()
        .await?;
    Ok(serde_json::from_slice(&response.error_for_status()?.bytes().await?)?)
}
