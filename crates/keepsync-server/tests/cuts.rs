//! A real device and the real server, and between them a connection that breaks at every byte: of a push, a
//! pull and a refresh of the token, on the way up and on the way down, closed in good order or reset. After
//! each break the device syncs once more; then nothing is doubled, nothing lost, and nothing waits.
//!
//! The independent oracle judges what the app was told by what the server's file holds.
//! `KEEPSYNC_CUT_STRIDE` leaves bytes out: 1, the default, takes each.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the helpers of tests are tests too"
)]

mod support;

use keepsync::{
    Backend, OpenOptions, Place, Store,
    collection::{Collection, Collections},
    conflict::Policy,
    drain::{HalfResult, Report, Status},
    remote::{
        RemoteFuture, Token, TokenFault, TokenProvider,
        http::{HttpOptions, HttpRemote},
    },
    settings::Settings,
};
use keepsync_oracle::{Fact, History, Key, check};
use keepsync_proxy::{Fault, Proxy};
use keepsync_server::{Config, Rate, access_token, refresh_token};
use keepsync_wire::{PULL_PATH, SYNC_PATH, TOKEN_PATH};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};
use support::{Running, now_ms};
use tempfile::TempDir;

const USER: &str = "ann";

/// Where a sync costs no disk, if there is such a place: nothing here is about the disk.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

fn stride() -> usize {
    let stride = std::env::var("KEEPSYNC_CUT_STRIDE").ok();
    stride.and_then(|stride| stride.parse().ok()).unwrap_or(1).max(1)
}

/// Tokens as an app keeps them: what was traded is stored before it is used.
struct Kept {
    trade: HttpRemote,
    access: Mutex<Option<String>>,
    refresh: Mutex<String>,
}

impl TokenProvider for Kept {
    fn token<'a>(
        &'a self,
        _account: &'a str,
        rejected: Option<&'a Token>,
    ) -> RemoteFuture<'a, Result<Option<Token>, TokenFault>> {
        Box::pin(async move {
            let access = self.access.lock().unwrap().clone();
            if let (Some(access), None) = (access, rejected) {
                return Ok(Some(Token::new(access, None)));
            }
            let refresh = self.refresh.lock().unwrap().clone();
            match self.trade.trade(&refresh).await {
                Ok(traded) => {
                    *self.refresh.lock().unwrap() = traded.refresh_token;
                    *self.access.lock().unwrap() = Some(traded.access_token.clone());
                    Ok(Some(Token::new(traded.access_token, None)))
                }
                Err(keepsync::remote::Fault::SignIn) => Err(TokenFault::SignInNeeded),
                Err(_) => Err(TokenFault::Offline),
            }
        })
    }
}

struct Scene {
    folder: TempDir,
    data: PathBuf,
    server: Running,
    proxy: Proxy,
    tokens: Arc<Kept>,
    phone: Store,
    /// Beside the proxy.
    tablet: Store,
    facts: Vec<Fact>,
    count: usize,
}

fn collections() -> Collections {
    Collections::new([Collection::new("note", Policy::Ask)]).unwrap()
}

async fn device(url: String, tokens: &Arc<Kept>, name: &str) -> Store {
    let mut options = OpenOptions::new("", USER, collections());
    options.place = Place::Memory;
    options.device_id = Some(name.to_owned());
    options.settings = Settings {
        automatic: false,
        retry_schedule_ms: vec![1; 10],
        backoff_schedule_ms: vec![1],
        jitter: 0.0,
        ..Settings::default()
    };
    let backend = Backend {
        remote: Arc::new(HttpRemote::new(patient(url)).unwrap()),
        tokens: Some(tokens.clone()),
    };
    Store::open(options, Some(backend)).await.unwrap()
}

/// What hangs is given up soon.
fn patient(url: String) -> HttpOptions {
    HttpOptions {
        connect_ms: 250,
        read_ms: 250,
        total_ms: 2_000,
        ..HttpOptions::new(url)
    }
}

