//! The roads to a backend over HTTP, the same for every adapter.
//!
//! 1. **Where to.** `https` only, except to this very machine; the address carries no credentials.
//!    Redirects are never followed, so a token goes to the address the app was built with or
//!    nowhere. (A browser follows them by itself and drops the token on the way to another origin;
//!    an answer from there is not used.)
//! 2. **How long.** Connecting has a deadline, every wait for the next bytes has one, the whole
//!    request has one. The wait for the first bytes of an answer is longer for a larger request,
//!    because on a slow uplink the request is still on its way. A browser has no timers of the
//!    first two kinds; there the whole request's deadline stands for all.
//! 3. **How much.** An answer is read piece by piece, and dropped as soon as it announces or
//!    exceeds the cap.
//! 4. **Over what.** After [`Remote::network_changed`] a new client is made: the sockets of the old
//!    one belong to a network that is gone, and would hang until a deadline.
//! 5. **With whom.** TLS by rustls with ring, against the platform's own trust; on Android `roots`
//!    reads it. A certificate that is not trusted is [`Fault::Untrusted`], told by the type of the
//!    error. Nothing is installed process-wide: another user of rustls in the same app keeps its own
//!    choice.

use super::{
    Fault, Token,
    answer::{self, Body, Head},
};
use keepsync_wire::PROTOCOL_HEADER;
use reqwest::{
    Client, Method, RequestBuilder, Response, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
};
use std::{
    fmt,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Slower than this an uplink does not count as working; it bounds how much longer a large request
/// may wait for its answer. Bytes per millisecond.
#[cfg(not(target_arch = "wasm32"))]
const SLOWEST_UPLINK: u64 = 8;

/// Where the backend is, and how long and how much to wait for.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpOptions {
    /// Address below which the paths of the wire lie, such as `https://sync.example.com/api`. A host with letters
    /// beyond ASCII may have to be in its ASCII form (`xn--…`): the library for phones has no tables of Unicode.
    pub base_url: String,
    /// Milliseconds to connect in, TLS included.
    pub connect_ms: u64,
    /// Milliseconds to wait for the next bytes of an answer. Before the first of them, the time to
    /// connect in and a millisecond for every 8 bytes of the request come on top.
    pub read_ms: u64,
    /// Milliseconds for a request from its start to the last byte of its answer.
    pub total_ms: u64,
    /// Bytes an answer may have.
    pub answer_bytes: usize,
}

impl HttpOptions {
    /// The defaults: 10 s to connect, 20 s between bytes, 60 s in all, answers of up to 8 MiB.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            connect_ms: 10_000,
            read_ms: 20_000,
            total_ms: 60_000,
            answer_bytes: 8 * 1024 * 1024,
        }
    }
}

/// Without the address: until it has been checked it may hold credentials.
impl fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpOptions")
            .field("connect_ms", &self.connect_ms)
            .field("read_ms", &self.read_ms)
            .field("total_ms", &self.total_ms)
            .field("answer_bytes", &self.answer_bytes)
            .finish_non_exhaustive()
    }
}

/// Why a remote over HTTP cannot be set up. None of them shows the address, which may hold credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HttpSetupError {
    /// Not an absolute `http` or `https` address.
    #[error("the address is not an http or https address")]
    Address,
    /// `http` to another machine.
    #[error("the address is not https, and not of this machine")]
    Insecure,
    /// A user name or password in the address.
    #[error("the address holds credentials")]
    Credentials,
    /// A query or fragment in the address, to which no path can be added.
    #[error("the address has a query or a fragment")]
    QueryOrFragment,
    /// A deadline or the cap is zero; nothing could ever succeed.
    #[error("a deadline or the answer cap is zero")]
    ZeroLimit,
    /// TLS could not be set up, for example because the machine has no trusted certificates.
    #[error("TLS could not be set up")]
    Tls,
}

/// The way to one backend.
pub(super) struct Transport {
    options: HttpOptions,
    base: Url,
    #[cfg(not(target_arch = "wasm32"))]
    tls: rustls::ClientConfig,
    /// `None` after the network changed, until the next request.
    client: Mutex<Option<Client>>,
}

/// One request.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) url: &'a Url,
    pub(super) token: Option<&'a Token>,
    /// Media types an answer may have.
    pub(super) accept: HeaderValue,
    /// A header of its own.
    pub(super) header: Option<(HeaderName, HeaderValue)>,
    /// Media type and bytes.
    pub(super) body: Option<(HeaderValue, Vec<u8>)>,
    /// Whether the head of an answer says all there is to know; its body is then not read.
    pub(super) head_is_enough: fn(&Head<'_>) -> bool,
}

