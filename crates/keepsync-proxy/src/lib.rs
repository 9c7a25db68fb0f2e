//! A proxy that breaks connections on purpose, between real devices and one real server.
//!
//! It forwards HTTP/1.1 over TCP, request by request, so that a [`Fault`] meets exactly the request it
//! was meant for, also on a connection that has been open for long. Faults are switched while it runs:
//!
//! * [`Proxy::always`] is the weather: every request meets it until it is changed;
//! * [`Proxy::next`] is a single blow: the next request whose path fits, once, before any weather;
//! * [`Proxy::cut`] cuts the link to the device in one direction or both, until [`Proxy::heal`].
//!
//! # One request
//! 1. A connection is accepted. In [`Fault::Refuse`] weather it is reset at once.
//! 2. The request is read to its end. The client dies here: nothing goes up.
//! 3. Its fault is chosen and counted; [`Proxy::until`] tells whoever waits for that.
//! 4. Unless the fault says otherwise it goes up, on the connection's own upstream connection, which
//!    is made anew after [`Proxy::upstream`] named another address. The server dies here: the client's
//!    connection is reset.
//! 5. The server's answer comes to its first byte: by then the server has committed. To its end:
//!    then it goes down, in the way the fault says.
//!
//! A connection that hangs by a fault hangs until the client gives up; dropping the [`Proxy`] ends all.

mod connection;
mod link;
mod log;
mod message;
pub mod rng;

pub use link::Cut;
pub use log::Exchange;

use connection::Connection;
use link::{Link, Way};
use log::Log;
use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// What happens to a request, in place of being forwarded and answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Reset. As weather: already the connection.
    Refuse,
    /// Taken, and never answered; nothing goes up.
    BlackHole,
    /// The connection is reset before anything goes up, although the client has sent it all.
    CutRequest,
    /// It goes up; at the first byte of the answer the connection is closed.
    LostReply,
    /// It goes up; so many bytes of the answer come down, then the connection is closed.
    CutAnswer(usize),
    /// It goes up; so many bytes of the answer come down, then the connection is reset.
    ResetAnswer(usize),
    /// So many bytes of it go up, then both connections are closed in good order.
    CutUpload(usize),
    /// So many bytes of it go up, then both connections are reset.
    ResetUpload(usize),
    /// It goes up and is answered, but the answer never comes, and nobody closes anything.
    HalfOpen,
    /// Both ways in pieces of so many bytes, each after a pause.
    Slow {
        /// The largest piece.
        bytes: usize,
        /// The pause before each.
        tick: Duration,
    },
    /// Somebody else answers; nothing goes up.
    Instead(Canned),
}

impl Fault {
    /// Stable; what it is counted under.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Refuse => "refused",
            Self::BlackHole => "black hole",
            Self::CutRequest => "request cut",
            Self::LostReply => "reply lost",
            Self::CutAnswer(_) => "answer cut",
            Self::ResetAnswer(_) => "answer reset",
            Self::CutUpload(_) => "upload cut",
            Self::ResetUpload(_) => "upload reset",
            Self::HalfOpen => "half open",
            Self::Slow { .. } => "slow",
            Self::Instead(canned) => canned.name,
        }
    }
}

/// An answer that is not the backend's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canned {
    name: &'static str,
    bytes: Vec<u8>,
}

impl Canned {
    fn new(name: &'static str, head: &str, body: &str) -> Self {
        let length = body.len();
        let bytes = format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: keep-alive\r\n\r\n{body}");
        Self {
            name,
            bytes: bytes.into_bytes(),
        }
    }

    /// A load balancer without a backend: 503, come back in so many seconds.
    pub fn unavailable(retry_after_s: u32) -> Self {
        let head = format!("503 Service Unavailable\r\nretry-after: {retry_after_s}\r\ncontent-type: text/plain");
        Self::new("503", &head, "no backend")
    }

    /// Too many requests: 429, come back in so many seconds.
    pub fn throttled(retry_after_s: u32) -> Self {
        let head = format!("429 Too Many Requests\r\nretry-after: {retry_after_s}\r\ncontent-type: text/plain");
        Self::new("429", &head, "slow down")
    }

    /// The sign-in page of a hotel, with status 200.
    pub fn portal() -> Self {
        let page = "<!doctype html><title>Welcome</title><p>Room number?";
        Self::new(
            "captive portal",
            "200 OK\r\ncontent-type: text/html; charset=utf-8",
            page,
        )
    }
}

