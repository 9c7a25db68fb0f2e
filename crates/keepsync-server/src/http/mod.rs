//! The wire over HTTP.
//!
//! Every answer, refusals of unknown paths included, carries the protocol header and JSON: without them
//! a device takes it for a captive portal's. The order of the checks: the token, the rate, time and size of
//! the request, its shape, the user it names; then the storage is asked.
//!
//! A body that arrives too slowly is a 408, an answer that takes too long a 503: told to come later, a
//! device on a slow uplink would send the same batch for ever; after a timeout it sends less at once.

mod answer;
mod body;
mod frame;
mod routes;
mod throttle;
mod who;

use crate::{Config, check::Checks, config::Limits, schema::Schemas, storage::Storage, token::Keys};
use axum::{
    Router,
    http::{HeaderName, HeaderValue, Method, header},
    middleware,
    routing::{get, post},
};
use keepsync_wire::{HEALTH_PATH, PROTOCOL_HEADER, PULL_PATH, SYNC_PATH, TOKEN_PATH};
use std::{net::IpAddr, sync::Arc, time::Duration};
use throttle::Throttle;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// Path of the question whether the file can be written, below the base address.
const READY_PATH: &str = "v1/ready";
/// How long a browser may remember what it may send.
const PREFLIGHT: Duration = Duration::from_secs(60 * 60);

/// Who is at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// What every request needs.
pub(crate) struct App {
    pub(crate) storage: Arc<dyn Storage>,
    keys: Keys,
    checks: Checks,
    access_token_s: u64,
    users: Throttle<String>,
    addresses: Throttle<IpAddr>,
}

impl App {
    pub(crate) fn new(config: &Config, storage: Arc<dyn Storage>, keys: Keys, schemas: Schemas) -> Self {
        Self {
            storage,
            keys,
            access_token_s: config.access_token_s,
            users: Throttle::new(config.limits.per_user),
            addresses: Throttle::new(config.limits.per_address),
            checks: Checks::with(config.limits.clone(), schemas),
        }
    }

    fn limits(&self) -> &Limits {
        &self.checks.limits
    }
}

/// The paths of the wire.
pub(crate) fn router(app: Arc<App>, origins: &[String]) -> Router {
    let path = |path: &str| format!("/{path}");
    let router = Router::new()
        .route(&path(SYNC_PATH), post(routes::sync))
        .route(&path(PULL_PATH), post(routes::pull))
        .route(&path(TOKEN_PATH), post(routes::token))
        .route(&path(HEALTH_PATH), get(routes::health))
        .route(&path(READY_PATH), get(routes::ready))
        .method_not_allowed_fallback(answer::wrong_method)
        .fallback(answer::unknown_path)
        .with_state(app);
    let router = if origins.is_empty() {
        router
    } else {
        router.layer(cors(origins))
    };
    router.layer(middleware::from_fn(frame::frame))
}

/// Lets the pages of these origins call, and see the headers devices look at. No cookies are involved.
fn cors(origins: &[String]) -> CorsLayer {
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    let protocol = HeaderName::from_static(PROTOCOL_HEADER);
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::ACCEPT,
            protocol.clone(),
        ])
        .expose_headers([protocol, header::RETRY_AFTER, header::DATE])
        .max_age(PREFLIGHT)
}
