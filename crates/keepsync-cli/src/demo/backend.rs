//! The real server, in a process of its own, with schemas that refuse what cannot be.

use super::process::Process;
use crate::failure::Failure;
use serde_json::json;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// A workout's name may be this long.
pub(super) const LONGEST_NAME: usize = 100;
/// Nobody lifts more.
pub(super) const HEAVIEST: u32 = 1_000;

/// The server and its folders.
pub(super) struct Backend {
    data: PathBuf,
    schemas: PathBuf,
    log: PathBuf,
    process: Option<Process>,
}

impl Backend {
    /// Writes the schemas into `folder` and starts the server on it.
    pub(super) async fn start(folder: &Path) -> Result<(Self, SocketAddr), Failure> {
        let mut backend = Self {
            data: folder.join("server"),
            schemas: folder.join("schemas"),
            log: folder.join("server.log"),
            process: None,
        };
        backend
            .write_schemas()
            .map_err(|problem| Failure::file(folder, &problem))?;
        let addr = backend.restart().await?;
        Ok((backend, addr))
    }

    fn write_schemas(&self) -> std::io::Result<()> {
        let number = json!({ "type": "number", "minimum": 0 });
        let text = json!({ "type": "string" });
        let set = json!({
            "type": "object",
            "required": ["workout_id", "slot", "exercise", "weight", "reps"],
            "properties": {
                "workout_id": text, "slot": text, "exercise": text, "notes": text,
                "weight": { "type": "number", "minimum": 0, "maximum": HEAVIEST },
                "reps": number, "distance": number, "seconds": number,
            },
        });
        let workout = json!({
            "type": "object",
            "required": ["name", "date"],
            "properties": { "name": { "type": "string", "maxLength": LONGEST_NAME }, "date": text, "notes": text },
        });
        std::fs::create_dir_all(&self.schemas)?;
        std::fs::write(self.schemas.join("set_log.json"), set.to_string())?;
        std::fs::write(self.schemas.join("workout.json"), workout.to_string())
    }

    /// Kills the server if it runs, and starts it again on its data, on another port.
    pub(super) async fn restart(&mut self) -> Result<SocketAddr, Failure> {
        self.kill().await?;
        let (data, schemas) = (self.data.as_os_str(), self.schemas.as_os_str());
        let arguments = ["serve".as_ref(), "--data".as_ref(), data, "--schema".as_ref(), schemas];
        let process = self.process.insert(Process::start("server", &arguments, &self.log)?);
        let line = process.line().await?;
        line.strip_prefix("listening on http://")
            .and_then(|addr| addr.parse().ok())
            .ok_or_else(|| Failure::new("process", format!("the server says {line:?}")))
    }

    /// `kill -9`.
    pub(super) async fn kill(&mut self) -> Result<(), Failure> {
        match self.process.take() {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Its database.
    pub(super) fn database(&self) -> PathBuf {
        self.data.join("server.db")
    }

    /// An access token for an hour, made so many hours ago.
    pub(super) fn access_token(&self, user: &str, hours_ago: u32) -> Result<String, Failure> {
        const HOUR_S: u64 = 3_600;
        let made = now_ms() - i64::from(hours_ago) * 3_600_000;
        keepsync_server::access_token(&self.data, user, HOUR_S, made).map_err(|error| refused(&error))
    }

    /// The beginning of a family of refresh tokens: a sign-in.
    pub(super) fn refresh_token(&self, user: &str) -> Result<String, Failure> {
        keepsync_server::refresh_token(&self.data, user, now_ms()).map_err(|error| refused(&error))
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn refused(error: &keepsync_server::ServerError) -> Failure {
    Failure::new(error.code(), error.to_string())
}
