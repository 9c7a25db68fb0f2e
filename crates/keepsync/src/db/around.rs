//! Reading a table around its damaged pages.
//!
//! 1. Forward by rowid, so that a page that cannot be read costs only its own rows.
//! 2. If anything was amiss, backward too. A page that is as it was a while ago can be read, and its rows say that
//!    they belong elsewhere: after one whose rowid is too large all up to that rowid seem out of order, and are missed
//!    in that direction, and not in the other.
//! 3. Both together are the table. Where they differ, the direction that met less out of order is right.

use rusqlite::{Connection, Row, types::Value};
use std::collections::BTreeMap;

/// Rows of one table.
pub(super) struct Rows {
    /// In the order of their rowids.
    pub(super) rows: Vec<Vec<Value>>,
    /// Whether nothing was amiss.
    pub(super) whole: bool,
}

/// A table: its name, the name of its rowid, and the columns that are read.
#[derive(Clone, Copy)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) rowid: &'static str,
    pub(super) columns: &'static str,
}

/// How many unreadable rowids in a row are tried before the rest of a table is given up.
const PATIENCE: i64 = 20_000;

/// Those of the table's rows that `wanted` wants, which sees the rowid before the columns.
pub(super) fn read(conn: &Connection, table: Table, wanted: impl Fn(&Row<'_>) -> rusqlite::Result<bool>) -> Rows {
    let forward = walk(conn, table, Way::Forward, &wanted);
    let (mut rows, whole) = (forward.rows, forward.whole);
    if !whole {
        let end = rows.last_key_value().map_or(0, |(rowid, _)| *rowid);
        let mut backward = walk(conn, table, Way::Backward { end }, &wanted);
        if backward.disorder < forward.disorder {
            std::mem::swap(&mut rows, &mut backward.rows);
        }
        for (rowid, values) in backward.rows {
            rows.entry(rowid).or_insert(values);
        }
    }
    Rows {
        rows: rows.into_values().flatten().collect(),
        whole,
    }
}

#[derive(Clone, Copy)]
enum Way {
    Forward,
    /// From the end; where that cannot be read, from this rowid.
    Backward {
        end: i64,
    },
}

struct Walked {
    /// By rowid; without values where they are not wanted.
    rows: BTreeMap<i64, Option<Vec<Value>>>,
    whole: bool,
    /// How many rows were not where they belong.
    disorder: usize,
}

fn walk(conn: &Connection, table: Table, way: Way, wanted: &impl Fn(&Row<'_>) -> rusqlite::Result<bool>) -> Walked {
    let mut found = Walked {
        rows: BTreeMap::new(),
        whole: true,
        disorder: 0,
    };
    let Table { name, rowid, columns } = table;
    let (first, second, compared, order) = match way {
        Way::Forward => (i64::MIN, 0, ">=", "ASC"),
        Way::Backward { end } => (i64::MAX, end, "<=", "DESC"),
    };
    let after = |at: i64| match way {
        Way::Forward => at.saturating_add(1),
        Way::Backward { .. } => at.saturating_sub(1),
    };
    let in_order = |at: i64, from: i64| match way {
        Way::Forward => at >= from,
        Way::Backward { .. } => at <= from,
    };
    // Not "greater than the last": that would begin on the last one's page, which may be the damaged one.
    let sql = format!("SELECT {rowid}, {columns} FROM {name} WHERE {rowid} {compared} ?1 ORDER BY {rowid} {order}");
    let (mut from, mut misses) = (first, 0);
    while misses < PATIENCE {
        let Ok(mut statement) = conn.prepare_cached(&sql) else {
            break;
        };
        let width = statement.column_count();
        let Ok(mut rows) = statement.query([from]) else {
            break;
        };
        loop {
            match rows.next() {
                Ok(None) => return found,
                Ok(Some(row)) => {
                    let values = || -> rusqlite::Result<Option<Vec<Value>>> {
                        match wanted(row)? {
                            true => (1..width)
                                .map(|column| row.get(column))
                                .collect::<Result<_, _>>()
                                .map(Some),
                            false => Ok(None),
                        }
                    };
                    match (row.get::<_, i64>(0), values()) {
                        // One that is not in order would lead in circles.
                        (Ok(at), Ok(values)) if in_order(at, from) => {
                            from = after(at);
                            misses = 0;
                            found.rows.insert(at, values);
                        }
                        _ => {
                            found.whole = false;
                            found.disorder += 1;
                        }
                    }
                }
                Err(_) => break,
            }
        }
        found.whole = false;
        misses += 1;
        from = if from == first { second } else { after(from) };
    }
    found.whole = false;
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::types::Value;

    const TABLE: Table = Table {
        name: "t",
        rowid: "n",
        columns: "text",
    };

    fn filled(path: &std::path::Path) -> (Vec<u8>, Vec<usize>) {
        let conn = Connection::open(path).unwrap();
        conn.execute_batch("PRAGMA page_size = 4096; CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT NOT NULL);")
            .unwrap();
        for n in 1..=200 {
            let text = format!("{n} {}", "x".repeat(300));
            conn.execute("INSERT INTO t VALUES (?1, ?2)", (n, text)).unwrap();
        }
        let mut leaves = conn
            .prepare("SELECT pageno FROM dbstat WHERE name = 't' AND pagetype = 'leaf' ORDER BY path")
            .unwrap();
        let leaves = leaves.query_map([], |row| row.get::<_, u32>(0)).unwrap();
        let leaves = leaves.map(|number| number.unwrap() as usize).collect();
        (std::fs::read(path).unwrap(), leaves)
    }

    /// The numbers that the texts begin with, and the rest of what was read.
    fn numbers(path: &std::path::Path) -> (Vec<i64>, Rows) {
        let conn = Connection::open(path).unwrap();
        let rows = read(&conn, TABLE, |_| Ok(true));
        let number = |values: &Vec<Value>| match &values[0] {
            Value::Text(text) => text.split(' ').next().unwrap().parse().unwrap(),
            other => panic!("{other:?}"),
        };
        (rows.rows.iter().map(number).collect(), rows)
    }

    #[test]
    fn a_leaf_that_is_a_copy_of_another_costs_its_own_rows_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let (bytes, leaves) = filled(&path);
        assert!(leaves.len() > 10);
        let rows_of_a_leaf = 200_usize.div_ceil(leaves.len()) + 1;
        let (all, rows) = numbers(&path);
        assert_eq!(all, (1..=200).collect::<Vec<_>>());
        assert!(rows.whole);
        for (from, onto) in [(8, 3), (3, 8), (4, 3), (3, 4), (10, 0), (0, 10)] {
            let at = |leaf: usize| (leaves[leaf] - 1) * 4096..leaves[leaf] * 4096;
            let mut spoilt = bytes.clone();
            spoilt.copy_within(at(from), at(onto).start);
            std::fs::write(&path, &spoilt).unwrap();
            let (found, rows) = numbers(&path);
            assert!(!rows.whole, "{from} onto {onto}");
            assert!(
                found.len() >= 200 - rows_of_a_leaf,
                "{from} onto {onto}: {} rows",
                found.len()
            );
            assert!(found.is_sorted_by(|a, b| a < b), "{from} onto {onto}");
        }
    }

    #[test]
    fn a_leaf_that_cannot_be_read_costs_its_own_rows_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let (bytes, leaves) = filled(&path);
        for &leaf in &leaves {
            let mut spoilt = bytes.clone();
            spoilt[(leaf - 1) * 4096..leaf * 4096].fill(0xff);
            std::fs::write(&path, &spoilt).unwrap();
            let (found, rows) = numbers(&path);
            assert!(!rows.whole);
            assert!(
                found.len() >= 200 - (200_usize.div_ceil(leaves.len()) + 1),
                "{leaf}: {}",
                found.len()
            );
        }
    }
}
