//! The file as rows of checked cells.
//!
//! Columns are known by their position, because the app writes their names in its own language. There
//! are twelve, separated by commas or semicolons: date, workout name, duration, exercise name, set
//! order, weight, reps, distance, seconds, notes, workout notes, RPE. The first line holds the names,
//! unless it starts with a date.
//!
//! Texts are kept byte for byte. Numbers are kept as they were written, with a decimal point; an empty
//! cell is no value. What is wrong is told by line and column, never by content.

use csv::{ReaderBuilder, StringRecord};
use serde_json::value::RawValue;
use std::fmt;

const COLUMNS: [&str; 12] = [
    "date",
    "workout name",
    "duration",
    "exercise name",
    "set order",
    "weight",
    "reps",
    "distance",
    "seconds",
    "notes",
    "workout notes",
    "RPE",
];

/// One set.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) date: String,
    pub(super) name: Option<String>,
    pub(super) duration: Option<String>,
    pub(super) exercise: String,
    pub(super) order: String,
    pub(super) weight: Option<Box<RawValue>>,
    pub(super) reps: Option<Box<RawValue>>,
    pub(super) distance: Option<Box<RawValue>>,
    pub(super) seconds: Option<Box<RawValue>>,
    pub(super) notes: Option<String>,
    pub(super) workout_notes: Option<String>,
    pub(super) rpe: Option<Box<RawValue>>,
}

/// What is wrong with a file, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    line: u64,
    column: Option<usize>,
    problem: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if let Some(column) = self.column {
            let name = COLUMNS.get(column).copied().unwrap_or("?");
            write!(f, ", column {} ({name})", column + 1)?;
        }
        write!(f, ": {}", self.problem)
    }
}

fn wrong(line: u64, column: impl Into<Option<usize>>, problem: impl Into<String>) -> Wrong {
    Wrong {
        line,
        column: column.into(),
        problem: problem.into(),
    }
}

/// All rows, in the order of the file.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Row>, Wrong> {
    let text = std::str::from_utf8(bytes).map_err(|problem| {
        let before = bytes.get(..problem.valid_up_to()).unwrap_or_default();
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count() as u64;
        wrong(line, None, "not UTF-8")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let delimiter = delimiter(text)?;
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(text.as_bytes());
    let mut rows = Vec::new();
    for (n, record) in reader.records().enumerate() {
        // The text is UTF-8 and rows may be of any length, so nothing else can go wrong.
        let record = record.map_err(|_| wrong(n as u64 + 1, None, "not a row of values"))?;
        let line = record.position().map_or(0, csv::Position::line);
        if record.len() != COLUMNS.len() {
            return Err(wrong(line, None, format!("{} columns, 12 are expected", record.len())));
        }
        // The first line names the columns, in whatever language.
        if n == 0 && !is_date(cell(&record, 0)) {
            continue;
        }
        rows.push(row(&record, line)?);
    }
    Ok(rows)
}

/// The one that gives twelve columns in the first line.
fn delimiter(text: &str) -> Result<u8, Wrong> {
    let columns = |delimiter: u8| {
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .delimiter(delimiter)
            .from_reader(text.as_bytes());
        let mut first = StringRecord::new();
        match reader.read_record(&mut first) {
            Ok(true) => first.len(),
            Ok(false) | Err(_) => 0,
        }
    };
    let (commas, semicolons) = (columns(b','), columns(b';'));
    match (commas, semicolons) {
        (12, _) => Ok(b','),
        (_, 12) => Ok(b';'),
        (0, _) => Err(wrong(1, None, "the file is empty")),
        _ => {
            let found = commas.max(semicolons);
            Err(wrong(1, None, format!("{found} columns, 12 are expected")))
        }
    }
}

fn cell(record: &StringRecord, column: usize) -> &str {
    record.get(column).unwrap_or_default()
}

fn row(record: &StringRecord, line: u64) -> Result<Row, Wrong> {
    let text = |column: usize| {
        Some(cell(record, column))
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let needed = |column: usize| text(column).ok_or_else(|| wrong(line, column, "is empty"));
    let number = |column: usize| number(cell(record, column)).map_err(|problem| wrong(line, column, problem));
    let date = needed(0)?;
    if !is_date(&date) {
        return Err(wrong(line, 0, "not a date like 2021-02-10 16:46:13"));
    }
    let order = needed(4)?;
    if order.len() > 32 || !order.chars().all(|c| c.is_alphanumeric() || c == ' ') {
        return Err(wrong(line, 4, "not the number or the kind of a set"));
    }
    Ok(Row {
        date,
        name: text(1),
        duration: text(2),
        exercise: needed(3)?,
        order,
        weight: number(5)?,
        reps: number(6)?,
        distance: number(7)?,
        seconds: number(8)?,
        notes: text(9),
        workout_notes: text(10),
        rpe: number(11)?,
    })
}

/// `2021-02-10 16:46`, with seconds or without, with a blank or a T.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let pattern: &[u8] = match bytes.len() {
        16 => b"dddd-dd-dd dd:dd",
        19 => b"dddd-dd-dd dd:dd:dd",
        _ => return false,
    };
    let fits = bytes.iter().zip(pattern).all(|(byte, wanted)| match wanted {
        b'd' => byte.is_ascii_digit(),
        b' ' => matches!(byte, b' ' | b'T'),
        other => byte == other,
    });
    let two = |at: usize| {
        text.get(at..at + 2)
            .and_then(|two| two.parse::<u8>().ok())
            .unwrap_or(u8::MAX)
    };
    fits && (1..=12).contains(&two(5)) && (1..=31).contains(&two(8)) && two(11) < 24 && two(14) < 60
}

/// A number as JSON writes it, every digit kept; a decimal comma becomes a point.
fn number(text: &str) -> Result<Option<Box<RawValue>>, &'static str> {
    const PROBLEM: &str = "not a number";
    if text.is_empty() {
        return Ok(None);
    }
    let text = if text.contains('.') {
        text.to_owned()
    } else {
        text.replacen(',', ".", 1)
    };
    let looks =
        text.starts_with(|c: char| c.is_ascii_digit() || c == '-') && text.ends_with(|c: char| c.is_ascii_digit());
    if !looks || text.len() > 40 {
        return Err(PROBLEM);
    }
    RawValue::from_string(text).map(Some).map_err(|_| PROBLEM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_every_digit_and_nothing_else_is_one() {
        let kept = |text: &str| number(text).unwrap().map(|number| number.get().to_owned());
        let table = [
            ("75.0", "75.0"),
            ("82,5", "82.5"),
            ("0", "0"),
            ("1e3", "1e3"),
            ("-2.50", "-2.50"),
        ];
        for (text, expected) in table {
            assert_eq!(kept(text).as_deref(), Some(expected));
        }
        assert_eq!(kept(""), None);
        for text in [
            "1.234,5", "1,234,5", "x", "007", "NaN", "+1", "1.", " 1", "[1]", "\"1\"", "-",
        ] {
            assert!(number(text).is_err(), "{text}");
        }
    }

    #[test]
    fn dates_are_those_of_a_calendar_and_a_clock() {
        for text in ["2021-02-10 16:46:13", "2021-02-10 16:46", "2021-02-10T16:46:13"] {
            assert!(is_date(text), "{text}");
        }
        for text in [
            "Date",
            "10.02.2021 16:46",
            "2021-13-10 16:46",
            "2021-02-10 24:00",
            "2021-02-10",
            "2021-02-1é 6:46",
        ] {
            assert!(!is_date(text), "{text}");
        }
    }
}
