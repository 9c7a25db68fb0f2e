//! In the place of the core's transport: answers come from a script, requests are kept to be looked at.

pub use keepsync::remote::http::{HttpOptions, HttpSetupError};

use super::{
    Fault, Token,
    answer::{self, Body, Head},
};
use crate::input::{End, Reply};
use keepsync_wire::PROTOCOL_HEADER;
use reqwest::{
    Method, Url,
    header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER},
};
use std::{cell::RefCell, collections::VecDeque};

/// A request that was made.
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) token: Option<String>,
    pub(crate) header: Option<(HeaderName, HeaderValue)>,
    pub(crate) body: Option<Vec<u8>>,
}

#[derive(Default)]
struct Script {
    replies: VecDeque<Reply>,
    asked: Vec<Asked>,
}

thread_local! {
    static SCRIPT: RefCell<Script> = RefCell::default();
}

/// What is answered from now on, one after another; then nothing answers.
pub(crate) fn will_answer(replies: impl IntoIterator<Item = Reply>) {
    SCRIPT.with_borrow_mut(|script| {
        *script = Script {
            replies: replies.into_iter().collect(),
            asked: Vec::new(),
        };
    });
}

/// What was asked since.
pub(crate) fn asked() -> Vec<Asked> {
    SCRIPT.with_borrow_mut(|script| std::mem::take(&mut script.asked))
}

pub(super) struct Transport {
    base: Url,
    options: HttpOptions,
}

pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) url: &'a Url,
    pub(super) token: Option<&'a Token>,
    pub(super) accept: HeaderValue,
    pub(super) header: Option<(HeaderName, HeaderValue)>,
    pub(super) body: Option<(HeaderValue, Vec<u8>)>,
    pub(super) head_is_enough: fn(&Head<'_>) -> bool,
}

impl Transport {
    pub(super) fn new(options: HttpOptions) -> Result<Self, HttpSetupError> {
        let mut base = Url::parse(&options.base_url).map_err(|_| HttpSetupError::Address)?;
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        Ok(Self { base, options })
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    pub(super) fn options(&self) -> &HttpOptions {
        &self.options
    }

    pub(super) fn network_changed(&self) {}

    pub(super) async fn exchange(&self, ask: Ask<'_>) -> Result<Received, Fault> {
        let reply = SCRIPT.with_borrow_mut(|script| {
            script.asked.push(Asked {
                method: ask.method.clone(),
                url: ask.url.clone(),
                token: ask.token.map(|token| token.secret().to_owned()),
                header: ask.header.clone(),
                body: ask.body.map(|(_, bytes)| bytes),
            });
            script.replies.pop_front()
        });
        let reply = reply.ok_or(Fault::Offline)?;
        let mut headers = HeaderMap::new();
        for (name, value) in &reply.headers {
            // What cannot stand in a header never arrives as one.
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
        let leads_away = |location: &HeaderValue| {
            location
                .to_str()
                .map_or(true, |location| answer::leads_elsewhere(ask.url, location))
        };
        let mut received = Received {
            status: reply.status,
            elsewhere: reply.elsewhere || headers.get(LOCATION).is_some_and(leads_away),
            headers,
            body: Arrived::Whole(Vec::new()),
        };
        if !(ask.head_is_enough)(&received.head()) {
            received.body = match reply.end {
                End::Whole => Arrived::Whole(reply.body),
                End::Broken => Arrived::Broken,
                End::TooLarge => Arrived::TooLarge,
            };
        }
        Ok(received)
    }
}

pub(super) struct Received {
    status: u16,
    headers: HeaderMap,
    elsewhere: bool,
    pub(super) body: Arrived,
}

pub(super) enum Arrived {
    Whole(Vec<u8>),
    Broken,
    TooLarge,
}

impl Arrived {
    pub(super) fn as_body(&self) -> Body<'_> {
        match self {
            Self::Whole(bytes) => Body::Whole(bytes),
            Self::Broken => Body::Broken,
            Self::TooLarge => Body::TooLarge,
        }
    }
}

impl Received {
    pub(super) fn head(&self) -> Head<'_> {
        let text = |name: HeaderName| self.headers.get(name).and_then(|it| it.to_str().ok());
        Head {
            status: self.status,
            media_type: text(CONTENT_TYPE),
            protocol: text(HeaderName::from_static(PROTOCOL_HEADER)),
            retry_after: text(RETRY_AFTER),
            date: text(DATE),
            elsewhere: self.elsewhere,
        }
    }
}
