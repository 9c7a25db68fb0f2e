//! `docs/conflicts.md`, read and run: every cell of its tables through the real core.
//!
//! With `KEEPSYNC_BLESS=1` the tables are written anew from what the core does. Whoever does that reads
//! every changed cell: it has to follow from the design's words, not from the code.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests are tests too")]

#[path = "support/device.rs"]
mod device;
#[path = "support/fleet.rs"]
mod fleet;

use device::*;
use fleet::{Server, sync};
use keepsync::{
    collection::{Collection, Collections},
    conflict::Policy,
    drain::{Answer, Request},
    remote::{Outcome, PullPage, PushAnswer, RemoteVersion},
    settings::Settings,
};
use serde_json::Value;
use std::{fmt::Write as _, path::PathBuf};

const ID: &str = "r";

fn document() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/conflicts.md")
}

/// The policies in the order of the table's columns.
fn policies() -> [Policy; 10] {
    [
        Policy::ServerWins,
        Policy::ClientWins,
        Policy::LastWriteWins,
        Policy::latest_of("at"),
        Policy::lww_per("day"),
        Policy::merge_max(""),
        Policy::Counter,
        Policy::merge_fields([["w", "r"]]),
        Policy::Ask,
        Policy::custom("app"),
    ]
}

fn a_device(name: u64, collections: impl IntoIterator<Item = Collection>) -> Device {
    let settings = Settings {
        jitter: 0.0,
        ..Settings::default()
    };
    Device::with(name, None, settings, Collections::new(collections).unwrap())
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Here {
    Absent,
    Clean,
    Edited,
    Deleted,
    InConflict,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Incoming {
    Absent,
    Same,
    Newer,
    Deleted,
}

/// Which of the two was written later; `None` where it makes no difference to anything.
type Later = Option<bool>;

fn rows() -> Vec<(Here, Incoming, Later)> {
    let mut rows = Vec::new();
    for here in [Here::Absent, Here::Clean, Here::Edited, Here::Deleted, Here::InConflict] {
        for incoming in [Incoming::Absent, Incoming::Same, Incoming::Newer, Incoming::Deleted] {
            if here == Here::Absent && incoming == Incoming::Same {
                continue;
            }
            let unsent = matches!(here, Here::Edited | Here::Deleted);
            if unsent && matches!(incoming, Incoming::Newer | Incoming::Deleted) {
                rows.extend([(here, incoming, Some(true)), (here, incoming, Some(false))]);
            } else {
                rows.push((here, incoming, None));
            }
        }
    }
    rows
}

fn label((here, incoming, later): (Here, Incoming, Later)) -> String {
    let here = match here {
        Here::Absent => "absent",
        Here::Clean => "clean",
        Here::Edited => "edited",
        Here::Deleted => "deleted",
        Here::InConflict => "in conflict",
    };
    let incoming = match incoming {
        Incoming::Absent => "absent",
        Incoming::Same => "same",
        Incoming::Newer => "newer",
        Incoming::Deleted => "deleted",
    };
    let later = match later {
        None => "",
        Some(true) => "here",
        Some(false) => "there",
    };
    format!("{here} | {incoming} | {later}")
}

/// Ours changes one field, theirs another; the instant is later on the side that was written later.
fn bodies(policy: &Policy, ours_later: bool) -> [String; 3] {
    let at = |minute: u8| match policy {
        Policy::LatestOf(_) => format!(r#","at":"2026-11-20T10:{minute:02}:00Z""#),
        _ => String::new(),
    };
    let (ours, theirs) = if ours_later { (30, 20) } else { (20, 30) };
    [
        format!(r#"{{"x":1,"y":1{}}}"#, at(10)),
        format!(r#"{{"x":2,"y":1{}}}"#, at(ours)),
        format!(r#"{{"x":1,"y":3{}}}"#, at(theirs)),
    ]
}

/// What the core does, in the table's words; `None` where the row cannot be.
fn run(policy: &Policy, (here, incoming, later): (Here, Incoming, Later)) -> Option<&'static str> {
    let asks = matches!(policy, Policy::Ask | Policy::Custom(_));
    if here == Here::InConflict && !asks {
        return None;
    }
    let ours_later = later.unwrap_or(false);
    let [base, ours, theirs] = bodies(policy, ours_later);
    let mut device = a_device(1, [Collection::new("c", policy.clone())]);
    if here != Here::Absent {
        let first = told(version(1, Some(&base), -10_000));
        device.pull_only(vec![change("c", ID, first)]);
        device.pass_time(5_000);
    }
    match here {
        Here::Edited | Here::InConflict => drop(device.put("c", ID, &ours)),
        Here::Deleted => device.delete("c", ID),
        Here::Absent | Here::Clean => {}
    }
    let mut next = 2;
    if here == Here::InConflict {
        device.pull_only(vec![change("c", ID, theirs_at(2, Some(r#"{"x":9}"#), ours_later))]);
        next = 3;
    }
    let conflicts_before = open(&device);
    let record_before = device.db.read(|read| read.record("c", ID)).unwrap();
    let entries_before = device.entries();
    match incoming {
        Incoming::Same if here == Here::InConflict => {
            device.pull_only(vec![change("c", ID, theirs_at(2, Some(r#"{"x":9}"#), ours_later))]);
        }
        Incoming::Same => device.pull_only(vec![change("c", ID, told(version(1, Some(&base), -10_000)))]),
        Incoming::Newer => device.pull_only(vec![change("c", ID, theirs_at(next, Some(&theirs), ours_later))]),
        Incoming::Deleted => device.pull_only(vec![change("c", ID, theirs_at(next, None, ours_later))]),
        Incoming::Absent => not_there(&mut device),
    }
    let conflicts = open(&device);
    let record = device.db.read(|read| read.record("c", ID)).unwrap();
    let entries = device.entries();
    let body = |record: &Option<keepsync::record::Record>| -> Option<Value> {
        let text = record.as_ref()?.body.clone()?;
        Some(serde_json::from_str(&text).unwrap())
    };
    let is = |text: &str| body(&record) == Some(serde_json::from_str(text).unwrap());
    Some(match (conflicts.first(), conflicts_before.first()) {
        (Some(now), Some(before)) if now == before => "still asked",
        (Some(now), Some(_)) => {
            assert_eq!(now.local.as_deref(), Some(ours.as_str()));
            "ask again"
        }
        (Some(now), None) => {
            let edited = (here == Here::Edited).then_some(ours.as_str());
            assert_eq!(now.local.as_deref(), edited, "ours is in sight");
            let expected = (incoming == Incoming::Newer).then_some(theirs.as_str());
            assert_eq!(now.remote.as_deref(), expected, "theirs is in sight");
            match policy {
                Policy::Custom(_) => "app decides",
                _ => "ask",
            }
        }
        (None, _) if record == record_before && entries == entries_before => "nothing",
        (None, _) if entries.is_empty() => match (&record, incoming) {
            (None, Incoming::Absent) => "remove it",
            (Some(_), Incoming::Deleted) if body(&record).is_none() => "take it",
            (Some(_), Incoming::Newer) if is(&theirs) => "take it",
            // Nothing is there, so that is what it comes to.
            (Some(_), Incoming::Absent) if body(&record).is_none() => "take it",
            (record, _) => panic!("{record:?}"),
        },
        (None, _) => {
            let mut sent = Vec::new();
            device.push(|item| {
                sent.push((item.body.clone(), item.base_version));
                Some(accepted(item.base_version + 1))
            });
            let [(sent, on)] = sent.as_slice() else {
                panic!("{sent:?}")
            };
            let expected = match incoming {
                Incoming::Newer | Incoming::Deleted => next,
                Incoming::Absent => 0,
                Incoming::Same => 1,
            };
            assert_eq!(*on, expected, "on top of what is there");
            match sent {
                None => "delete it there",
                Some(text) if *text == ours => "keep ours, send",
                Some(text) => {
                    let merged: Value = serde_json::from_str(text).unwrap();
                    assert_eq!(
                        (&merged["x"], &merged["y"]),
                        (&2.into(), &3.into()),
                        "both have a part in it"
                    );
                    "merge, send"
                }
            }
        }
    })
}

/// Conflicts that wait for the user or for the app's resolver.
fn open(device: &Device) -> Vec<keepsync::conflict::Conflict> {
    let waiting = device.db.read(|read| read.unresolved()).unwrap();
    let mut open = device.db.read(|read| read.conflicts()).unwrap();
    open.extend(waiting.into_iter().map(|one| one.conflict));
    open
}

/// As Keepsync's own server gives it: with the clocks of units, of which there is nothing to say.
fn told(version: RemoteVersion) -> RemoteVersion {
    RemoteVersion {
        clocks: Some("{}".to_owned()),
        ..version
    }
}

/// Another device's write a little before or after ours. Of what it does not change it says so.
fn theirs_at(number: i64, body: Option<&str>, ours_later: bool) -> RemoteVersion {
    let at = if ours_later { 1_000 } else { 60_000 };
    let first = "1763599990000-0";
    let clocks = format!(
        r#"{{"":["{first}","tablet"],".":["{}-0","tablet"],"/y":["{}-0","tablet"]}}"#,
        START + at,
        START + at
    );
    RemoteVersion {
        clocks: Some(if body.is_some() { clocks } else { "{}".to_owned() }),
        ..version(number, body, at)
    }
}

/// The server has no such record: a pull from the start does not bring it, and a push is told so.
fn not_there(device: &mut Device) {
    let again = PullPage {
        whole: vec!["c".to_owned()],
        ..PullPage::default()
    };
    keepsync::drain::carry_out(&mut device.db, keepsync::drain::Step::ApplyPage(PullPage::default()));
    keepsync::drain::carry_out(&mut device.db, keepsync::drain::Step::ApplyPage(again));
    let mut once = false;
    if device
        .entries()
        .iter()
        .any(|entry| entry.state == keepsync::queue::EntryState::Waiting)
    {
        let wake = keepsync::drain::Event::Wake(keepsync::drain::Trigger::User);
        device.feed(wake, |request| match request {
            Request::Push(batch) => Some(answered(&batch, &mut |_| {
                let first = !std::mem::replace(&mut once, true);
                first.then(|| Outcome::Conflict(told(RemoteVersion::default())))
            })),
            // The table is about what is asked, not about what an app answers.
            Request::Resolve(_) => None,
            other => Some(well(other)),
        });
        device.drain = device.fresh_drain();
        device.pass_time(120_000);
    }
}

fn cells() -> String {
    let mut table = String::from("| here | incoming | later |");
    for policy in policies() {
        write!(table, " {} |", policy.as_str()).unwrap();
    }
    table.push_str("\n|---|---|---|");
    table.push_str(&"---|".repeat(policies().len()));
    table.push('\n');
    for row in rows() {
        write!(table, "| {} |", label(row)).unwrap();
        for policy in policies() {
            let found = run(&policy, row);
            write!(table, " {} |", found.unwrap_or("-")).unwrap();
        }
        table.push('\n');
    }
    table
}

fn part<'d>(document: &'d str, name: &str) -> &'d str {
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let from = document.find(&start).unwrap() + start.len();
    let to = document.find(&end).unwrap();
    &document[from..to]
}

fn marked(table: &str) -> String {
    format!("<!-- cells -->\n{table}<!-- end of cells -->")
}

fn blessing() -> bool {
    std::env::var_os("KEEPSYNC_BLESS").is_some()
}

#[test]
fn every_cell_of_the_table_is_what_the_core_does() {
    let document_text = std::fs::read_to_string(document()).unwrap();
    let expected = part(&document_text, "cells");
    let found = cells();
    if blessing() {
        std::fs::write(document(), document_text.replace(&marked(expected), &marked(&found))).unwrap();
        return;
    }
    for (expected, found) in expected.lines().zip(found.lines()) {
        assert_eq!(expected, found);
    }
    assert_eq!(expected, found);
}

/// A row of a table of values.
struct Values<'d> {
    collection: Collection,
    base: Option<&'d str>,
    /// What each device writes, one after the other; `None` deletes.
    here: Vec<Option<&'d str>>,
    there: Vec<Option<&'d str>>,
    here_later: bool,
    result: Option<Value>,
    line: &'d str,
}

fn values<'d>(document: &'d str, name: &str) -> Vec<Values<'d>> {
    let lines = part(document, name).lines().skip(2);
    lines
        .map(|line| {
            let [policy, base, here, there, later, result] = columns(line);
            let base = body(base);
            Values {
                collection: collection(policy.trim_matches('`')),
                base,
                here: writes(here, base),
                there: writes(there, base),
                here_later: is_here(later),
                result: value(body(result)),
                line,
            }
        })
        .collect()
}

fn columns<const N: usize>(line: &str) -> [&str; N] {
    let columns: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
    columns.try_into().unwrap_or_else(|_| panic!("{line}"))
}

fn writes<'d>(cell: &'d str, base: Option<&'d str>) -> Vec<Option<&'d str>> {
    let one = |text| if text == "same again" { base } else { body(text) };
    cell.split(", then ").map(one).collect()
}

fn is_here(later: &str) -> bool {
    match later {
        "here" => true,
        "there" => false,
        other => panic!("{other}"),
    }
}

fn value(text: Option<&str>) -> Option<Value> {
    text.map(|text| serde_json::from_str(text).unwrap())
}

fn body(cell: &str) -> Option<&str> {
    (!matches!(cell, "" | "deleted" | "not there")).then(|| cell.trim_matches('`'))
}

/// `policy(argument)`, and for groups `policy + policy(...): fields`.
fn collection(text: &str) -> Collection {
    let mut parts = text.split(" + ");
    let made = Collection::new("c", policy(parts.next().unwrap()));
    parts.fold(made, |made, part| {
        let (of, fields) = part.split_once(": ").unwrap();
        made.group(fields.split(", "), policy(of))
    })
}

fn policy(text: &str) -> Policy {
    let (name, argument) = text.split_once('(').unwrap_or((text, ")"));
    let argument = argument.trim_end_matches(')');
    match name {
        "server_wins" => Policy::ServerWins,
        "client_wins" => Policy::ClientWins,
        "last_write_wins" => Policy::LastWriteWins,
        "ask" => Policy::Ask,
        "latest_of" => Policy::latest_of(argument),
        "lww_per" => Policy::lww_per(argument),
        "merge_max" => Policy::merge_max(argument),
        "counter" => Policy::Counter,
        "merge_fields" if argument.is_empty() => Policy::MergeFields(Vec::new()),
        "merge_fields" => Policy::merge_fields(argument.split("; ").map(|group| group.split('+'))),
        other => panic!("{other}"),
    }
}

#[test]
fn every_row_of_values_comes_out_on_both_devices_in_either_order() {
    let text = std::fs::read_to_string(document()).unwrap();
    let rows = values(&text, "values");
    assert!(rows.len() >= 30, "{} rows", rows.len());
    for row in rows {
        comes_out(&row, false);
    }
}

#[test]
fn every_row_comes_out_where_the_backend_keeps_no_clocks() {
    let text = std::fs::read_to_string(document()).unwrap();
    let rows = values(&text, "values without clocks");
    assert!(rows.len() >= 5, "{} rows", rows.len());
    for row in rows {
        comes_out(&row, true);
    }
}

/// Runs a row, with each device as the first to sync.
fn comes_out(row: &Values<'_>, forgets_clocks: bool) {
    for here_first in [true, false] {
        let mut server = Server::default();
        server.forgets_clocks = forgets_clocks;
        let mut phone = a_device(1, [row.collection.clone()]);
        let mut tablet = a_device(2, [row.collection.clone()]);
        if let Some(base) = row.base {
            phone.put("c", ID, base);
            sync(&mut phone, &mut server);
            sync(&mut tablet, &mut server);
        }
        let (early, late) = (10_000, 40_000);
        let (ours, theirs) = if row.here_later { (late, early) } else { (early, late) };
        for (device, writes, wait) in [(&mut phone, &row.here, ours), (&mut tablet, &row.there, theirs)] {
            device.pass_time(500_000 + wait);
            for body in writes {
                match body {
                    Some(body) => drop(device.put("c", ID, body)),
                    None => device.delete("c", ID),
                }
            }
        }
        let (first, second) = if here_first {
            (&mut phone, &mut tablet)
        } else {
            (&mut tablet, &mut phone)
        };
        for _ in 0..2 {
            sync(first, &mut server);
            sync(second, &mut server);
        }
        let order = if here_first { "here first" } else { "there first" };
        let there = server.version("c", ID).and_then(|version| version.body.as_deref());
        for (name, found) in [
            ("the server", value(there)),
            ("here", value(phone.body("c", ID).as_deref())),
            ("there", value(tablet.body("c", ID).as_deref())),
        ] {
            assert_eq!(found, row.result, "{name}, {order}: {}", row.line);
        }
        assert!(
            phone.entries().is_empty() && tablet.entries().is_empty(),
            "{order}: {}",
            row.line
        );
    }
}

#[test]
fn every_row_of_writes_given_again_comes_out() {
    let text = std::fs::read_to_string(document()).unwrap();
    let lines: Vec<&str> = part(&text, "values given again").lines().skip(2).collect();
    assert!(lines.len() >= 5, "{} rows", lines.len());
    for line in lines {
        let [policy, before, again, there, later, result] = columns(line);
        let found = given_again(
            collection(policy.trim_matches('`')),
            [before, again, there].map(|cell| body(cell).unwrap()),
            is_here(later),
        );
        let expected = (result != "asks").then(|| value(body(result)));
        assert_eq!(found, expected, "{line}");
    }
}

/// The server took two writes of ours, was restored to the first, and has another device's on top of
/// that. What the record and the server come to; `None` where the user is asked.
fn given_again(collection: Collection, [before, again, there]: [&str; 3], here_later: bool) -> Option<Option<Value>> {
    let mut device = a_device(1, [collection]);
    for body in [before, again] {
        device.put("c", ID, body);
        device.sync(|request| {
            Some(in_epoch(
                "e1",
                match request {
                    Request::Push(batch) => answered(&batch, &mut |item| Some(accepted(item.base_version + 1))),
                    other => well(other),
                },
            ))
        });
        device.pass_time(60_000);
    }
    assert!(device.entries().is_empty());
    let at = if here_later { 30_000 } else { 90_000 };
    let mut server = told(version(2, Some(there), at));
    let mut refused = false;
    for _ in 0..2 {
        device.sync(|request| {
            let answer = match request {
                Request::Pull(_) => Answer::Pulled(Ok(PullPage {
                    branch: Some(("e1".to_owned(), 1)),
                    changes: vec![change("c", ID, server.clone())],
                    ..PullPage::default()
                })),
                Request::Push(batch) => answered(&batch, &mut |item| {
                    if item.base_version < server.version {
                        assert_eq!(item.body.as_deref(), Some(again), "given again as it was");
                        refused = true;
                        return Some(Outcome::Conflict(server.clone()));
                    }
                    server = told(RemoteVersion {
                        op: Some(item.op),
                        hlc: item.hlc,
                        ..version(server.version + 1, item.body.as_deref(), 0)
                    });
                    Some(accepted(server.version))
                }),
                other => well(other),
            };
            Some(in_epoch("e2", answer))
        });
    }
    assert!(refused, "it came to a conflict");
    let open = open(&device);
    if let Some(conflict) = open.first() {
        assert_eq!(conflict.local.as_deref(), Some(again), "ours is in sight");
        assert_eq!(conflict.remote.as_deref(), Some(there), "theirs is in sight");
        return None;
    }
    assert!(device.entries().is_empty());
    let found = value(device.body("c", ID).as_deref());
    assert_eq!(value(server.body.as_deref()), found, "on both sides");
    Some(found)
}

/// The answer of a server whose data is in this life.
fn in_epoch(epoch: &str, answer: Answer) -> Answer {
    let epoch = Some(epoch.to_owned());
    match answer {
        Answer::Pulled(Ok(page)) => Answer::Pulled(Ok(PullPage { epoch, ..page })),
        Answer::Pushed(Ok(pushed)) => Answer::Pushed(Ok(PushAnswer { epoch, ..pushed })),
        other => other,
    }
}
