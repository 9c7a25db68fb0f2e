//! Real devices on a real server, and a look at what goes between them.

use super::{Running, now_ms};
use keepsync::{
    Backend, OpenOptions, Store,
    collection::Collections,
    env::{Env, SystemEnv},
    record::Query,
    remote::{
        Capabilities, Fault, PullPage, PullRequest, PushAnswer, PushBatch, Remote, RemoteFuture, Token, TokenFault,
        TokenProvider,
        http::{HttpOptions, HttpRemote},
    },
    settings::Settings,
    store::Subscription,
};
use keepsync_server::{Config, access_token};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

/// A server under way, and a folder for its devices.
pub struct World {
    pub folder: tempfile::TempDir,
    pub data: PathBuf,
    pub server: Running,
}

impl World {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A server that has a schema for these collections.
    pub async fn with(schemas: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let mut config = Config::new(&data);
        if !schemas.is_empty() {
            let place = folder.path().join("schemas");
            std::fs::create_dir(&place).unwrap();
            for (collection, schema) in schemas {
                std::fs::write(place.join(format!("{collection}.json")), schema).unwrap();
            }
            config.schemas = Some(place);
        }
        let server = Running::start(config).await;
        Self { folder, data, server }
    }

    /// A device of `account`, in a folder of its own, that drains only when it is told to.
    pub fn device<'a>(&'a self, account: &'a str, name: &str, collections: Collections) -> Device<'a> {
        let mut options = OpenOptions::new(self.folder.path().join(name), account, collections);
        options.settings.automatic = false;
        Device {
            world: self,
            options,
            url: self.server.url(""),
            watched: None,
        }
    }

    pub fn http(&self, url: &str) -> HttpRemote {
        HttpRemote::new(HttpOptions::new(url)).unwrap()
    }

    pub fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.data.join("server.db")).unwrap()
    }

    /// The body and version of a record on the server.
    pub fn record(&self, collection: &str, id: &str) -> Option<(Option<String>, i64)> {
        let sql = "SELECT body, version FROM record WHERE collection = ?1 AND id = ?2";
        let found = self
            .database()
            .query_row(sql, [collection, id], |row| Ok((row.get(0)?, row.get(1)?)));
        rusqlite::OptionalExtension::optional(found).unwrap()
    }
}

/// A device to be opened.
pub struct Device<'a> {
    world: &'a World,
    pub options: OpenOptions,
    pub url: String,
    watched: Option<Arc<Watched>>,
}

impl Device<'_> {
    pub fn settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.options.settings);
        self
    }

    pub fn env(mut self, env: Arc<dyn Env>) -> Self {
        self.options.env = env;
        self
    }

    /// Its requests go this way.
    pub fn by(mut self, watched: &Arc<Watched>) -> Self {
        self.watched = Some(Arc::clone(watched));
        self
    }

    pub async fn open(self) -> Store {
        let remote: Arc<dyn Remote> = match self.watched {
            Some(watched) => watched,
            None => Arc::new(self.world.http(&self.url)),
        };
        let tokens = SignIn(self.world.data.clone());
        let backend = Backend {
            remote,
            tokens: Some(Arc::new(tokens)),
        };
        Store::open(self.options, Some(backend)).await.unwrap()
    }
}

struct SignIn(PathBuf);

impl TokenProvider for SignIn {
    fn token<'a>(
        &'a self,
        account: &'a str,
        _rejected: Option<&'a Token>,
    ) -> RemoteFuture<'a, Result<Option<Token>, TokenFault>> {
        let token = access_token(&self.0, account, 600, now_ms()).unwrap();
        Box::pin(async move { Ok(Some(Token::new(token, None))) })
    }
}

/// What happens to a request, told its number, counted from 0.
type Way = Box<dyn Fn(usize) -> Passing + Send + Sync>;

/// How a request passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passing {
    Well,
    /// It is answered; the answer never comes.
    AnswerHangs,
    /// It does not reach the server.
    Offline,
    /// Something in between fails.
    BadGateway,
    /// The server fails on it, and does nothing.
    ServerFails,
}

/// A remote that remembers what was asked and answered.
pub struct Watched {
    inner: HttpRemote,
    way_of_pulls: Way,
    way_of_pushes: Way,
    asked: Mutex<Vec<PullRequest>>,
    pages: Mutex<Vec<PullPage>>,
    pushed: Mutex<Vec<usize>>,
}

impl Watched {
    pub fn new(inner: HttpRemote, way_of_pulls: impl Fn(usize) -> Passing + Send + Sync + 'static) -> Arc<Self> {
        Self::both(inner, way_of_pulls, |_| Passing::Well)
    }