impl Transport {
    /// Checks the options and gets ready; sends nothing yet.
    pub(super) fn new(options: HttpOptions) -> Result<Self, HttpSetupError> {
        let base = check(&options)?;
        let transport = Self {
            #[cfg(not(target_arch = "wasm32"))]
            tls: tls(base.scheme() == "https").map_err(|_| HttpSetupError::Tls)?,
            client: Mutex::new(None),
            base,
            options,
        };
        transport.client().map_err(|_| HttpSetupError::Tls)?;
        Ok(transport)
    }

    /// As on a phone that trusts `roots`.
    #[cfg(test)]
    pub(super) fn trusting(options: HttpOptions, roots: rustls::RootCertStore) -> Result<Self, HttpSetupError> {
        let tls = trusting(roots).map_err(|_| HttpSetupError::Tls)?;
        let client = Mutex::new(None);
        Ok(Self {
            tls,
            client,
            ..Self::new(options)?
        })
    }

    /// The address below which everything lies; its path ends with a slash.
    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    pub(super) fn options(&self) -> &HttpOptions {
        &self.options
    }

    /// The device moved to another network.
    pub(super) fn network_changed(&self) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The client of the network the device is in now.
    fn client(&self) -> Result<Client, reqwest::Error> {
        let mut slot = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*slot {
            return Ok(client.clone());
        }
        let client = self.build_client()?;
        *slot = Some(client.clone());
        Ok(client)
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn build_client(&self) -> Result<Client, reqwest::Error> {
        let encrypted = self.base.scheme() == "https";
        let builder = Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .https_only(encrypted)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(Duration::from_millis(self.options.connect_ms))
            .pool_max_idle_per_host(2)
            .user_agent(concat!("keepsync/", env!("CARGO_PKG_VERSION")));
        // Only this machine is asked without encryption, and no proxy stands before it.
        if encrypted {
            builder.build()
        } else {
            builder.no_proxy().build()
        }
    }

    #[cfg(target_arch = "wasm32")]
    fn build_client(&self) -> Result<Client, reqwest::Error> {
        Client::builder().build()
    }

    /// Sends one request and receives its answer, all within the deadlines and the cap.
    pub(super) async fn exchange(&self, ask: Ask<'_>) -> Result<Received, Fault> {
        // That the client cannot be built has been ruled out by `new`.
        let client = self.client().map_err(|_| Fault::Offline)?;
        let size = ask.body.as_ref().map_or(0, |(_, bytes)| bytes.len());
        let mut request = client
            .request(ask.method, ask.url.clone())
            .header(ACCEPT, ask.accept)
            .timeout(Duration::from_millis(self.options.total_ms));
        if let Some((media_type, bytes)) = ask.body {
            request = request.header(CONTENT_TYPE, media_type).body(bytes);
        }
        if let Some((name, value)) = ask.header {
            request = request.header(name, value);
        }
        if let Some(token) = ask.token {
            request = request.header(AUTHORIZATION, bearer(token)?);
        }
        let response = self.send(request, size).await?;
        let mut received = Received {
            status: response.status().as_u16(),
            elsewhere: elsewhere(ask.url, &response),
            headers: response.headers().clone(),
            body: Arrived::Whole(Vec::new()),
        };
        if !(ask.head_is_enough)(&received.head()) {
            received.body = self.read(response).await;
        }
        Ok(received)
    }

    /// Up to the head of the answer.
    #[cfg(not(target_arch = "wasm32"))]
    async fn send(&self, request: RequestBuilder, size: usize) -> Result<Response, Fault> {
        let upload_ms = u64::try_from(size).unwrap_or(u64::MAX) / SLOWEST_UPLINK;
        // Connecting has a deadline of its own, and is not to eat up this one.
        let wait_ms = self
            .options
            .connect_ms
            .saturating_add(self.options.read_ms)
            .saturating_add(upload_ms);
        match tokio::time::timeout(Duration::from_millis(wait_ms), request.send()).await {
            Ok(answer) => answer.map_err(|error| transport(&error)),
            Err(_) => Err(Fault::Timeout),
        }
    }

    /// Up to the head of the answer.
    #[cfg(target_arch = "wasm32")]
    async fn send(&self, request: RequestBuilder, _size: usize) -> Result<Response, Fault> {
        let request = request.fetch_credentials_omit().fetch_cache_no_store();
        request.send().await.map_err(|error| transport(&error))
    }

    /// The body of an answer.
    async fn read(&self, response: Response) -> Arrived {
        let cap = self.options.answer_bytes;
        let announced = response.content_length();
        if announced.is_some_and(|length| usize::try_from(length).map_or(true, |it| it > cap)) {
            return Arrived::TooLarge;
        }
        let mut pieces = Pieces::new(response, self.options.read_ms);
        let mut body = Vec::new();
        loop {
            match pieces.next().await {
                Ok(Some(piece)) if piece.as_ref().len() > cap - body.len() => {
                    return Arrived::TooLarge;
                }
                Ok(Some(piece)) => body.extend_from_slice(piece.as_ref()),
                Ok(None) => return Arrived::Whole(body),
                Err(Broken) => return Arrived::Broken,
            }
        }
    }
}

/// An answer, before anybody asks what it means.
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

/// The body of an answer in the pieces it comes in.
#[cfg(not(target_arch = "wasm32"))]
struct Pieces {
    response: Response,
    wait: Duration,
}

/// The connection ended, or a deadline passed, in the middle of a body.
struct Broken;

#[cfg(not(target_arch = "wasm32"))]
impl Pieces {
    fn new(response: Response, read_ms: u64) -> Self {
        Self {
            response,
            wait: Duration::from_millis(read_ms),
        }
    }

