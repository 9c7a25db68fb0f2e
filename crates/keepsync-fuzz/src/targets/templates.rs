//! A template of an address, and the ids that are put into it.
//!
//! 1. A template that is taken is filled to an address below the base: the same origin, the same first
//!    segments, as many segments as it has, each of them the template's own text around exactly that id.
//! 2. What goes out goes there, and nowhere else.

use super::answers::item;
use crate::{
    input::{lines, now},
    remote::{
        PullRequest, PushBatch, PushItem, Remote as _, Token,
        rest::{Api, Encoded, Endpoints, ErrorForm, ListForm, RecordForm, RestRemote, encode},
        transport::{self, HttpOptions},
    },
};
use keepsync_wire::Operation;
use reqwest::Url;

const BASE: &str = "https://api.example.com/v2/";

pub(crate) fn run(data: &[u8]) {
    let [template, id, parent, server_id, cursor] = lines(data);
    for operation in [Operation::Create, Operation::Delete, Operation::Complete] {
        let Ok(endpoints) = Endpoints::new("session").on(operation, &template) else {
            continue;
        };
        let body = (operation != Operation::Delete).then_some("{}");
        let mut item = item(1, "session", &id, operation, body);
        item.parent_id = Some(parent.clone());
        item.server_id = Some(server_id.clone());
        item.parent_server_id = Some(server_id.clone());
        let errors = ErrorForm::new("application/json", "/code").unwrap();
        if let Ok(api) = Api::new(errors).collection(endpoints) {
            write(api, item, &template);
        }
    }
    if let Ok(list) = ListForm::since(&template).and_then(|list| list.next_cursor("/next")) {
        listed(list, &template, &cursor);
    }
}

fn write(api: Api, item: PushItem, template: &str) {
    let Ok(Encoded::Send(operation, _)) = encode(&api, &item) else {
        return;
    };
    let url = Url::parse(&format!("{}{}", BASE.trim_end_matches('/'), operation.endpoint)).unwrap();
    let fill = |text: &str| {
        let values = [
            ("{id}", Some(item.id.as_str())),
            ("{server_id}", item.server_id.as_deref()),
            ("{parent}", item.parent_id.as_deref()),
            ("{parent_server_id}", item.parent_server_id.as_deref()),
            ("{collection}", Some("session")),
        ];
        filled(text, &values)
    };
    check(&url, template, fill);
    transport::will_answer([]);
    let remote = RestRemote::new(HttpOptions::new(BASE), api).unwrap();
    let batch = PushBatch {
        account: "ada".to_owned(),
        device_id: "phone".to_owned(),
        device_label: None,
        epoch: None,
        items: vec![item],
    };
    let _ = now(remote.push(Some(&Token::new("sesame", None)), batch));
    let asked = transport::asked();
    assert_eq!(asked.len(), 1, "what can be encoded goes out");
    assert_eq!(asked[0].url, url);
}

fn listed(list: ListForm, template: &str, cursor: &str) {
    let errors = ErrorForm::new("application/json", "/code").unwrap();
    let record = RecordForm::new().version_number("/version").unwrap();
    let Ok(api) = Api::new(errors).collection(Endpoints::new("session").record(record).list(list)) else {
        return;
    };
    let remote = RestRemote::new(HttpOptions::new(BASE), api).unwrap();
    transport::will_answer([]);
    let request = PullRequest {
        account: "ada".to_owned(),
        cursors: vec![("session".to_owned(), Some(cursor.to_owned()))],
        limit: 100,
        ..PullRequest::default()
    };
    let _ = now(remote.pull(Some(&Token::new("sesame", None)), request));
    for asked in transport::asked() {
        let values = [
            ("{cursor}", Some(cursor)),
            ("{limit}", Some("100")),
            ("{collection}", Some("session")),
        ];
        check(&asked.url, template, |text| filled(text, &values));
    }
}

/// From left to right, so that what is in a value is not taken for a placeholder.
fn filled(text: &str, values: &[(&str, Option<&str>)]) -> String {
    let (mut filled, mut rest) = (String::new(), text);
    while let Some(character) = rest.chars().next() {
        match values.iter().find(|(name, _)| rest.starts_with(name)) {
            Some((name, value)) => {
                filled.push_str(value.expect("a value that nobody knows"));
                rest = &rest[name.len()..];
            }
            None => {
                filled.push(character);
                rest = &rest[character.len_utf8()..];
            }
        }
    }
    filled
}

fn check(url: &Url, template: &str, fill: impl Fn(&str) -> String) {
    let base = Url::parse(BASE).unwrap();
    assert_eq!(url.origin(), base.origin());
    assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
    let (_, address) = template.split_once(' ').unwrap();
    let (path, query) = address
        .split_once('?')
        .map_or((address, None), |(path, query)| (path, Some(query)));
    let expected: Vec<String> = std::iter::once("v2".to_owned())
        .chain(path[1..].split('/').map(&fill))
        .collect();
    let found: Vec<String> = url.path_segments().unwrap().map(decoded).collect();
    assert_eq!(found, expected, "{url}");
    // A query value is the template's around exactly that value, too.
    for (pair, found) in query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .zip(url.query().unwrap_or("").split('&'))
    {
        let (name, value) = found.split_once('=').unwrap();
        assert_eq!(format!("{name}={}", decoded(value)), fill(pair));
    }
}

/// Percent-decoding that knows nothing else.
fn decoded(text: &str) -> String {
    let (bytes, mut decoded, mut at) = (text.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        if bytes[at] == b'%' {
            decoded.push(u8::from_str_radix(&text[at + 1..at + 3], 16).unwrap());
            at += 3;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(decoded).unwrap()
}
