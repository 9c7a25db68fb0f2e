//! Two accounts on one phone: nothing of one is ever in the other's files, queries, notifications, logs or
//! requests, whatever is written, synced, switched and killed in which order.
//!
//! `KEEPSYNC_SEED` plays another run; `KEEPSYNC_SEQUENCES` another number.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "the helpers of tests are tests too"
)]

mod support;

use keepsync::{
    Backend, Error, OpenOptions, Store,
    accounts::Accounts,
    collection::{Collection, Collections, Direction},
    conflict::Policy,
    record::{Page, Query},
    remote::{
        RemoteFuture, Token, TokenFault, TokenProvider,
        http::{HttpOptions, HttpRemote},
    },
    settings::Settings,
    store::{Subscription, Watch},
};
use keepsync_proxy::rng::Rng;
use keepsync_server::{Config, Rate, access_token};
use rusqlite::Connection;
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use support::{Running, now_ms};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use tracing_subscriber::fmt::MakeWriter;

const ACCOUNTS: [&str; 2] = ["annMARKed", "bobMARKed"];
/// Records of each account, under the same ids.
const RECORDS: u64 = 6;

fn holds(bytes: &[u8], marker: &str) -> bool {
    bytes.windows(marker.len()).any(|window| window == marker.as_bytes())
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Far more than anything here takes; it only keeps a broken rule from hanging the run.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("it hangs")
}

/// What went over one connection, both ways.
type Bytes = Arc<Mutex<Vec<u8>>>;

/// Forwards to the server, and keeps what went over each connection.
struct Recorder {
    upstream: SocketAddr,
    connections: Arc<Mutex<Vec<Bytes>>>,
}

/// The way to the server for one life of the phone. What is dead sends nothing any more.
struct Line {
    address: SocketAddr,
    alive: Arc<AtomicBool>,
}

impl Line {
    fn cut(&self) {
        self.alive.store(false, Ordering::SeqCst);
    }
}

impl Recorder {
    async fn line(&self) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let alive = Arc::new(AtomicBool::new(true));
        let (kept, living, upstream) = (self.connections.clone(), alive.clone(), self.upstream);
        tokio::spawn(async move {
            while let Ok((down, _)) = listener.accept().await {
                if !living.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(up) = TcpStream::connect(upstream).await else {
                    continue;
                };
                let _ = (down.set_nodelay(true), up.set_nodelay(true));
                let bytes: Bytes = Arc::default();
                kept.lock().unwrap().push(bytes.clone());
                let ((from_device, to_device), (from_server, to_server)) = (down.into_split(), up.into_split());
                tokio::spawn(copy(from_device, to_server, bytes.clone(), living.clone()));
                tokio::spawn(copy(from_server, to_device, bytes, living.clone()));
            }
        });
        Line { address, alive }
    }

    /// How many bytes have gone either way.
    fn traffic(&self) -> usize {
        let connections = self.connections.lock().unwrap();
        connections.iter().map(|bytes| bytes.lock().unwrap().len()).sum()
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, recorded: Bytes, alive: Arc<AtomicBool>) {
    let mut piece = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        if !alive.load(Ordering::SeqCst) {
            return;
        }
        recorded.lock().unwrap().extend_from_slice(&piece[..count]);
        if to.write_all(&piece[..count]).await.is_err() {
            return;
        }
    }
}

struct SignIn(PathBuf);

impl TokenProvider for SignIn {
    fn token<'a>(
        &'a self,
        account: &'a str,
        _rejected: Option<&'a Token>,
    ) -> RemoteFuture<'a, Result<Option<Token>, TokenFault>> {
        let token = access_token(&self.0, account, 3_600, now_ms()).unwrap();
        Box::pin(async move { Ok(Some(Token::new(token, Some(account.to_owned())))) })
    }
}

struct Phone {
    folder: PathBuf,
    life: usize,
    line: Line,
    accounts: Accounts,
    store: Store,
    /// Which of [`ACCOUNTS`] is signed in.
    who: usize,
    records: Subscription<Page>,
    expected: [BTreeMap<String, String>; 2],
    written: u64,
}

fn accounts(folder: &Path, life: usize, address: SocketAddr, data: &Path) -> Accounts {
    let collections = Collections::new([
        Collection::new("note", Policy::Ask),
        Collection::new("draft", Policy::ClientWins).direction(Direction::Local),
    ])
    .unwrap();
    let options = OpenOptions {
        settings: Settings {
            automatic: false,
            ..Settings::default()
        },
        ..OpenOptions::new(folder.join(format!("life-{life}")), "", collections)
    };
    let data = data.to_owned();
    Accounts::new(options, move |_| {
        Some(Backend {
            remote: Arc::new(HttpRemote::new(HttpOptions::new(format!("http://{address}"))).unwrap()),
            tokens: Some(Arc::new(SignIn(data.clone()))),
        })
    })
    .unwrap()
}

