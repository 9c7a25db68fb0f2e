//! Plain REST endpoints: one request for each unsent write, to an address made from a template.
//!
//! ```
//! use keepsync::remote::{
//!     http::HttpOptions,
//!     rest::{Api, Endpoints, ErrorForm, ListForm, RecordForm, RestRemote},
//! };
//! use keepsync_wire::Operation::{Complete, Create, Delete, Skip, Update};
//!
//! let errors = ErrorForm::new("application/json", "/error/code")?
//!     .message("/error/message")?
//!     .in_progress("request_in_progress")
//!     .token("token_expired")
//!     .gone("not_found");
//! let sessions = Endpoints::new("session")
//!     .on(Create, "PUT /v1/sessions/{id}")?
//!     .on(Update, "PATCH /v1/sessions/{id}")?
//!     .on(Complete, "POST /v1/sessions/{id}/complete")?
//!     .on(Skip, "POST /v1/sessions/{id}/skip")?
//!     .on(Delete, "DELETE /v1/sessions/{id}")?
//!     .read("GET /v1/sessions/{id}")?
//!     .record(RecordForm::new().version_number("/version")?.deleted("/deleted_at")?)
//!     .list(
//!         ListForm::since("GET /v1/sessions?updated_since={cursor}&limit={limit}")?
//!             .items("/items")?
//!             .next_cursor("/next")?,
//!     );
//! let sets = Endpoints::new("set_log")
//!     .on(Create, "PUT /v1/sessions/{parent}/sets/{id}")?
//!     .on(Update, "PUT /v1/sessions/{parent}/sets/{id}")?
//!     .on(Delete, "DELETE /v1/sessions/{parent}/sets/{id}")?;
//! // An API that takes a finished plan with all its sets in one payload, and nothing before that.
//! let plans = Endpoints::new("plan")
//!     .carried(Create)
//!     .carried(Update)
//!     .on(Complete, "POST /v1/plans/{id}/complete")?
//!     .on_bare(Skip, "POST /v1/plans/{id}/skip")?;
//!
//! let api = Api::new(errors).probe("GET /v1/health")?;
//! let api = [sessions, sets, plans].into_iter().try_fold(api, Api::collection)?;
//! let remote = RestRemote::new(HttpOptions::new("https://api.example.com"), api)?;
//! # drop(remote);
//! # Ok::<(), keepsync::remote::rest::RestSetupError>(())
//! ```
//!
//! # A write
//!
//! 1. [`encode`] makes a [`RestOperation`] of it: `{ id, endpoint, method, body, createdAt }`. One that
//!    can never go out is parked with its reason, and nothing is sent.
//! 2. The request carries the operation id as `Idempotency-Key`, the same on every attempt. Stopped
//!    here, or no answer: it stays, and goes again under the same key when the network is back.
//! 3. The answer settles it only if it certainly comes from the API; `classify` has the table. Stopped
//!    before that is stored: it goes again, and the API answers the key as it did before.
//! 4. A 409 or 412 does not say what the record is now: it is read. Stopped or failing here: the write
//!    goes again and is refused again.
//!
//! # A pull
//!
//! A page is one request to one collection's list, so that each has its deadline and its limit. The
//! next page goes on with the same collection while it has more, then with the next one.
//!
//! 1. A list that tells what changed goes on from its cursor; the first request has none.
//! 2. A list that is whole comes whole every time, and what is not in it is removed here.
//! 3. A cursor the API has forgotten (410 in the declared form) starts its collection over.
//! 4. A collection whose list fails ends the pull, and is asked last the next time, so that it keeps no
//!    other from being pulled.
//!
//! Stopped at any point: cursors are stored with their rows; at worst a page comes twice.
//!
//! # What a plain API cannot do
//!
//! An API that ignores `Idempotency-Key` applies a repeat after a lost reply twice, unless creates are
//! PUTs under the client's id. Without a version nothing detects a change by others, and a 409 over which
//! the policy lets this device win goes round with a backoff. There are no
//! epochs: a restored server is not noticed. Deletions are seen by a `deleted` field or a whole list.

mod api;
mod classify;
mod encode;
mod list;
mod pages;
mod pointer;
mod record;
mod refusal;
mod template;

pub use api::{Api, Endpoints};
pub use encode::{Encoded, RestOperation, Unsendable, encode};
pub use list::ListForm;
pub use record::RecordForm;
pub use refusal::ErrorForm;
pub use template::{Method, TemplateError, TemplateProblem};

use super::{
    Accepted, Capabilities, Fault, Outcome, PullPage, PullRequest, PushAnswer, PushBatch, PushItem, Remote,
    RemoteFuture, Token,
    http::{HttpOptions, HttpSetupError},
    transport::{Ask, Received, Transport},
};
use classify::{Page, Said};
use keepsync_wire::MEDIA_TYPE;
use pages::Round;
use reqwest::{
    Url,
    header::{HeaderName, HeaderValue},
};
use std::{
    fmt,
    sync::{Mutex, PoisonError},
};
use template::Values;

