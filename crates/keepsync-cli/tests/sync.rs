//! Devices and a server as real processes.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

mod support;

use serde_json::{Value, json};
use std::{
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Stdio,
    time::{SystemTime, UNIX_EPOCH},
};
use support::{Device, Ended, Server, keepsync, schemas};

/// A server, and a device of Ada's with a token for it.
fn both(folder: &Path) -> (Server, Device) {
    let server = Server::start(&folder.join("server"), None, None);
    let device = signed_in(&server, folder, "phone");
    (server, device)
}

fn signed_in(server: &Server, folder: &Path, name: &str) -> Device {
    Device::new(folder, name).with(&["--server", &server.url, "--token", &server.token("ada")])
}

/// A token that was good an hour ago.
fn expired(server: &Server) -> String {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    keepsync_server::access_token(&server.data, "ada", 60, now_ms - 3_600_000).unwrap()
}

fn address(server: &Server) -> String {
    server.url.strip_prefix("http://").unwrap().to_owned()
}

#[test]
fn what_one_device_wrote_another_reads() {
    let folder = tempfile::tempdir().unwrap();
    let (server, phone) = both(folder.path());
    let tablet = signed_in(&server, folder.path(), "tablet");
    phone.ok(&["session", "start", "workout", "--id", "w"]);
    phone.ok(&["session", "log", "squat/1", r#"{"weight":100.0,"reps":5}"#]);
    phone.ok(&["session", "complete", r#"{"name":"Legs"}"#]);
    let moved = phone.sync();
    assert_eq!(
        (&moved["pushed"], &moved["waiting"], &moved["status"]),
        (&json!(3), &json!(0), &json!("idle"))
    );
    assert_eq!(tablet.sync()["pulled"], 2);
    for collection in ["workout", "set_log"] {
        let (here, there) = (
            phone.ok(&["list", collection]).json(),
            tablet.ok(&["list", collection]).json(),
        );
        assert_eq!(here["body"], there["body"]);
        assert_eq!((&here["state"], &there["state"]), (&json!("synced"), &json!("synced")));
        assert_eq!(here["device_id"], there["device_id"], "it tells who wrote it");
    }
    tablet.ok(&[
        "delete",
        "set_log",
        phone.ok(&["list", "set_log"]).json()["id"].as_str().unwrap(),
    ]);
    tablet.sync();
    phone.sync();
    assert_eq!(phone.ok(&["list", "set_log"]).lines(), Vec::<Value>::new());
    assert_eq!(phone.ok(&["doctor"]).json()["ok"], true);
}

#[test]
fn a_second_sync_is_one_request_and_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, phone) = both(folder.path());
    assert_eq!(phone.ok(&["status"]).json()["last_synced_at"], Value::Null);
    phone.ok(&["put", "workout", "w", "{}"]);
    phone.sync();
    // The first one after a push brings back what it sent, which is not a change.
    phone.sync();
    let before = phone.ok(&["status"]).json()["last_synced_at"]
        .as_str()
        .unwrap()
        .to_owned();
    let again = phone.sync();
    assert_eq!(
        (&again["requests"], &again["pushed"], &again["pulled"]),
        (&json!(1), &json!(0), &json!(0))
    );
    let after = phone.ok(&["status"]).json()["last_synced_at"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(before < after, "{before} {after}");
}

#[test]
fn a_stopped_server_leaves_everything_here_and_exit_code_3() {
    let folder = tempfile::tempdir().unwrap();
    let (server, phone) = both(folder.path());
    phone.ok(&["put", "workout", "w", "{}"]);
    let (data, listen) = (server.data.clone(), address(&server));
    assert_eq!(server.stop(), Some(0), "it stops gracefully");
    let ended = phone.run(&["sync"]);
    assert_eq!(ended.code, 3);
    let told = ended.json();
    assert_eq!((&told["waiting"], &told["status"]), (&json!(1), &json!("offline")));
    assert_eq!((&told["pull_ok"], &told["push_ok"]), (&json!(false), &json!(false)));
    assert_eq!(
        phone.ok(&["queue", "list"]).json()["attempts"],
        0,
        "being offline costs no attempt"
    );
    let _server = Server::start(&data, Some(&listen), None);
    assert_eq!(phone.sync()["pushed"], 1);
}

#[test]
fn what_a_schema_refuses_is_parked_and_goes_once_it_was_edited() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("server"), None, Some(&schemas(folder.path())));
    let phone = signed_in(&server, folder.path(), "phone");
    phone.ok(&["put", "user_profile", "me", r#"{"weight":-1}"#]);
    let told = phone.sync();
    assert_eq!(
        (&told["parked"], &told["pushed"], &told["waiting"]),
        (&json!(1), &json!(0), &json!(0))
    );
    let entry = phone.ok(&["queue", "list"]).json();
    assert_eq!(
        (&entry["state"], &entry["reason"]["code"]),
        (&json!("parked"), &json!("validation"))
    );
    assert!(
        entry["reason"]["message"].as_str().unwrap().contains("weight"),
        "{entry}"
    );
    let op = entry["op"].as_str().unwrap();
    let edited = phone.ok(&["queue", "edit", op, r#"{"weight":80}"#]).json();
    assert_ne!(edited["op"], entry["op"], "another content is another operation");
    assert_eq!(phone.sync()["pushed"], 1);
    assert_eq!(
        phone.ok(&["get", "user_profile", "me"]).json()["body"],
        json!({"weight": 80})
    );
}

#[test]
fn an_expired_token_is_replaced_and_the_same_command_line_works_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = both(folder.path());
    let (token, refresh) = (expired(&server), server.refresh_token("ada"));
    let phone = Device::new(folder.path(), "phone").with(&["--server", &server.url]);
    phone.ok(&["put", "workout", "w", "{}"]);
    let alone = Ended::of(phone.command(&["sync", "--token", &token]).output().unwrap());
    assert_eq!((alone.code, &alone.json()["status"]), (3, &json!("needs_sign_in")));

    let phone = phone.with(&["--token", &token, "--refresh-token", &refresh]);
    assert_eq!(phone.sync()["pushed"], 1);
    let file = folder.path().join("phone.tokens");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let kept = std::fs::read(&file).unwrap();
    assert!(
        !String::from_utf8_lossy(&kept).contains(&refresh),
        "the first one was traded"
    );
    phone.sync();
    assert_eq!(
        std::fs::read(&file).unwrap(),
        kept,
        "a token that is good is not traded"
    );

    // Once the kept access token has expired too, the kept refresh token is traded, not the flag's.
    let outlive = |file: &Path| {
        let mut kept: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        kept["access_token"] = json!(expired(&server));
        std::fs::write(file, kept.to_string()).unwrap();
        kept["refresh_token"].clone()
    };
    let mut before = outlive(&file);
    for _ in 0..3 {
        phone.sync();
        let after = outlive(&file);
        assert_ne!(before, after, "each trade gives another");
        before = after;
    }

    // Another access token on the command line that has expired too: the kept one is not tried first.
    let later = Device::new(folder.path(), "phone").with(&["--server", &server.url, "--refresh-token", &refresh]);
    later.with(&["--token", &format!("{token}x")]).sync();

    // Another value of the flag begins anew; without the file nothing of the old one is known.
    let fresh = server.refresh_token("ada");
    let other = Device::new(folder.path(), "phone").with(&["--server", &server.url, "--token", &token]);
    let other = other.with(&["--refresh-token", &fresh]);
    other.sync();
    let used = Ended::of(phone.command(&["sync"]).output().unwrap());
    assert_eq!(
        (used.code, &used.json()["status"]),
        (3, &json!("needs_sign_in")),
        "the first one is spent"
    );
}

#[test]
fn commands_at_once_trade_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = both(folder.path());
    let (token, refresh) = (expired(&server), server.refresh_token("ada"));
    let flags = ["--server", &server.url, "--token", &token, "--refresh-token", &refresh];
    let phone = Device::new(folder.path(), "phone").with(&flags);
    phone.ok(&["list", "workout"]);
    let at_once: Vec<_> = (0..6)
        .map(|_| {
            let mut command = phone.command(&["sync"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    for child in at_once {
        let ended = Ended::of(child.wait_with_output().unwrap());
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    phone.sync();
}

#[test]
fn a_refresh_token_alone_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = both(folder.path());
    let refresh = server.refresh_token("ada");
    let phone = Device::new(folder.path(), "phone").with(&["--server", &server.url, "--refresh-token", &refresh]);
    phone.ok(&["put", "workout", "w", "{}"]);
    assert_eq!(phone.sync()["pushed"], 1);
    phone.sync();
}

#[test]
fn a_token_that_begins_with_a_hyphen_is_a_value() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = both(folder.path());
    let phone = Device::new(folder.path(), "phone").with(&["--server", &server.url]);
    for flags in [["--token", "-x"], ["--refresh-token", "-x"]] {
        let ended = Ended::of(phone.command(&["sync"]).args(flags).output().unwrap());
        assert_eq!(
            (ended.code, &ended.json()["status"]),
            (3, &json!("needs_sign_in")),
            "{flags:?}"
        );
    }
}

#[test]
fn another_users_token_moves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = both(folder.path());
    let phone = Device::new(folder.path(), "phone").with(&["--server", &server.url]);
    phone.ok(&["put", "workout", "w", "{}"]);
    let (access, refresh) = (server.token("bob"), server.refresh_token("bob"));
    for flags in [["--token", &access], ["--refresh-token", &refresh]] {
        let ended = Ended::of(phone.command(&["sync"]).args(flags).output().unwrap());
        assert_eq!(ended.code, 3);
        let told = ended.json();
        assert_eq!(
            (&told["status"], &told["pushed"]),
            (&json!("needs_sign_in"), &json!(0)),
            "{flags:?}"
        );
    }
    assert_eq!(phone.ok(&["queue", "list"]).lines().len(), 1, "nothing is dropped");
}

#[test]
fn a_conflict_is_listed_shown_and_settled_on_both_devices() {
    let folder = tempfile::tempdir().unwrap();
    let (server, phone) = both(folder.path());
    let tablet = signed_in(&server, folder.path(), "tablet");
    phone.ok(&["put", "workout", "a/b@9", r#"{"n":1}"#]);
    phone.sync();
    tablet.sync();
    tablet.ok(&["put", "workout", "a/b@9", r#"{"n":2}"#]);
    tablet.sync();
    phone.ok(&["put", "workout", "a/b@9", r#"{"n":3}"#]);
    let told = phone.sync();
    assert_eq!(
        (&told["conflicts"], &told["status"]),
        (&json!(1), &json!("needs_attention"))
    );
    let conflict = phone.ok(&["conflicts", "list"]).json();
    assert_eq!(conflict["conflict"], "workout/a/b@9@2");
    let bodies = (&conflict["base"], &conflict["local"], &conflict["remote"]);
    assert_eq!(bodies, (&json!({"n": 1}), &json!({"n": 3}), &json!({"n": 2})));
    assert_eq!(
        (&conflict["local_device"], &conflict["remote_device"]),
        (&json!("phone"), &json!("tablet"))
    );
    for name in ["workout/a/b@9", "workout/a/b@9@2"] {
        assert_eq!(phone.ok(&["conflicts", "show", name]).json(), conflict, "{name}");
    }
    // The tablet goes on; what was shown is outdated once the phone has heard of it.
    tablet.ok(&["put", "workout", "a/b@9", r#"{"n":4}"#]);
    tablet.sync();
    phone.sync();
    let refused = phone.run(&["conflicts", "resolve", "workout/a/b@9@2", "--keep", "local"]);
    assert_eq!((refused.code, refused.error().as_str()), (1, "conflict_changed"));
    assert_eq!(phone.ok(&["conflicts", "list"]).json()["remote"], json!({"n": 4}));
    phone.ok(&["conflicts", "resolve", "workout/a/b@9", "--keep", "local"]);
    assert_eq!(phone.sync()["pushed"], 1);
    tablet.sync();
    assert_eq!(tablet.ok(&["get", "workout", "a/b@9"]).json()["body"], json!({"n": 3}));
    assert_eq!(phone.ok(&["conflicts", "list"]).lines(), Vec::<Value>::new());
}

#[test]
fn a_backup_is_restored_under_devices_that_went_on() {
    let folder = tempfile::tempdir().unwrap();
    let (server, phone) = both(folder.path());
    phone.ok(&["put", "workout", "before", "{}"]);
    phone.sync();
    let (data, listen) = (server.data.clone(), address(&server));
    let backup = folder.path().join("monday");
    let run = |verb: &str| {
        let output = keepsync()
            .arg(verb)
            .arg("--data")
            .arg(&data)
            .arg(&backup)
            .output()
            .unwrap();
        Ended::of(output)
    };
    assert_eq!(run("backup").code, 0);
    phone.ok(&["put", "workout", "after", "{}"]);
    phone.sync();
    let refused = run("restore");
    assert_eq!(refused.code, 1, "not while it runs: {refused:?}");
    assert_eq!(server.stop(), Some(0));
    let restored = run("restore");
    assert_eq!(restored.code, 0, "{restored:?}");
    let server = Server::start(&data, Some(&listen), None);
    phone.sync();
    let tablet = signed_in(&server, folder.path(), "tablet");
    assert_eq!(
        tablet.sync()["pulled"],
        2,
        "the phone gave again what the backup had not"
    );
}
