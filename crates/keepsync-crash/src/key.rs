//! The key of all stories' files: with the feature `encrypted` they are encrypted, each in every mode.

use rusqlite::{Connection, Result, types::Value};

#[cfg(feature = "encrypted")]
const KEY: Option<[u8; 32]> = Some(*b"the key of every story's files..");
#[cfg(not(feature = "encrypted"))]
const KEY: Option<[u8; 32]> = None;

/// Whether there is one.
pub(crate) const IS_ENCRYPTED: bool = KEY.is_some();

/// What the core is given.
pub(crate) fn key() -> Option<keepsync::Key> {
    KEY.map(keepsync::Key::new)
}

/// Lets a connection of our own into the file.
pub(crate) fn unlock(conn: &Connection) -> Result<()> {
    let Some(key) = KEY else { return Ok(()) };
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    conn.execute_batch(&format!("PRAGMA cipher_log_level = NONE; PRAGMA key = \"x'{hex}'\""))
}

/// Bytes of a page. SQLCipher tells them as a text.
pub(crate) fn page_size(conn: &Connection) -> Result<usize> {
    let bytes = match conn.query_row("PRAGMA page_size", [], |row| row.get(0))? {
        Value::Integer(bytes) => bytes.try_into().ok(),
        Value::Text(bytes) => bytes.parse().ok(),
        _ => None,
    };
    bytes.ok_or(rusqlite::Error::InvalidQuery)
}
