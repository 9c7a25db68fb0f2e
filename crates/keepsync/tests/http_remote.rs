//! Keepsync's wire over real sockets: every status with every shape of body, and everything that
//! can go wrong on the way.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "support/scripted.rs"]
mod scripted;

use keepsync::{
    hlc::Hlc,
    remote::{
        Fault, Outcome, PullRequest, PushBatch, PushItem, Remote as _, Token,
        http::{HttpOptions, HttpRemote},
    },
};
use keepsync_wire::{Operation, PROTOCOL_HEADER};
use scripted::{Manner, Reply, Scripted, Shape, answer_to};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use uuid::Uuid;

const CAP: usize = 64 * 1024;
const SECRET: &str = "s3cret-canary";

/// Deadlines in milliseconds. The one under test is short, the others so long that a busy machine
/// does not meet them by mistake.
fn hasty(url: &str, connect_ms: u64, read_ms: u64, total_ms: u64) -> HttpRemote {
    let options = HttpOptions {
        connect_ms,
        read_ms,
        total_ms,
        answer_bytes: CAP,
        ..HttpOptions::new(url)
    };
    HttpRemote::new(options).unwrap()
}

/// Longer than the deadlines under test, shorter than the others.
const SOON: Duration = Duration::from_secs(4);

/// Deadlines that a busy machine meets.
fn patient(url: &str) -> HttpRemote {
    let options = HttpOptions {
        answer_bytes: CAP,
        ..HttpOptions::new(url)
    };
    HttpRemote::new(options).unwrap()
}

fn token() -> Token {
    Token::new(SECRET, Some("ada".to_owned()))
}

fn item(n: u128, body: Option<&str>) -> PushItem {
    PushItem {
        seq: 1,
        op: Uuid::from_u128(n),
        collection: "sets".to_owned(),
        parent_id: None,
        parent_server_id: None,
        id: format!("r{n}"),
        operation: if body.is_some() {
            Operation::Update
        } else {
            Operation::Delete
        },
        body: body.map(str::to_owned),
        base_version: 6,
        base_op: None,
        base_id: None,
        after: Vec::new(),
        replaces: None,
        earlier: Vec::new(),
        created_at: 1_763_600_000_000,
        hlc: Hlc::at(1_763_600_000_000),
        clocks: None,
        server_id: None,
    }
}

fn batch(items: Vec<PushItem>) -> PushBatch {
    PushBatch {
        epoch: None,
        account: "ada".to_owned(),
        device_id: "device-1".to_owned(),
        device_label: None,
        items,
    }
}

fn one() -> PushBatch {
    batch(vec![item(1, Some("{}"))])
}

fn page() -> PullRequest {
    PullRequest {
        account: "ada".to_owned(),
        device_id: "device-1".to_owned(),
        epoch: Some("e1".to_owned()),
        cursors: vec![("sets".to_owned(), Some("7".to_owned())), ("days".to_owned(), None)],
        limit: 500,
        ..PullRequest::default()
    }
}

/// What push, pull and probe come to; `None` for an answer.
async fn all(remote: &HttpRemote) -> [Option<Fault>; 3] {
    let token = token();
    [
        remote.push(Some(&token), one()).await.err(),
        remote.pull(Some(&token), page()).await.err(),
        remote.probe().await.err(),
    ]
}

#[tokio::test]
async fn each_status_with_each_body_means_the_same_over_a_socket() {
    use Shape::{BrokenOff, Empty, Html, Recognised, Unrecognised};

    for status in [
        200, 207, 301, 400, 401, 403, 404, 408, 409, 412, 413, 422, 425, 429, 500, 502, 503, 504, 511,
    ] {
        for shape in Shape::ALL {
            let server = Scripted::start(move |request| Reply::shaped(status, shape, &answer_to(request, status), CAP));
            let unrecognised = Some(Fault::Unrecognised { status });
            let expected = match (status, shape) {
                (200 | 207, Recognised) => None,
                (200 | 207, Html) => Some(Fault::Offline),
                (200 | 207, BrokenOff) => Some(Fault::Timeout),
                (301, Unrecognised | Html | Empty) => Some(Fault::Offline),
                (401, _) => Some(Fault::SignIn),
                (408 | 425, Recognised) => Some(Fault::Timeout),
                (403 | 408 | 425, BrokenOff) => Some(Fault::Timeout),
                (413, _) => Some(Fault::TooLarge),
                (429, _) => Some(Fault::Throttled { after_ms: None }),
                (511, _) => Some(Fault::Offline),
                (500.., Recognised) => Some(Fault::Server { status }),
                (500.., BrokenOff) => Some(Fault::Timeout),
                _ => unrecognised.clone(),
            };
            let probed = match status {
                ..500 if shape.has_header() => None,
                401 | 413 => unrecognised,
                _ => expected.clone().or(unrecognised),
            };
            let faults = all(&patient(&server.url())).await;
            assert_eq!(faults, [expected.clone(), expected, probed], "{status} {shape:?}");
            assert_eq!(server.requests().len(), 3, "each is sent once: {status} {shape:?}");
        }
    }
}

