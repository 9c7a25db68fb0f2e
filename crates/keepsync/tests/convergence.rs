//! Three real devices edit one record offline and sync in every order. Seeds are printed; more of them
//! with `KEEPSYNC_SEEDS=20`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests are tests too")]

#[path = "support/device.rs"]
mod device;
#[path = "support/fleet.rs"]
mod fleet;

use device::*;
use fleet::{Server, sync};
use keepsync::{
    collection::{Collection, Collections},
    conflict::{self, Policy, Resolution},
    queue::EntryState,
    remote::{Outcome, RemoteVersion},
    settings::Settings,
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, VecDeque};

const ID: &str = "r";
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn seeds() -> std::ops::RangeInclusive<u64> {
    let count = std::env::var("KEEPSYNC_SEEDS")
        .ok()
        .and_then(|count| count.parse().ok());
    1..=count.unwrap_or(1)
}

fn by_clocks() -> Vec<Collection> {
    let c = |policy| Collection::new("c", policy);
    vec![
        c(Policy::LastWriteWins),
        c(Policy::latest_of("at")),
        c(Policy::lww_per("day")),
        c(Policy::merge_max("m")),
        c(Policy::merge_max("")),
        c(Policy::Counter),
        c(Policy::merge_fields([["w", "r"]])),
        c(Policy::LastWriteWins)
            .group(["w", "at"], Policy::latest_of("at"))
            .group(["r"], Policy::Counter)
            .group(["m"], Policy::lww_per("day")),
    ]
}

