//! Between the port's types and the wire's: what a request and an answer of [`keepsync_wire`] say,
//! without the bytes. Everything that speaks the wire, over whatever carries it, converts here.

use super::{Accepted, Outcome, PullPage, PullRequest, PushAnswer, PushBatch, PushItem, RemoteChange, RemoteVersion};
use keepsync_wire::{Cursor, PullResponse, SyncItem, SyncRequest, SyncResponse, SyncResult, SyncStatus, Version, code};
use serde_json::value::RawValue;

/// A wait is never longer than this, so that it can be added to any clock. The drain believes far
/// less of it.
pub(super) const MAX_WAIT_MS: u64 = 365 * 24 * 60 * 60_000;
/// Text from the server that is stored with an entry is cut to this many bytes.
pub(super) const MAX_TEXT: usize = 2_000;

/// A batch as it goes over the wire. An item whose body is not JSON cannot be sent; it is left out,
/// stays unanswered and does not keep the others from going.
pub fn sync_request(batch: PushBatch) -> SyncRequest {
    SyncRequest {
        user_id: batch.account,
        device_id: batch.device_id,
        device_label: batch.device_label,
        epoch: batch.epoch,
        items: batch.items.into_iter().filter_map(sync_item).collect(),
    }
}

fn sync_item(item: PushItem) -> Option<SyncItem> {
    let data = match item.body {
        Some(body) => Some(RawValue::from_string(body).ok()?),
        None => None,
    };
    // What cannot be read is not worth holding the write back for.
    let clocks = item.clocks.and_then(|clocks| RawValue::from_string(clocks).ok());
    Some(SyncItem {
        op_id: item.op,
        entity_type: item.collection,
        entity_id: item.id,
        operation: item.operation,
        data,
        version: item.base_version,
        base_op: item.base_op,
        base_id: item.base_id,
        after: item.after,
        replaces: item.replaces,
        earlier: item.earlier,
        timestamp: item.created_at,
        hlc: item.hlc,
        clocks,
    })
}

/// A request for a page as it goes over the wire.
pub fn pull_request(request: &PullRequest) -> keepsync_wire::PullRequest {
    let cursor = |(collection, cursor): &(String, Option<String>)| Cursor {
        collection: collection.clone(),
        cursor: cursor.clone(),
        priority: request.priorities.get(collection).copied().unwrap_or(0),
        remaining: None,
    };
    keepsync_wire::PullRequest {
        user_id: request.account.clone(),
        device_id: request.device_id.clone(),
        epoch: request.epoch.clone(),
        collections: request.cursors.iter().map(cursor).collect(),
        limit: request.limit,
    }
}

/// What a server said of a batch.
pub fn push_answer(response: SyncResponse) -> PushAnswer {
    PushAnswer {
        results: response
            .results
            .into_iter()
            .map(|result| (result.op_id, outcome(result)))
            .collect(),
        server_time: Some(response.server_time),
        epoch: Some(response.epoch).filter(|epoch| !epoch.is_empty()),
    }
}

/// A page. `None` where a body is not a JSON object: leaving out one change would lose it, because
/// the cursor passes it by.
pub fn pull_page(response: PullResponse) -> Option<PullPage> {
    let changes = response.changes.into_iter().map(|change| {
        Some(RemoteChange {
            collection: change.collection,
            id: change.id,
            version: version(change.current)?,
        })
    });
    let left = response.cursors.iter();
    let left = left.filter_map(|moved| Some((moved.collection.clone(), moved.remaining?)));
    Some(PullPage {
        left: left.collect(),
        epoch: Some(response.epoch).filter(|epoch| !epoch.is_empty()),
        branch: response.branch.map(|branch| (branch.parent, branch.change)),
        changes: changes.collect::<Option<_>>()?,
        cursors: response
            .cursors
            .into_iter()
            .filter_map(|moved| Some((moved.collection, moved.cursor?)))
            .collect(),
        has_more: response.has_more,
        whole: response.whole,
        remaining: response.remaining,
        server_time: Some(response.server_time),
    })
}

