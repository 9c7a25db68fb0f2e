//! Bytes on the server's socket. `$ada` and `$bob` stand for good tokens, `$length` for the length of what
//! follows the head.
//!
//! 1. It answers or hangs up; it never fails (500) and never stops serving.
//! 2. What it answers as itself says so: protocol header and JSON.
//! 3. Nobody sees what is another user's.

use crate::backend::{CANARY, backend, contains};

pub(crate) fn run(data: &[u8]) {
    let backend = backend();
    let mut bytes = data.to_vec();
    for (name, token) in ["$ada", "$bob"].iter().zip(&backend.tokens) {
        bytes = replace(&bytes, name.as_bytes(), token.as_bytes());
    }
    let length = crate::input::split(&bytes, b"\r\n\r\n").1.len();
    bytes = replace(&bytes, b"$length", length.to_string().as_bytes());
    let said = backend.talk(&bytes);
    assert!(!contains(&said, CANARY.as_bytes()), "another's record was shown");
    for answer in answers(&said) {
        let head = crate::input::split(answer, b"\r\n\r\n").0;
        let status = head.get(9..12).unwrap_or_default();
        assert!(
            status.first() != Some(&b'5'),
            "it failed: {}",
            String::from_utf8_lossy(head)
        );
        // What is no HTTP at all is refused before our code sees it, without a body.
        let is_http = !(status == b"400" || status == b"431" || status == b"414") || contains(head, b"content-type");
        if is_http && !contains(head, b"100 Continue") {
            assert!(
                contains(head, b"keepsync-protocol: 1"),
                "{}",
                String::from_utf8_lossy(head)
            );
        }
    }
    let health = backend.talk(b"GET /v1/health HTTP/1.1\r\nhost: it\r\n\r\n");
    assert!(health.starts_with(b"HTTP/1.1 200"), "it does not serve any more");
}

/// Answers one after another, each from its status line on.
fn answers(said: &[u8]) -> Vec<&[u8]> {
    let mark = b"HTTP/1.1 ";
    let starts: Vec<usize> = (0..said.len()).filter(|at| said[*at..].starts_with(mark)).collect();
    let ends = starts.iter().skip(1).copied().chain([said.len()]);
    starts.iter().zip(ends).map(|(start, end)| &said[*start..end]).collect()
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(from) {
            out.extend_from_slice(to);
            at += from.len();
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    out
}
