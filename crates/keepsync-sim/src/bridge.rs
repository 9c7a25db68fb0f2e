//! Between the remote port and the wire: what a remote does with a request and an answer, without
//! the bytes.

use keepsync::remote::{
    Accepted, Outcome, PullPage, PullRequest, PushAnswer, PushBatch, PushItem, RemoteChange, RemoteVersion,
};
use keepsync_wire::{Cursor, PullResponse, SyncItem, SyncRequest, SyncResponse, SyncResult, SyncStatus, Version, code};
use serde_json::value::RawValue;

/// A batch as it goes over the wire.
pub fn sync_request(batch: &PushBatch) -> SyncRequest {
    SyncRequest {
        user_id: batch.account.clone(),
        device_id: batch.device_id.clone(),
        device_label: batch.device_label.clone(),
        epoch: batch.epoch.clone(),
        items: batch.items.iter().map(sync_item).collect(),
    }
}

fn sync_item(item: &PushItem) -> SyncItem {
    SyncItem {
        op_id: item.op,
        entity_type: item.collection.clone(),
        entity_id: item.id.clone(),
        operation: item.operation,
        data: item.body.clone().and_then(|body| RawValue::from_string(body).ok()),
        version: item.base_version,
        base_op: item.base_op,
        after: item.after.clone(),
        replaces: item.replaces,
        timestamp: item.created_at,
        hlc: item.hlc,
    }
}

/// A request for a page as it goes over the wire.
pub fn pull_request(request: &PullRequest) -> keepsync_wire::PullRequest {
    let cursors = request.cursors.iter().map(|(collection, cursor)| Cursor {
        collection: collection.clone(),
        cursor: cursor.clone(),
    });
    keepsync_wire::PullRequest {
        user_id: request.account.clone(),
        device_id: request.device_id.clone(),
        epoch: request.epoch.clone(),
        collections: cursors.collect(),
        limit: request.limit,
    }
}

/// What the server said of a batch.
pub fn push_answer(response: SyncResponse) -> PushAnswer {
    PushAnswer {
        results: response
            .results
            .into_iter()
            .map(|result| (result.op_id, outcome(result)))
            .collect(),
        server_time: Some(response.server_time),
        epoch: Some(response.epoch),
    }
}

fn outcome(result: SyncResult) -> Outcome {
    let after_ms = result.retry_after_ms;
    match (result.status, result.server) {
        (SyncStatus::Success, server) => Outcome::Accepted(Accepted {
            version: result.server_version,
            change: result.change,
            server_id: result.server_id,
            body: server.and_then(|server| server.data).map(text),
            updated_at: result.updated_at,
        }),
        (SyncStatus::Conflict, Some(server)) => Outcome::Conflict(version(server)),
        (SyncStatus::Conflict, None) => Outcome::Retry { after_ms },
        (SyncStatus::Error, _) => match result.code.as_deref().unwrap_or("rejected") {
            code::BLOCKED => Outcome::Blocked,
            code::TOKEN_INVALID => Outcome::SignIn,
            code::TOO_LARGE => Outcome::TooLarge,
            code::TRY_LATER | code::THROTTLED | code::INTERNAL => Outcome::Retry { after_ms },
            other => Outcome::Rejected {
                code: other.to_owned(),
                message: result.error_message.unwrap_or_default(),
            },
        },
    }
}

/// A page.
pub fn pull_page(response: PullResponse) -> PullPage {
    let changes = response.changes.into_iter().map(|change| RemoteChange {
        collection: change.collection,
        id: change.id,
        version: version(change.current),
    });
    PullPage {
        epoch: Some(response.epoch),
        branch: response.branch.map(|branch| (branch.parent, branch.change)),
        changes: changes.collect(),
        cursors: response
            .cursors
            .into_iter()
            .filter_map(|at| Some((at.collection, at.cursor?)))
            .collect(),
        has_more: response.has_more,
        whole: Vec::new(),
        remaining: response.remaining,
        server_time: Some(response.server_time),
    }
}

fn version(wire: Version) -> RemoteVersion {
    RemoteVersion {
        body: wire.data.map(text),
        version: wire.version,
        hlc: wire.hlc,
        op: wire.op_id,
        device_id: wire.device_id,
        device_label: wire.device_label,
        server_id: wire.server_id,
        created_at: wire.created_at,
        updated_at: wire.updated_at,
    }
}

fn text(raw: Box<RawValue>) -> String {
    let text: Box<str> = raw.into();
    text.into_string()
}
