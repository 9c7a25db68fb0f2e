//! A training log brought in: whole, in any language, again, and cut off in the middle.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Instant,
};
use support::{Device, PATIENCE};

fn real() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/strong-workouts.csv")
}

const HEAD: &str =
    "Date,Workout Name,Duration,Exercise Name,Set Order,Weight,Reps,Distance,Seconds,Notes,Workout Notes,RPE\n";

struct Import {
    folder: tempfile::TempDir,
    device: Device,
}

impl Import {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let device = Device::new(folder.path(), "phone");
        Self { folder, device }
    }

    fn file(&self, text: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join("log.csv");
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[track_caller]
    fn import(&self, text: impl AsRef<[u8]>) -> Value {
        self.device.ok(&["import-strong", &self.file(text)]).json()
    }

    fn list(&self, collection: &str) -> Vec<Value> {
        self.device.ok(&["list", collection]).lines()
    }

    fn bodies(&self) -> Vec<Value> {
        self.list("set_log")
            .into_iter()
            .map(|set| set["body"].clone())
            .collect()
    }

    #[track_caller]
    fn refused(&self, text: impl AsRef<[u8]>, at: &str) {
        let ended = self.device.run(&["import-strong", &self.file(text)]);
        assert_eq!((ended.code, ended.error().as_str()), (1, "bad_file"), "{ended:?}");
        assert!(ended.err.contains(at), "{ended:?}");
        assert_eq!(self.list("workout"), Vec::<Value>::new(), "nothing was written");
    }
}

#[test]
fn the_real_file_arrives_with_every_set_and_every_digit() {
    let import = Import::new();
    let told = import.device.ok(&["import-strong", real().to_str().unwrap()]).json();
    assert_eq!(told, json!({"workouts": 129, "sets": 2078, "skipped": 0}));
    let (workouts, sets) = (import.list("workout"), import.list("set_log"));
    assert_eq!((workouts.len(), sets.len()), (129, 2078));
    let ids: BTreeSet<&str> = workouts.iter().map(|workout| workout["id"].as_str().unwrap()).collect();
    for set in &sets {
        assert!(ids.contains(set["body"]["workout_id"].as_str().unwrap()));
    }
    // Told apart from 75: the digits are those of the file.
    let text = import.device.ok(&["list", "set_log"]).out;
    let csv = std::fs::read_to_string(real()).unwrap();
    assert_eq!(text.matches("\"weight\":75.0,").count(), csv.matches(",75.0,").count());
    assert_eq!(text.matches("\"weight\":0,").count(), 124);
    let notes = workouts.iter().filter_map(|workout| workout["body"]["notes"].as_str());
    assert_eq!(
        notes.collect::<BTreeSet<_>>(),
        BTreeSet::from(["Super villain", "FitInn"])
    );
    assert!(text.contains("Rückenschmerzen"));
    assert_eq!(workouts[0]["body"]["state"], "completed");
    assert_eq!(import.device.ok(&["doctor"]).json()["ok"], true);
}

