//! A small query: one collection, filters, an order, a page. Values are always bound; field names
//! are checked before they become part of a JSON path.

use super::row::{RECORD, RECORD_COLUMNS, Record, record_from_sql};
use crate::{
    collection::{Collection, check_field},
    db::Read,
    error::{Error, Result},
};
use rusqlite::types::Value as Sql;
use serde_json::{Value, json};

/// How a field is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// Equal; `null` matches an absent field.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
}

/// A condition on a top-level field of the body.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// The field.
    pub field: String,
    /// How it is compared.
    pub compare: Compare,
    /// With what: a string, number, boolean or null.
    pub value: Value,
}

/// What to read. Made by [`Query::new`] and narrowed by its methods.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    collection: String,
    filters: Vec<Filter>,
    order: Option<String>,
    descending: bool,
    limit: usize,
    after: Option<String>,
}

/// The most records in a page.
const MOST: usize = 1_000;

impl Query {
    /// All of a collection that is not deleted, by id, in pages of 100.
    pub fn new(collection: impl Into<String>) -> Self {
        Self {
            collection: collection.into(),
            filters: Vec::new(),
            order: None,
            descending: false,
            limit: 100,
            after: None,
        }
    }

    /// Only records whose `field` compares like this.
    #[must_use]
    pub fn filter(mut self, field: impl Into<String>, compare: Compare, value: impl Into<Value>) -> Self {
        self.filters.push(Filter {
            field: field.into(),
            compare,
            value: value.into(),
        });
        self
    }

    /// Ordered by a field, then by id. Records without the field come first.
    #[must_use]
    pub fn order_by(mut self, field: impl Into<String>) -> Self {
        self.order = Some(field.into());
        self
    }

    /// The other way round.
    #[must_use]
    pub fn descending(mut self) -> Self {
        self.descending = true;
        self
    }

    /// At most this many records in the page: 1 to 1,000.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Goes on where a page ended: its [`Page::next`].
    #[must_use]
    pub fn after(mut self, next: impl Into<String>) -> Self {
        self.after = Some(next.into());
        self
    }

    /// The collection it reads.
    pub fn collection(&self) -> &str {
        &self.collection
    }
}

/// A page of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In order.
    pub records: Vec<Record>,
    /// Where the next page starts; `None` at the end. Opaque.
    pub next: Option<String>,
}

pub(super) fn run(read: &Read<'_>, query: &Query) -> Result<Page> {
    let collection = read.shared.collections.get(&query.collection)?;
    if !(1..=MOST).contains(&query.limit) {
        return Err(Error::invalid(
            "limit",
            format!("{} is not in 1 to {MOST}", query.limit),
        ));
    }
    let order = match &query.order {
        None => None,
        Some(field) => {
            check_field(field).map_err(|problem| Error::invalid(format!("order {field:?}"), problem))?;
            Some(field)
        }
    };
    // Where a page ends is told as SQLite compares it: reading a number or a list another way could
    // come to another value.
    let position = order.map_or_else(|| "NULL".to_owned(), |field| json_path(field));
    // The name was checked at registration. It stands in the text, not in a parameter, because
    // SQLite uses a partial index only where it can see the index's condition.
    let mut wanted = Select {
        index: index_for(collection, query),
        conditions: format!("collection = '{}' AND body IS NOT NULL", collection.name()),
        values: Vec::new(),
        order: String::new(),
        position,
        // One more than the page holds tells whether there is another.
        limit: query.limit + 1,
    };
    for filter in &query.filters {
        check_field(&filter.field).map_err(|problem| Error::invalid(format!("filter {:?}", filter.field), problem))?;
        let column = if names_parent(collection, filter) {
            "parent_id".to_owned()
        } else {
            json_path(&filter.field)
        };
        let n = wanted.bind(scalar(&filter.value, &filter.field)?);
        wanted.and(&match filter.compare {
            Compare::Eq if filter.value.is_null() => format!("{column} IS ?{n}"),
            Compare::Eq => format!("{column} = ?{n}"),
            Compare::Ne => format!("{column} IS NOT ?{n}"),
            Compare::Lt => format!("{column} < ?{n}"),
            Compare::Le => format!("{column} <= ?{n}"),
            Compare::Gt => format!("{column} > ?{n}"),
            Compare::Ge => format!("{column} >= ?{n}"),
        });
    }
    let way = if query.descending { "DESC" } else { "ASC" };
    wanted.order = match order {
        None => format!("id {way}"),
        Some(field) => format!("{} {way}, id {way}", json_path(field)),
    };

    let mut found = Vec::new();
    for part in match &query.after {
        None => vec![wanted],
        Some(after) => start_after(wanted, order, query.descending, decode_after(after)?),
    } {
        if found.len() <= query.limit {
            found.extend(part.run(read, collection.name())?);
        }
    }
    let next = if found.len() > query.limit {
        found.truncate(query.limit);
        found.last().map(|(end, at): &(Record, Sql)| encode_after(at, &end.id))
    } else {
        None
    };
    let records = found.into_iter().map(|(record, _)| record).collect();
    Ok(Page { records, next })
}

