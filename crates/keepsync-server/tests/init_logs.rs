//! Where the log goes, in a process of its own.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use keepsync_server::{Config, Server, init_logs};
use serde_json::Value;
use std::process::Command;

const CHILD: &str = "KEEPSYNC_TEST_LOGS_OF";

/// A server that starts and stops, when the other test asks for it.
#[tokio::test]
async fn child() {
    let Ok(data) = std::env::var(CHILD) else { return };
    init_logs();
    // A second time, as an app and its library may.
    init_logs();
    let server = Server::bind(Config::new(data)).await.unwrap();
    server.run(async {}).await.unwrap();
}

/// The lines of a server that ran with this level.
fn lines(level: Option<&str>) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, folder.path());
    match level {
        Some(level) => command.env("KEEPSYNC_LOG", level),
        None => command.env_remove("KEEPSYNC_LOG"),
    };
    let output = command.output().unwrap();
    assert!(output.status.success());
    assert!(!String::from_utf8(output.stdout).unwrap().contains("serving"));
    let text = String::from_utf8(output.stderr).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn lines_of_json_go_to_standard_error_from_the_level_that_was_asked_for() {
    for level in [None, Some("info"), Some("nonsense")] {
        let lines = lines(level);
        let messages: Vec<&str> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
        assert_eq!(
            (messages.first(), messages.last()),
            (Some(&"serving"), Some(&"stopped")),
            "{level:?}"
        );
        assert!(
            lines
                .iter()
                .all(|line| line["level"] == "INFO" && line["timestamp"].is_string())
        );
    }
    for level in ["warn", "error", "off"] {
        assert_eq!(lines(Some(level)), Vec::<Value>::new(), "{level}");
    }
}
