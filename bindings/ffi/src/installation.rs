//! An installation: one folder, its host, and the stores that are open in it. There is one of a folder in a process,
//! as long as a store of it is open.

use crate::{
    Host, Options, Store,
    error::{KeepsyncError, Result},
    host::{Resolver, Slot, Tokens},
    options::Backend,
    remote::AppRemote,
    runtime::aside,
};
use keepsync::{
    Backend as CoreBackend, Key, OpenOptions,
    collection::Collections,
    conflict::Resolvers,
    remote::{Remote, TokenProvider},
};
use once_cell::sync::Lazy;
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::sync::OnceCell;

pub(crate) struct Installation {
    options: OpenOptions,
    backend: Option<(Arc<dyn Remote>, Arc<dyn TokenProvider>)>,
    host: Arc<Slot>,
    /// Made with the first call, because the files' key has to be asked for.
    accounts: OnceCell<keepsync::accounts::Accounts>,
    stores: Mutex<HashMap<String, Arc<Store>>>,
    /// Held while an account's store is looked for and opened.
    opening: tokio::sync::Mutex<()>,
}

static INSTALLATIONS: Lazy<Mutex<HashMap<PathBuf, Weak<Installation>>>> = Lazy::new(Mutex::default);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Installation {
    /// The installation of the folder: that whose stores are open, with the new host, or a new one.
    pub(crate) fn of(options: Options, host: Host) -> Result<Arc<Self>> {
        // A folder that cannot be made is explained by opening.
        let _ = std::fs::create_dir_all(&options.folder);
        let folder = PathBuf::from(&options.folder);
        let folder = folder.canonicalize().unwrap_or(folder);
        let mut all = lock(&INSTALLATIONS);
        all.retain(|_, installation| installation.strong_count() > 0);
        if let Some(there) = all.get(&folder).and_then(Weak::upgrade)
            && !lock(&there.stores).is_empty()
        {
            there.host.set(host);
            return Ok(there);
        }
        let installation = Arc::new(Self::new(folder.clone(), options, host)?);
        all.insert(folder, Arc::downgrade(&installation));
        Ok(installation)
    }

    fn new(folder: PathBuf, options: Options, host: Host) -> Result<Self> {
        let host = Arc::new(Slot::new(host));
        let settings: keepsync::settings::Settings = match options.settings.clone() {
            Some(settings) => settings.try_into()?,
            None => keepsync::settings::Settings::default(),
        };
        let patience = Duration::from_millis(settings.resolver_ms);
        let resolvers = options
            .resolvers()
            .into_iter()
            .fold(Resolvers::new(), |resolvers, name| {
                let resolver = Resolver {
                    slot: Arc::clone(&host),
                    name: name.clone(),
                    patience,
                };
                resolvers.with(name, resolver)
            });
        let remote = options.backend.map(|backend| remote(backend, &host)).transpose()?;
        let collections = Collections::new(options.collections.into_iter().map(Into::into))?;
        Ok(Self {
            options: OpenOptions {
                device_id: options.device_id,
                settings,
                resolvers,
                ..OpenOptions::new(folder, "", collections)
            },
            backend: remote.map(|remote| {
                let tokens: Arc<dyn TokenProvider> = Arc::new(Tokens(Arc::clone(&host)));
                (remote, tokens)
            }),
            host,
            accounts: OnceCell::new(),
            stores: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
        })
    }

    pub(crate) fn host(&self) -> &Slot {
        &self.host
    }

    /// The core's accounts.
    pub(crate) async fn accounts(&self) -> Result<&keepsync::accounts::Accounts> {
        self.accounts.get_or_try_init(|| self.make_accounts()).await
    }

    async fn make_accounts(&self) -> Result<keepsync::accounts::Accounts> {
        let mut options = self.options.clone();
        if let Some(keys) = self.host.get().keys {
            let Ok(bytes) = keys.key().await else {
                return Err(keepsync::Error::Unavailable.into());
            };
            let bytes = bytes.try_into();
            let bytes: [u8; 32] = bytes.map_err(|_| KeepsyncError::invalid("key", "a key has 32 bytes"))?;
            options.key = Some(Key::new(bytes));
        }
        let backend = self.backend.clone();
        let backend = move |_: &str| {
            backend.clone().map(|(remote, tokens)| CoreBackend {
                remote,
                tokens: Some(tokens),
            })
        };
        match aside(move || keepsync::accounts::Accounts::new(options, backend)).await {
            Some(accounts) => Ok(accounts?),
            None => Err(keepsync::Error::Internal("opening panicked".to_owned()).into()),
        }
    }

    pub(crate) async fn open_core(&self, account: &str) -> Result<keepsync::Store> {
        Ok(self.accounts().await?.open(account).await?)
    }

    /// The account's store: the one that is open, or a new one.
    pub(crate) async fn open(self: Arc<Self>, account: String) -> Result<Arc<Store>> {
        let _opening = self.opening.lock().await;
        if let Some(store) = self.opened(&account) {
            store.core().await?;
            return Ok(store);
        }
        let core = self.open_core(&account).await?;
        let store = Store::new(Arc::clone(&self), core)?;
        lock(&self.stores).insert(account, Arc::clone(&store));
        Ok(store)
    }

    pub(crate) fn opened(&self, account: &str) -> Option<Arc<Store>> {
        lock(&self.stores)
            .get(account)
            .filter(|store| !store.is_closed())
            .cloned()
    }

    /// A store was closed for good.
    pub(crate) fn forget(&self, closed: &Store) {
        lock(&self.stores).retain(|_, store| !std::ptr::eq(Arc::as_ptr(store), closed));
    }
}

fn remote(backend: Backend, host: &Arc<Slot>) -> Result<Arc<dyn Remote>> {
    Ok(match backend {
        #[cfg(feature = "http")]
        Backend::Wire { http } => {
            Arc::new(keepsync::remote::http::HttpRemote::new(http.try_into()?).map_err(unusable)?)
        }
        #[cfg(feature = "http")]
        Backend::Rest { http, api } => {
            Arc::new(keepsync::remote::rest::RestRemote::new(http.try_into()?, api.try_into()?).map_err(unusable)?)
        }
        #[cfg(not(feature = "http"))]
        Backend::Wire { .. } | Backend::Rest { .. } => return Err(unusable("this library was built without HTTP")),
        Backend::App { capabilities } => Arc::new(AppRemote {
            slot: Arc::clone(host),
            capabilities,
        }),
    })
}

fn unusable(problem: impl ToString) -> KeepsyncError {
    KeepsyncError::invalid("backend", problem.to_string())
}
