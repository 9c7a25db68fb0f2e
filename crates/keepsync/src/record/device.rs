//! What people call the devices whose versions were seen, so that any record can say who wrote it.

use super::Record;
use crate::{
    db::{Read, Write},
    error::Result,
};
use rusqlite::{OptionalExtension, params};

impl Read<'_> {
    /// What a person calls a device; `None` where it never said. This device's own label is
    /// [`Settings::device_label`](crate::settings::Settings::device_label).
    ///
    /// # Errors
    /// Only those of the file.
    pub fn device_label(&self, device_id: &str) -> Result<Option<String>> {
        if device_id == &*self.shared.device_id {
            return Ok(self.shared.settings.device_label.clone());
        }
        let mut statement = self
            .conn
            .prepare_cached("SELECT label FROM device WHERE device_id = ?1")?;
        Ok(statement.query_row([device_id], |row| row.get(0)).optional()?)
    }

    /// The installation that made a record; `None` where that was not told, because its first version was
    /// never seen here.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn created_by(&self, collection: &str, id: &str) -> Result<Option<String>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT created_by FROM record WHERE collection = ?1 AND id = ?2")?;
        let found = statement.query_row([collection, id], |row| row.get(0)).optional()?;
        Ok(found.flatten())
    }
}

/// Remembers what a version said of the device that made it. A label that is absent forgets nothing: a
/// server may not know it any more.
pub(crate) fn learn(write: &mut Write<'_>, device_id: &str, label: Option<&str>) -> Result<()> {
    let Some(label) = label.filter(|label| !label.is_empty() && !device_id.is_empty()) else {
        return Ok(());
    };
    if device_id == &*write.shared.device_id || write.read().device_label(device_id)?.as_deref() == Some(label) {
        return Ok(());
    }
    write
        .conn
        .prepare_cached(
            "INSERT INTO device (device_id, label) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET label = excluded.label",
        )?
        .execute(params![device_id, label])?;
    Ok(())
}

/// Fills the labels in. The records of a page were written by a few devices, mostly this one: what was
/// found for one of them is not looked up for the next.
pub(crate) fn name(read: &Read<'_>, records: &mut [Record]) -> Result<()> {
    let here = &*read.shared.device_id;
    for at in 0..records.len() {
        let (named, rest) = records.split_at_mut(at);
        let Some(record) = rest.first_mut() else { break };
        if record.device_id == here {
            record.device_label.clone_from(&read.shared.settings.device_label);
        } else if let Some(before) = named.last().filter(|before| before.device_id == record.device_id) {
            record.device_label.clone_from(&before.device_label);
        } else {
            record.device_label = read.device_label(&record.device_id)?;
        }
    }
    Ok(())
}
