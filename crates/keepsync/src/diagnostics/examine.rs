//! A close look at a file: whether SQLite finds it whole, and whether its parts agree with each other.
//! It changes nothing, and what it finds names collections and ids, never what the user wrote.

use crate::{db::Read, error::Result, queue::QueueCounts, record::RecordState};
use std::collections::BTreeMap;

/// At most this many of one kind are named; the rest is counted.
const MOST: usize = 20;

/// What a close look found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examination {
    /// Records of each collection, deleted ones included, by where they stand.
    pub records: BTreeMap<String, BTreeMap<&'static str, u64>>,
    /// Of those: deleted ones that are still remembered.
    pub deleted: BTreeMap<String, u64>,
    /// Where the unsent writes stand.
    pub queue: QueueCounts,
    /// Conflicts the user has to settle.
    pub conflicts: u64,
    /// Sessions in progress.
    pub sessions: u64,
    /// What is wrong. Empty for a sound file.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Stable: `integrity`, `bad_body`, `unsent_without_entry`, `entry_without_record`, `state_differs`,
    /// `conflict_without_entry`, `entry_without_conflict`, `held_without_session`,
    /// `session_without_record`, `base_missing`, `entry_lane_differs`, `unregistered`.
    pub code: &'static str,
    /// The collection, where it is about one.
    pub collection: Option<String>,
    /// The record, where it is about one.
    pub id: Option<String>,
    /// For a person.
    pub message: String,
}

/// Each asks for collection and id of what breaks its rule.
const RULES: [(&str, &str, &str); 10] = [
    (
        "bad_body",
        "a body is not a JSON object",
        // `json_type` fails on what is not JSON, so that is looked at first.
        "SELECT collection, id FROM record WHERE NOT iif(json_valid(coalesce(body, '{}')), json_type(coalesce(body, '{}')) = 'object', 0)
                                             OR NOT iif(json_valid(coalesce(base_body, '{}')), json_type(coalesce(base_body, '{}')) = 'object', 0)
         UNION SELECT collection, id FROM entry WHERE NOT iif(json_valid(coalesce(body, '{}')), json_type(coalesce(body, '{}')) = 'object', 0)
                                             OR NOT iif(json_valid(coalesce(base_body, '{}')), json_type(coalesce(base_body, '{}')) = 'object', 0)",
    ),
    (
        "unsent_without_entry",
        "the record says that something is unsent, but the queue has nothing of it",
        "SELECT collection, id FROM record AS r WHERE state <> 0
         AND NOT EXISTS (SELECT 1 FROM entry AS e WHERE e.lane = coalesce(r.parent_id, r.id) AND e.id = r.id AND e.collection = r.collection)",
    ),
    (
        "entry_without_record",
        "the queue has an unsent write of a record that is not there",
        "SELECT DISTINCT collection, id FROM entry AS e
         WHERE NOT EXISTS (SELECT 1 FROM record AS r WHERE r.collection = e.collection AND r.id = e.id)",
    ),
    (
        "state_differs",
        "the record's state is not the worst of its unsent writes",
        "SELECT r.collection, r.id FROM record AS r JOIN entry AS e ON e.collection = r.collection AND e.id = r.id
         GROUP BY r.rid HAVING r.state <> max(CASE e.state WHEN 0 THEN 1 WHEN 1 THEN 1 WHEN 2 THEN 2 ELSE 3 END)",
    ),
    (
        "conflict_without_entry",
        "a conflict is open, but no unsent write waits for it",
        "SELECT collection, id FROM conflict AS c
         WHERE NOT EXISTS (SELECT 1 FROM entry AS e WHERE e.collection = c.collection AND e.id = c.id AND e.state = 2)",
    ),
    (
        "entry_without_conflict",
        "an unsent write waits for a conflict that is not there",
        "SELECT DISTINCT collection, id FROM entry AS e WHERE state = 2
         AND NOT EXISTS (SELECT 1 FROM conflict AS c WHERE c.collection = e.collection AND c.id = e.id)",
    ),
    (
        "held_without_session",
        "an unsent write is held for the end of a session that is not in progress",
        "SELECT DISTINCT collection, id FROM entry AS e WHERE state = 1
         AND NOT EXISTS (SELECT 1 FROM session AS s WHERE s.id = e.lane OR s.id = e.id)",
    ),
    (
        "session_without_record",
        "a session is in progress, but its record is not there",
        "SELECT collection, id FROM session AS s
         WHERE NOT EXISTS (SELECT 1 FROM record AS r WHERE r.collection = s.collection AND r.id = s.id)",
    ),
    (
        "base_missing",
        "what the server last confirmed of the record is missing",
        "SELECT collection, id FROM record WHERE (base = 2 AND base_body IS NULL) OR (state = 0 AND base <> 1)",
    ),
    (
        "entry_lane_differs",
        "an unsent write stands in another lane than its record",
        "SELECT DISTINCT e.collection, e.id FROM entry AS e JOIN record AS r ON r.collection = e.collection AND r.id = e.id
         WHERE e.lane <> coalesce(r.parent_id, r.id)",
    ),
];