#[tokio::test]
async fn what_goes_out_is_the_contract_and_bodies_go_as_they_are() {
    let server = Scripted::healthy();
    let remote = patient(&format!("{}/api", server.url()));
    let body = r#"{"reps" : 5,"big":12345678901234567890,"e":1.0e2}"#;
    let answer = remote
        .push(Some(&token()), batch(vec![item(1, Some(body)), item(2, None)]))
        .await
        .unwrap();
    let accepted = |outcome: &Outcome| matches!(outcome, Outcome::Accepted(it) if it.version == 7);
    assert_eq!(answer.results.len(), 2);
    assert!(
        answer.results.iter().all(|(_, outcome)| accepted(outcome)),
        "{answer:?}"
    );
    remote.pull(Some(&token()), page()).await.unwrap();
    remote.probe().await.unwrap();

    let requests = server.requests();
    let lines: Vec<_> = requests
        .iter()
        .map(|it| (it.method.as_str(), it.path.as_str()))
        .collect();
    assert_eq!(
        lines,
        [
            ("POST", "/api/v1/sync"),
            ("POST", "/api/v1/pull"),
            ("GET", "/api/v1/health")
        ]
    );
    for request in &requests {
        assert_eq!(request.header(PROTOCOL_HEADER), Some("1"));
        assert_eq!(request.header("accept"), Some("application/json"));
    }
    let bearer = format!("Bearer {SECRET}");
    for request in &requests[..2] {
        assert_eq!(request.header("authorization"), Some(bearer.as_str()));
        assert_eq!(request.header("content-type"), Some("application/json"));
    }
    assert_eq!(requests[2].header("authorization"), None, "a probe needs no token");
    assert!(requests[0].text().contains(body), "{}", requests[0].text());
    let pull: keepsync_wire::PullRequest = serde_json::from_slice(&requests[1].body).unwrap();
    assert_eq!((pull.limit, pull.collections.len()), (500, 2));
    assert_eq!(pull.collections[0].cursor.as_deref(), Some("7"));
    assert_eq!(server.connections(), 1, "one connection serves them all");
}

#[tokio::test]
async fn an_item_that_is_not_json_stays_unanswered_and_the_others_go() {
    let server = Scripted::healthy();
    let remote = patient(&server.url());
    let mixed = batch(vec![item(1, Some("{")), item(2, Some("{}"))]);
    let answer = remote.push(None, mixed).await.unwrap();
    let answered: Vec<_> = answer.results.iter().map(|(op, _)| op.as_u128()).collect();
    assert_eq!(answered, [2]);
    let answer = remote.push(None, batch(vec![item(1, Some("{"))])).await.unwrap();
    assert!(answer.results.is_empty());
    assert_eq!(server.requests().len(), 1, "nothing to send, nothing sent");
}

#[tokio::test]
async fn retry_after_is_read_from_the_answer() {
    for (retry_after, expected) in [
        ("7", Some(7_000)),
        ("Fri, 20 Nov 2026 07:02:00 GMT", Some(120_000)),
        ("soon", None),
    ] {
        let server = Scripted::start(move |_| {
            Reply::html(429)
                .with("retry-after", retry_after)
                .with("date", "Fri, 20 Nov 2026 07:00:00 GMT")
        });
        let fault = Fault::Throttled { after_ms: expected };
        let faults = all(&patient(&server.url())).await;
        assert_eq!(faults, std::array::from_fn(|_| Some(fault.clone())), "{retry_after}");
    }
}

#[tokio::test]
async fn an_answer_is_dropped_as_soon_as_it_announces_too_much() {
    // None of the announced bytes ever come, so only the announcement can end this.
    let server = Scripted::start(|request| Reply::ours(200, answer_to(request, 200)).sent(Manner::Announce(1 << 40)));
    let unrecognised = Some(Fault::Unrecognised { status: 200 });
    let faults = all(&patient(&server.url())).await;
    assert_eq!(faults, [unrecognised.clone(), unrecognised, None]);
}

#[tokio::test]
async fn a_body_that_stalls_ends_at_the_read_deadline() {
    let server = Scripted::start(|request| Reply::ours(200, answer_to(request, 200)).sent(Manner::Announce(5_000)));
    let start = Instant::now();
    let fault = hasty(&server.url(), 9_000, 150, 9_000).push(None, one()).await.err();
    assert_eq!(fault, Some(Fault::Timeout));
    let elapsed = start.elapsed();
    assert!(elapsed < SOON, "{elapsed:?}");
}

