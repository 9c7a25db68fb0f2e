//! A server that does what a test tells it to, byte for byte: answers of any status and shape,
//! answers that stop, drip, grow or never come.
//!
//! It runs on a thread of its own, so that it works under any runtime and under none, and stops
//! when it is dropped. Each request is put to the script, which says what to reply.

#![allow(dead_code, reason = "each test binary uses a part of this")]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use keepsync_wire::{
    ErrorBody, MEDIA_TYPE, PROTOCOL_HEADER, PROTOCOL_VERSION, PullResponse, SYNC_PATH, SyncRequest, SyncResponse,
    SyncResult, SyncStatus, code,
};
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};
use tokio_rustls::TlsAcceptor;

type Script = dyn Fn(&Request) -> Reply + Send + Sync;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Which connection it came over, counted from 1.
    pub(crate) connection: usize,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Whether this is a push.
    pub(crate) fn is_push(&self) -> bool {
        self.path.ends_with(SYNC_PATH)
    }
}

/// What to send back.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) manner: Manner,
}

/// How to send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// With its length; the connection stays open.
    Whole,
    /// In one chunk, without announcing a length; the connection stays open.
    Chunked,
    /// Announces the length of the whole body, sends this many bytes of it and closes.
    BreakOffAt(usize),
    /// Announces this length, sends the body there is and then nothing; the connection stays open.
    Announce(u64),
    /// With its length, one byte at a time.
    Drip(Duration),
    /// Never answers; the connection stays open.
    Silence,
    /// Closes in good order without an answer.
    HangUp,
    /// Resets the connection without an answer.
    Reset,
}

/// The shapes of body a status may come with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// What the backend itself would say.
    Recognised,
    /// JSON that is not the backend's: no protocol header.
    Unrecognised,
    /// Somebody's page.
    Html,
    /// Nothing, from nobody in particular.
    Empty,
    /// The backend's JSON, cut in the middle; for HTTP it is complete.
    Truncated,
    /// The connection ends in the middle of the backend's JSON.
    BrokenOff,
    /// The backend's JSON, followed by blanks beyond the cap; announced.
    OversizedAnnounced,
    /// The same without announcing a length.
    OversizedStreamed,
}

impl Shape {
    pub(crate) const ALL: [Self; 8] = [
        Self::Recognised,
        Self::Unrecognised,
        Self::Html,
        Self::Empty,
        Self::Truncated,
        Self::BrokenOff,
        Self::OversizedAnnounced,
        Self::OversizedStreamed,
    ];

    /// Whether such an answer carries the protocol header.
    pub(crate) fn has_header(self) -> bool {
        !matches!(self, Self::Unrecognised | Self::Html | Self::Empty)
    }
}

impl Reply {
    /// Any answer, without a header of its own.
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            manner: Manner::Whole,
        }
    }

    /// The backend's: JSON with the protocol header.
    pub(crate) fn ours(status: u16, json: impl Into<Vec<u8>>) -> Self {
        Self::new(status, json)
            .with("content-type", MEDIA_TYPE)
            .with(PROTOCOL_HEADER, PROTOCOL_VERSION)
    }

    /// JSON of an API that is not Keepsync's.
    pub(crate) fn json(status: u16, json: impl Into<Vec<u8>>) -> Self {
        Self::new(status, json).with("content-type", MEDIA_TYPE)
    }

    /// Somebody's page.
    pub(crate) fn html(status: u16) -> Self {
        Self::new(status, "<!doctype html><title>Welcome to our network</title>")
            .with("content-type", "text/html; charset=utf-8")
    }

    /// No answer at all, in one of the ways there are.
    pub(crate) fn none(manner: Manner) -> Self {
        Self {
            manner,
            ..Self::new(200, "")
        }
    }

    /// `status` in a `shape`. `answer` is what the backend would say, see [`answer_to`]; `cap` the
    /// size the device takes.
    pub(crate) fn shaped(status: u16, shape: Shape, answer: &str, cap: usize) -> Self {
        let half = answer.len() / 2;
        let oversized = || format!("{answer}{}", " ".repeat(cap + 1 - answer.len().min(cap)));
        match shape {
            Shape::Recognised => Self::ours(status, answer),
            Shape::Unrecognised => Self::new(status, answer).with("content-type", MEDIA_TYPE),
            Shape::Html => Self::html(status),
            Shape::Empty => Self::new(status, ""),
            Shape::Truncated => Self::ours(status, &answer[..half]),
            Shape::BrokenOff => Self::ours(status, answer).sent(Manner::BreakOffAt(half)),
            Shape::OversizedAnnounced => Self::ours(status, oversized()),
            Shape::OversizedStreamed => Self::ours(status, oversized()).sent(Manner::Chunked),
        }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn sent(mut self, manner: Manner) -> Self {
        self.manner = manner;
        self
    }
}

/// What the backend would answer with this status: each item accepted, an empty page, or an error.
pub(crate) fn answer_to(request: &Request, status: u16) -> String {
    let json = if status >= 300 {
        serde_json::to_string(&ErrorBody {
            code: code::INTERNAL.to_owned(),
            message: "scripted".to_owned(),
        })
    } else if request.is_push() {
        let pushed: SyncRequest = serde_json::from_slice(&request.body).unwrap();
        serde_json::to_string(&SyncResponse {
            results: pushed.items.iter().map(accepted).collect(),
            server_time: 1_763_600_000_000,
            epoch: "e1".to_owned(),
        })
    } else {
        serde_json::to_string(&PullResponse {
            epoch: "e1".to_owned(),
            branch: None,
            changes: Vec::new(),
            cursors: Vec::new(),
            has_more: false,
            whole: Vec::new(),
            remaining: None,
            server_time: 1_763_600_000_000,
        })
    };
    json.unwrap()
}

