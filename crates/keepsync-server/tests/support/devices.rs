//! Real devices beside the real server.

use super::{Running, now_ms};
use keepsync::{
    Backend, OpenOptions, Store,
    collection::{Collection, Collections},
    conflict::Policy,
    drain::Report,
    env::{Env, SystemEnv},
    remote::{
        RemoteFuture, Token, TokenFault, TokenProvider,
        http::{HttpOptions, HttpRemote},
    },
    settings::Settings,
};
use keepsync_server::{Config, access_token};
use std::{net::SocketAddr, path::PathBuf, sync::Arc};

/// Tokens as the server gives them.
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

/// A clock that is not the others'.
struct Ahead {
    system: SystemEnv,
    ms: i64,
}

impl Env for Ahead {
    fn wall_ms(&self) -> i64 {
        self.system.wall_ms() + self.ms
    }
    fn monotonic_ms(&self) -> u64 {
        self.system.monotonic_ms()
    }
    fn random(&self) -> [u8; 16] {
        self.system.random()
    }
}

/// A folder with a server's data and its devices.
pub struct World {
    pub folder: tempfile::TempDir,
    pub data: PathBuf,
    /// Devices remember an address, so it stays.
    listen: Option<SocketAddr>,
}

impl World {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            data: folder.path().join("data"),
            folder,
            listen: None,
        }
    }

    pub async fn start(&mut self) -> Running {
        let mut config = Config::new(&self.data);
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        let running = Running::start(config).await;
        self.listen = Some(running.address);
        running
    }

    /// A device of Ann's that syncs when it is told to, and only then.
    pub async fn device(&self, running: &Running, name: &str) -> Store {
        self.device_with(running, name, Settings::default()).await
    }

    /// One whose clock is so far ahead.
    pub async fn device_ahead(&self, running: &Running, name: &str, ahead_ms: i64) -> Store {
        let env = Ahead {
            system: SystemEnv::default(),
            ms: ahead_ms,
        };
        self.open(running, name, Settings::default(), Arc::new(env)).await
    }

    pub async fn device_with(&self, running: &Running, name: &str, settings: Settings) -> Store {
        self.open(running, name, settings, Arc::new(SystemEnv::default())).await
    }

    async fn open(&self, running: &Running, name: &str, settings: Settings, env: Arc<dyn Env>) -> Store {
        let collections = Collections::new([
            Collection::new("note", Policy::Ask),
            Collection::new("profile", Policy::LastWriteWins),
            Collection::new("tag", Policy::ClientWins),
        ])
        .unwrap();
        let mut options = OpenOptions::new(self.folder.path().join(name), "ann", collections);
        options.env = env;
        options.settings = Settings {
            automatic: false,
            device_label: Some(name.to_owned()),
            ..settings
        };
        let backend = Backend {
            remote: Arc::new(HttpRemote::new(HttpOptions::new(running.url(""))).unwrap()),
            tokens: Some(Arc::new(SignIn(self.data.clone()))),
        };
        Store::open(options, Some(backend)).await.unwrap()
    }
}

/// One sync whose halves both work.
pub async fn sync(store: &Store) -> Report {
    store.network(true);
    let report = store.sync().await.unwrap();
    assert!(!report.push.failed() && !report.pull.failed(), "{report:?}");
    report
}