    async fn next(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, Broken> {
        match tokio::time::timeout(self.wait, self.response.chunk()).await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(_)) | Err(_) => Err(Broken),
        }
    }
}

/// The body of an answer in the pieces it comes in.
#[cfg(target_arch = "wasm32")]
struct Pieces<S> {
    stream: std::pin::Pin<Box<S>>,
}

#[cfg(target_arch = "wasm32")]
impl Pieces<()> {
    #[allow(clippy::new_ret_no_self, reason = "the type of reqwest's stream has no name")]
    fn new(
        response: Response,
        _read_ms: u64,
    ) -> Pieces<impl futures_core::Stream<Item = reqwest::Result<impl AsRef<[u8]>>>> {
        Pieces {
            stream: Box::pin(response.bytes_stream()),
        }
    }
}

#[cfg(target_arch = "wasm32")]
impl<T: AsRef<[u8]>, S: futures_core::Stream<Item = reqwest::Result<T>>> Pieces<S> {
    async fn next(&mut self) -> Result<Option<T>, Broken> {
        std::future::poll_fn(|context| self.stream.as_mut().poll_next(context))
            .await
            .transpose()
            .map_err(|_| Broken)
    }
}

/// The base address, ready to have paths added.
fn check(options: &HttpOptions) -> Result<Url, HttpSetupError> {
    let mut base = Url::parse(&options.base_url).map_err(|_| HttpSetupError::Address)?;
    let host = base.host_str().ok_or(HttpSetupError::Address)?;
    match base.scheme() {
        "https" => {}
        "http" if is_this_machine(host) => {}
        "http" => return Err(HttpSetupError::Insecure),
        _ => return Err(HttpSetupError::Address),
    }
    if !base.username().is_empty() || base.password().is_some() {
        return Err(HttpSetupError::Credentials);
    }
    if base.query().is_some() || base.fragment().is_some() {
        return Err(HttpSetupError::QueryOrFragment);
    }
    if options.connect_ms == 0 || options.read_ms == 0 || options.total_ms == 0 || options.answer_bytes == 0 {
        return Err(HttpSetupError::ZeroLimit);
    }
    // Without the slash the last segment would be replaced instead of added to.
    if !base.path().ends_with('/') {
        let path = format!("{}/", base.path());
        base.set_path(&path);
    }
    Ok(base)
}

/// `host` as [`Url`] writes it: lower case, addresses in their usual form, IPv6 in brackets.
fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
}

/// Trusts what the platform trusts; nobody, where there is no encryption to set up.
#[cfg(not(target_arch = "wasm32"))]
fn tls(encrypted: bool) -> Result<rustls::ClientConfig, rustls::Error> {
    if encrypted {
        trusting_the_platform()
    } else {
        // Loading the system's certificates takes time and fails where there are none.
        trusting(rustls::RootCertStore::empty())
    }
}

#[cfg(not(any(target_arch = "wasm32", target_os = "android")))]
fn trusting_the_platform() -> Result<rustls::ClientConfig, rustls::Error> {
    use rustls_platform_verifier::BuilderVerifierExt as _;

    Ok(builder()?.with_platform_verifier()?.with_no_client_auth())
}

#[cfg(target_os = "android")]
fn trusting_the_platform() -> Result<rustls::ClientConfig, rustls::Error> {
    use super::roots::{Folders, roots};

    trusting(roots(&Folders::of_this_device()))
}