fn accepted(item: &keepsync_wire::SyncItem) -> SyncResult {
    SyncResult {
        op_id: item.op_id,
        entity_id: item.entity_id.clone(),
        status: SyncStatus::Success,
        code: None,
        server: None,
        server_version: item.version + 1,
        change: 1,
        updated_at: None,
        server_id: None,
        error_message: None,
        retry_after_ms: None,
    }
}

#[derive(Default)]
struct Log {
    connections: usize,
    requests: Vec<Request>,
}

/// The server.
pub(crate) struct Scripted {
    address: SocketAddr,
    scheme: &'static str,
    log: Arc<Mutex<Log>>,
    _stop: oneshot::Sender<()>,
}

impl Scripted {
    /// Answers every request as `script` says.
    pub(crate) fn start(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::run(Arc::new(script), None)
    }

    /// The same, over TLS.
    pub(crate) fn start_tls(
        tls: rustls::ServerConfig,
        script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::run(Arc::new(script), Some(TlsAcceptor::from(Arc::new(tls))))
    }

    /// Answers every request like a backend to which nothing is wrong.
    pub(crate) fn healthy() -> Self {
        Self::start(|request| Reply::ours(200, answer_to(request, 200)))
    }

    fn run(script: Arc<Script>, tls: Option<TlsAcceptor>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let log = Arc::new(Mutex::new(Log::default()));
        let (stop, stopped) = oneshot::channel();
        let server = serve(listener, Arc::clone(&log), script, tls);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                tokio::select! { () = server => {} _ = stopped => {} }
            });
        });
        Self {
            address,
            scheme,
            log,
            _stop: stop,
        }
    }

    /// Its address, as an app would write it.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// All requests so far, in the order in which they were complete.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.log.lock().unwrap().requests.clone()
    }

    /// How many connections were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.log.lock().unwrap().connections
    }
}

async fn serve(listener: std::net::TcpListener, log: Arc<Mutex<Log>>, script: Arc<Script>, tls: Option<TlsAcceptor>) {
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        // Otherwise the second half of a reply would wait for the first to be confirmed.
        let _ = stream.set_nodelay(true);
        let connection = {
            let mut log = log.lock().unwrap();
            log.connections += 1;
            log.connections
        };
        let (log, script, tls) = (Arc::clone(&log), Arc::clone(&script), tls.clone());
        // A client that goes away in the middle is part of the tests.
        tokio::spawn(async move {
            let Some(tls) = tls else {
                return talk(stream, |stream| stream, connection, &log, &*script).await;
            };
            let stream = tls.accept(stream).await?;
            talk(stream, |stream| stream.get_ref().0, connection, &log, &*script).await
        });
    }
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    socket: impl Fn(&S) -> &TcpStream,
    connection: usize,
    log: &Mutex<Log>,
    script: &Script,
) -> io::Result<()> {
    let mut unread = Vec::new();
    while let Some(request) = receive(&mut stream, &mut unread, connection).await? {
        log.lock().unwrap().requests.push(request.clone());
        let reply = script(&request);
        if !answer(&mut stream, &reply).await? {
            if reply.manner == Manner::Reset {
                socket(&stream).set_zero_linger()?;
            }
            return Ok(());
        }
    }
    Ok(())
}

/// The next request, or nothing when the client is done.
async fn receive(
    stream: &mut (impl AsyncRead + Unpin),
    unread: &mut Vec<u8>,
    connection: usize,
) -> io::Result<Option<Request>> {
    let end = loop {
        if let Some(at) = unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(unread).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&unread[..end]).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let headers = lines.filter_map(|line| line.split_once(':'));
    let mut request = Request {
        connection,
        method: first.next().unwrap_or_default().to_owned(),
        path: first.next().unwrap_or_default().to_owned(),
        headers: headers
            .map(|(n, v)| (n.trim().to_owned(), v.trim().to_owned()))
            .collect(),
        body: Vec::new(),
    };
    let length = request
        .header("content-length")
        .map_or(0, |value| value.parse().unwrap());
    while unread.len() < end + length {
        if stream.read_buf(unread).await? == 0 {
            return Ok(None);
        }
    }
    request.body = unread[end..end + length].to_vec();
    unread.drain(..end + length);
    Ok(Some(request))
}

/// Sends a reply; says whether the connection stays open.
async fn answer(stream: &mut (impl AsyncWrite + Unpin), reply: &Reply) -> io::Result<bool> {
    let length = match reply.manner {
        Manner::Silence => std::future::pending().await,
        Manner::HangUp | Manner::Reset => return Ok(false),
        Manner::Chunked => None,
        Manner::Announce(length) => Some(length),
        Manner::Whole | Manner::BreakOffAt(_) | Manner::Drip(_) => Some(reply.body.len() as u64),
    };
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &match length {
        Some(length) => format!("content-length: {length}\r\n\r\n"),
        None => format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n", reply.body.len()),
    };
    stream.write_all(head.as_bytes()).await?;
    match reply.manner {
        Manner::BreakOffAt(at) => {
            stream.write_all(&reply.body[..at]).await?;
            stream.shutdown().await?;
            return Ok(false);
        }
        Manner::Drip(every) => {
            for byte in &reply.body {
                stream.write_all(&[*byte]).await?;
                stream.flush().await?;
                tokio::time::sleep(every).await;
            }
        }
        _ => stream.write_all(&reply.body).await?,
    }
    if reply.manner == Manner::Chunked {
        stream.write_all(b"\r\n0\r\n\r\n").await?;
    }
    stream.flush().await?;
    Ok(true)
}
