//! The verbs of `session`, `queue`, `conflicts` and `notices`.

use clap::Subcommand;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum SessionVerb {
    /// Starts a session
    #[command(after_help = "Example:\n  keepsync device session start workout")]
    Start {
        /// Its collection: workout
        kind: String,
    },
    /// Logs a set, or gives a logged one new fields
    #[command(after_help = "Example:\n  keepsync device session log squat/1 '{\"weight\":100,\"reps\":5}'")]
    Log {
        /// The set's place in the session, such as squat/1
        slot: String,
        /// The set's fields as a JSON object, or - for standard input
        #[arg(value_name = "JSON")]
        body: String,
    },
    /// Shows the session in progress with its sets
    #[command(after_help = "Example:\n  keepsync device session show")]
    Show,
    /// Ends it as done
    #[command(after_help = "Example:\n  keepsync device session complete '{\"name\":\"Legs\"}'")]
    Complete {
        /// Fields to add to the session's record, or - for standard input
        #[arg(value_name = "JSON", default_value = "{}", hide_default_value = true)]
        body: String,
    },
    /// Ends it as skipped
    #[command(after_help = "Example:\n  keepsync device session skip --reason 'knee hurts'")]
    Skip {
        /// Why; it goes into the record's field `skip_reason`
        #[arg(long, allow_hyphen_values = true)]
        reason: Option<String>,
    },
    /// Throws it away with its sets
    #[command(after_help = "Example:\n  keepsync device session discard")]
    Discard,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueVerb {
    /// Lists unsent writes, oldest first
    #[command(after_help = "Example:\n  keepsync device queue list")]
    List,
    /// Shows one with its body
    #[command(after_help = "Example:\n  keepsync device queue show 019f1c2e-8f6a-7cc3-98c4-dc0c0c07398f")]
    Show {
        /// Its operation id, from `queue list`
        op: String,
    },
    /// Gives a refused one another body; the next sync sends it
    #[command(after_help = "Example:\n  keepsync device queue edit OP '{\"weight\":100}'")]
    Edit {
        /// Its operation id, from `queue list`
        op: String,
        /// The whole body as a JSON object, or - for standard input
        #[arg(value_name = "JSON")]
        body: String,
    },
    /// Lets one go again as it is; the next sync sends it
    #[command(after_help = "Example:\n  keepsync device queue retry OP")]
    Retry {
        /// Its operation id, from `queue list`
        op: String,
    },
    /// Throws one away; the record shows what the server has
    #[command(after_help = "Example:\n  keepsync device queue discard OP")]
    Discard {
        /// Its operation id, from `queue list`
        op: String,
        /// Throws away what cannot go without it, too
        #[arg(long)]
        cascade: bool,
    },
    /// Writes all of them with their bodies, one JSON object a line
    #[command(after_help = "Example:\n  keepsync device queue export unsent.jsonl")]
    Export {
        /// Where to; without it, to standard output
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConflictsVerb {
    /// Lists them, oldest first
    #[command(after_help = "Example:\n  keepsync device conflicts list")]
    List,
    /// Shows one: both versions, what they were made on, what differs, and what a merge would make
    #[command(after_help = "Example:\n  keepsync device conflicts show workout/w1")]
    Show {
        /// COLLECTION/ID, with or without @VERSION
        #[arg(value_name = "ID")]
        conflict: String,
    },
    /// Settles one
    ///
    /// ID is COLLECTION/ID@VERSION as `conflicts list` shows it. If either side has changed since, nothing
    /// happens and the answer is `conflict_changed`: look again. Without @VERSION the current one is meant.
    #[command(
        after_help = "Example:\n  keepsync device conflicts resolve workout/w1@3 --keep local\n  \
                      keepsync device conflicts resolve workout/w1@3 --body '{\"name\":\"Legs\"}'"
    )]
    #[command(group = clap::ArgGroup::new("resolution").required(true).args(["keep", "body"]))]
    Resolve {
        /// The conflict
        #[arg(value_name = "ID")]
        conflict: String,
        /// Whose version stands
        #[arg(long)]
        keep: Option<Keep>,
        /// Another body made from both: a JSON object, or - for standard input; children become as proposed
        #[arg(long, value_name = "JSON")]
        body: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum NoticesVerb {
    /// Lists them, oldest first
    #[command(after_help = "Example:\n  keepsync device notices list")]
    List,
    /// Takes one away that was seen; one that happened again since has another number
    #[command(after_help = "Example:\n  keepsync device notices dismiss 3")]
    Dismiss {
        /// Its number, from `notices list`
        notice: i64,
    },
}

/// Whose version stands.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Keep {
    /// This device's
    Local,
    /// The server's
    Remote,
    /// Both, as `conflicts show` proposes
    Merge,
}