    pub fn both(
        inner: HttpRemote,
        way_of_pulls: impl Fn(usize) -> Passing + Send + Sync + 'static,
        way_of_pushes: impl Fn(usize) -> Passing + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            inner,
            way_of_pulls: Box::new(way_of_pulls),
            way_of_pushes: Box::new(way_of_pushes),
            asked: Mutex::default(),
            pages: Mutex::default(),
            pushed: Mutex::default(),
        })
    }

    /// The pulls that were asked.
    pub fn asked(&self) -> Vec<PullRequest> {
        self.asked.lock().unwrap().clone()
    }

    /// The pages the server gave, whether they arrived or not.
    pub fn pages(&self) -> Vec<PullPage> {
        self.pages.lock().unwrap().clone()
    }

    /// How many items each push had.
    pub fn pushed(&self) -> Vec<usize> {
        self.pushed.lock().unwrap().clone()
    }
}

impl Remote for Watched {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn push<'a>(&'a self, token: Option<&'a Token>, batch: PushBatch) -> RemoteFuture<'a, Result<PushAnswer, Fault>> {
        Box::pin(async move {
            let number = {
                let mut pushed = self.pushed.lock().unwrap();
                pushed.push(batch.items.len());
                pushed.len() - 1
            };
            pass((self.way_of_pushes)(number), self.inner.push(token, batch), |_| {}).await
        })
    }

    fn pull<'a>(&'a self, token: Option<&'a Token>, request: PullRequest) -> RemoteFuture<'a, Result<PullPage, Fault>> {
        Box::pin(async move {
            let number = {
                let mut asked = self.asked.lock().unwrap();
                asked.push(request.clone());
                asked.len() - 1
            };
            let keep = |page: &PullPage| self.pages.lock().unwrap().push(page.clone());
            pass((self.way_of_pulls)(number), self.inner.pull(token, request), keep).await
        })
    }

    fn probe<'a>(&'a self) -> RemoteFuture<'a, Result<(), Fault>> {
        self.inner.probe()
    }

    fn network_changed(&self) {
        self.inner.network_changed();
    }
}

async fn pass<T>(
    passing: Passing,
    request: RemoteFuture<'_, Result<T, Fault>>,
    keep: impl FnOnce(&T),
) -> Result<T, Fault> {
    match passing {
        Passing::Well | Passing::AnswerHangs => {}
        Passing::Offline => return Err(Fault::Offline),
        Passing::BadGateway => return Err(Fault::Unrecognised { status: 502 }),
        Passing::ServerFails => return Err(Fault::Server { status: 500 }),
    }
    let answer = request.await;
    if let Ok(answer) = &answer {
        keep(answer);
    }
    if passing == Passing::AnswerHangs {
        std::future::pending::<()>().await;
    }
    answer
}

/// The ids of what a device shows of a collection, sorted.
pub async fn ids(store: &Store, collection: &str) -> Vec<String> {
    let page = store.query(Query::new(collection).limit(1_000)).await.unwrap();
    let mut ids: Vec<String> = page.records.into_iter().map(|record| record.id).collect();
    ids.sort();
    ids
}

pub async fn body(store: &Store, collection: &str, id: &str) -> Option<String> {
    store.get(collection, id).await.unwrap().and_then(|record| record.body)
}

/// One sync whose halves both work.
pub async fn sync(store: &Store) -> keepsync::drain::Report {
    let report = store.sync().await.unwrap();
    assert!(!report.push.failed() && !report.pull.failed(), "{report:?}");
    report
}

/// Follows something until it is so, for a time that only a fault makes long. Gives all that was seen.
pub async fn follow<T>(watch: &mut Subscription<T>, so: impl Fn(&T) -> bool) -> Vec<T> {
    let all = async {
        let mut seen = vec![watch.next().await.unwrap()];
        while !so(seen.last().unwrap()) {
            seen.push(watch.next().await.unwrap());
        }
        seen
    };
    tokio::time::timeout(Duration::from_secs(30), all).await.unwrap()
}

/// The files of a device as they are at this moment, as if its process ended now.
pub fn snapshot(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// The system's clocks, with a wall clock that is wrong by so much.
pub struct WrongClock {
    system: SystemEnv,
    by_ms: std::sync::atomic::AtomicI64,
}

impl WrongClock {
    pub fn by(ms: i64) -> Arc<Self> {
        Arc::new(Self {
            system: SystemEnv::default(),
            by_ms: ms.into(),
        })
    }

    /// From now on it is wrong by this much.
    pub fn set(&self, ms: i64) {
        self.by_ms.store(ms, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Env for WrongClock {
    fn wall_ms(&self) -> i64 {
        let by = self.by_ms.load(std::sync::atomic::Ordering::SeqCst);
        self.system.wall_ms().saturating_add(by)
    }

    fn monotonic_ms(&self) -> u64 {
        self.system.monotonic_ms()
    }

    fn random(&self) -> [u8; 16] {
        self.system.random()
    }
}
