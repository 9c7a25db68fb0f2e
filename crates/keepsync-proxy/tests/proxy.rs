//! The fault proxy over real sockets: each fault does to a request what its name says, the server saw
//! what it should have seen, and the connection before and after it works.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use keepsync_proxy::{Canned, Fault, Proxy};
use std::{
    future::Future,
    io::ErrorKind,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// Nothing in these tests takes long; a hang is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.unwrap()
}

/// Answers each request with its own number and name.
async fn server(name: &'static str) -> (SocketAddr, Arc<AtomicU64>) {
    let seen = Arc::new(AtomicU64::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let counter = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counter = Arc::clone(&counter);
            tokio::spawn(async move {
                while read(&mut stream).await.is_ok() {
                    let body = format!("{name} {}", counter.fetch_add(1, SeqCst) + 1);
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (addr, seen)
}

/// One message with a `content-length`; gives its body.
async fn read(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .unwrap();
            if body.len() >= length.parse().unwrap() {
                return Ok(text);
            }
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            let mut error = std::io::Error::from(ErrorKind::UnexpectedEof);
            if !bytes.is_empty() {
                error = std::io::Error::other(text);
            }
            return Err(error);
        }
    }
}

async fn ask(stream: &mut TcpStream, path: &str) -> std::io::Result<String> {
    let request = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello");
    stream.write_all(request.as_bytes()).await?;
    let answer = soon(read(stream)).await?;
    Ok(answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.addr()).await.unwrap()
}

#[tokio::test]
async fn a_fault_meets_the_next_request_on_an_open_connection_and_only_that_one() {
    let (addr, seen) = server("a").await;
    let proxy = Proxy::start(addr).await.unwrap();
    let mut open = connect(&proxy).await;
    assert_eq!(ask(&mut open, "/v1/sync").await.unwrap(), "a 1");
    proxy.next("v1/sync", Fault::Instead(Canned::throttled(7)));
    assert_eq!(
        ask(&mut open, "/v1/pull").await.unwrap(),
        "a 2",
        "another path is not met"
    );
    assert_eq!(ask(&mut open, "/v1/sync?x=1").await.unwrap(), "slow down");
    assert_eq!(ask(&mut open, "/v1/sync").await.unwrap(), "a 3");
    assert_eq!(seen.load(SeqCst), 3);
    let counts = proxy.counts();
    assert_eq!(
        (counts.connections, counts.requests, counts.forwarded, counts.answered),
        (1, 4, 3, 4)
    );
    assert_eq!(counts.faults.into_iter().collect::<Vec<_>>(), [("429", 1)]);
}

#[tokio::test]
async fn a_lost_reply_was_committed_and_a_cut_request_was_not() {
    let (addr, seen) = server("a").await;
    let proxy = Proxy::start(addr).await.unwrap();
    proxy.next("", Fault::CutRequest);
    let error = ask(&mut connect(&proxy).await, "/").await.unwrap_err();
    assert_eq!((error.kind(), seen.load(SeqCst)), (ErrorKind::ConnectionReset, 0));
    proxy.next("", Fault::LostReply);
    let error = ask(&mut connect(&proxy).await, "/").await.unwrap_err();
    assert_eq!((error.kind(), seen.load(SeqCst)), (ErrorKind::UnexpectedEof, 1));
}

#[tokio::test]
async fn an_answer_is_cut_after_each_number_of_bytes() {
    let (addr, seen) = server("a").await;
    let proxy = Proxy::start(addr).await.unwrap();
    let whole = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\na 1";
    for bytes in 0..whole.len() {
        seen.store(0, SeqCst);
        proxy.next("", Fault::CutAnswer(bytes));
        let error = ask(&mut connect(&proxy).await, "/").await.unwrap_err();
        let got = if bytes == 0 { String::new() } else { error.to_string() };
        assert_eq!(got, whole[..bytes]);
        assert_eq!(seen.load(SeqCst), 1);
    }
}

#[tokio::test]
async fn in_refusing_weather_connections_are_reset_until_it_clears() {
    let (addr, seen) = server("a").await;
    let proxy = Proxy::start(addr).await.unwrap();
    let mut open = connect(&proxy).await;
    assert_eq!(ask(&mut open, "/").await.unwrap(), "a 1");
    proxy.always(Some(Fault::Refuse));
    assert!(ask(&mut open, "/").await.is_err(), "also the one that was open");
    for _ in 0..3 {
        assert!(ask(&mut connect(&proxy).await, "/").await.is_err());
    }
    proxy.always(None);
    assert_eq!(ask(&mut connect(&proxy).await, "/").await.unwrap(), "a 2");
    assert_eq!(seen.load(SeqCst), 2);
    assert_eq!(proxy.counts().met(&Fault::Refuse), 4);
}

#[tokio::test]
async fn a_black_hole_swallows_and_a_half_open_connection_commits_and_neither_answers() {
    for (fault, committed) in [(Fault::BlackHole, 0), (Fault::HalfOpen, 1)] {
        let (addr, seen) = server("a").await;
        let proxy = Proxy::start(addr).await.unwrap();
        proxy.next("", fault.clone());
        let mut client = connect(&proxy).await;
        client
            .write_all(b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi")
            .await
            .unwrap();
        soon(proxy.until(|counts| counts.met(&fault) == 1 && counts.forwarded == committed)).await;
        let mut byte = [0];
        let silent = tokio::time::timeout(Duration::from_millis(100), client.read(&mut byte)).await;
        assert!(silent.is_err(), "{fault:?} answered or closed");
        assert_eq!(proxy.counts().answered, 0);
        if committed == 1 {
            soon(async {
                while seen.load(SeqCst) == 0 {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
        // It hangs for this client alone.
        assert!(ask(&mut connect(&proxy).await, "/").await.is_ok());
    }
}

#[tokio::test]
async fn a_slow_answer_arrives_whole_in_pieces() {
    let (addr, _) = server("a").await;
    let proxy = Proxy::start(addr).await.unwrap();
    let tick = Duration::from_millis(1);
    proxy.next("", Fault::Slow { bytes: 5, tick });
    let mut client = connect(&proxy).await;
    assert_eq!(ask(&mut client, "/").await.unwrap(), "a 1");
    assert_eq!(ask(&mut client, "/").await.unwrap(), "a 2", "and the next one as ever");
}

#[tokio::test]
async fn a_server_that_came_back_elsewhere_is_reached_on_the_same_connection() {
    let (first, _) = server("first").await;
    let (second, _) = server("second").await;
    let proxy = Proxy::start(first).await.unwrap();
    let mut client = connect(&proxy).await;
    assert_eq!(ask(&mut client, "/").await.unwrap(), "first 1");
    proxy.upstream(second);
    assert_eq!(ask(&mut client, "/").await.unwrap(), "second 1");
    // Nobody there: a reset, and not a hang.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    proxy.upstream(gone);
    assert!(ask(&mut client, "/").await.is_err());
}

#[tokio::test]
async fn blows_wait_in_line_and_can_be_taken_back() {
    let (addr, _) = server("a").await;
    let proxy = Proxy::start(addr).await.unwrap();
    proxy.next("", Fault::Instead(Canned::portal()));
    proxy.next("", Fault::Instead(Canned::unavailable(1)));
    proxy.next("", Fault::Refuse);
    let mut client = connect(&proxy).await;
    assert!(ask(&mut client, "/").await.unwrap().contains("Room number"));
    assert_eq!(ask(&mut client, "/").await.unwrap(), "no backend");
    assert_eq!(proxy.forget(), 1);
    assert_eq!(ask(&mut client, "/").await.unwrap(), "a 1");
}
