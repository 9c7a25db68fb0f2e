//! Twins: records that say the same when and were made on different devices. Nobody is wrong, so both are
//! kept; the user merges them or deletes one.

use super::{
    Record, name_devices,
    row::{RECORD, RECORD_COLUMNS, record_from_sql},
};
use crate::{
    db::Read,
    error::{Error, Result},
};

/// One of several records that look like one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twin {
    /// The record.
    pub record: Record,
    /// The installation that made it, or, where that was not seen, that wrote it last.
    pub made_by: String,
    /// What a person calls that device.
    pub made_by_label: Option<String>,
}

/// Live records that are equal in the fields of [`Collection::same_when`](crate::collection::Collection::same_when),
/// oldest first; at least two devices made them.
pub type Twins = Vec<Twin>;

impl Read<'_> {
    /// Groups of records that look like one, the newest group first.
    ///
    /// # Errors
    /// [`Error::UnknownCollection`]; [`Error::Invalid`] if it is not registered what makes records of the
    /// collection twins.
    pub fn twins(&self, collection: &str) -> Result<Vec<Twins>> {
        let fields = &self.shared.collections.get(collection)?.same_when;
        if fields.is_empty() {
            return Err(Error::invalid(
                "collection",
                "it is not registered which fields make two of its records twins",
            ));
        }
        // Field names were checked when they were registered. One that is absent makes nobody a twin.
        let values: Vec<String> = fields
            .iter()
            .map(|field| format!("json_extract(body, '$.{field}')"))
            .collect();
        let present: Vec<String> = values.iter().map(|value| format!("{value} IS NOT NULL")).collect();
        let sql = format!(
            "WITH live AS (SELECT rid, json_array({}) AS at, coalesce(created_by, device_id) AS maker FROM record
                           WHERE collection = ?1 AND body IS NOT NULL AND {}),
                  alike AS (SELECT at, max(rid) AS newest FROM live GROUP BY at HAVING count(DISTINCT maker) > 1)
             SELECT {RECORD}, live.at, live.maker FROM alike JOIN live ON live.at = alike.at JOIN record ON record.rid = live.rid
             ORDER BY newest DESC, live.at, created_at, id",
            values.join(", "),
            present.join(" AND "),
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let found: Vec<(Record, String, String)> = statement
            .query_map([collection], |row| {
                let record = record_from_sql(collection, row)?;
                Ok((record, row.get(RECORD_COLUMNS)?, row.get(RECORD_COLUMNS + 1)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let mut groups: Vec<Twins> = Vec::new();
        let mut last = None;
        for (record, at, made_by) in found {
            if last.as_ref() != Some(&at) {
                groups.push(Vec::new());
                last = Some(at);
            }
            let mut record = [record];
            name_devices(self, &mut record)?;
            let [record] = record;
            let twin = Twin {
                record,
                made_by_label: self.device_label(&made_by)?,
                made_by,
            };
            if let Some(group) = groups.last_mut() {
                group.push(twin);
            }
        }
        Ok(groups)
    }
}
