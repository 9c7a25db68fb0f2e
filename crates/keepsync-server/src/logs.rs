//! What is logged: one line of JSON for each request, and what the server does by itself. Never bodies,
//! tokens, or ids of records; a user only under an alias that the signing key makes.

use std::io;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Layer as _, filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Logs as JSON lines to standard error. `KEEPSYNC_LOG` is the level: `off`, `error`, `warn`, `info`,
/// `debug` or `trace`; `info` where it is absent or something else. Only this server's own lines are
/// written: a library's might quote what it was given. Does nothing where the process logs already.
pub fn init_logs() {
    let level = std::env::var("KEEPSYNC_LOG").ok().and_then(|level| level.parse().ok());
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(io::stderr)
        .with_filter(Targets::new().with_target("keepsync_server", level.unwrap_or(LevelFilter::INFO)));
    let _ = tracing_subscriber::registry().with(lines).try_init();
}
