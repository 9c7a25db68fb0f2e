//! A sound file of a device, damaged: from the input come places and bytes to write there. The first page's
//! header is left alone, so that SQLite gets to look at the rest. What must hold is [`file`](super::file)'s.

use crate::device::{folder, options};
use keepsync::{Db, kv, record, session};
use std::sync::OnceLock;

/// SQLite's own header; with another it is no database at all, which `file` has.
const HEADER: usize = 100;

pub(crate) fn run(data: &[u8]) {
    let mut bytes = sound().to_vec();
    for change in data.chunks(6).take(64) {
        let [page_high, page_low, at_high, at_low, kind, value] =
            std::array::from_fn(|n| change.get(n).copied().unwrap_or(0));
        let pages = bytes.len().div_ceil(4_096);
        let page = usize::from(u16::from_be_bytes([page_high, page_low])) % pages.max(1);
        let at = (page * 4_096 + usize::from(u16::from_be_bytes([at_high, at_low])) % 4_096).max(HEADER);
        if at >= bytes.len() {
            continue;
        }
        let length = usize::from(kind >> 3).pow(2);
        let end = (at + length.max(1)).min(bytes.len());
        match kind & 7 {
            0 => bytes[at] ^= value.max(1),
            1 => bytes[at..end].fill(value),
            2 => bytes[at..end].fill(0),
            // A page that was never written, or written to half.
            3 => bytes[page * 4_096..][..4_096]
                .iter_mut()
                .skip(if page == 0 { HEADER } else { 0 })
                .for_each(|byte| *byte = value),
            4 => bytes[at..end].reverse(),
            5 => bytes[at] = value,
            // The file is shorter than it was.
            6 if value < 8 => bytes.truncate(at),
            _ => bytes[at] = bytes[at].wrapping_add(value),
        }
    }
    super::file::open_and_use(&bytes);
}

/// Always the same, but for what SQLite itself counts.
fn sound() -> &'static [u8] {
    static SOUND: OnceLock<Vec<u8>> = OnceLock::new();
    SOUND.get_or_init(made)
}

pub(crate) fn made() -> Vec<u8> {
    let folder = folder();
    let path = folder.path().join("file.keepsync");
    let mut db = Db::open(options(Some(path.clone()))).unwrap();
    let notes = "Schulter zwickt. ".repeat(40);
    db.write(|write| {
        for n in 0..20 {
            // One body is longer than a page.
            let notes = if n == 7 { notes.repeat(10) } else { notes.clone() };
            let body = format!(r#"{{"date":"2025-{n:04}","notes":"{notes}"}}"#);
            record::put(write, "workout", &format!("w{n:02}"), &body)?;
            kv::set(write, &format!("key-{n:02}"), &notes)?;
        }
        for (collection, children, id) in [("workout", "set_log", "live"), ("plan", "plan_set", "held")] {
            session::start(write, collection, children, id, "{}")?;
            for slot in 0..4 {
                session::log_set(write, collection, id, &format!("bench/{slot}"), r#"{"weight":82.5}"#)?;
            }
            session::note(write, collection, id, Some("rest until 18:05"))?;
        }
        record::delete(write, "workout", "w03").map(drop)
    })
    .unwrap();
    drop(db);
    std::fs::read(path).unwrap()
}