impl Scene {
    async fn start() -> Self {
        let folder = folder();
        let data = folder.path().join("data");
        let mut config = Config::new(&data);
        let fast = Rate {
            per_second: 1_000_000,
            burst: 1_000_000,
        };
        (config.limits.per_user, config.limits.per_address) = (fast, fast);
        let server = Running::start(config).await;
        let proxy = Proxy::start(server.address).await.unwrap();
        let kept = |url: String, refresh: String| {
            Arc::new(Kept {
                trade: HttpRemote::new(patient(url)).unwrap(),
                access: Mutex::new(Some(access_token(&data, USER, 3_600, now_ms()).unwrap())),
                refresh: Mutex::new(refresh),
            })
        };
        let tokens = kept(proxy.url(), refresh_token(&data, USER, now_ms()).unwrap());
        let phone = device(proxy.url(), &tokens, "phone").await;
        let tablet = device(server.url(""), &kept(server.url(""), String::new()), "tablet").await;
        let mut scene = Self {
            folder,
            data,
            server,
            proxy,
            tokens,
            phone,
            tablet,
            facts: Vec::new(),
            count: 0,
        };
        // Once without a fault: connections, clocks and epochs are there.
        scene.write(true).await;
        scene.write(false).await;
        scene.good_sync().await;
        scene
    }

