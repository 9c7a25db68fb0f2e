//! Numbered migrations. Each file of `schema/` takes the schema from the one before to its own
//! number, which SQLite keeps as `user_version`.

use crate::{
    collection::Collections,
    error::{Error, Result},
};
use rusqlite::{Connection, TransactionBehavior, params};
use std::{collections::BTreeMap, path::PathBuf};

const MIGRATIONS: &[&str] = &[include_str!("schema/0001.sql")];

/// The schema this version writes.
pub(super) fn newest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// In the header of every file that schema 1 or a later one made.
const APPLICATION_ID: i64 = 0x4b53_6476;

/// Looks before anything is written: what is there must be ours, and not newer than we are.
pub(super) fn refuse_others(conn: &Connection) -> Result<()> {
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
    let found = version(conn)?;
    let is_empty = found == 0 && number("SELECT count(*) FROM sqlite_schema")? == 0;
    if !is_empty && number("PRAGMA application_id")? != APPLICATION_ID {
        return Err(Error::ForeignFile);
    }
    if found > newest() {
        return Err(Error::NewerFile { found, known: newest() });
    }
    if has_code(conn)? {
        return Err(Error::ForeignFile);
    }
    // Ours have a log from their first moment. To give one to a file is to write into it, and a damaged one is
    // kept as it was.
    let has_log = || conn.query_row("PRAGMA journal_mode", [], |row| Ok(row.get::<_, String>(0)? == "wal"));
    if found > 0 && !has_log()? && !is_as_made(conn)? {
        return Err(Error::Damaged { path: PathBuf::new() });
    }
    Ok(())
}

/// Whether the file brings SQL that runs when a table is read or written. Ours never does: a view in the
/// place of a table could keep whoever reads it busy for ever.
pub(super) fn has_code(conn: &Connection) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type IN ('view', 'trigger'))";
    Ok(conn.query_row(sql, [], |row| row.get(0))?)
}

/// Whether the tables are those that the migrations up to the file's number make. SQLite reads them from a
/// text in the file, and believes it.
pub(super) fn is_as_made(conn: &Connection) -> Result<bool> {
    let made = Connection::open_in_memory()?;
    let found = usize::try_from(version(conn)?).unwrap_or(0);
    for migration in MIGRATIONS.iter().take(found) {
        made.execute_batch(migration)?;
    }
    Ok(tables(conn)? == tables(&made)?)
}

/// Without SQLite's own, and without indexes of fields, which the app's registration makes.
fn tables(conn: &Connection) -> Result<Vec<(String, String)>> {
    let mut statement = conn.prepare(
        "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
         AND name NOT LIKE 'field\\_%' ESCAPE '\\' ORDER BY name",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Brings the file to the newest schema, in one transaction, and checks whose it is.
pub(super) fn migrate(conn: &mut Connection, account: &str) -> Result<()> {
    let found = version(conn)?;
    if found < newest() {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found = usize::try_from(version(&tx)?).unwrap_or(0);
        for migration in MIGRATIONS.iter().skip(found) {
            tx.execute_batch(migration)?;
        }
        if found == 0 {
            tx.execute("INSERT INTO meta (key, value) VALUES ('account', ?1)", [account])?;
        }
        tx.pragma_update(None, "user_version", newest())?;
        tx.commit()?;
    }
    let owner: Option<String> = super::meta(conn, "account")?;
    if owner.as_deref() == Some(account) {
        Ok(())
    } else {
        Err(Error::OtherAccount)
    }
}

fn version(conn: &Connection) -> Result<i64> {
    Ok(conn.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// Makes the indexes follow the registered collections: an expression index per indexed field,
/// over the records of its collection only.
pub(super) fn index(conn: &mut Connection, collections: &Collections) -> Result<()> {
    let mut wanted: BTreeMap<String, String> = BTreeMap::new();
    for collection in collections.iter() {
        let name = collection.name();
        for field in &collection.indexes {
            // Names and fields were checked at registration: a-z, 0-9 and _ (fields: letters too).
            let index = format!("field_{name}__{field}");
            let sql = format!(
                "CREATE INDEX \"{index}\" ON record (json_extract(body, '$.{field}'), id) WHERE collection = '{name}'"
            );
            wanted.insert(index, sql);
        }
    }
    let mut existing = BTreeMap::new();
    {
        let mut statement = conn.prepare(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND name LIKE 'field\\_%' ESCAPE '\\'",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            existing.insert(row.get::<_, String>(0)?, row.get::<_, String>(1)?);
        }
    }
    if existing == wanted {
        return Ok(());
    }
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for name in existing.keys().filter(|name| existing.get(*name) != wanted.get(*name)) {
        tx.execute(&format!("DROP INDEX \"{name}\""), params![])?;
    }
    for (_, sql) in wanted.iter().filter(|(name, sql)| existing.get(*name) != Some(*sql)) {
        tx.execute(sql, params![])?;
    }
    tx.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first schema as it was released, with rows in every table.
    const FROZEN: &str = include_str!("../../tests/frozen/0001.sql");

    fn schema(conn: &Connection) -> Vec<(String, String)> {
        let mut statement = conn
            .prepare(
                "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY name",
            )
            .unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(std::result::Result::unwrap).collect()
    }

    #[test]
    fn an_upgraded_file_equals_a_fresh_one_and_keeps_its_rows() {
        let mut old = Connection::open_in_memory().unwrap();
        old.execute_batch(FROZEN).unwrap();
        migrate(&mut old, "lifter@example.org").unwrap();
        let mut fresh = Connection::open_in_memory().unwrap();
        migrate(&mut fresh, "lifter@example.org").unwrap();
        assert_eq!(schema(&old), schema(&fresh));
        let entries: i64 = old
            .query_row("SELECT count(*) FROM entry", [], |row| row.get(0))
            .unwrap();
        assert_eq!(entries, 3);
    }

    #[test]
    fn a_newer_file_is_refused() {
        let conn = Connection::open_in_memory().unwrap();
        conn.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        conn.pragma_update(None, "user_version", 99).unwrap();
        assert_eq!(
            refuse_others(&conn),
            Err(Error::NewerFile {
                found: 99,
                known: newest()
            })
        );
    }

    #[test]
    fn indexes_follow_the_registered_collections() {
        use crate::{collection::Collection, conflict::Policy};
        let with = |fields: &[&str]| {
            let collection = fields
                .iter()
                .fold(Collection::new("workout", Policy::Ask), |c, f| c.index(*f));
            Collections::new([collection]).unwrap()
        };
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, "a").unwrap();
        let names = |conn: &Connection| -> Vec<String> {
            schema(conn)
                .into_iter()
                .map(|(name, _)| name)
                .filter(|name| name.starts_with("field_"))
                .collect()
        };
        index(&mut conn, &with(&["date", "name"])).unwrap();
        assert_eq!(names(&conn), ["field_workout__date", "field_workout__name"]);
        index(&mut conn, &with(&["date"])).unwrap();
        assert_eq!(names(&conn), ["field_workout__date"]);
    }
}
