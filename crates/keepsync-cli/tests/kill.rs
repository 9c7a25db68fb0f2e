//! Real processes, killed with SIGKILL at random moments:
//!
//! * `kill/device.rs`: a device that writes and drains, a real `keepsync serve`, or both at once;
//! * `kill/ends.rs`: accounts that are made, imported into, signed out and wiped;
//! * `kill/pair.rs`: two processes that have one file open.
//!
//! What they were told, what is shown in the end and what the server's file holds goes to the independent
//! oracle (`keepsync-oracle`), which judges by the promises: lost, doubled, out of order, child before parent,
//! not converged, unsent without a reason.
//!
//! `KEEPSYNC_KILLS` says how often (default 500), `KEEPSYNC_KILL_SEED` repeats the moments of a run. Histories
//! of runs that failed are kept, for `keepsync-oracle check`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the helpers of tests are tests too"
)]

#[path = "kill/device.rs"]
mod device;
#[path = "kill/ends.rs"]
mod ends;
#[path = "kill/pair.rs"]
mod pair;
#[path = "kill/play.rs"]
mod play;
#[path = "kill/process.rs"]
mod process;

use keepsync_oracle::{Fact, History, Told, check};
use std::path::Path;
use tempfile::TempDir;

const USER: &str = "lifter";

/// Scenes of devices and servers that run side by side.
const SCENES: u64 = 3;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

fn kills() -> (u64, u64) {
    (number("KEEPSYNC_KILLS", 500), number("KEEPSYNC_KILL_SEED", 1))
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

fn token(data: &Path) -> String {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    keepsync_server::access_token(data, USER, 30 * 86_400, i64::try_from(now).unwrap()).unwrap()
}

const PARENTS: [(&str, &str); 1] = [("set_log", "workout_id")];

fn collection_facts() -> Vec<Fact> {
    vec![Fact::Collection {
        name: "set_log".to_owned(),
        parent: Some(("workout".to_owned(), "workout_id".to_owned())),
        merges: false,
        sent: true,
        pulled: true,
    }]
}

fn held_by_server(folder: &Path) -> Vec<Fact> {
    keepsync_oracle::dump(&folder.join("server").join("server.db"), &PARENTS).unwrap()
}

/// Gives how many writes returned.
fn judge(folder: TempDir, facts: Vec<Fact>, seed: u64) -> usize {
    let history = History::of(facts).unwrap();
    let violations = check(&history);
    let returned = history
        .writes
        .values()
        .filter(|write| write.told == Told::Returned)
        .count();
    if !violations.is_empty() {
        std::fs::write(folder.path().join("history.jsonl"), history.to_lines()).unwrap();
        let kept = folder.keep();
        println!("the files and history.jsonl are kept in {}", kept.display());
    }
    let few = &violations[..violations.len().min(20)];
    assert!(
        violations.is_empty(),
        "seed {seed}: {} broken: {few:#?}",
        violations.len()
    );
    returned
}

#[test]
fn device_and_server_killed_at_random_moments_lose_double_and_stall_nothing() {
    let (kills, seed) = kills();
    println!("{kills} kills in {SCENES} scenes, seed {seed}");
    std::thread::scope(|scope| {
        let scenes = (0..SCENES).map(|scene| {
            let share = kills / SCENES + u64::from(scene < kills % SCENES);
            let seed = seed + 1_000 * scene;
            scope.spawn(move || {
                let folder = tempfile::tempdir().unwrap();
                let scene = device::scene(folder.path(), share, seed);
                let applied = scene
                    .facts
                    .iter()
                    .filter(|fact| matches!(fact, Fact::Applied(_)))
                    .count();
                let returned = judge(folder, scene.facts, seed);
                println!(
                    "seed {seed}: {} kills of the device, {} of the server, {} faults; {returned} writes returned, \
                     {applied} operations applied: 0 broken",
                    scene.device_kills, scene.server_kills, scene.faults
                );
                assert!(returned > 0 && applied > 0, "nothing was written");
            })
        });
        for scene in scenes.collect::<Vec<_>>() {
            scene.join().unwrap();
        }
    });
}

#[test]
fn accounts_killed_while_they_are_made_filled_and_wiped_lose_nothing_else() {
    let (kills, seed) = kills();
    let kills = kills.div_ceil(5);
    let folder = tempfile::tempdir().unwrap();
    let ends = ends::ends(folder.path(), kills, seed);
    let mut moments = ends.kills_while;
    moments.sort();
    let moments: Vec<_> = moments
        .chunk_by(|a, b| a == b)
        .map(|same| (&same[0], same.len()))
        .collect();
    println!("{kills} kills of accounts, in {moments:?}; {} wiped", ends.wiped);
    let returned = judge(folder, ends.facts, seed);
    println!("{returned} writes returned: 0 broken");
}

#[test]
fn two_processes_on_one_file_lose_nothing_and_never_push_at_once() {
    let (kills, seed) = kills();
    let rounds = kills.div_ceil(10);
    let folder = tempfile::tempdir().unwrap();
    let pair = pair::pair(folder.path(), rounds, seed);
    println!(
        "{rounds} kills of one of two, {} in the middle of its push; pushes {:?}, at once {}",
        pair.mid_push,
        pair.pushes,
        pair.both.len()
    );
    let both = &pair.both[..pair.both.len().min(5)];
    assert!(both.is_empty(), "seed {seed}: {both:#?}");
    let returned = judge(folder, pair.facts, seed);
    println!("{returned} writes returned: 0 broken");
    assert!(
        rounds < 20 || pair.pushes.iter().all(|pushes| *pushes > 0),
        "only one drained"
    );
}