/// An edit of what the device shows: the same whatever that is, as a user's is.
#[derive(Debug, Clone)]
enum Edit {
    Set(&'static str, Value),
    SetIn(&'static str, &'static str, Value),
    Day(u64, u64),
    Add(&'static str, i64),
    Remove(&'static str),
    Nothing,
    Delete,
}

fn an_edit(dice: &mut Dice, with_deletions: bool) -> Edit {
    let fields = ["w", "r", "at"];
    let field = fields[dice.roll(3) as usize];
    match dice.roll(if with_deletions { 9 } else { 7 }) {
        0 => Edit::Set(field, json!(dice.roll(9))),
        1 => Edit::SetIn("m", ["x", "y", "z"][dice.roll(3) as usize], json!(dice.roll(9))),
        2 => Edit::Day(dice.roll(3), dice.roll(9)),
        3 | 4 => Edit::Add(field, dice.roll(5) as i64 - 2),
        5 => Edit::Remove(field),
        6 => Edit::Nothing,
        _ => Edit::Delete,
    }
}

fn edit(device: &mut Device, edit: &Edit) {
    let shown = device.body("c", ID);
    let mut body: Map<String, Value> = shown
        .as_deref()
        .map_or_else(Map::new, |text| serde_json::from_str(text).unwrap());
    match edit {
        Edit::Set(field, value) => drop(body.insert((*field).to_owned(), value.clone())),
        Edit::SetIn(field, member, value) => {
            let inner = body.entry(*field).or_insert_with(|| json!({}));
            inner[member] = value.clone();
        }
        Edit::Day(day, value) => {
            let days = body.entry("days").or_insert_with(|| json!([])).as_array_mut().unwrap();
            days.retain(|other| other["day"] != *day);
            days.push(json!({"day": day, "v": value}));
        }
        Edit::Add(field, more) => {
            let before = body.get(*field).and_then(Value::as_i64).unwrap_or(0);
            body.insert((*field).to_owned(), json!(before + more));
        }
        Edit::Remove(field) => drop(body.remove(*field)),
        Edit::Nothing => {}
        Edit::Delete => {
            if shown.is_some() {
                device.delete("c", ID);
            }
            return;
        }
    }
    device.put("c", ID, &Value::Object(body).to_string());
}

type Round = [(u64, Vec<Edit>); 3];

fn rounds(dice: &mut Dice, count: usize, with_deletions: bool) -> Vec<Round> {
    let mut one = || -> (u64, Vec<Edit>) {
        let edits = (0..=dice.roll(2)).map(|_| an_edit(dice, with_deletions)).collect();
        (dice.roll(60_000), edits)
    };
    (0..count).map(|_| [one(), one(), one()]).collect()
}

/// What the server has in the end. All devices show the same, and nothing is unsent.
fn play(collection: &Collection, rounds: &[Round], orders: &[[usize; 3]], told: &str) -> Option<Value> {
    play_with(Server::default(), collection, rounds, orders, told)
}

fn play_with(
    mut server: Server,
    collection: &Collection,
    rounds: &[Round],
    orders: &[[usize; 3]],
    told: &str,
) -> Option<Value> {
    let settings = || Settings {
        jitter: 0.0,
        ..Settings::default()
    };
    let collections = || Collections::new([collection.clone()]).unwrap();
    let mut devices = [1, 2, 3].map(|name| Device::with(name, None, settings(), collections()));
    devices[0].put("c", ID, r#"{"w":1,"r":1,"at":1,"m":{"x":1},"days":[{"day":1,"v":1}]}"#);
    for device in &mut devices {
        sync(device, &mut server);
    }
    let mut now = 10_000_000;
    for (round, order) in rounds.iter().zip(orders) {
        for (device, (wait, edits)) in devices.iter_mut().zip(round) {
            // All clocks tell the same time, however often each has synced.
            let at = START + now + *wait as i64;
            device.pass_time((at - device.now().wall_ms) as u64);
            for one in edits {
                edit(device, one);
            }
        }
        for _ in 0..2 {
            for device in order {
                sync(&mut devices[*device], &mut server);
            }
        }
        now += 10_000_000;
    }
    let read = |text: Option<String>| text.map(|text| serde_json::from_str::<Value>(&text).unwrap());
    let there = read(server.version("c", ID).and_then(|version| version.body.clone()));
    for device in &devices {
        assert_eq!(
            read(device.body("c", ID)),
            there,
            "{told}: all show what the server has"
        );
        assert!(device.entries().is_empty(), "{told}: {:?}", device.entries());
    }
    there
}

#[test]
fn automatic_policies_end_the_same_in_every_order() {
    for seed in seeds() {
        for collection in by_clocks() {
            let rounds = rounds(&mut Dice::new(seed), 2, false);
            let mut first = None;
            for one in ORDERS {
                for other in ORDERS {
                    let told = format!("seed {seed}, orders {one:?} {other:?}, {collection:?}, {rounds:?}");
                    let result = play(&collection, &rounds, &[one, other], &told);
                    assert_eq!(*first.get_or_insert_with(|| result.clone()), result, "{told}");
                }
            }
        }
    }
}

#[test]
fn whether_a_record_is_there_is_the_same_in_every_order() {
    for seed in 1..=4 * seeds().end() {
        for collection in by_clocks() {
            let rounds = rounds(&mut Dice::new(1_000 + seed), 1, true);
            let there = |order: &[usize; 3]| {
                let told = format!("seed {seed}, order {order:?}, {collection:?}, {rounds:?}");
                play(&collection, &rounds, &[*order], &told).is_some()
            };
            let found: Vec<bool> = ORDERS.iter().map(there).collect();
            assert!(
                found.iter().all(|is| *is == found[0]),
                "seed {seed}: {collection:?} {found:?} {rounds:?}"
            );
        }
    }
}

#[test]
fn policies_that_name_a_side_converge() {
    let collections = [
        Collection::new("c", Policy::ServerWins),
        Collection::new("c", Policy::ClientWins),
        Collection::new("c", Policy::ServerWins).group(["w", "at"], Policy::ClientWins),
        Collection::new("c", Policy::ClientWins)
            .group(["w", "at"], Policy::ServerWins)
            .group(["m"], Policy::lww_per("day")),
    ];
    for seed in 1..=3 * seeds().end() {
        for collection in &collections {
            let rounds = rounds(&mut Dice::new(2_000 + seed), 2, true);
            for order in ORDERS {
                // That all show the same, and nothing is unsent, is what `play` looks at.
                let told = format!("seed {seed}, order {order:?}, {collection:?}, {rounds:?}");
                play(collection, &rounds, &[order, order], &told);
            }
        }
    }
}

#[test]
fn a_backend_that_keeps_no_clocks_still_converges() {
    for seed in 1..=2 * seeds().end() {
        for collection in by_clocks() {
            let rounds = rounds(&mut Dice::new(3_000 + seed), 2, true);
            for order in ORDERS {
                let mut server = Server::default();
                server.forgets_clocks = true;
                let told = format!("seed {seed}, order {order:?}, {collection:?}, {rounds:?}");
                play_with(server, &collection, &rounds, &[order, order], &told);
            }
        }
    }
}

#[test]
fn one_session_settles_its_schedule_its_sets_and_its_moment_each_its_own_way() {
    let collection = Collection::new("c", Policy::Ask)
        .group(["schedule"], Policy::ServerWins)
        .group(["sets"], Policy::ClientWins)
        .group(["logged_at", "result"], Policy::latest_of("logged_at"));
    let collections = || Collections::new([collection.clone()]).unwrap();
    let mut server = Server::default();
    let [mut phone, mut web] = [1, 2].map(|name| Device::with(name, None, Settings::default(), collections()));
    phone.put(
        "c",
        ID,
        r#"{"schedule":"mon","sets":[],"logged_at":"2026-11-20T10:00:00Z","result":"open"}"#,
    );
    sync(&mut phone, &mut server);
    sync(&mut web, &mut server);
    web.pass_time(60_000);
    web.put(
        "c",
        ID,
        r#"{"schedule":"tue","sets":[1],"logged_at":"2026-11-20T10:30:00Z","result":"web"}"#,
    );
    phone.put(
        "c",
        ID,
        r#"{"schedule":"wed","sets":[1,2],"logged_at":"2026-11-20T11:00:00Z","result":"phone"}"#,
    );
    sync(&mut web, &mut server);
    sync(&mut phone, &mut server);
    sync(&mut web, &mut server);
    let merged = json!({"schedule":"tue","sets":[1,2],"logged_at":"2026-11-20T11:00:00Z","result":"phone"});
    for device in [&phone, &web] {
        assert_eq!(
            serde_json::from_str::<Value>(&device.body("c", ID).unwrap()).unwrap(),
            merged
        );
    }
}

/// What can happen to a record under `ask`.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Edit,
    Delete,
    PullNewer,
    PullDelete,
    ResolveLocal,
    ResolveRemote,
    ResolveMerge,
    PushAccepted,
    PushConflict,
}

const STEPS: [Step; 9] = [
    Step::Edit,
    Step::Delete,
    Step::PullNewer,
    Step::PullDelete,
    Step::ResolveLocal,
    Step::ResolveRemote,
    Step::ResolveMerge,
    Step::PushAccepted,
    Step::PushConflict,
];

/// A device under test, and what must not be lost.
struct Asked {
    device: Device,
    /// The server's version.
    version: i64,
    bodies: u64,
    /// Our last body, while the server does not have it.
    ours: Option<String>,
    /// What the server last showed.
    theirs: Option<String>,
    /// Bodies that stood in a conflict when it was resolved.
    decided: Vec<String>,
}

impl Asked {
    fn new() -> Self {
        Self {
            device: Device::new(),
            version: 0,
            bodies: 0,
            ours: None,
            theirs: None,
            decided: Vec::new(),
        }
    }

    fn body(&mut self) -> String {
        self.bodies += 1;
        format!(r#"{{"n":{}}}"#, self.bodies)
    }

    fn incoming(&mut self, body: Option<String>) -> RemoteVersion {
        self.version += 1;
        self.theirs.clone_from(&body);
        version(self.version, body.as_deref(), self.version)
    }

    fn conflict(&self) -> Option<conflict::Conflict> {
        self.device.db.read(|read| read.conflicts()).unwrap().pop()
    }

    /// What the user sees and writes over is no longer to be kept for them.
    fn see(&mut self) {
        if self.device.body("workout", ID) == self.theirs {
            self.theirs = None;
        }
    }

    /// False: it cannot happen now.
    fn take(&mut self, step: Step) -> bool {
        match step {
            Step::Edit => {
                let body = self.body();
                self.see();
                self.device.put("workout", ID, &body);
                self.ours = Some(body);
            }
            Step::Delete => {
                if self.device.body("workout", ID).is_none() {
                    return false;
                }
                self.see();
                self.device.delete("workout", ID);
                // The user threw it away, not the core.
                self.ours = None;
            }
            Step::PullNewer => {
                let body = self.body();
                let next = self.incoming(Some(body));
                self.device.pull_only(vec![change("workout", ID, next)]);
            }
            Step::PullDelete => {
                let next = self.incoming(None);
                self.device.pull_only(vec![change("workout", ID, next)]);
            }
            Step::ResolveLocal | Step::ResolveRemote | Step::ResolveMerge => {
                let Some(conflict) = self.conflict() else { return false };
                let resolution = match step {
                    Step::ResolveLocal => Resolution::KeepLocal,
                    Step::ResolveRemote => Resolution::KeepRemote,
                    _ => Resolution::Merge(self.body()),
                };
                // The one that was chosen goes on as ours or theirs.
                if resolution != Resolution::KeepLocal {
                    self.decided.extend(conflict.local);
                }
                if resolution != Resolution::KeepRemote {
                    self.decided.extend(conflict.remote);
                    self.theirs = None;
                }
                let shown = conflict.token.clone();
                let resolve =
                    |write: &mut keepsync::Write<'_>| conflict::resolve(write, "workout", ID, &shown, &resolution);
                self.device.db.write(resolve).unwrap();
                match resolution {
                    Resolution::KeepRemote => self.ours = None,
                    Resolution::Merge(body) => self.ours = Some(body),
                    Resolution::KeepLocal | Resolution::MergeWith(_) => {}
                }
            }
            Step::PushAccepted | Step::PushConflict => {
                if !self
                    .device
                    .entries()
                    .iter()
                    .any(|entry| entry.state == EntryState::Waiting)
                {
                    return false;
                }
                let conflict = (step == Step::PushConflict)
                    .then(|| self.body())
                    .map(|body| self.incoming(Some(body)));
                let version = &mut self.version;
                self.device.pass_time(120_000);
                self.device.push(|_| {
                    Some(match &conflict {
                        Some(theirs) => Outcome::Conflict(theirs.clone()),
                        None => {
                            *version += 1;
                            accepted(*version)
                        }
                    })
                });
                if conflict.is_none() {
                    self.theirs = self.device.body("workout", ID);
                    self.ours = None;
                }
            }
        }
        true
    }

    /// Where each body that matters is.
    fn look(&self, path: &[Step]) {
        let mut places: Vec<String> = self.device.body("workout", ID).into_iter().collect();
        if let Some(conflict) = self.conflict() {
            places.extend(conflict.local.into_iter().chain(conflict.remote));
        }
        let history = self.device.db.read(|read| read.history("workout", ID)).unwrap();
        places.extend(history.into_iter().filter_map(|version| version.body));
        let ours = self.ours.iter().map(|body| ("ours", body));
        let theirs = self.theirs.iter().map(|body| ("theirs", body));
        let decided = self.decided.iter().map(|body| ("what lost", body));
        for (what, body) in ours.chain(theirs).chain(decided) {
            assert!(places.contains(body), "{what}: {body} is lost after {path:?}");
        }
    }

    /// All that decides what can happen next, without the bodies' names.
    fn signature(&self) -> String {
        let record = self.device.db.read(|read| read.record("workout", ID)).unwrap();
        let entries: Vec<_> = self
            .device
            .entries()
            .iter()
            .map(|entry| {
                (
                    entry.kind,
                    entry.state,
                    entry.maybe_sent,
                    entry.base_version == self.version,
                )
            })
            .collect();
        let conflict = self.conflict().map(|conflict| {
            (
                conflict.base.is_some(),
                conflict.local.is_some(),
                conflict.remote.is_some(),
                conflict.remote_version == self.version,
            )
        });
        let shown = record.map(|record| {
            let is = |body: &Option<String>| body.is_some() && record.body == *body;
            (
                record.body.is_some(),
                is(&self.ours),
                is(&self.theirs),
                record.version == self.version,
                record.state,
            )
        });
        format!(
            "{shown:?} {entries:?} {conflict:?} {} {}",
            self.ours.is_some(),
            self.theirs.is_some()
        )
    }
}

#[test]
fn ask_loses_neither_body_along_any_sequence_of_eight_steps() {
    // Every sequence of four. Of longer ones: those that come to the same state go on the same way, so each
    // state is gone on from once.
    let mut known: BTreeMap<String, Vec<Step>> = BTreeMap::new();
    let mut open = VecDeque::from([Vec::new()]);
    let (mut run, mut longest) = (0, 0);
    while let Some(path) = open.pop_front() {
        for step in STEPS {
            let mut asked = Asked::new();
            for before in &path {
                assert!(asked.take(*before));
            }
            if !asked.take(step) {
                continue;
            }
            let mut path = path.clone();
            path.push(step);
            asked.look(&path);
            run += 1;
            longest = longest.max(path.len());
            let signature = asked.signature();
            if path.len() < 4 || (path.len() < 8 && !known.contains_key(&signature)) {
                known.insert(signature, path.clone());
                open.push_back(path);
            }
        }
    }
    assert!(
        known.len() > 20 && run > 400,
        "{} states, {run} sequences, longest {longest}",
        known.len()
    );
}