#[tokio::test]
async fn a_body_that_drips_ends_at_the_total_deadline() {
    let server = Scripted::start(|request| {
        Reply::ours(200, answer_to(request, 200)).sent(Manner::Drip(Duration::from_millis(30)))
    });
    let start = Instant::now();
    let fault = hasty(&server.url(), 9_000, 9_000, 400).pull(None, page()).await.err();
    assert_eq!(fault, Some(Fault::Timeout));
    let elapsed = start.elapsed();
    assert!(
        elapsed >= Duration::from_millis(390),
        "{elapsed:?}, each byte came in time"
    );
    assert!(elapsed < SOON, "{elapsed:?}");
}

#[tokio::test]
async fn a_server_that_never_answers_ends_at_the_deadline() {
    let server = Scripted::start(|_| Reply::none(Manner::Silence));
    let start = Instant::now();
    let remote = hasty(&server.url(), 100, 150, 9_000);
    let token = token();
    let (push, pull, probe) = tokio::join!(
        remote.push(Some(&token), one()),
        remote.pull(Some(&token), page()),
        remote.probe(),
    );
    let timeout = Some(Fault::Timeout);
    assert_eq!(
        [push.err(), pull.err(), probe.err()],
        [timeout.clone(), timeout.clone(), timeout]
    );
    let elapsed = start.elapsed();
    assert!(elapsed < SOON, "{elapsed:?}");
}

#[tokio::test]
async fn a_handshake_that_never_ends_ends_at_the_connect_deadline() {
    // It takes the handshake for the beginning of a request and waits for the rest.
    let server = Scripted::healthy();
    let remote = hasty(&server.url().replace("http:", "https:"), 150, 9_000, 9_000);
    let start = Instant::now();
    assert_eq!(remote.probe().await.err(), Some(Fault::Offline), "nothing has left");
    let elapsed = start.elapsed();
    assert!(elapsed < SOON, "{elapsed:?}");
}

/// What a device in a dead zone meets: its packets are dropped, and nobody says no. Before 2026-11-20 it was
/// taken for a request that timed out, and cost each write of the batch an attempt and its schedule's wait.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_connection_that_nobody_accepts_or_refuses_is_offline() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Once its queue is full, the system drops who knocks.
    let mut queue = Vec::new();
    let moment = Duration::from_millis(300);
    while let Ok(knocked) = tokio::time::timeout(moment, tokio::net::TcpStream::connect(address)).await {
        queue.push(knocked.unwrap());
        assert!(queue.len() < 100, "the queue has no end");
    }
    let offline = || Some(Fault::Offline);
    let faults = all(&hasty(&format!("http://{address}"), 150, 9_000, 9_000)).await;
    assert_eq!(faults, [offline(), offline(), offline()]);
}

#[tokio::test]
async fn a_connection_that_cannot_be_made_is_offline() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let offline = || Some(Fault::Offline);
    let faults = all(&patient(&format!("http://{address}"))).await;
    assert_eq!(faults, [offline(), offline(), offline()]);
}

