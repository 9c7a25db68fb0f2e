//! What can be asked of `keepsync`, and the help that says so.

mod device;
mod server;
mod verbs;

pub(crate) use device::{Device, Key, Place, Verb, Write};
pub(crate) use server::{Copy, Serve, Token};
pub(crate) use verbs::{ConflictsVerb, Keep, NoticesVerb, QueueVerb, SessionVerb};

use clap::{Parser, Subcommand};

/// Offline-first sync: a server, a whole device, and a demo.
///
/// A device keeps its records in one file and works without a network. What it wrote goes to the
/// server with `sync`, each write once and in order; what the server refuses is kept with its reason.
#[derive(Debug, Parser)]
#[command(
    name = "keepsync",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "Try it:\n  keepsync serve --data server\n  keepsync token --data server --user ada\n  \
                  keepsync device --db phone.keepsync --user ada put user_profile me '{\"name\":\"Ada\"}'\n  \
                  keepsync device --db phone.keepsync --user ada --server http://ADDR --token TOKEN sync\n\n\
                  Exit codes: 0 it worked; 1 it did not, standard error says why; 2 the command is wrong;\n\
                  3 a sync left something for later."
)]
pub(crate) struct Args {
    /// Prints one JSON object a line instead of text, and errors as one object
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Replays a real training log through dead zones, kills and faults, and counts what arrived
    #[command(after_help = "Example:\n  keepsync demo --seed 7 --keep run")]
    Demo(crate::demo::Args),
    /// A device of the demo; it is told what to do on standard input
    #[command(hide = true)]
    DemoDevice,
    /// Runs a server
    ///
    /// The first line on standard output is `listening on http://ADDR`. Logs go to standard error as
    /// JSON lines; KEEPSYNC_LOG sets their level. SIGTERM and ctrl-c stop it after the requests under
    /// way.
    #[command(after_help = "Example:\n  keepsync serve --data server --listen 127.0.0.1:8080")]
    Serve(Serve),
    /// Prints an access token for a user of a server
    ///
    /// It needs the server's folder, not the server: whoever can read the folder can sign in anyone.
    #[command(after_help = "Examples:\n  keepsync token --data server --user ada\n  \
                            keepsync token --data server --user ada --refresh")]
    Token(Token),
    /// Copies a server's data into one file, also while the server runs
    #[command(after_help = "Example:\n  keepsync backup --data server monday.backup")]
    Backup(Copy),
    /// Puts a backup in place of a server's data, which is kept aside; the server must not run
    #[command(after_help = "Example:\n  keepsync restore --data server monday.backup")]
    Restore(Copy),
    /// Is a device: reads and writes its records, its sessions and its queue, and syncs them
    ///
    /// Everything but `sync` is local and needs no network. The flags may stand before or after the
    /// verb. JSON and bodies given as `-` are read from standard input.
    #[command(after_help = "Example:\n  export KEEPSYNC_DB=phone.keepsync KEEPSYNC_USER=ada\n  \
                      keepsync device put user_profile me '{\"name\":\"Ada\"}'\n  keepsync device list user_profile\n  \
                      keepsync device --server http://127.0.0.1:8080 --token TOKEN sync")]
    Device(Device),
}
