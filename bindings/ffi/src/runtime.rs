//! The one runtime of the process. It is never dropped, so nothing that an app lets go of can take it along.

use crate::error::Result;
use once_cell::sync::Lazy;
use std::future::Future;
use tokio::runtime::{Builder, Runtime};

static RUNTIME: Lazy<std::io::Result<Runtime>> = Lazy::new(|| {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("keepsync")
        .enable_all()
        .build()
});

pub(crate) fn runtime() -> Result<&'static Runtime> {
    RUNTIME
        .as_ref()
        .map_err(|error| keepsync::Error::Internal(format!("no runtime: {:?}", error.kind())).into())
}

/// Carries it out to its end, whatever becomes of who asked. A panic is an internal error.
pub(crate) async fn run<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    match runtime()?.spawn(work).await {
        Ok(done) => done,
        Err(_) => Err(keepsync::Error::Internal("a call panicked".to_owned()).into()),
    }
}

/// Runs the app's own code on a thread where it can do no harm by taking its time. `None`: it panicked.
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    runtime().ok()?.spawn_blocking(work).await.ok()
}
