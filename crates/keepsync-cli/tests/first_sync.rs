//! A first sync of a real process, as a person sees it.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use serde_json::json;
use std::path::Path;
use support::{Device, Server, keepsync};

#[test]
fn a_first_sync_of_several_pages_tells_a_person_how_far_it_is_and_a_program_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("server"), None, None);
    let device =
        |name| Device::new(folder.path(), name).with(&["--server", &server.url, "--token", &server.token("ada")]);
    let phone = device("phone");
    let log = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/strong-workouts.csv");
    phone.ok(&["import-strong", log.to_str().unwrap()]);
    phone.sync();
    let person = |name: &str| {
        let mut command = keepsync();
        command.arg("device").arg("--db").arg(folder.path().join(name));
        command.args([
            "--user",
            "ada",
            "--server",
            &server.url,
            "--token",
            &server.token("ada"),
            "sync",
        ]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let told = person("tablet");
    let lines: Vec<&str> = told.lines().collect();
    assert!(!lines.is_empty());
    let done = |line: &&str| -> u64 {
        let rest = line.strip_prefix("keepsync: first sync: ").unwrap();
        let (done, rest) = rest.split_once(" of ").unwrap();
        assert!(rest.starts_with("2207 (") && rest.ends_with(')'), "{line}");
        done.parse().unwrap()
    };
    assert!(lines.iter().map(done).is_sorted(), "{told}");
    assert_eq!(person("tablet"), "", "it is over");
    let ended = device("third").ok(&["sync"]);
    assert_eq!((ended.json()["pulled"].clone(), ended.err.as_str()), (json!(2_207), ""));
}
