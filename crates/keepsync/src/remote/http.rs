//! Keepsync's wire in JSON over HTTP.
//!
//! [`HttpRemote`] sends the requests of [`keepsync_wire`] over the roads of `transport`, and
//! hands what comes back to `classify`, which alone decides what an answer means.

pub use super::transport::{HttpOptions, HttpSetupError};

use super::{
    Capabilities, Fault, PullPage, PullRequest, PushAnswer, PushBatch, Remote, RemoteFuture, Token, classify,
    transport::{Ask, Received, Transport},
    wire,
};
use keepsync_wire::{
    HEALTH_PATH, MEDIA_TYPE, PROTOCOL_HEADER, PROTOCOL_VERSION, PULL_PATH, SYNC_PATH, TOKEN_PATH, TokenRequest,
    TokenResponse,
};
use reqwest::{
    Method, Url,
    header::{HeaderName, HeaderValue},
};
use serde::Serialize;
use std::fmt;

/// Keepsync's backend over HTTP. See the [module](self).
pub struct HttpRemote {
    transport: Transport,
    sync: Url,
    pull: Url,
    health: Url,
    trade: Url,
}

impl HttpRemote {
    /// Checks the options and gets ready; sends nothing yet.
    ///
    /// # Errors
    ///
    /// [`HttpSetupError`] says which rule the options break, or that TLS cannot be set up.
    pub fn new(options: HttpOptions) -> Result<Self, HttpSetupError> {
        let transport = Transport::new(options)?;
        let below = |path: &str| transport.base().join(path).map_err(|_| HttpSetupError::Address);
        Ok(Self {
            sync: below(SYNC_PATH)?,
            pull: below(PULL_PATH)?,
            health: below(HEALTH_PATH)?,
            trade: below(TOKEN_PATH)?,
            transport,
        })
    }

    /// Trades a refresh token at the backend, which issues its own: under the same address and the same
    /// rules of the road as everything else. The new refresh token must be stored before the new access
    /// token is used; until then the old one may be traded again.
    ///
    /// # Errors
    /// [`Fault::SignIn`] where the backend does not take the refresh token; any other fault says that
    /// there was no usable answer, and the token is as good as before.
    pub async fn trade(&self, refresh_token: &str) -> Result<TokenResponse, Fault> {
        let request = TokenRequest {
            refresh_token: refresh_token.to_owned(),
        };
        let received = self.post(&self.trade, None, json(&request)?).await?;
        classify::trade(&received.head(), received.body.as_body())
    }

    async fn post(&self, url: &Url, token: Option<&Token>, body: Vec<u8>) -> Result<Received, Fault> {
        let body = Some((HeaderValue::from_static(MEDIA_TYPE), body));
        let ask = ask(Method::POST, url);
        self.transport.exchange(Ask { token, body, ..ask }).await
    }
}

fn ask(method: Method, url: &Url) -> Ask<'_> {
    Ask {
        method,
        url,
        token: None,
        accept: HeaderValue::from_static(MEDIA_TYPE),
        header: Some((
            HeaderName::from_static(PROTOCOL_HEADER),
            HeaderValue::from_static(PROTOCOL_VERSION),
        )),
        body: None,
        head_is_enough: |_| false,
    }
}

impl fmt::Debug for HttpRemote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRemote")
            .field("origin", &self.sync.origin().ascii_serialization())
            .field("options", self.transport.options())
            .finish_non_exhaustive()
    }
}

impl Remote for HttpRemote {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            batches: true,
            after: true,
            pull: true,
        }
    }

    fn push<'a>(&'a self, token: Option<&'a Token>, batch: PushBatch) -> RemoteFuture<'a, Result<PushAnswer, Fault>> {
        Box::pin(async move {
            let request = wire::sync_request(batch);
            let asked: Vec<_> = request
                .items
                .iter()
                .map(|item| (item.op_id, item.entity_id.clone()))
                .collect();
            if asked.is_empty() {
                return Ok(PushAnswer::default());
            }
            let received = self.post(&self.sync, token, json(&request)?).await?;
            classify::push(&received.head(), received.body.as_body(), &asked)
        })
    }

    fn pull<'a>(&'a self, token: Option<&'a Token>, request: PullRequest) -> RemoteFuture<'a, Result<PullPage, Fault>> {
        Box::pin(async move {
            let body = json(&wire::pull_request(&request))?;
            let received = self.post(&self.pull, token, body).await?;
            classify::pull(&received.head(), received.body.as_body(), &request)
        })
    }

    fn probe<'a>(&'a self) -> RemoteFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let ask = Ask {
                head_is_enough: classify::probe_needs_no_body,
                ..ask(Method::GET, &self.health)
            };
            let received = self.transport.exchange(ask).await?;
            classify::probe(&received.head(), received.body.as_body())
        })
    }

    fn network_changed(&self) {
        self.transport.network_changed();
    }
}

/// Writing our own types as JSON does not fail; if it did, nothing was sent and nothing is settled.
fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(value).map_err(|_| Fault::Unrecognised { status: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_added_to_the_address_with_or_without_a_slash() {
        for base in ["https://example.com/api", "https://example.com/api/"] {
            let remote = HttpRemote::new(HttpOptions::new(base)).unwrap();
            assert_eq!(remote.sync.as_str(), "https://example.com/api/v1/sync");
            assert_eq!(remote.pull.as_str(), "https://example.com/api/v1/pull");
            assert_eq!(remote.health.as_str(), "https://example.com/api/v1/health");
        }
    }
}
