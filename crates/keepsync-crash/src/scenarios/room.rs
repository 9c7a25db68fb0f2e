//! A log that grows, and a disk that is small.

use super::scenario;
use crate::{
    act::{Act, Scenario, close, pass, settle, work},
    server::Net,
};
use keepsync::record;

fn noted(id: &str) -> String {
    format!("{{\"id\":\"{id}\",\"text\":\"{}\"}}", "x".repeat(1_500))
}

/// Writes much, one transaction each.
fn many(name: &'static str, prefix: &'static str, count: usize) -> Act {
    work(name, move |db, done| {
        for n in 0..count {
            let id = format!("{prefix}{n}");
            db.write(|write| record::put(write, "weight", &id, &noted(&id)))?;
            done();
        }
        Ok(())
    })
}

pub(super) fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            wal_bytes: 48 * 1024,
            ..scenario(
                "move-the-log",
                vec![many("write much", "a", 8)],
                vec![many("write more", "b", 6), pass(Net::Well), close()],
            )
        },
        Scenario {
            wal_bytes: 64 * 1024,
            room: Some(16 * 1024),
            ..scenario(
                "prune-for-room",
                vec![many("write much", "a", 40), settle()],
                vec![many("write more", "b", 1), pass(Net::Well)],
            )
        },
    ]
}