    /// A note of the phone's, or of the tablet's, which is sent at once.
    async fn write(&mut self, by_phone: bool) -> String {
        self.count += 1;
        // Always as long, so that the bytes on the wire are as many.
        let id = format!("n{:07}", self.count);
        let (store, device) = if by_phone {
            (&self.phone, "phone")
        } else {
            (&self.tablet, "tablet")
        };
        self.facts.push(Fact::Tried {
            write: id.clone(),
            user: USER.to_owned(),
            device: device.to_owned(),
            key: Key::new("note", &id),
            deletes: false,
            saw: Vec::new(),
        });
        let written = store.put("note", &id, &format!(r#"{{"m":"{id}"}}"#)).await.unwrap();
        self.facts.push(Fact::Returned {
            write: id.clone(),
            op: written.op.map(|op| op.to_string()),
        });
        if !by_phone {
            let report = store.sync().await.unwrap();
            assert_eq!(report.push, HalfResult::Worked, "{report:?}");
        }
        id
    }

    async fn unsent(&self) -> u64 {
        self.phone.queue_counts().await.unwrap().total()
    }

    /// The one more sync.
    async fn good_sync(&self) -> Report {
        let report = self.phone.sync().await.unwrap();
        assert_eq!(
            (report.pull, report.push),
            (HalfResult::Worked, HalfResult::Worked),
            "{report:?}"
        );
        assert_eq!(self.unsent().await, 0);
        assert_eq!(self.phone.status().await.unwrap(), Status::Idle);
        report
    }

    /// One break: a write of each device, a sync that meets the fault, and one more.
    async fn meet(&mut self, path: &str, fault: Fault) {
        let told = format!("{fault:?} on {path}");
        if path == TOKEN_PATH {
            // Long expired: a server refuses it.
            let expired = access_token(&self.data, USER, 60, now_ms() - 3_600_000).unwrap();
            *self.tokens.access.lock().unwrap() = Some(expired);
            // It has one in hand, and asks for this one now.
            self.phone.signed_in();
        }
        let theirs = self.write(false).await;
        let mine = self.write(true).await;
        let before = self.proxy.counts().met(&fault);
        self.proxy.next(path, fault.clone());
        let report = self.phone.sync().await.unwrap();
        assert_eq!(self.proxy.counts().met(&fault), before + 1, "{told} met nothing");
        let left = self.unsent().await;
        assert_eq!(
            report.push == HalfResult::Worked,
            left == 0,
            "{told}: {left} unsent, {report:?}"
        );
        if left > 0 {
            let entry = self.phone.entries(i64::MIN, 1).await.unwrap().remove(0);
            assert_eq!(entry.id, mine, "{told}");
        }
        self.good_sync().await;
        assert!(
            self.phone.get("note", &theirs).await.unwrap().is_some(),
            "{told} lost {theirs}"
        );
    }

    /// At each byte up and down, closed and reset.
    async fn at_every_byte(&mut self, path: &str) -> usize {
        let (up, down) = self.sizes(path).await;
        let mut breaks = 0;
        // Numbers grow while this runs: the last bytes may be some more.
        for bytes in (0..=up + 3).step_by(stride()) {
            self.meet(path, Fault::CutUpload(bytes)).await;
            self.meet(path, Fault::ResetUpload(bytes)).await;
            breaks += 2;
        }
        for bytes in (0..=down + 3).step_by(stride()) {
            self.meet(path, Fault::CutAnswer(bytes)).await;
            self.meet(path, Fault::ResetAnswer(bytes)).await;
            breaks += 2;
        }
        breaks
    }

    /// Of a request to this path and its answer.
    async fn sizes(&mut self, path: &str) -> (usize, usize) {
        // Cut behind the end: whole.
        self.meet(path, Fault::CutAnswer(usize::MAX)).await;
        let exchanges = self.proxy.exchanges();
        let whole = exchanges
            .iter()
            .rev()
            .find(|one| one.path.ends_with(path) && one.answer_bytes > 0);
        whole.map(|one| (one.request_bytes, one.answer_bytes)).unwrap()
    }

    /// What the devices show and what the server holds, judged.
    async fn judge(mut self) {
        self.tablet.sync().await.unwrap();
        for (name, store) in [("phone", &self.phone), ("tablet", &self.tablet)] {
            for n in 1..=self.count {
                let id = format!("n{n:07}");
                let body = store.get("note", &id).await.unwrap().and_then(|record| record.body);
                self.facts.push(Fact::Shows {
                    user: USER.to_owned(),
                    device: name.to_owned(),
                    key: Key::new("note", &id),
                    write: body.as_ref().map(|_| id),
                    body: body.map(|body| serde_json::from_str(&body).unwrap()),
                });
            }
        }
        self.server.stop().await;
        self.facts
            .extend(keepsync_oracle::dump(&self.data.join("server.db"), &[]).unwrap());
        self.facts.push(Fact::Quiet);
        let history = History::of(self.facts).unwrap();
        assert_eq!(history.applied().count(), self.count, "each write once");
        assert_eq!(check(&history), []);
        drop(self.folder);
    }
}

async fn every_byte(path: &str) {
    let begun = std::time::Instant::now();
    let mut scene = Scene::start().await;
    let breaks = scene.at_every_byte(path).await;
    scene.judge().await;
    println!("{path}: {breaks} breaks in {} ms", begun.elapsed().as_millis());
}

#[tokio::test]
async fn a_push_that_breaks_at_any_byte_is_applied_once() {
    every_byte(SYNC_PATH).await;
}

#[tokio::test]
async fn a_pull_that_breaks_at_any_byte_loses_no_change() {
    every_byte(PULL_PATH).await;
}

#[tokio::test]
async fn a_refresh_that_breaks_at_any_byte_signs_nobody_out() {
    every_byte(TOKEN_PATH).await;
}

#[tokio::test]
async fn what_hangs_or_trickles_is_given_up_and_goes_again() {
    let mut scene = Scene::start().await;
    let tick = Duration::from_millis(1);
    for path in [SYNC_PATH, PULL_PATH, TOKEN_PATH] {
        for fault in [Fault::BlackHole, Fault::HalfOpen, Fault::Slow { bytes: 8, tick }] {
            scene.meet(path, fault).await;
        }
        // Slower than anybody waits.
        let tick = Duration::from_millis(400);
        scene.meet(path, Fault::Slow { bytes: 100, tick }).await;
    }
    scene.judge().await;
}
