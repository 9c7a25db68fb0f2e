//! The real server, on a real socket of this process, with a signing key that is always the same: so a
//! token can be part of an input.

use crate::device::folder;
use keepsync_server::{Config, Rate, Server};
use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{OnceLock, mpsc},
    time::Duration,
};

const KEY: [u8; 32] = *b"the key of the fuzzed server....";
/// 2026-11-20.
const SIGNED_AT: i64 = 1_795_132_800_000;
const TEN_YEARS_S: u64 = 10 * 365 * 24 * 60 * 60;
/// The end of every conversation.
const LAST: &[u8] = b"GET /last HTTP/1.1\r\nhost: it\r\nconnection: close\r\n\r\n";
/// Longer than the server takes for an answer; shorter, and an input says less than it could.
const SILENCE: Duration = Duration::from_millis(50);
/// Only a fault makes it as long as this.
const PATIENCE: Duration = Duration::from_secs(20);

/// What only this user may see.
pub(crate) const CANARY_USER: &str = "canary";
pub(crate) const CANARY: &str = "nightingale-7f3a";

pub(crate) struct Backend {
    address: SocketAddr,
    /// Signed by the server's key: `ada`'s and `bob's`. [`CANARY_USER`]'s is told to no input.
    pub(crate) tokens: [String; 2],
}

/// Tokens are the same every time.
fn sign(data: &std::path::Path, user: &str) -> String {
    keepsync_server::access_token(data, user, TEN_YEARS_S, SIGNED_AT).unwrap()
}

pub(crate) fn backend() -> &'static Backend {
    static BACKEND: OnceLock<Backend> = OnceLock::new();
    BACKEND.get_or_init(|| {
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || serve(&tell));
        let (address, tokens, canary) = told.recv().unwrap();
        let backend = Backend { address, tokens };
        let body = format!(
            r#"{{"user_id":"{CANARY_USER}","device_id":"d","items":[{{"op_id":"00000000-0000-7000-8000-00000000c0de","entity_type":"note","entity_id":"{CANARY}","operation":"create","data":{{"text":"{CANARY}"}},"version":0,"timestamp":0,"hlc":"1-0"}}]}}"#
        );
        let said = backend.post("v1/sync", &canary, body.as_bytes());
        assert!(said.starts_with(b"HTTP/1.1 200") && contains(&said, b"success"));
        backend
    })
}

fn serve(tell: &mpsc::Sender<(SocketAddr, [String; 2], String)>) {
    let folder = folder();
    std::fs::write(folder.path().join("signing-key"), KEY).unwrap();
    let mut config = Config::new(folder.path());
    let rate = Rate {
        per_second: 1_000_000,
        burst: 1_000_000,
    };
    (config.limits.per_user, config.limits.per_address) = (rate, rate);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let server = Server::bind(config).await.unwrap();
        let tokens = ["ada", "bob"].map(|user| sign(folder.path(), user));
        let canary = sign(folder.path(), CANARY_USER);
        tell.send((server.local_addr(), tokens, canary)).unwrap();
        server.run(std::future::pending()).await.unwrap();
    });
}

impl Backend {
    /// What is answered to these bytes, up to the end of the connection. They are followed by a request that
    /// ends it, unless it is taken for a part of them; then this side ends it when nothing more comes.
    pub(crate) fn talk(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        // Who has been refused early may have been hung up on.
        let _ = stream.write_all(&[bytes, LAST].concat());
        stream.set_read_timeout(Some(SILENCE)).unwrap();
        let mut said = Vec::new();
        let mut piece = [0; 16 * 1024];
        let mut is_over = false;
        loop {
            match stream.read(&mut piece) {
                Ok(0) => return said,
                Ok(count) => said.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return said,
                // By the fuzzer's own timer.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) && !is_over => {
                    is_over = true;
                    let _ = stream.shutdown(Shutdown::Write);
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                }
                Err(error) => panic!("the server neither answers nor hangs up: {error}"),
            }
        }
    }

    pub(crate) fn post(&self, path: &str, token: &str, body: &[u8]) -> Vec<u8> {
        let head = format!(
            "POST /{path} HTTP/1.1\r\nhost: it\r\nauthorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.talk(&[head.as_bytes(), body].concat())
    }
}

pub(crate) fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
