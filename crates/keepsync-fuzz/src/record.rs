//! The recorded part of the corpus: what the real server answers to a real device, and what a real device
//! writes.

use crate::{
    backend::{Backend, backend},
    device::{Device, folder, options},
    input::{Reply, now, split},
    remote::{
        PullRequest, PushBatch, Remote as _,
        http::{HttpOptions, HttpRemote},
        transport, wire,
    },
    targets::{answers, sessions},
};
use keepsync::{
    Db, carry,
    drain::{Answer, Request},
    record, session,
};

/// Target, file name, and bytes.
pub fn record() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let mut found = Vec::new();
    found.extend(wire_answers());
    found.extend(passes());
    found.extend(files());
    found.push(("jwt", "ada", backend().tokens[0].clone().into_bytes()));
    found.push(("jwt", "bob", backend().tokens[1].clone().into_bytes()));
    found
}

/// From HTTP to the form of [`Reply`].
fn reply(said: &[u8]) -> Vec<u8> {
    let (head, body) = split(said, b"\r\n\r\n");
    // Of the request that ended the conversation.
    let body = split(body, b"HTTP/1.1 404").0;
    let head = String::from_utf8_lossy(head).replace("\r\n", "\n");
    let head = head.split_once(' ').unwrap().1;
    let (status, rest) = head.split_once('\n').unwrap();
    let status = status.split(' ').next().unwrap();
    [status.as_bytes(), b"\n", rest.as_bytes(), b"\n\n", body].concat()
}

impl Backend {
    fn push(&self, batch: PushBatch) -> Vec<u8> {
        let body = serde_json::to_vec(&wire::sync_request(batch)).unwrap();
        reply(&self.post("v1/sync", &self.tokens[0], &body))
    }

    fn pull(&self, request: &PullRequest) -> Vec<u8> {
        let body = serde_json::to_vec(&wire::pull_request(request)).unwrap();
        reply(&self.post("v1/pull", &self.tokens[0], &body))
    }
}

fn wire_answers() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let backend = backend();
    let answer = |verb: &str, reply: Vec<u8>| [verb.as_bytes(), b"\n", &reply].concat();
    let mut found = vec![("accepted", answer("push", backend.push(answers::batch())))];
    found.push(("accepted-again", answer("push", backend.push(answers::batch()))));
    let mut other = answers::batch();
    other.items[0].body = Some(r#"{"name":"Arms"}"#.to_owned());
    found.push(("op-reused", answer("push", backend.push(other))));
    let mut behind = answers::batch();
    for (n, item) in behind.items.iter_mut().enumerate() {
        item.op = uuid::Uuid::from_u128(0xbad0 + n as u128);
        item.after = vec![uuid::Uuid::from_u128(0xdead)];
    }
    let blocked = String::from_utf8(backend.push(behind.clone())).unwrap();
    for item in &mut behind.items {
        item.after.clear();
    }
    let conflict = String::from_utf8(backend.push(behind)).unwrap();
    // Under the ids that this target asks for.
    let renamed = |mut text: String| {
        for (n, item) in answers::batch().items.iter().enumerate() {
            let op = uuid::Uuid::from_u128(0xbad0 + n as u128).to_string();
            text = text.replace(&op, &item.op.to_string());
        }
        text.into_bytes()
    };
    found.push(("blocked", answer("push", renamed(blocked))));
    found.push(("conflict", answer("push", renamed(conflict))));
    let mut shapeless = answers::batch();
    for item in &mut shapeless.items {
        item.id = String::new();
    }
    found.push(("all-refused", answer("push", backend.push(shapeless))));
    let mut asked = answers::asked();
    found.push(("page", answer("pull", backend.pull(&asked))));
    asked.limit = 1;
    found.push(("page-of-one", answer("pull", backend.pull(&asked))));
    found.push((
        "health",
        answer(
            "probe",
            reply(&backend.talk(b"GET /v1/health HTTP/1.1\r\nhost: it\r\n\r\n")),
        ),
    ));
    let no_token = backend.post("v1/sync", "none", b"{}");
    found.push(("no-token", answer("push", reply(&no_token))));
    let refused = backend.post("v1/token/refresh", "none", br#"{"refresh_token":"none"}"#);
    found.push(("no-trade", answer("trade", reply(&refused))));
    found
        .into_iter()
        .map(|(name, bytes)| ("answers", name, bytes))
        .collect()
}

/// Whole passes of a device: alone, and after another has written the same records.
fn passes() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let pass = |device: &mut Device| {
        let mut replies: Vec<Vec<u8>> = Vec::new();
        let remote = HttpRemote::new(HttpOptions::new(answers::BASE)).unwrap();
        device.sync(|request| {
            let mut answered = |reply: Vec<u8>| {
                transport::will_answer([Reply::read(&reply)]);
                replies.push(reply);
            };
            match request {
                Request::Push(batch) => {
                    answered(backend().push(batch.clone()));
                    Answer::Pushed(now(remote.push(None, batch)))
                }
                Request::Pull(request) => {
                    answered(backend().pull(&request));
                    Answer::Pulled(now(remote.pull(None, request)))
                }
                Request::Probe => Answer::Probed(Ok(())),
                Request::Refresh => Answer::Refreshed(Ok(())),
                Request::Resolve(_) => Answer::Resolved(Err("nobody decides here".to_owned())),
            }
        });
        replies.join(b"\n%%\n".as_slice())
    };
    let conflicts = pass(&mut sessions::device());
    let again = pass(&mut sessions::device());
    vec![
        ("sessions", "meets-others", conflicts),
        ("sessions", "was-applied-before", again),
    ]
}

/// What devices write: an export, and the first page of a file.
fn files() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let mut device = sessions::device();
    device
        .db
        .write(|write| {
            session::start(write, "plan", "plan_set", "p1", r#"{"text":"nightingale"}"#)?;
            record::put(write, "profile", "it", r#"{"n":1.50,"big":12345678901234567890}"#).map(drop)
        })
        .unwrap();
    let text = device
        .db
        .read(|read| carry::export(read, crate::device::START))
        .unwrap()
        .text;
    let folder = folder();
    let path = folder.path().join("file.keepsync");
    drop(Db::open(options(Some(path.clone()))).unwrap());
    let empty = std::fs::read(path).unwrap();
    vec![
        ("carried", "export", text.into_bytes()),
        ("file", "first-page", empty[..4_096].to_vec()),
        ("file", "header", empty[..100].to_vec()),
    ]
}
