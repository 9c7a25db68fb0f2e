//! `keepsync serve`: the reference server, until it is told to stop.

use crate::{
    args::Serve,
    failure::{Exit, Failure},
    out::Out,
    server::failed,
};
use keepsync_server::{Config, Rate, Server, init_logs};

pub(crate) fn run(args: &Serve, out: &mut Out) -> Result<Exit, Failure> {
    init_logs();
    let mut config = Config::new(&args.data);
    config.listen = args.listen;
    config.schemas = args.schema.clone();
    config.origins = args.origin.clone();
    config.limits.per_user = Rate {
        per_second: args.rate,
        burst: args.rate.saturating_mul(10),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|problem| Failure::new("internal", format!("no runtime: {problem}")))?;
    runtime.block_on(async {
        // Before the address is printed: whoever has read it may stop the server at once.
        let stop = stop().map_err(|problem| Failure::new("internal", format!("no signals: {problem}")))?;
        let server = Server::bind(config).await.map_err(failed)?;
        // Programs wait for this line, also with --json.
        out.line(&format!("listening on http://{}", server.local_addr()))?;
        out.flush()?;
        server.run(stop).await.map_err(failed)?;
        Ok(Exit::Good)
    })
}

/// Resolves when the process is asked to end.
#[cfg(unix)]
pub(crate) fn stop() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut asked = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = asked.recv() => {}
            _ = interrupted.recv() => {}
        }
    })
}

/// Resolves when the process is asked to end.
#[cfg(not(unix))]
pub(crate) fn stop() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(async {
        // Without the signal nothing can stop it but the end of the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