fn subscribe(store: &Store) -> Subscription<Page> {
    store.subscribe(Watch::query(Query::new("note").limit(100))).unwrap()
}

fn is_of(page: &Page, who: usize) {
    for record in &page.records {
        let body = record.body.as_deref().unwrap();
        assert!(
            body.contains(ACCOUNTS[who]) && !body.contains(ACCOUNTS[1 - who]),
            "{body}"
        );
    }
}

impl Phone {
    async fn start(folder: &Path, line: Line, data: &Path) -> Self {
        let accounts = accounts(folder, 0, line.address, data);
        let store = accounts.switch(ACCOUNTS[0]).await.unwrap();
        Self {
            folder: folder.to_owned(),
            life: 0,
            line,
            records: subscribe(&store),
            accounts,
            store,
            who: 0,
            expected: Default::default(),
            written: 0,
        }
    }

    async fn write(&mut self, rng: &mut Rng) {
        self.written += 1;
        let id = format!("n{}", rng.below(RECORDS));
        let body = format!(r#"{{"text":"{} {}"}}"#, ACCOUNTS[self.who], self.written);
        match rng.below(10) {
            0 => return self.store.kv_set("last", &body).await.unwrap(),
            1 => {
                self.store.put("draft", &id, &body).await.unwrap();
                return;
            }
            2 if self.expected[self.who].contains_key(&id) => {
                self.store.delete("note", &id).await.unwrap();
                self.expected[self.who].remove(&id);
            }
            _ => {
                self.store.put("note", &id, &body).await.unwrap();
                self.expected[self.who].insert(id, body);
            }
        }
        // What is followed is told, and is the account's own.
        is_of(&within(self.records.next()).await.unwrap(), self.who);
    }

    async fn switch(&mut self) {
        let before = self.store.clone();
        self.who = 1 - self.who;
        self.store = self.accounts.switch(ACCOUNTS[self.who]).await.unwrap();
        let told = loop {
            match within(self.records.next()).await {
                // Of before the switch.
                Ok(page) => is_of(&page, 1 - self.who),
                Err(error) => break error,
            }
        };
        assert_eq!(told, Error::Closed);
        assert_eq!(before.get("note", "n0").await, Err(Error::Closed));
        self.records = subscribe(&self.store);
        is_of(&within(self.records.next()).await.unwrap(), self.who);
    }

    /// The process dies, at rest or with a request on its way: what is on the disk now is what there is.
    async fn kill(&mut self, rng: &mut Rng, recorder: &Recorder, data: &Path) {
        let syncing = rng.chance(0.5).then(|| {
            let store = self.store.clone();
            tokio::spawn(async move { store.sync().await })
        });
        if syncing.is_some() {
            let before = recorder.traffic();
            let mut patience = rng.below(200);
            while recorder.traffic() == before && patience > 0 {
                tokio::task::yield_now().await;
                patience -= 1;
            }
        }
        // What has left was committed before it left; nothing leaves any more.
        self.line.cut();
        self.line = recorder.line().await;
        let from = self.folder.join(format!("life-{}", self.life));
        self.life += 1;
        let to = self.folder.join(format!("life-{}", self.life));
        std::fs::create_dir(&to).unwrap();
        // Files before their logs: what is written meanwhile is then at worst the torn end of a log.
        let mut names: Vec<PathBuf> = std::fs::read_dir(&from)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort_by_key(|path| path.to_string_lossy().ends_with("-wal"));
        for path in names.iter().filter(|path| !path.to_string_lossy().ends_with("-shm")) {
            std::fs::copy(path, to.join(path.file_name().unwrap())).unwrap();
        }
        if let Some(syncing) = syncing {
            syncing.abort();
        }
        let accounts = accounts(&self.folder, self.life, self.line.address, data);
        let dead = std::mem::replace(&mut self.accounts, accounts);
        self.store = self.accounts.switch(ACCOUNTS[self.who]).await.unwrap();
        self.records = subscribe(&self.store);
        is_of(&within(self.records.next()).await.unwrap(), self.who);
        drop(dead);
        self.look_at_files(&from);
        std::fs::remove_dir_all(from).unwrap();
    }

    /// The bytes of a folder's files: each account's are its own.
    fn look_at_files(&self, folder: &Path) {
        for who in 0..2 {
            let options = OpenOptions::new(folder, ACCOUNTS[who], Collections::default());
            let file = options.file().unwrap();
            for suffix in ["", "-wal"] {
                let mut name = file.clone().into_os_string();
                name.push(suffix);
                let bytes = std::fs::read(name).unwrap_or_default();
                assert!(!holds(&bytes, ACCOUNTS[1 - who]), "{suffix} of {}", ACCOUNTS[who]);
            }
        }
    }

    /// What the other account would be found in, if it were.
    async fn look(&self) {
        let other = ACCOUNTS[1 - self.who];
        is_of(
            &self.store.query(Query::new("note").limit(100)).await.unwrap(),
            self.who,
        );
        is_of(
            &self.store.query(Query::new("draft").limit(100)).await.unwrap(),
            self.who,
        );
        assert!(!self.store.export_queue().await.unwrap().contains(other));
        assert!(!self.store.bundle().await.unwrap().to_string().contains("MARKed"));
        let kept = self.store.kv_get("last").await.unwrap().unwrap_or_default();
        assert!(!kept.contains(other));
        self.look_at_files(&self.folder.join(format!("life-{}", self.life)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_accounts_on_one_phone_never_meet() {
    let number = |name: &str, otherwise| std::env::var(name).map_or(otherwise, |text| text.parse().unwrap());
    let (seed, sequences) = (number("KEEPSYNC_SEED", 1), number("KEEPSYNC_SEQUENCES", 1_000));
    eprintln!("KEEPSYNC_SEED={seed} KEEPSYNC_SEQUENCES={sequences}");
    let captured = Captured::default();
    tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(captured.clone())
        .init();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut config = Config::new(&data);
    let open = Rate {
        per_second: 1_000_000,
        burst: 1_000_000,
    };
    config.limits.per_user = open;
    config.limits.per_address = open;
    let running = Running::start(config).await;
    let recorder = Recorder {
        upstream: running.address,
        connections: Arc::default(),
    };
    let mut phone = Phone::start(folder.path(), recorder.line().await, &data).await;
    let mut rng = Rng::new(seed, 0);
    let mut counts = [0; 4];
    for sequence in 0..sequences {
        for _ in 0..rng.between(1, 4) {
            let step = [0, 0, 0, 1, 2, 2, 3][usize::try_from(rng.below(7)).unwrap()];
            counts[step] += 1;
            match step {
                0 => phone.write(&mut rng).await,
                1 => {
                    let report = within(phone.store.sync()).await.unwrap();
                    assert!(!report.push.failed() && !report.pull.failed(), "{report:?}");
                }
                2 => phone.switch().await,
                _ => phone.kill(&mut rng, &recorder, &data).await,
            }
        }
        if sequence % 20 == 0 {
            phone.look().await;
        }
    }
    eprintln!("writes, syncs, switches, kills: {counts:?}");
    assert!(counts.iter().all(|&count| count > 0));

    // All that was written has arrived at its own account, and nothing else.
    for _ in 0..2 {
        within(phone.store.sync()).await.unwrap();
        let left = phone.store.entries(i64::MIN, 10).await.unwrap();
        assert!(left.is_empty(), "{left:?} {:?}", phone.store.conflicts().await);
        let page = phone.store.query(Query::new("note").limit(100)).await.unwrap();
        let shown: BTreeMap<String, String> = page
            .records
            .into_iter()
            .map(|record| (record.id, record.body.unwrap()))
            .collect();
        assert_eq!(shown, phone.expected[phone.who]);
        phone.look().await;
        phone.switch().await;
    }
    phone.store.close().await.unwrap();
    running.stop().await;
    let server = Connection::open(data.join("server.db")).unwrap();
    for (who, account) in ACCOUNTS.iter().enumerate() {
        let mut statement = server
            .prepare("SELECT id, body FROM record WHERE user = ?1 AND collection = 'note' AND body IS NOT NULL")
            .unwrap();
        let rows = statement
            .query_map([account], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        let there: BTreeMap<String, String> = rows.collect::<rusqlite::Result<_>>().unwrap();
        assert_eq!(there, phone.expected[who]);
    }
    let drafts: i64 = server
        .query_row("SELECT count(*) FROM record WHERE collection <> 'note'", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(drafts, 0);
    let connections = recorder.connections.lock().unwrap();
    let mut of = [0, 0];
    for bytes in connections.iter() {
        let bytes = bytes.lock().unwrap();
        let both = ACCOUNTS.map(|account| holds(&bytes, account));
        assert_ne!(both, [true, true], "one connection carried both");
        for (who, is_there) in both.into_iter().enumerate() {
            of[who] += u64::from(is_there);
        }
    }
    assert!(of.iter().all(|&count| count > 0), "both were recorded: {of:?}");
    let log = captured.0.lock().unwrap();
    assert!(!log.is_empty() && !holds(&log, "MARKed"), "the log names an account");
}
