//! Key-value storage with AsyncStorage's semantics: durable, not synced, for what an app keeps beside
//! its records.

use crate::{
    db::{Read, Write},
    error::{Error, Result},
};
use rusqlite::OptionalExtension;
use serde_json::{Map, Value};

impl Read<'_> {
    /// The value of a key.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn kv_get(&self, key: &str) -> Result<Option<String>> {
        let mut statement = self.conn.prepare_cached("SELECT value FROM kv WHERE key = ?1")?;
        Ok(statement.query_row([key], |row| row.get(0)).optional()?)
    }

    /// The values of keys, in the order asked.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn kv_multi_get(&self, keys: &[String]) -> Result<Vec<(String, Option<String>)>> {
        self.together(|| keys.iter().map(|key| Ok((key.clone(), self.kv_get(key)?))).collect())
    }

    /// All keys, in order.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn kv_keys(&self) -> Result<Vec<String>> {
        let mut statement = self.conn.prepare_cached("SELECT key FROM kv ORDER BY key")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

/// Sets a key.
///
/// # Errors
/// [`Error::Invalid`] for an empty key.
pub fn set(write: &mut Write<'_>, key: &str, value: &str) -> Result<()> {
    if key.is_empty() {
        return Err(Error::invalid("key", "empty"));
    }
    write
        .conn
        .prepare_cached("INSERT INTO kv (key, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value")?
        .execute([key, value])?;
    Ok(())
}

/// Removes a key; one that is not there is no error.
///
/// # Errors
/// Only those of the file.
pub fn remove(write: &mut Write<'_>, key: &str) -> Result<()> {
    write
        .conn
        .prepare_cached("DELETE FROM kv WHERE key = ?1")?
        .execute([key])?;
    Ok(())
}

/// Merges a JSON object into the object under a key, deeply; a key that is not there is set.
///
/// # Errors
/// [`Error::Invalid`] if either is not a JSON object; then nothing changes.
pub fn merge(write: &mut Write<'_>, key: &str, value: &str) -> Result<()> {
    let object = |field: &str, text: &str| match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(Error::invalid(field, "not a JSON object")),
    };
    let patch = object("value", value)?;
    match write.read().kv_get(key)? {
        None => set(write, key, value),
        Some(old) => {
            let mut merged = object("stored value", &old)?;
            deep_merge(&mut merged, patch);
            set(write, key, &Value::Object(merged).to_string())
        }
    }
}

/// As AsyncStorage merges: objects into objects, everything else (`null` too) replaces.
fn deep_merge(target: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (key, value) in patch {
        match (target.get_mut(&key), value) {
            (Some(Value::Object(inner)), Value::Object(patch)) => deep_merge(inner, patch),
            (_, value) => {
                target.insert(key, value);
            }
        }
    }
}

/// Sets several keys as one.
///
/// # Errors
/// As [`set`]; then none is set.
pub fn multi_set(write: &mut Write<'_>, pairs: &[(String, String)]) -> Result<()> {
    pairs.iter().try_for_each(|(key, value)| set(write, key, value))
}

/// Removes several keys as one.
///
/// # Errors
/// Only those of the file.
pub fn multi_remove(write: &mut Write<'_>, keys: &[String]) -> Result<()> {
    keys.iter().try_for_each(|key| remove(write, key))
}

/// Removes every key.
///
/// # Errors
/// Only those of the file.
pub fn clear(write: &mut Write<'_>) -> Result<()> {
    write.conn.prepare_cached("DELETE FROM kv")?.execute([])?;
    Ok(())
}