fn json_path(field: &str) -> String {
    format!("json_extract(body, '$.{field}')")
}

/// A statement in the making.
#[derive(Clone)]
struct Select {
    index: Option<String>,
    conditions: String,
    values: Vec<Sql>,
    order: String,
    /// What a page's end is told by.
    position: String,
    limit: usize,
}

impl Select {
    /// Gives the parameter's number.
    fn bind(&mut self, value: Sql) -> usize {
        self.values.push(value);
        self.values.len()
    }

    fn and(&mut self, condition: &str) {
        self.conditions.push_str(" AND ");
        self.conditions.push_str(condition);
    }

    /// The limit stands in the text: SQLite plans a statement anew whenever a bound one is set.
    fn sql(&self, index: Option<&str>) -> String {
        let by = index.map_or_else(String::new, |index| format!(" INDEXED BY {index}"));
        format!(
            "SELECT {RECORD}, {} FROM record{by} WHERE {} ORDER BY {} LIMIT {}",
            self.position, self.conditions, self.order, self.limit
        )
    }

    fn run(&self, read: &Read<'_>, collection: &str) -> Result<Vec<(Record, Sql)>> {
        let by = |index: Option<&str>| -> Result<Vec<(Record, Sql)>> {
            let mut statement = read.conn.prepare_cached(&self.sql(index))?;
            let rows = statement.query_map(rusqlite::params_from_iter(&self.values), |row| {
                Ok((record_from_sql(collection, row)?, row.get(RECORD_COLUMNS)?))
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        };
        // An index that another process has dropped, because other collections are registered
        // there, makes the query slow, not wrong.
        match &self.index {
            None => by(None),
            Some(index) => by(Some(index)).or_else(|_| by(None)),
        }
    }
}

/// The children of one parent.
fn names_parent(collection: &Collection, filter: &Filter) -> bool {
    let parent = collection.parent.as_ref();
    filter.compare == Compare::Eq && parent.is_some_and(|parent| parent.field == filter.field)
}

/// The index to use. SQLite keeps no statistics here and would guess: to it the key's index, whose
/// first column every record of the collection shares, looks as good as any, and an order by it
/// better than looking at the few children of one parent. What narrows most goes first: the parent,
/// an equal field, the order (which ends with the page), a range.
fn index_for(collection: &Collection, query: &Query) -> Option<String> {
    let indexed = |field: &String| collection.indexes.contains(field);
    let equal = |filter: &&Filter| filter.compare == Compare::Eq && !filter.value.is_null();
    if query
        .filters
        .iter()
        .any(|filter| equal(&filter) && names_parent(collection, filter))
    {
        return Some("record_parent".to_owned());
    }
    let mut fields = query.filters.iter().filter(equal).map(|filter| &filter.field);
    let by_range = |filter: &&Filter| !matches!(filter.compare, Compare::Eq | Compare::Ne);
    let mut ranges = query.filters.iter().filter(by_range).map(|filter| &filter.field);
    let field = fields
        .find(|field| indexed(field))
        .or(query.order.as_ref().filter(|field| indexed(field)))
        .or_else(|| ranges.find(|field| indexed(field)).filter(|_| query.order.is_none()))?;
    Some(format!("\"field_{}__{field}\"", collection.name()))
}

/// What comes after a position: one statement, or two to be read one after the other. SQLite finds
/// its place in an expression index by a plain comparison, not by a row value, so that stands beside
/// it. NULLs come first upwards and last downwards; no comparison finds them.
fn start_after(
    mut select: Select,
    order: Option<&String>,
    descending: bool,
    (value, id): (Sql, String),
) -> Vec<Select> {
    let sign = if descending { "<" } else { ">" };
    let Some(field) = order else {
        let n = select.bind(Sql::Text(id));
        select.and(&format!("id {sign} ?{n}"));
        return vec![select];
    };
    let path = json_path(field);
    if value == Sql::Null {
        let mut valued = select.clone();
        valued.and(&format!("{path} IS NOT NULL"));
        let n = select.bind(Sql::Text(id));
        select.and(&format!("{path} IS NULL AND id {sign} ?{n}"));
        return if descending { vec![select] } else { vec![select, valued] };
    }
    let mut without = select.clone();
    without.and(&format!("{path} IS NULL"));
    let v = select.bind(value);
    let n = select.bind(Sql::Text(id));
    select.and(&format!("{path} {sign}= ?{v} AND ({path}, id) {sign} (?{v}, ?{n})"));
    if descending {
        vec![select, without]
    } else {
        vec![select]
    }
}

/// A real number is told by its bits, so that it comes back as it was.
fn encode_after(value: &Sql, id: &str) -> String {
    let value = match value {
        Sql::Null | Sql::Blob(_) => Value::Null,
        Sql::Integer(integer) => Value::from(*integer),
        Sql::Real(real) => json!({ "real": real.to_bits() }),
        Sql::Text(text) => Value::from(text.as_str()),
    };
    json!([value, id]).to_string()
}

fn decode_after(after: &str) -> Result<(Sql, String)> {
    let bad = || Error::invalid("after", "not a position that a page gave");
    let (value, id): (Value, String) = serde_json::from_str(after).map_err(|_| bad())?;
    let value = match &value {
        Value::Null => Sql::Null,
        Value::Number(number) => Sql::Integer(number.as_i64().ok_or_else(bad)?),
        Value::Object(object) => {
            let bits = object.get("real").and_then(Value::as_u64).ok_or_else(bad)?;
            Sql::Real(f64::from_bits(bits))
        }
        Value::String(text) => Sql::Text(text.clone()),
        Value::Bool(_) | Value::Array(_) => return Err(bad()),
    };
    Ok((value, id))
}

/// As SQLite's `json_extract` gives it.
fn scalar(value: &Value, field: &str) -> Result<Sql> {
    Ok(match value {
        Value::Null => Sql::Null,
        Value::Bool(flag) => Sql::Integer(i64::from(*flag)),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Sql::Integer(integer),
            (None, Some(real)) => Sql::Real(real),
            (None, None) => return Err(Error::invalid(field, "a number out of range")),
        },
        Value::String(text) => Sql::Text(text.clone()),
        Value::Array(_) | Value::Object(_) => Sql::Text(value.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        collection::Collections,
        conflict::Policy,
        db::{Db, OpenOptions, Place},
        record,
    };

    fn filled() -> Db {
        let session = Collection::new("session", Policy::Ask);
        let set = Collection::new("set", Policy::Ask)
            .child_of("session", "session_id")
            .index("day")
            .index("exercise");
        let mut options = OpenOptions::new("", "a", Collections::new([session, set]).unwrap());
        options.place = Place::Memory;
        let mut db = Db::open(options).unwrap();
        db.write(|write| {
            for n in 0..60 {
                let day = match n % 6 {
                    0 => "null".to_owned(),
                    day => day.to_string(),
                };
                let body = format!(
                    r#"{{"session_id":"s{}","day":{day},"exercise":"e{}","reps":{}}}"#,
                    n % 4,
                    n % 3,
                    n % 5
                );
                record::put(write, "set", &format!("{n:02}"), &body)?;
            }
            Ok(())
        })
        .unwrap();
        db
    }

    fn ids(db: &Db, query: &Query) -> Vec<String> {
        let (mut ids, mut query) = (Vec::new(), query.clone());
        loop {
            let page = db.read(|read| read.query(&query)).unwrap();
            ids.extend(page.records.into_iter().map(|record| record.id));
            match page.next {
                Some(next) => query = query.after(next),
                None => return ids,
            }
        }
    }

    fn queries() -> Vec<Query> {
        let set = || Query::new("set");
        let narrowed = [
            set(),
            set().filter("session_id", Compare::Eq, "s1"),
            set().filter("exercise", Compare::Eq, "e1"),
            set().filter("day", Compare::Eq, Value::Null),
            set().filter("day", Compare::Ge, 3),
            set().filter("day", Compare::Ne, 3),
            set().filter("reps", Compare::Lt, 3),
        ];
        let ordered = |query: Query| {
            [
                query.clone(),
                query.clone().order_by("day"),
                query.clone().order_by("exercise"),
                query.order_by("reps"),
            ]
        };
        narrowed
            .into_iter()
            .flat_map(ordered)
            .flat_map(|query| [query.clone(), query.descending()])
            .collect()
    }

    #[test]
    fn pages_put_together_are_the_whole_in_order() {
        let db = filled();
        for query in queries() {
            let whole = ids(&db, &query.clone().limit(1_000));
            let mut distinct = whole.clone();
            distinct.sort();
            distinct.dedup();
            assert_eq!(distinct.len(), whole.len(), "{query:?}");
            assert!(!whole.is_empty(), "{query:?}");
            for limit in [1, 7, 59] {
                assert_eq!(ids(&db, &query.clone().limit(limit)), whole, "{query:?} by {limit}");
            }
        }
    }

    #[test]
    fn an_index_that_is_gone_changes_no_answer() {
        let db = filled();
        let with: Vec<_> = queries()
            .iter()
            .map(|query| ids(&db, &query.clone().limit(7)))
            .collect();
        db.read(|read| {
            Ok(read
                .conn
                .execute_batch("DROP INDEX field_set__day; DROP INDEX field_set__exercise")?)
        })
        .unwrap();
        let without: Vec<_> = queries()
            .iter()
            .map(|query| ids(&db, &query.clone().limit(7)))
            .collect();
        assert_eq!(with, without);
    }

    fn plan(query: &Query) -> String {
        let db = filled();
        db.read(|read| {
            let collection = read.shared.collections.get("set")?;
            let wanted = Select {
                position: "NULL".to_owned(),
                index: index_for(collection, query),
                conditions: "collection = 'set' AND body IS NOT NULL".to_owned(),
                values: Vec::new(),
                order: query
                    .order
                    .as_ref()
                    .map_or("id".to_owned(), |field| format!("{}, id", json_path(field))),
                limit: 51,
            };
            let parts = match &query.after {
                None => vec![wanted],
                Some(after) => start_after(wanted, query.order.as_ref(), query.descending, decode_after(after)?),
            };
            let part = &parts[0];
            let sql = format!("EXPLAIN QUERY PLAN {}", part.sql(part.index.as_deref()));
            let mut statement = read.conn.prepare(&sql)?;
            let rows = statement.query_map(rusqlite::params_from_iter(&part.values), |row| row.get(3))?;
            Ok(rows.collect::<rusqlite::Result<Vec<String>>>()?.join("; "))
        })
        .unwrap()
    }

    #[test]
    fn an_ordered_page_reads_the_index_and_nothing_else() {
        let by_day = Query::new("set").order_by("day");
        assert_eq!(plan(&by_day), "SCAN record USING INDEX field_set__day");
        assert_eq!(
            plan(&by_day.after("[3,\"05\"]")),
            "SEARCH record USING INDEX field_set__day (<expr>>?)"
        );
    }
}
