//! `device`: its flags and its verbs.

use super::{ConflictsVerb, NoticesVerb, QueueVerb, SessionVerb};
use clap::{Args as _, Subcommand};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Device {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Which device, whose, and which server.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "The device")]
pub(crate) struct Place {
    /// The device's file; made if it is not there
    #[arg(
        long,
        value_name = "FILE",
        env = "KEEPSYNC_DB",
        hide_env_values = true,
        global = true
    )]
    pub(crate) db: Option<PathBuf>,
    /// The user whose records these are
    #[arg(long, env = "KEEPSYNC_USER", hide_env_values = true, global = true)]
    pub(crate) user: Option<String>,
    /// What a person calls this device; other devices show it in conflicts
    #[arg(
        long,
        value_name = "NAME",
        env = "KEEPSYNC_LABEL",
        hide_env_values = true,
        global = true
    )]
    pub(crate) label: Option<String>,
    /// The server's address: https, or http on this machine
    #[arg(
        long,
        value_name = "URL",
        env = "KEEPSYNC_SERVER",
        hide_env_values = true,
        global = true
    )]
    pub(crate) server: Option<String>,
    // Random text may begin with a hyphen.
    /// An access token for the server
    #[arg(
        long,
        env = "KEEPSYNC_TOKEN",
        hide_env_values = true,
        allow_hyphen_values = true,
        global = true
    )]
    pub(crate) token: Option<String>,
    /// A refresh token; what it is traded for is kept in FILE.tokens
    #[arg(
        long,
        value_name = "TOKEN",
        env = "KEEPSYNC_REFRESH_TOKEN",
        hide_env_values = true,
        allow_hyphen_values = true,
        global = true
    )]
    pub(crate) refresh_token: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Stores a record: a whole body
    #[command(after_help = "Example:\n  keepsync device put user_profile me '{\"name\":\"Ada\"}'")]
    Put(Write),
    /// Changes some fields of a record; null removes one (RFC 7386)
    #[command(after_help = "Example:\n  keepsync device patch user_profile me '{\"name\":\"Ada L.\",\"age\":null}'")]
    Patch(Write),
    /// Deletes a record
    #[command(after_help = "Example:\n  keepsync device delete user_profile me")]
    Delete(Key),
    /// Shows a record
    #[command(after_help = "Example:\n  keepsync device get user_profile me")]
    Get(Key),
    /// Lists the records of a collection, by id
    #[command(after_help = "Example:\n  keepsync device list workout --limit 20")]
    List {
        /// The collection
        collection: String,
        /// At most this many; without it, all
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        limit: Option<u64>,
    },
    /// Logs a workout set by set; what was logged survives a crash
    #[command(after_help = "Example:\n  keepsync device session start workout\n  \
                      keepsync device session log squat/1 '{\"weight\":100,\"reps\":5}'\n  \
                      keepsync device session complete '{\"name\":\"Legs\"}'")]
    Session {
        /// The session; needed where several are in progress. With `start`: the id it gets
        #[arg(long, global = true)]
        id: Option<String>,
        #[command(subcommand)]
        verb: SessionVerb,
    },
    /// Shows and mends what has not reached the server
    #[command(
        after_help = "Example:\n  keepsync device queue list\n  keepsync device queue edit OP '{\"weight\":100}'"
    )]
    Queue {
        #[command(subcommand)]
        verb: QueueVerb,
    },
    /// Shows and settles records that were changed here and elsewhere
    #[command(after_help = "Example:\n  keepsync device conflicts list\n  \
                      keepsync device conflicts resolve workout/w1@3 --keep local")]
    Conflicts {
        #[command(subcommand)]
        verb: ConflictsVerb,
    },
    /// Shows and merges records that were made on two devices and look like one
    #[command(after_help = "Example:\n  keepsync device twins workout\n  keepsync device twins workout --merge w1 w2")]
    Twins {
        /// The collection
        collection: String,
        /// Makes one of two: moves the children of DROP under KEEP, and deletes DROP
        #[arg(long, num_args = 2, value_names = ["KEEP", "DROP"])]
        merge: Option<Vec<String>>,
    },
    /// Shows what happened elsewhere that the user should be told
    #[command(after_help = "Example:\n  keepsync device notices list\n  keepsync device notices dismiss 3")]
    Notices {
        #[command(subcommand)]
        verb: NoticesVerb,
    },
    /// Sends what is unsent, fetches what is new, and says what came of it
    ///
    /// Exit code 0 if both worked and nothing waits any more; 3 if not, and a later sync goes on.
    #[command(
        after_help = "Example:\n  keepsync device --db phone.keepsync --user ada --server http://127.0.0.1:8080 \
                      --token TOKEN sync"
    )]
    Sync,
    /// Brings in a training log that the Strong app exported
    ///
    /// Each workout and each set gets the same id every time, so an import that was cut off can be run
    /// again. What is there already is left alone, also where it was edited since.
    #[command(after_help = "Example:\n  keepsync device import-strong strong.csv")]
    ImportStrong {
        /// The CSV file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Writes all records into a text file, one JSON object a line
    #[command(after_help = "Example:\n  keepsync device export ada.jsonl")]
    Export {
        /// Where to
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Brings in what `export` wrote: what is missing or different becomes unsent writes
    #[command(after_help = "Example:\n  keepsync device --db new.keepsync import ada.jsonl")]
    Import {
        /// Where from
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Looks for anything wrong with the file; exit code 1 if there is
    #[command(after_help = "Example:\n  keepsync device doctor")]
    Doctor,
    /// Writes what to attach to a bug report; nothing the user wrote is in it
    #[command(after_help = "Example:\n  keepsync device bundle report.json")]
    Bundle {
        /// Where to
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Shows what is unsent and what needs a look
    #[command(after_help = "Example:\n  keepsync device status --json")]
    Status,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Key {
    /// The collection
    pub(crate) collection: String,
    /// The record
    pub(crate) id: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Write {
    #[command(flatten)]
    pub(crate) key: Key,
    /// A JSON object, or - for standard input
    #[arg(value_name = "JSON")]
    pub(crate) body: String,
}

impl Device {
    /// How this command is called when one of its flags is missing.
    pub(crate) fn missing(flag: &str) -> String {
        let known = Place::augment_args(clap::Command::new("device"));
        let variable = known
            .get_arguments()
            .find(|arg| arg.get_long() == Some(flag))
            .and_then(|arg| arg.get_env())
            .map(|name| format!(" (or the variable {})", name.to_string_lossy()));
        format!("--{flag} is needed{}", variable.unwrap_or_default())
    }
}