/// Why a REST remote cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestSetupError {
    /// The base address or its limits.
    #[error(transparent)]
    Http(#[from] HttpSetupError),
    /// A template.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Not a JSON pointer.
    #[error("{0:?} is not a JSON pointer; it is empty or starts with a slash")]
    Pointer(String),
    /// The form of errors is not JSON of one media type with its code in a place of its own.
    #[error("the form of errors needs a JSON media type without parameters, and a pointer to the code")]
    ErrorForm,
    /// The base cannot be sent.
    #[error("the base can only be sent as the version field of a body that is the record itself")]
    SendBase,
    /// The registration of a collection contradicts itself.
    #[error("collection {collection:?}: {problem}")]
    Collection {
        /// The collection.
        collection: String,
        /// What is wrong.
        problem: &'static str,
    },
}

/// A backend of plain REST endpoints. See the [module](self).
pub struct RestRemote {
    transport: Transport,
    api: Api,
    accept: HeaderValue,
    probe: Url,
    round: Mutex<Round>,
}

impl RestRemote {
    /// Checks the options and gets ready; sends nothing yet.
    ///
    /// # Errors
    /// [`RestSetupError::Http`]; and [`RestSetupError::ErrorForm`] for a media type that cannot stand
    /// in a header.
    pub fn new(options: HttpOptions, api: Api) -> Result<Self, RestSetupError> {
        let transport = Transport::new(options)?;
        let probe = match &api.probe {
            Some(template) => {
                let address = template.fill(&Values::default()).map_err(|_| HttpSetupError::Address)?;
                below(transport.base(), &address).ok_or(HttpSetupError::Address)?
            }
            None => transport.base().clone(),
        };
        let accept = if api.errors.media_type == MEDIA_TYPE {
            MEDIA_TYPE.to_owned()
        } else {
            format!("{MEDIA_TYPE}, {}", api.errors.media_type)
        };
        Ok(Self {
            accept: HeaderValue::from_str(&accept).map_err(|_| RestSetupError::ErrorForm)?,
            transport,
            api,
            probe,
            round: Mutex::default(),
        })
    }

    /// Reads what is at an address below the base.
    async fn get(&self, address: &str, token: Option<&Token>) -> Result<Received, Fault> {
        // That every address stays below the base has been seen to by its template.
        let url = below(self.transport.base(), address).ok_or(Fault::Unrecognised { status: 0 })?;
        let ask = self.ask(Method::Get, &url);
        self.transport.exchange(Ask { token, ..ask }).await
    }