#[test]
fn importing_again_doubles_nothing_and_leaves_edits_and_deletions_alone() {
    let import = Import::new();
    let log =
        format!("{HEAD}2021-02-10 16:46:13,A,1h,Bench,1,75.0,8,0,0,,,\n2021-02-10 16:46:13,A,1h,Bench,2,70,8,0,0,,,\n");
    assert_eq!(import.import(&log), json!({"workouts": 1, "sets": 2, "skipped": 0}));
    let id = import.list("set_log")[0]["id"].as_str().unwrap().to_owned();
    import.device.ok(&["patch", "set_log", &id, r#"{"weight":80}"#]);
    assert_eq!(import.import(&log), json!({"workouts": 0, "sets": 0, "skipped": 2}));
    assert_eq!(import.device.ok(&["get", "set_log", &id]).json()["body"]["weight"], 80);
    // A set that was added to the log later is added here.
    let longer = format!("{log}2021-02-10 16:46:13,A,1h,Bench,3,65,8,0,0,,,\n");
    assert_eq!(import.import(&longer), json!({"workouts": 0, "sets": 1, "skipped": 2}));
    assert_eq!(import.list("set_log").len(), 3);
}

#[test]
fn two_devices_that_import_the_same_log_have_the_same_records() {
    let ids = || {
        let import = Import::new();
        import.device.ok(&["import-strong", real().to_str().unwrap()]);
        let of = |collection: &str| {
            import
                .list(collection)
                .into_iter()
                .map(|record| record["id"].clone())
                .collect()
        };
        let ids: (Vec<Value>, Vec<Value>) = (of("workout"), of("set_log"));
        ids
    };
    assert_eq!(ids(), ids());
}

#[test]
fn other_languages_semicolons_and_decimal_commas_are_read() {
    let import = Import::new();
    let log = "\u{feff}Datum;Workout-Name;Dauer;Name der Übung;Reihenfolge;Gewicht;Wiederh.;Entfernung;Sekunden;Notizen;Workout-Notizen;RPE\r\n\
               \"2021-02-10 16:46:13\";\"Mittwoch; Beine\";2h 18m;\"Kniebeugen (Langhantel)\";1;\"82,5\";8;0,0;0;\"zwei\nZeilen, \"\"eng\"\"\";\"\";8,5\r\n";
    assert_eq!(import.import(log), json!({"workouts": 1, "sets": 1, "skipped": 0}));
    assert_eq!(import.list("workout")[0]["body"]["name"], "Mittwoch; Beine");
    let set = import.bodies().remove(0);
    assert_eq!(
        (&set["exercise"], &set["weight"], &set["rpe"], &set["notes"]),
        (
            &json!("Kniebeugen (Langhantel)"),
            &json!(82.5),
            &json!(8.5),
            &json!("zwei\nZeilen, \"eng\"")
        )
    );
    assert_eq!(set["distance"].to_string(), "0.0");
}

#[test]
fn repeated_sets_empty_cells_and_odd_letters_are_kept() {
    let import = Import::new();
    // Combining and precomposed letters, an emoji of several parts, a zero-width joiner: as they are.
    let name = "U\u{308}bung \u{dc}bung 👩‍🚒 مرحبا";
    let row = |order: &str, weight: &str| format!("2021-02-10 16:46:13,A,,{name},{order},{weight},,,,,,\n");
    let log = format!(
        "{HEAD}{}{}{}{}",
        row("1", "1"),
        row("1", "2"),
        row("W", "3"),
        row("1", "")
    );
    assert_eq!(import.import(&log), json!({"workouts": 1, "sets": 4, "skipped": 0}));
    let mut slots: Vec<String> = import
        .bodies()
        .iter()
        .map(|set| set["slot"].as_str().unwrap().to_owned())
        .collect();
    slots.sort();
    let mut expected = ["1", "1#2", "1#3", "W"].map(|order| format!("{name}/{order}"));
    expected.sort();
    assert_eq!(slots, expected);
    let fields: BTreeSet<&str> = import
        .bodies()
        .iter()
        .find(|set| set["slot"].as_str().unwrap().ends_with("#3"))
        .map(|set| {
            set.as_object()
                .unwrap()
                .keys()
                .map(|key| &*key.clone().leak())
                .collect()
        })
        .unwrap();
    assert_eq!(
        fields,
        BTreeSet::from(["exercise", "set_order", "slot", "workout_id"]),
        "empty is absent"
    );
}

#[test]
fn a_file_that_makes_no_sense_is_refused_before_anything_is_written() {
    let import = Import::new();
    let good = "2021-02-10 16:46:13,A,1h,Bench,1,75.0,8,0,0,,,\n";
    import.refused("", "the file is empty");
    import.refused("a,b,c\n1,2,3\n", "line 1: 3 columns");
    import.refused(format!("{HEAD}{good}2021-02-10 16:46:13,A,1h\n"), "line 3: 3 columns");
    import.refused(
        format!("{HEAD}{good}10.02.2021,A,1h,Bench,2,75.0,8,0,0,,,\n"),
        "line 3, column 1 (date)",
    );
    import.refused(
        format!("{HEAD}{good}2021-02-10 16:46:13,A,1h,,2,75.0,8,0,0,,,\n"),
        "line 3, column 4 (exercise name)",
    );
    import.refused(
        format!("{HEAD}{good}2021-02-10 16:46:13,A,1h,Bench,2,s3cret,8,0,0,,,\n"),
        "line 3, column 6 (weight)",
    );
    import.refused(
        format!(
            "{HEAD}\"2021-02-10 16:46:13\",\"A\nB\",1h,Bench,1,1,8,0,0,,,\n{}",
            good.replace("75.0", "x")
        ),
        "line 4, column 6",
    );
    import.refused(
        [
            HEAD.as_bytes(),
            good.as_bytes(),
            b"2021-02-10 16:46:13,\xff,1h,Bench,1,1,1,0,0,,,\n",
        ]
        .concat(),
        "line 3: not UTF-8",
    );
    let ended = import.device.run(&[
        "import-strong",
        &import.file(format!("{HEAD}{}", good.replace("75.0", "s3cret"))),
    ]);
    assert!(!ended.err.contains("s3cret"), "no contents in messages: {}", ended.err);
}

/// How many workouts and sets the file holds, while another process writes it.
fn counts(db: &Path) -> Option<(i64, i64)> {
    let conn = Connection::open_with_flags(db, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    let count = |collection: &str| {
        conn.query_row(
            "SELECT count(*) FROM record WHERE collection = ?1",
            [collection],
            |row| row.get(0),
        )
    };
    Some((count("workout").ok()?, count("set_log").ok()?))
}

#[test]
fn an_import_that_was_killed_half_way_can_be_run_again() {
    const WORKOUTS: i64 = 4_000;
    const SETS: i64 = 3;
    let import = Import::new();
    let mut log = HEAD.to_owned();
    for workout in 0..WORKOUTS {
        let (day, minute) = (1 + workout / 60 / 24 % 28, workout % (60 * 24));
        for set in 1..=SETS {
            writeln!(
                log,
                "2021-02-{day:02} {:02}:{:02}:00,W{workout},1h,Bench,{set},75.0,8,0,0,,,",
                minute / 60,
                minute % 60
            )
            .unwrap();
        }
    }
    let file = import.file(&log);
    let mut killed = import
        .device
        .command(&["import-strong", &file])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + PATIENCE;
    while counts(&import.device.db()).is_none_or(|(workouts, _)| workouts < 50) {
        assert!(Instant::now() < until, "it never began");
        assert_eq!(
            killed.try_wait().unwrap(),
            None,
            "it was over before it could be killed"
        );
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let (workouts, sets) = counts(&import.device.db()).unwrap();
    assert!((50..WORKOUTS).contains(&workouts), "{workouts}");
    assert_eq!(sets, workouts * SETS, "each workout is there whole or not at all");

    let told = import.device.ok(&["import-strong", &file]).json();
    let left = WORKOUTS - workouts;
    assert_eq!(
        told,
        json!({"workouts": left, "sets": left * SETS, "skipped": workouts * SETS})
    );
    assert_eq!(counts(&import.device.db()), Some((WORKOUTS, WORKOUTS * SETS)));
    assert_eq!(import.device.ok(&["doctor"]).json()["ok"], true);
}
