//! Rows as the wire's types.

use crate::storage::StorageError;
use keepsync_wire::{Hlc, Version};
use rusqlite::Row;
use serde_json::value::RawValue;
use uuid::Uuid;

/// The columns [`version`] reads, in its order.
pub(super) const VERSION: &str = "body, version, hlc, op, device_id, device_label, created_at, updated_at, clocks";

/// A version from a row that begins with the columns of [`VERSION`].
pub(super) fn version(row: &Row<'_>) -> Result<Version, StorageError> {
    let body: Option<String> = row.get(0)?;
    let op: [u8; 16] = row.get(3)?;
    let clocks: Option<String> = row.get(8)?;
    Ok(Version {
        data: body.map(raw).transpose()?,
        version: row.get(1)?,
        hlc: Hlc::from_i64(row.get(2)?),
        clocks: clocks.map(raw).transpose()?,
        op_id: Some(Uuid::from_bytes(op)),
        device_id: row.get(4)?,
        device_label: row.get(5)?,
        server_id: None,
        created_at: row.get(6)?,
        updated_at: row.get(7)?,
    })
}

fn raw(body: String) -> Result<Box<RawValue>, StorageError> {
    RawValue::from_string(body).map_err(|_| StorageError::Failed("a body or its clocks are not JSON".to_owned()))
}

/// Bytes of a version on the wire, about.
pub(super) fn size(version: &Version) -> usize {
    /// Of all but the body, at most.
    const FIELDS: usize = 1_000;
    let bytes = |text: &Option<Box<RawValue>>| text.as_ref().map_or(0, |text| text.get().len());
    FIELDS + bytes(&version.data) + bytes(&version.clocks)
}
