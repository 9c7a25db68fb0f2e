//! A server from start to stop.
//!
//! 1. The folder is locked; two servers never write one file.
//! 2. The file is opened: its tables brought up to date, a new epoch begun if it is a backup.
//! 3. The socket is bound; from here on connections wait to be accepted.
//! 4. Running: connections are served, and once a day what is old is forgotten, beginning at once.
//! 5. Told to stop: no more connections, those that rest are closed, requests under way are finished,
//!    for a bounded time. Then the writer finishes what waits, and the file is closed.
//!
//! Killed anywhere: what was answered is in the file, see [`storage::sqlite`](crate::storage::sqlite).

use crate::{
    Config, Retention, ServerError, clock,
    folder::{Folder, Lock},
    http::{self, App},
    schema::Schemas,
    storage::{Storage, sqlite::SqliteStorage},
    token::Keys,
};
use axum::{Router, body::Body};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulConnection, GracefulShutdown},
};
use std::{convert::Infallible, future::Future, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tower_service::Service as _;

/// How long to wait before accepting again, after the system could not.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often what is old is forgotten.
const PURGE_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// A server that is bound and not yet running.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
    router: Router,
    config: Config,
    lock: Lock,
}

impl Server {
    /// Opens the data and binds the socket.
    ///
    /// # Errors
    ///
    /// The configuration makes no sense, another server has the folder, the data or a schema cannot be
    /// used, or the address is taken.
    pub async fn bind(config: Config) -> Result<Self, ServerError> {
        config.check()?;
        let schemas = Schemas::load(config.schemas.as_deref(), config.known_only)?;
        let folder = Folder::make(&config.data)?;
        let lock = folder.lock()?;
        let keys = Keys::new(&folder.signing_key()?);
        let storage = open(folder).await?;
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(ServerError::io(format!("listen on {}", config.listen)))?;
        let address = listener.local_addr().map_err(ServerError::io("listen"))?;
        let app = Arc::new(App::new(&config, Arc::new(storage), keys, schemas));
        let router = http::router(Arc::clone(&app), &config.origins);
        Ok(Self {
            listener,
            address,
            app,
            router,
            config,
            lock,
        })
    }

    /// The address that was bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` resolves; then finishes what is under way, for a bounded time, and closes the
    /// file.
    ///
    /// # Errors
    ///
    /// The file could not be closed well; what was answered is in it all the same.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), ServerError> {
        let Self {
            listener,
            address,
            app,
            router,
            config,
            lock,
        } = self;
        tracing::info!(%address, "serving");
        let purge = purge_daily(Arc::clone(&app.storage), config.retention);
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(config.limits.connections));
        // Dropped with this future: nobody is served by a server that is not run any more.
        let mut served = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(_) = served.join_next() => {}
                accepted = accept(&listener, &places) => match accepted {
                    Ok((stream, peer, place)) => {
                        let connection = graceful.watch(serve(stream, peer, &router, config.limits.header_time));
                        served.spawn(async move {
                            // The other side went away, or was too slow: its business.
                            let _ = connection.await;
                            drop(place);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(error = %error.kind(), "a connection was not accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        tracing::info!(connections = graceful.count(), "stopping");
        if tokio::time::timeout(config.limits.stop_time, graceful.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("requests were still under way");
            served.shutdown().await;
        }
        drop(purge);
        let closed = app.storage.close().await;
        drop(lock);
        tracing::info!("stopped");
        Ok(closed?)
    }
}

/// One connection; requests come one after another.
fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    router: &Router,
    header_time: Duration,
) -> impl GracefulConnection<Error = hyper::Error> + Send + use<> {
    // Without it small answers would wait for company.
    let _ = stream.set_nodelay(true);
    let router = router.clone();
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut router = router.clone();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(http::Peer(peer.ip()));
        async move {
            let answer: Result<_, Infallible> = router.call(request).await;
            answer
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_time)
        .serve_connection(TokioIo::new(stream), service)
}

/// Ends when what is returned is dropped.
fn purge_daily(storage: Arc<dyn Storage>, retention: Retention) -> JoinSet<()> {
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut every = tokio::time::interval(PURGE_EVERY);
        loop {
            every.tick().await;
            match storage.purge(&retention, clock::now_ms()).await {
                Ok(purged) => tracing::info!(
                    tombstones = purged.tombstones,
                    answers = purged.answers,
                    tokens = purged.tokens,
                    "purged"
                ),
                Err(error) => tracing::warn!(code = error.code(), "not purged"),
            }
        }
    });
    task
}

/// A connection, once there is a place for one.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Result<(TcpStream, SocketAddr, OwnedSemaphorePermit), std::io::Error> {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

/// Opening may take long, after a crash or for a migration, and blocks.
async fn open(folder: Folder) -> Result<SqliteStorage, ServerError> {
    let path = folder.database();
    match tokio::task::spawn_blocking(move || SqliteStorage::open(&path)).await {
        Ok(opened) => Ok(opened?),
        Err(_) => Err(crate::storage::StorageError::Closed.into()),
    }
}
