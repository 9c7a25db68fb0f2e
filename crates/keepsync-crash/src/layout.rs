//! Which rows stand on which pages of a file.
//!
//! SQLite's `dbstat` names each page's place in its tree. Leaves in the order of their places have the rows in the
//! order of their rowids, and the chain of a long row is named after its cell. So a row's pages are its leaf, the inner
//! pages that lead there, and its chain.

use rusqlite::Connection;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// The key of a row as the caller names it.
pub(crate) type Key = (String, String);

/// A page: the table or index it is of, and its kind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page {
    pub(crate) tree: String,
    pub(crate) kind: String,
}

/// A file's pages.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Bytes of a page.
    pub(crate) size: usize,
    /// By number, from 1. Those that no tree uses are not here.
    pub(crate) pages: BTreeMap<usize, Page>,
    rows: BTreeMap<&'static str, BTreeMap<Key, BTreeSet<usize>>>,
}

struct Place {
    number: usize,
    path: String,
    leaf: bool,
    cells: usize,
}

/// Tables with rowids, and their rows' keys in the order of these.
const TABLES: [(&str, &str); 3] = [
    ("entry", "SELECT collection, id FROM entry ORDER BY seq"),
    ("kv", "SELECT '', key FROM kv ORDER BY rowid"),
    ("record", "SELECT collection, id FROM record ORDER BY rid"),
];

impl Layout {
    pub(crate) fn of(path: &Path) -> rusqlite::Result<Self> {
        let conn = Connection::open(path)?;
        crate::key::unlock(&conn)?;
        let size = crate::key::page_size(&conn)?;
        let mut statement = conn.prepare("SELECT pageno, name, pagetype FROM dbstat")?;
        let pages = statement.query_map([], |row| {
            let (number, tree, kind) = (row.get::<_, u32>(0)?, row.get(1)?, row.get(2)?);
            Ok((number as usize, Page { tree, kind }))
        })?;
        let pages = pages.collect::<rusqlite::Result<_>>()?;
        let mut rows = BTreeMap::new();
        for (table, keys) in TABLES {
            rows.insert(table, rows_of(&conn, table, keys)?);
        }
        Ok(Self { size, pages, rows })
    }

    /// The rows of a table that none of these pages has, or leads to.
    pub(crate) fn without(&self, table: &str, page: usize) -> impl Iterator<Item = &Key> {
        let rows = self.rows.get(table).into_iter().flatten();
        rows.filter(move |(_, pages)| !pages.contains(&page))
            .map(|(key, _)| key)
    }
}

fn rows_of(conn: &Connection, table: &str, keys: &str) -> rusqlite::Result<BTreeMap<Key, BTreeSet<usize>>> {
    let mut statement =
        conn.prepare("SELECT pageno, path, pagetype, ncell FROM dbstat WHERE name = ?1 ORDER BY path")?;
    let places = statement.query_map([table], |row| {
        let (number, cells): (u32, u32) = (row.get(0)?, row.get(3)?);
        Ok(Place {
            number: number as usize,
            path: row.get(1)?,
            leaf: row.get::<_, String>(2)? == "leaf",
            cells: cells as usize,
        })
    })?;
    let places = places.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut keys_of = conn.prepare(keys)?;
    let mut keys = keys_of.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut rows = BTreeMap::new();
    for leaf in places.iter().filter(|place| place.leaf) {
        // The way from the root, and the leaf.
        let way = places
            .iter()
            .filter(|place| !place.path.contains('+') && leaf.path.starts_with(&place.path));
        let way: BTreeSet<usize> = way.map(|place| place.number).collect();
        for cell in 0..leaf.cells {
            let chain = format!("{}{cell:03x}+", leaf.path);
            let chain = places.iter().filter(|place| place.path.starts_with(&chain));
            let mut pages = way.clone();
            pages.extend(chain.map(|place| place.number));
            rows.insert(keys.next().ok_or(rusqlite::Error::QueryReturnedNoRows)??, pages);
        }
    }
    match keys.next() {
        None => Ok(rows),
        Some(_) => Err(rusqlite::Error::QueryReturnedMoreThanOneRow),
    }
}