    fn ask<'a>(&self, method: Method, url: &'a Url) -> Ask<'a> {
        Ask {
            method: match method {
                Method::Get => reqwest::Method::GET,
                Method::Post => reqwest::Method::POST,
                Method::Put => reqwest::Method::PUT,
                Method::Patch => reqwest::Method::PATCH,
                Method::Delete => reqwest::Method::DELETE,
            },
            url,
            token: None,
            accept: self.accept.clone(),
            header: None,
            body: None,
            head_is_enough: |_| false,
        }
    }

    async fn send(&self, token: Option<&Token>, item: &PushItem) -> Result<Outcome, Fault> {
        let refuse = |why: Unsendable| Outcome::Rejected {
            code: why.code().to_owned(),
            message: why.to_string(),
        };
        let (operation, kind) = match encode(&self.api, item) {
            Ok(Encoded::Send(operation, kind)) => (operation, kind),
            Ok(Encoded::Carried) => {
                return Ok(Outcome::Accepted(Accepted {
                    version: item.base_version.saturating_add(1),
                    ..Accepted::default()
                }));
            }
            Err(why) => return Ok(refuse(why)),
        };
        let (Some(endpoints), Some(url)) = (
            self.api.of(&item.collection),
            below(self.transport.base(), &operation.endpoint),
        ) else {
            return Ok(refuse(Unsendable::BadId("id")));
        };
        let received = self.write(token, &operation, &url).await?;
        let (head, body) = (received.head(), received.body.as_body());
        let declared = match classify::write(&self.api, endpoints, item, kind, &head, body)? {
            Said::Outcome(outcome) => return Ok(outcome),
            Said::Changed(declared) => declared,
        };
        let address = endpoints
            .read
            .as_ref()
            .and_then(|read| encode::address(read, item).ok());
        let Some(address) = address else {
            return Ok(Outcome::Rejected {
                code: declared.code,
                message: declared.message,
            });
        };
        let current = self.get(&address, token).await?;
        let (head, body) = (current.head(), current.body.as_body());
        classify::read(&self.api, endpoints, item, declared, &head, body)
    }

    async fn write(&self, token: Option<&Token>, operation: &RestOperation, url: &Url) -> Result<Received, Fault> {
        let key = HeaderValue::from_str(&operation.id.to_string());
        let body = operation.body.as_ref().map(|body| body.get().as_bytes().to_vec());
        let ask = Ask {
            token,
            header: key.ok().map(|key| (HeaderName::from_static("idempotency-key"), key)),
            body: body.map(|body| (HeaderValue::from_static(MEDIA_TYPE), body)),
            ..self.ask(operation.method, url)
        };
        self.transport.exchange(ask).await
    }

    async fn page(&self, token: Option<&Token>, request: &PullRequest) -> Result<PullPage, Fault> {
        let mut round = self.round().next(request);
        let lists = |name: &str| self.api.of(name).is_some_and(|it| it.list.is_some());
        let Some((collection, cursor)) = round.turn(request, lists) else {
            return Ok(PullPage::default());
        };
        let listed = self.list(token, &collection, cursor.as_deref(), request.limit).await;
        let page = match listed {
            Ok((listed, is_whole)) => Ok(round.page(request, &collection, listed, is_whole, lists)),
            Err(fault) => {
                round.failed(&collection);
                Err(fault)
            }
        };
        *self.round() = round;
        page
    }

    /// A page of one collection, and whether it starts over.
    async fn list(
        &self,
        token: Option<&Token>,
        collection: &str,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<(list::Listed, bool), Fault> {
        let (mut cursor, mut is_forgotten) = (cursor, false);
        loop {
            let endpoints = self.api.of(collection);
            let Some((endpoints, list)) = endpoints.and_then(|it| Some((it, it.list.as_ref()?))) else {
                return Err(Fault::Unrecognised { status: 0 });
            };
            let number = limit.to_string();
            let values = Values {
                collection: Some(collection),
                cursor,
                limit: Some(&number),
                ..Values::default()
            };
            let address = list.template.fill(&values);
            let address = address.map_err(|_| Fault::Unrecognised { status: 0 })?;
            let received = self.get(&address, token).await?;
            let (head, body) = (received.head(), received.body.as_body());
            match classify::list(&self.api, endpoints, limit, cursor, &head, body)? {
                Page::Listed(listed) => return Ok((listed, list.is_whole || is_forgotten)),
                // Without a cursor there is none to forget.
                Page::Forgotten => (cursor, is_forgotten) = (None, true),
            }
        }
    }

    fn round(&self) -> std::sync::MutexGuard<'_, Round> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address of `endpoint`, certainly below `base`: same origin, same path before it, and nothing of
/// it read as anything but what it says.
fn below(base: &Url, endpoint: &str) -> Option<Url> {
    let text = format!("{}{}", base.as_str(), endpoint.strip_prefix('/')?);
    let url = Url::parse(&text).ok()?;
    let (path, query) = match endpoint.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (endpoint, None),
    };
    let expected = format!("{}{path}", base.path().strip_suffix('/')?);
    let is_there = url.origin() == base.origin()
        && url.path() == expected
        && url.query() == query
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    is_there.then_some(url)
}

impl fmt::Debug for RestRemote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestRemote")
            .field("origin", &self.transport.base().origin().ascii_serialization())
            .field("options", self.transport.options())
            .finish_non_exhaustive()
    }
}

impl Remote for RestRemote {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            batches: false,
            after: false,
            pull: self.api.pulls(),
        }
    }

    fn push<'a>(&'a self, token: Option<&'a Token>, batch: PushBatch) -> RemoteFuture<'a, Result<PushAnswer, Fault>> {
        Box::pin(async move {
            let mut results = Vec::with_capacity(batch.items.len());
            for item in &batch.items {
                match self.send(token, item).await {
                    Ok(outcome) => results.push((item.op, outcome)),
                    // What was answered is answered; the rest goes again under the same ids.
                    Err(_) if !results.is_empty() => break,
                    Err(fault) => return Err(fault),
                }
            }
            Ok(PushAnswer {
                results,
                ..PushAnswer::default()
            })
        })
    }

    fn pull<'a>(&'a self, token: Option<&'a Token>, request: PullRequest) -> RemoteFuture<'a, Result<PullPage, Fault>> {
        Box::pin(async move { self.page(token, &request).await })
    }

    fn probe<'a>(&'a self) -> RemoteFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let ask = Ask {
                head_is_enough: classify::probe_needs_no_body,
                ..self.ask(Method::Get, &self.probe)
            };
            let received = self.transport.exchange(ask).await?;
            classify::probe(&self.api, &received.head(), received.body.as_body())
        })
    }

    fn network_changed(&self) {
        self.transport.network_changed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_below_the_base_or_not_used() {
        for base in ["https://api.example.com/", "https://api.example.com/v2/"] {
            let base = Url::parse(base).unwrap();
            for fine in ["/", "/v1/a%2Fb?x=%26", "/v1/..."] {
                assert!(below(&base, fine).is_some(), "{base} {fine}");
            }
            for bad in [
                "/../x",
                "/a/%2E%2e/x",
                "/a/./x",
                "/a\\x",
                "/a#b",
                "@evil.example/",
                ".evil.example/",
                ":80/",
                "/a b",
                "/a\tb",
                "/\u{e9}",
            ] {
                assert_eq!(below(&base, bad), None, "{base} {bad}");
            }
        }
    }
}