#[cfg(not(target_arch = "wasm32"))]
fn trusting(roots: rustls::RootCertStore) -> Result<rustls::ClientConfig, rustls::Error> {
    Ok(builder()?.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(not(target_arch = "wasm32"))]
fn builder() -> Result<rustls::ConfigBuilder<rustls::ClientConfig, rustls::WantsVerifier>, rustls::Error> {
    let provider = rustls::crypto::CryptoProvider {
        key_provider: &NoKeys,
        ..rustls::crypto::ring::default_provider()
    };
    rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(provider)).with_safe_default_protocol_versions()
}

/// We sign nothing: the code that could would be 40 KiB of every app.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug)]
struct NoKeys;

#[cfg(not(target_arch = "wasm32"))]
impl rustls::crypto::KeyProvider for NoKeys {
    fn load_private_key(
        &self,
        _: rustls::pki_types::PrivateKeyDer<'static>,
    ) -> Result<std::sync::Arc<dyn rustls::sign::SigningKey>, rustls::Error> {
        Err(rustls::Error::General("no certificates of our own".to_owned()))
    }
}

/// The `Authorization` header, marked so that nothing below logs it. A token that cannot stand in
/// a header is none.
fn bearer(token: &Token) -> Result<HeaderValue, Fault> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.secret())).map_err(|_| Fault::SignIn)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether the answer came from another origin, or sends us there.
fn elsewhere(asked: &Url, response: &Response) -> bool {
    let location = response.headers().get(reqwest::header::LOCATION);
    response.url().origin() != asked.origin()
        || location.is_some_and(|it| {
            it.to_str()
                .map_or(true, |location| answer::leads_elsewhere(asked, location))
        })
}

/// What it means that no answer came.
#[cfg(not(target_arch = "wasm32"))]
fn transport(error: &reqwest::Error) -> Fault {
    if is_untrusted(error) {
        Fault::Untrusted
    } else if error.is_connect() {
        // Refused, no way there, or not made in time: nothing has left, so nothing of it was tried.
        Fault::Offline
    } else {
        // No answer in time, or the connection broke: the backend may have it.
        Fault::Timeout
    }
}

/// What it means that no answer came. A browser does not say why: a probe has to tell.
#[cfg(target_arch = "wasm32")]
fn transport(_: &reqwest::Error) -> Fault {
    Fault::Timeout
}

/// Whether the chain of errors holds one about the server's certificate.
#[cfg(not(target_arch = "wasm32"))]
fn is_untrusted(error: &(dyn std::error::Error + 'static)) -> bool {
    use rustls::Error::{InvalidCertRevocationList, InvalidCertificate, NoCertificatesPresented, UnsupportedNameType};

    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return matches!(
                tls,
                InvalidCertificate(_) | InvalidCertRevocationList(_) | NoCertificatesPresented | UnsupportedNameType
            );
        }
        // The source of an i/o error is its cause's source; the cause itself is passed over.
        let inside = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match inside {
            Some(cause) => Some(cause),
            None => error.source(),
        };
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(base_url: &str) -> Option<HttpSetupError> {
        Transport::new(HttpOptions::new(base_url)).err()
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for fine in [
            "https://sync.example.com",
            "http://localhost:8080",
            "http://LOCALHOST",
            "http://127.0.0.1/api",
            "http://127.9.9.9",
            "http://[::1]:9",
        ] {
            assert_eq!(refused(fine), None, "{fine}");
        }
        for insecure in [
            "http://sync.example.com",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://10.0.2.2",
            "http://[::2]",
            "http://0.0.0.0",
        ] {
            assert_eq!(refused(insecure), Some(HttpSetupError::Insecure), "{insecure}");
        }
        for other in [
            "",
            "sync.example.com",
            "/v1",
            "ftp://localhost",
            "file:///etc",
            "https://",
        ] {
            assert_eq!(refused(other), Some(HttpSetupError::Address), "{other}");
        }
    }

    #[test]
    fn the_address_carries_nothing_but_an_address() {
        for with in ["https://user@example.com", "https://user:secret@example.com"] {
            assert_eq!(refused(with), Some(HttpSetupError::Credentials), "{with}");
            assert!(!format!("{:?}", HttpOptions::new(with)).contains("secret"));
        }
        for with in ["https://example.com?key=1", "https://example.com/#a"] {
            assert_eq!(refused(with), Some(HttpSetupError::QueryOrFragment), "{with}");
        }
        let zero = HttpOptions {
            read_ms: 0,
            ..HttpOptions::new("https://example.com")
        };
        assert_eq!(Transport::new(zero).err(), Some(HttpSetupError::ZeroLimit));
    }
}