impl Read<'_> {
    /// A close look at the whole file: it reads every page, so it takes a while.
    ///
    /// # Errors
    /// Only those of the file, where it cannot even be looked at.
    pub fn examine(&self) -> Result<Examination> {
        self.together(|| self.whole_examination())
    }

    fn whole_examination(&self) -> Result<Examination> {
        let mut found = Examination {
            queue: self.queue_counts()?,
            conflicts: self.count("(SELECT DISTINCT root_collection, root_id FROM conflict)")?,
            sessions: self.count("session")?,
            ..Examination::default()
        };
        let mut statement = self.conn.prepare("PRAGMA integrity_check(20)")?;
        for line in statement.query_map([], |row| row.get::<_, String>(0))? {
            let line = line?;
            if line != "ok" {
                found.problems.push(Problem {
                    code: "integrity",
                    collection: None,
                    id: None,
                    message: format!("SQLite finds: {line}"),
                });
            }
        }
        self.count_records(&mut found)?;
        for (code, message, sql) in RULES {
            self.breaches(code, message, sql, &mut found.problems)?;
        }
        Ok(found)
    }

    fn count(&self, table: &str) -> Result<u64> {
        let count: i64 = self
            .conn
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    fn count_records(&self, found: &mut Examination) -> Result<()> {
        let mut statement = self
            .conn
            .prepare("SELECT collection, state, body IS NULL, count(*) FROM record GROUP BY 1, 2, 3")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let collection: String = row.get(0)?;
            let state = RecordState::from_i64(row.get(1)?).as_str();
            let count = u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0);
            if row.get(2)? {
                *found.deleted.entry(collection.clone()).or_default() += count;
            }
            *found.records.entry(collection).or_default().entry(state).or_default() += count;
        }
        for collection in found.records.keys() {
            if self.shared.collections.get(collection).is_err() {
                found.problems.push(Problem {
                    code: "unregistered",
                    collection: Some(collection.clone()),
                    id: None,
                    message: "the file has records of a collection that this app does not register".to_owned(),
                });
            }
        }
        Ok(())
    }

    fn breaches(&self, code: &'static str, message: &str, sql: &str, problems: &mut Vec<Problem>) -> Result<()> {
        let mut statement = self.conn.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut more = 0_u64;
        let mut named = 0;
        while let Some(row) = rows.next()? {
            if named == MOST {
                more += 1;
                continue;
            }
            named += 1;
            problems.push(Problem {
                code,
                collection: Some(row.get(0)?),
                id: Some(row.get(1)?),
                message: message.to_owned(),
            });
        }
        if more > 0 {
            problems.push(Problem {
                code,
                collection: None,
                id: None,
                message: format!("{message}: {more} more"),
            });
        }
        Ok(())
    }
}