/// What one result says of its operation.
pub fn outcome(result: SyncResult) -> Outcome {
    let after_ms = result.retry_after_ms.map(|wait| wait.min(MAX_WAIT_MS));
    match result.status {
        SyncStatus::Success => Outcome::Accepted(Accepted {
            version: result.server_version,
            change: result.change,
            server_id: result.server_id,
            updated_at: result.updated_at,
            // It is applied, whatever the body looks like; the next pull brings it again.
            body: result.server.and_then(|server| server.data).and_then(object),
        }),
        // A conflict with nothing to decide between settles nothing.
        SyncStatus::Conflict => match result.server.and_then(version) {
            Some(server) => Outcome::Conflict(server),
            None => Outcome::Retry { after_ms },
        },
        SyncStatus::Error => match result.code.as_deref().unwrap_or("rejected") {
            code::BLOCKED => Outcome::Blocked,
            code::TOKEN_INVALID => Outcome::SignIn,
            code::TOO_LARGE => Outcome::TooLarge,
            code::TRY_LATER | code::THROTTLED | code::INTERNAL => Outcome::Retry { after_ms },
            other => Outcome::Rejected {
                code: cut(other).to_owned(),
                message: cut(&result.error_message.unwrap_or_default()).to_owned(),
            },
        },
    }
}

/// A version whose body, if it has one, is an object; nothing otherwise.
fn version(wire: Version) -> Option<RemoteVersion> {
    let body = match wire.data {
        Some(data) => Some(object(data)?),
        None => None,
    };
    Some(RemoteVersion {
        body,
        version: wire.version,
        hlc: wire.hlc,
        // Nothing to say is not the same as not saying.
        clocks: Some(
            wire.clocks
                .map_or_else(|| "{}".to_owned(), |clocks| clocks.get().to_owned()),
        ),
        op: wire.op_id,
        device_id: wire.device_id,
        device_label: wire.device_label,
        server_id: wire.server_id,
        created_at: wire.created_at,
        updated_at: wire.updated_at,
    })
}

/// The text exactly as it came, if it is an object. That it is JSON was checked when it was read,
/// and it starts at its first character.
pub(super) fn object(raw: Box<RawValue>) -> Option<String> {
    let text: Box<str> = raw.into();
    text.starts_with('{').then(|| text.into_string())
}

/// Text from a server, cut to what is stored of it.
pub(super) fn cut(text: &str) -> &str {
    let end = (0..=MAX_TEXT.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use keepsync_wire::{Hlc, Operation};
    use uuid::Uuid;

    #[test]
    fn clocks_of_units_travel_as_they_are_and_none_to_tell_is_not_telling_none() {
        let clocks = r#"{"/a":["5-0","tablet"],"":["1-0","phone"]}"#;
        let item = PushItem {
            seq: 1,
            op: Uuid::from_u128(1),
            collection: "recovery".to_owned(),
            id: "me".to_owned(),
            parent_id: None,
            parent_server_id: None,
            operation: Operation::Update,
            body: Some("{}".to_owned()),
            base_version: 1,
            base_id: None,
            earlier: Vec::new(),
            base_op: None,
            after: Vec::new(),
            replaces: None,
            created_at: 0,
            hlc: Hlc::at(5),
            clocks: Some(clocks.to_owned()),
            server_id: None,
        };
        let text = serde_json::to_string(&sync_item(item)).unwrap();
        assert!(text.contains(&format!(r#""clocks":{clocks}"#)), "{text}");
        let told = |text: &str| version(serde_json::from_str(text).unwrap()).unwrap().clocks;
        let given = format!(r#"{{"data":{{}},"version":2,"hlc":"5-0","clocks":{clocks}}}"#);
        assert_eq!(told(&given).as_deref(), Some(clocks));
        assert_eq!(told(r#"{"data":{},"version":2,"hlc":"5-0"}"#).as_deref(), Some("{}"));
    }
}
