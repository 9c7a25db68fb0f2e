//! Why a command failed, and with which exit code.

use keepsync::Error;
use serde_json::json;
use std::{io::Write as _, process::ExitCode};

/// How a command that ran ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0.
    Good,
    /// 1: it ran to its end, and what it found is wrong.
    Wrong,
    /// 3: a sync that left something to a later one.
    Unfinished,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Good => Self::SUCCESS,
            Exit::Wrong => Self::from(1),
            Exit::Unfinished => Self::from(3),
        }
    }
}

/// Why it failed: a stable code, and one line for a person.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    code: String,
    message: String,
    exit: u8,
}

impl Failure {
    pub(crate) fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            exit: 1,
        }
    }

    /// The command itself was wrong: exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: 2,
            ..Self::new("usage", message)
        }
    }

    /// Whoever read the output has seen enough: nothing is to be told, as with any other tool in a pipe.
    pub(crate) fn unheard() -> Self {
        Self::new("output", "")
    }

    /// A file named on the command line, and what the system says of it.
    pub(crate) fn file(path: &std::path::Path, problem: &std::io::Error) -> Self {
        Self::new("file", format!("{}: {problem}", path.display()))
    }

    /// Says which file it is about.
    pub(crate) fn about(self, path: &std::path::Path) -> Self {
        Self {
            message: format!("{}: {}", path.display(), self.message),
            ..self
        }
    }

    /// Tells it on standard error.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        if self.message.is_empty() {
            return ExitCode::from(self.exit);
        }
        let text = if json {
            json!({ "error": { "code": self.code, "message": self.message } }).to_string()
        } else {
            format!("keepsync: {}", self.message.replace('\n', " "))
        };
        tell(&text);
        ExitCode::from(self.exit)
    }
}

/// Tells on standard error what the user must know although the command goes on.
pub(crate) fn warn(code: &str, message: &str, json: bool) {
    let text = if json {
        json!({ "warning": { "code": code, "message": message } }).to_string()
    } else {
        format!("keepsync: warning: {message}")
    };
    tell(&text);
}

fn tell(line: &str) {
    // Nowhere is left to say that it could not be said.
    let _ = writeln!(std::io::stderr(), "{line}");
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = match &error {
            Error::UnknownCollection(name) => format!(
                "no collection is called {name:?}; there are: {}",
                crate::collections::NAMES.join(", ")
            ),
            Error::OtherAccount => "the file belongs to another user; --user names whose it is".to_owned(),
            other => other.to_string(),
        };
        Self::new(error.code(), message)
    }
}
