//! Access tokens: at the server, which takes only what it has signed itself; and at a device, which never
//! uses one that names another account.

use crate::backend::{backend, contains};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use keepsync::remote::{RemoteFuture, Token, TokenFault, TokenProvider, Tokens};
use serde_json::Value;
use std::sync::Arc;

pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    on_a_device(&text);
    at_the_server(data);
}

fn at_the_server(token: &[u8]) {
    // What ends the header is no token any more.
    let end = token
        .iter()
        .position(|byte| matches!(byte, b'\r' | b'\n' | 0))
        .unwrap_or(token.len());
    let token = &token[..end];
    let body = br#"{"user_id":"ada","device_id":"phone","collections":[],"limit":1}"#;
    let head = format!(
        "POST /v1/pull HTTP/1.1\r\nhost: it\r\ncontent-length: {}\r\nauthorization: Bearer ",
        body.len()
    );
    let said = backend().talk(&[head.as_bytes(), token, b"\r\n\r\n", body.as_slice()].concat());
    let is_ours = backend().tokens[0].as_bytes() == token.trim_ascii();
    let is_bobs = backend().tokens[1].as_bytes() == token.trim_ascii();
    let status = said.get(9..12).unwrap_or_default();
    match status {
        b"200" => assert!(is_ours, "a token that was not signed here is taken"),
        b"401" => assert!(!is_ours && !is_bobs, "our own token is not taken"),
        // Another's token: this request names the wrong user.
        b"403" => assert!(is_bobs),
        // A header that is none, or is too long, is refused before anybody looks at it.
        b"400" | b"431" => assert!(!is_ours),
        other => panic!("{:?} for a token", String::from_utf8_lossy(other)),
    }
    assert!(!contains(&said, crate::backend::CANARY.as_bytes()));
}

struct Gives(Token);

impl TokenProvider for Gives {
    fn token<'a>(&'a self, _: &'a str, _: Option<&'a Token>) -> RemoteFuture<'a, Result<Option<Token>, TokenFault>> {
        let token = self.0.clone();
        Box::pin(async move { Ok(Some(token)) })
    }
}

fn on_a_device(text: &str) {
    let token = Token::new(text, None);
    let tokens = Tokens::new(Arc::new(Gives(token.clone())), "ada");
    match crate::input::now(tokens.current()) {
        Ok(used) => {
            assert_eq!(used, Some(token));
            assert!(
                named(text).is_none_or(|subject| subject == "ada"),
                "another's token is used"
            );
        }
        Err(fault) => assert!(fault == TokenFault::SignInNeeded && named(text).is_some_and(|it| it != "ada")),
    }
    assert!(!format!("{tokens:?}").contains(text) || text.len() < 8);
}

/// Whom a token of three parts says it is for.
fn named(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split('.').collect();
    let [_, claims, _] = parts[..] else { return None };
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?).ok()?;
    match claims.get("sub")? {
        Value::String(subject) => Some(subject.clone()),
        Value::Number(subject) => Some(subject.to_string()),
        _ => None,
    }
}