/// What has happened since the proxy was started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted, reset ones included.
    pub connections: u64,
    /// Requests read to their end.
    pub requests: u64,
    /// Requests that went up whole.
    pub forwarded: u64,
    /// Answers of the server that came whole, or to their first byte where that was waited for: what
    /// they answer was committed.
    pub heard: u64,
    /// Answers that went down whole, canned ones included.
    pub answered: u64,
    /// Requests, or in [`Fault::Refuse`] weather connections, that met each fault, by
    /// [`Fault::name`].
    pub faults: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// How often a fault was met.
    pub fn met(&self, fault: &Fault) -> u64 {
        self.faults.get(fault.name()).copied().unwrap_or(0)
    }
}

struct Rules {
    upstream: SocketAddr,
    always: Option<Fault>,
    next: VecDeque<(String, Fault)>,
}

/// What the connections share.
struct Shared {
    rules: Mutex<Rules>,
    counts: watch::Sender<Counts>,
    log: Mutex<Log>,
    link: Link,
    /// Counts, for chance.
    passed: AtomicU64,
}

impl Shared {
    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the link lets bytes pass; false if it never will.
    async fn pass(&self, way: Way) -> bool {
        // Spread over 0 to 1, the same in every run.
        let n = self.passed.fetch_add(1, Relaxed);
        let share = (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1_u64 << 53) as f64;
        self.link.pass(way, share).await
    }

    fn count(&self, f: impl FnOnce(&mut Counts)) {
        self.counts.send_modify(f);
    }

    /// The fault of a request, chosen and counted.
    fn fault_of(&self, path: &str) -> Option<Fault> {
        let fault = {
            let mut rules = self.rules();
            let blow = rules.next.iter().position(|(suffix, _)| path.ends_with(suffix));
            let blow = blow.and_then(|at| rules.next.remove(at));
            blow.map(|(_, fault)| fault).or_else(|| rules.always.clone())
        };
        self.count(|counts| {
            counts.requests += 1;
            if let Some(fault) = &fault {
                *counts.faults.entry(fault.name()).or_default() += 1;
            }
        });
        fault
    }

    /// Whether a new connection is reset; counted.
    fn refuses(&self) -> bool {
        let refuses = self.rules().always == Some(Fault::Refuse);
        self.count(|counts| {
            counts.connections += 1;
            if refuses {
                *counts.faults.entry(Fault::Refuse.name()).or_default() += 1;
            }
        });
        refuses
    }
}

/// A running proxy. See the [module](self).
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on loopback, on a port of the system's choice, on the current tokio runtime.
    ///
    /// # Errors
    /// Those of the socket.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            rules: Mutex::new(Rules {
                upstream,
                always: None,
                next: VecDeque::new(),
            }),
            counts: watch::Sender::new(Counts::default()),
            log: Mutex::default(),
            link: Link::default(),
            passed: AtomicU64::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            addr,
            shared,
            accepting,
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address for a device.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The server is somewhere else now. Requests that are up stay with the old one.
    pub fn upstream(&self, addr: SocketAddr) {
        self.shared.rules().upstream = addr;
    }

    /// What every request meets from now on; `None` for nothing. Requests that hang go on hanging.
    pub fn always(&self, fault: Option<Fault>) {
        self.shared.rules().always = fault;
    }

    /// Cuts the link to the device, until it is [healed](Proxy::heal).
    pub fn cut(&self, cut: Cut) {
        self.shared.link.cut(cut);
    }

    /// Heals the link.
    pub fn heal(&self) {
        self.shared.link.cut(Cut::default());
    }

    /// What the next request meets whose path ends in `path` (empty: any), once. Several wait in
    /// line.
    pub fn next(&self, path: &str, fault: Fault) {
        self.shared.rules().next.push_back((path.to_owned(), fault));
    }

    /// Takes back what [`Proxy::next`] asked for and nobody met; gives how much that was.
    pub fn forget(&self) -> usize {
        std::mem::take(&mut self.shared.rules().next).len()
    }

    /// What has happened so far.
    pub fn counts(&self) -> Counts {
        self.shared.counts.borrow().clone()
    }

    /// When each request was under way, in the order they came.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.shared.log().all().to_vec()
    }

    /// Waits until the counts are so; the caller bounds how long.
    pub fn until<F: FnMut(&Counts) -> bool>(&self, so: F) -> impl Future<Output = ()> + use<F> {
        let mut counts = self.shared.counts.subscribe();
        async move {
            // A proxy that is gone counts no more: nobody has to wait for that.
            let _ = counts.wait_for(so).await;
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and its connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                if shared.refuses() {
                    // Closing with a linger of zero is a reset.
                    let _ = stream.set_zero_linger();
                    continue;
                }
                let _ = stream.set_nodelay(true);
                connections.spawn(Connection::new(stream, Arc::clone(&shared)).run());
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