#[tokio::test]
async fn a_connection_that_ends_after_the_request_left_is_no_answer() {
    for manner in [Manner::HangUp, Manner::Reset] {
        let server = Scripted::start(move |_| Reply::none(manner));
        let timeout = || Some(Fault::Timeout);
        let faults = all(&patient(&server.url())).await;
        assert_eq!(faults, [timeout(), timeout(), timeout()], "{manner:?}");
        assert_eq!(server.requests().len(), 3, "each is sent once: {manner:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_takes_no_token_along() {
    let other = Arc::new(Scripted::healthy());
    for status in [301, 302, 303, 307, 308] {
        let location = format!("{}/v1/sync", other.url());
        // With the backend's own header: somewhere else is somewhere else.
        let server = Scripted::start(move |_| Reply::ours(status, "{}").with("location", &location));
        let [push, pull, _] = all(&patient(&server.url())).await;
        assert_eq!([push, pull], [Some(Fault::Offline), Some(Fault::Offline)], "{status}");
        let server = Scripted::start(move |_| Reply::ours(status, "{}").with("location", "/login"));
        let [push, pull, _] = all(&patient(&server.url())).await;
        let unrecognised = Some(Fault::Unrecognised { status });
        assert_eq!([push, pull], [unrecognised.clone(), unrecognised], "{status}");
        assert!(
            server.requests().iter().all(|it| it.path.starts_with("/v1/")),
            "{status}"
        );
    }
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn after_a_network_change_no_old_connection_is_used() {
    let server = Scripted::healthy();
    let remote = patient(&server.url());
    remote.probe().await.unwrap();
    remote.push(None, one()).await.unwrap();
    remote.push(None, one()).await.unwrap();
    remote.network_changed();
    remote.network_changed();
    remote.push(None, one()).await.unwrap();
    remote.pull(None, page()).await.unwrap();
    let over: Vec<_> = server.requests().iter().map(|it| it.connection).collect();
    let changes = over.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert_eq!(over[2], over[1], "kept until the change: {over:?}");
    assert_ne!(over[3], over[2], "{over:?}");
    assert_eq!(over[4], over[3], "and kept again after it: {over:?}");
    assert!(changes <= 2, "{over:?}");
}

#[tokio::test]
async fn a_request_waiting_for_its_answer_keeps_nobody_else() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let server = Scripted::start(move |request| {
        if request.is_push() {
            count.fetch_add(1, Ordering::SeqCst);
            return Reply::none(Manner::Silence);
        }
        Reply::ours(200, answer_to(request, 200))
    });
    let remote = patient(&server.url());
    tokio::select! {
        _ = remote.push(None, one()) => panic!("nobody answers this"),
        () = async {
            while seen.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
            remote.pull(None, page()).await.unwrap();
            remote.probe().await.unwrap();
        } => {}
    }
}

#[tokio::test]
async fn a_certificate_nobody_vouches_for_is_untrusted_and_gets_no_request() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let server = Scripted::start_tls(config, |request| Reply::ours(200, answer_to(request, 200)));
    let untrusted = || Some(Fault::Untrusted);
    for url in [server.url(), server.url().replace("127.0.0.1", "localhost")] {
        let faults = all(&patient(&url)).await;
        assert_eq!(faults, [untrusted(), untrusted(), untrusted()], "{url}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn somebody_who_does_not_speak_tls_is_offline() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut hello = [0; 64];
            let _ = stream.read(&mut hello).await;
            let _ = stream
                .write_all(b"HTTP/1.1 302 Found\r\nlocation: /login\r\n\r\n")
                .await;
            let _ = stream.shutdown().await;
        }
    });
    let offline = || Some(Fault::Offline);
    assert_eq!(all(&patient(&url)).await, [offline(), offline(), offline()]);
}

#[tokio::test]
async fn a_token_that_cannot_stand_in_a_header_is_none() {
    let server = Scripted::healthy();
    let remote = patient(&server.url());
    let broken = Token::new("two\r\nlines", None);
    assert_eq!(remote.push(Some(&broken), one()).await.err(), Some(Fault::SignIn));
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn the_token_is_in_no_debug_text() {
    let server = Scripted::start(|_| Reply::none(Manner::HangUp));
    let remote = patient(&server.url());
    let token = token();
    let push = remote.push(Some(&token), one()).await;
    let text = format!("{remote:?} {token:?} {push:?} {:?}", one());
    assert!(!text.contains(SECRET), "{text}");
    assert!(
        text.contains("127.0.0.1"),
        "what helps to find a fault is there: {text}"
    );
}

#[tokio::test]
async fn a_refresh_token_is_traded_under_the_same_address_and_only_the_backend_can_refuse_it() {
    let traded = r#"{"access_token":"a2","refresh_token":"r2","expires_in":900,"user_id":"ada"}"#;
    let refused = r#"{"code":"token_invalid","message":"spent"}"#;
    let table = [
        (Reply::ours(200, traded), None),
        (Reply::ours(401, refused), Some(Fault::SignIn)),
        (Reply::html(401), Some(Fault::Unrecognised { status: 401 })),
        (Reply::new(403, refused), Some(Fault::Unrecognised { status: 403 })),
        (Reply::html(200), Some(Fault::Offline)),
        (Reply::new(200, traded), Some(Fault::Unrecognised { status: 200 })),
        (Reply::ours(200, "{}"), Some(Fault::Unrecognised { status: 200 })),
        (
            Reply::ours(200, traded).sent(Manner::BreakOffAt(20)),
            Some(Fault::Timeout),
        ),
        (
            Reply::new(307, "").with("location", "https://elsewhere.example/"),
            Some(Fault::Offline),
        ),
        (
            Reply::ours(503, refused).with("retry-after", "5"),
            Some(Fault::Throttled { after_ms: Some(5_000) }),
        ),
    ];
    for (reply, fault) in table {
        let shown = format!("{reply:?}");
        let server = Scripted::start(move |_| reply.clone());
        let answer = patient(&format!("{}/api", server.url())).trade("r1").await;
        match (answer, fault) {
            (Ok(answer), None) => assert_eq!((&*answer.access_token, &*answer.refresh_token), ("a2", "r2")),
            (answer, expected) => assert_eq!(answer.err(), expected, "{shown}"),
        }
        let requests = server.requests();
        assert_eq!(requests.len(), 1, "{shown}");
        assert_eq!(
            (&*requests[0].method, &*requests[0].path),
            ("POST", "/api/v1/token/refresh")
        );
        assert_eq!(requests[0].text(), r#"{"refresh_token":"r1"}"#);
        assert_eq!(requests[0].header("authorization"), None);
    }
}
