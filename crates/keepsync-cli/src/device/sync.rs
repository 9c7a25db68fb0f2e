//! `sync` and `status`.

use super::progress;
use crate::{
    failure::{Exit, Failure},
    form::time,
    out::Out,
};
use keepsync::{
    Store,
    drain::{HalfResult, Status},
};
use serde::Serialize;

/// What a sync moved, and what is left after it.
#[derive(Serialize)]
struct SyncForm {
    pushed: u64,
    pulled: u64,
    conflicts: u64,
    parked: u64,
    waiting: u64,
    status: &'static str,
    pull_ok: bool,
    push_ok: bool,
    requests: u64,
}

pub(super) async fn sync(store: &Store, out: &mut Out) -> Result<Exit, Failure> {
    let report = if out.json {
        store.sync().await?
    } else {
        progress::told(store, store.sync()).await?
    };
    let (counts, conflicts) = store
        .read(|read| Ok((read.queue_counts()?, read.conflicts()?.len() as u64)))
        .await?;
    let status = store.status().await?;
    let form = SyncForm {
        pushed: report.accepted,
        pulled: report.pulled,
        conflicts,
        parked: counts.parked,
        waiting: counts.waiting,
        status: status.code(),
        pull_ok: report.pull == HalfResult::Worked,
        push_ok: report.push == HalfResult::Worked,
        requests: report.requests,
    };
    if out.json {
        out.object(&form)?;
    } else {
        out.pairs(&[
            ("sent", half(form.pushed, report.push)),
            ("fetched", half(form.pulled, report.pull)),
            ("waiting", form.waiting.to_string()),
            ("parked", form.parked.to_string()),
            ("conflicts", form.conflicts.to_string()),
            ("requests", form.requests.to_string()),
            ("status", words(status, counts.waiting)),
        ])?;
    }
    if form.pull_ok && form.push_ok && form.waiting == 0 {
        Ok(Exit::Good)
    } else {
        Ok(Exit::Unfinished)
    }
}

fn half(count: u64, result: HalfResult) -> String {
    match result {
        HalfResult::Worked => count.to_string(),
        HalfResult::NotRun => format!("{count} (was not tried)"),
        HalfResult::Failed(code) => format!("{count} (failed: {code})"),
    }
}

#[derive(Serialize)]
struct StatusForm {
    status: &'static str,
    held: u64,
    waiting: u64,
    parked: u64,
    conflicts: u64,
    last_synced_at: Option<String>,
    device_id: String,
}

pub(super) async fn status(store: &Store, out: &mut Out) -> Result<Exit, Failure> {
    let status = store.status().await?;
    let (counts, conflicts, synced) = store
        .read(|read| {
            Ok((
                read.queue_counts()?,
                read.conflicts()?.len() as u64,
                read.last_synced_at()?,
            ))
        })
        .await?;
    let form = StatusForm {
        status: status.code(),
        held: counts.held,
        waiting: counts.waiting,
        parked: counts.parked,
        conflicts,
        last_synced_at: synced.map(time),
        device_id: store.device_id().to_owned(),
    };
    if out.json {
        out.object(&form)?;
    } else {
        out.pairs(&[
            ("status", words(status, counts.waiting)),
            ("held", form.held.to_string()),
            ("waiting", form.waiting.to_string()),
            ("parked", form.parked.to_string()),
            ("conflicts", form.conflicts.to_string()),
            ("synced", form.last_synced_at.unwrap_or_else(|| "never".to_owned())),
            ("device", form.device_id),
        ])?;
    }
    Ok(Exit::Good)
}

fn words(status: Status, waiting: u64) -> String {
    match status {
        Status::Idle if waiting > 0 => format!("{waiting} wait for the next sync"),
        Status::Idle => "everything has arrived".to_owned(),
        Status::Offline => "the server cannot be reached".to_owned(),
        Status::Syncing { done, total } => format!("syncing, {done} of {total}"),
        Status::WaitingUntil { at } => format!("waiting until {}", time(at)),
        Status::NeedsSignIn => "the token is not accepted; give another".to_owned(),
        Status::NeedsAttention { count } => format!("{count} to look at; see `queue list` and `conflicts list`"),
        Status::NeedsFirstSync { stalled: false } => "a first sync is needed".to_owned(),
        Status::NeedsFirstSync { stalled: true } => "a first sync is needed, and nothing comes".to_owned(),
        Status::StorageFull => "no room on the disk".to_owned(),
        Status::LocalOnly => "local only; --server names a server".to_owned(),
        Status::Elsewhere => "another process syncs this file".to_owned(),
    }
}
