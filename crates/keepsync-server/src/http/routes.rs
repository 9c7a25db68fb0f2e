//! The requests of the wire.

use super::{App, Peer, answer, body, frame::Told, who};
use crate::{
    check::Unfit,
    clock,
    storage::{StorageFuture, Trade},
    token,
};
use axum::{
    extract::{Extension, Request, State},
    http::StatusCode,
    response::Response,
};
use keepsync_wire::{PullRequest, SyncRequest, SyncResponse, SyncStatus, TokenRequest, TokenResponse, code};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// Bytes of a request to trade a token, at most: whoever asks is not known yet.
const TRADE_BYTES: usize = 16 * 1024;

type Answer = Result<Response, Box<Response>>;

pub(super) async fn sync(state: State<Arc<App>>, peer: Extension<Peer>, request: Request) -> Response {
    push(&state.0, peer.0, request).await.unwrap_or_else(|refusal| *refusal)
}

pub(super) async fn pull(state: State<Arc<App>>, peer: Extension<Peer>, request: Request) -> Response {
    page(&state.0, peer.0, request).await.unwrap_or_else(|refusal| *refusal)
}

pub(super) async fn token(state: State<Arc<App>>, peer: Extension<Peer>, request: Request) -> Response {
    trade(&state.0, peer.0, request)
        .await
        .unwrap_or_else(|refusal| *refusal)
}

pub(super) async fn health(State(app): State<Arc<App>>, Extension(peer): Extension<Peer>) -> Response {
    match who::address(&app, peer) {
        Ok(()) => up(),
        Err(refusal) => *refusal,
    }
}

pub(super) async fn ready(State(app): State<Arc<App>>, Extension(peer): Extension<Peer>) -> Response {
    if let Err(refusal) = who::address(&app, peer) {
        return *refusal;
    }
    match within_time(&app, app.storage.ready(clock::now_ms())).await {
        Ok(()) => up(),
        // Whatever kept it from writing: requests should go elsewhere.
        Err(refusal) if refusal.status() == StatusCode::SERVICE_UNAVAILABLE => *refusal,
        Err(_) => answer::not_now(),
    }
}

fn up() -> Response {
    #[derive(Serialize)]
    struct Up {
        server_time: i64,
    }
    answer::json(
        StatusCode::OK,
        &Up {
            server_time: clock::now_ms(),
        },
    )
}

async fn push(app: &App, peer: Peer, request: Request) -> Answer {
    let (user, request): (_, SyncRequest) = open(app, peer, request).await?;
    let push = app.checks.push(&user, request).map_err(unfit)?;
    let answer = within_time(app, app.storage.push(&user, push, clock::now_ms())).await?;
    let mut response = answer::json(push_status(&answer), &answer);
    let count = |status| answer.results.iter().filter(|result| result.status == status).count();
    response.extensions_mut().insert(Told {
        user: app.keys.alias(&user),
        items: answer.results.len(),
        accepted: count(SyncStatus::Success),
        conflicts: count(SyncStatus::Conflict),
        refused: count(SyncStatus::Error),
    });
    Ok(response)
}

/// 422 where every item was refused by its shape or its schema.
fn push_status(answer: &SyncResponse) -> StatusCode {
    let invalid = |result: &keepsync_wire::SyncResult| result.code.as_deref() == Some(code::VALIDATION);
    if !answer.results.is_empty() && answer.results.iter().all(invalid) {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    }
}

async fn page(app: &App, peer: Peer, request: Request) -> Answer {
    let (user, request): (_, PullRequest) = open(app, peer, request).await?;
    let pull = app.checks.pull(&user, request).map_err(unfit)?;
    let page = within_time(app, app.storage.pull(&user, pull, clock::now_ms())).await?;
    let mut response = answer::json(StatusCode::OK, &page);
    response.extensions_mut().insert(Told {
        user: app.keys.alias(&user),
        items: page.changes.len(),
        ..Told::default()
    });
    Ok(response)
}

async fn trade(app: &App, peer: Peer, request: Request) -> Answer {
    who::address(app, peer)?;
    let request: TokenRequest = body::read(request.into_body(), TRADE_BYTES, app.limits().request_time).await?;
    let internal = |_| {
        let text = "the server failed";
        Box::new(answer::refuse(StatusCode::INTERNAL_SERVER_ERROR, code::INTERNAL, text))
    };
    let now_ms = clock::now_ms();
    let (next, next_hash) = token::fresh().map_err(internal)?;
    let hash = token::hash(&request.refresh_token);
    let traded = within_time(app, app.storage.trade(hash, next_hash, now_ms)).await?;
    let user = match traded {
        Trade::Traded { user } => user,
        Trade::Refused => return Err(Box::new(answer::no_token())),
        Trade::Reused { user } => {
            tracing::warn!(
                user = app.keys.alias(&user),
                "a spent refresh token came again; its family is revoked"
            );
            return Err(Box::new(answer::no_token()));
        }
    };
    let access_token = app.keys.sign(&user, app.access_token_s, now_ms).map_err(internal)?;
    let told = Told {
        user: app.keys.alias(&user),
        ..Told::default()
    };
    let tokens = TokenResponse {
        access_token,
        refresh_token: next,
        expires_in: app.access_token_s,
        user_id: user,
    };
    let mut response = answer::json(StatusCode::OK, &tokens);
    response.extensions_mut().insert(told);
    Ok(response)
}

/// Who asks, and what for. A request that is refused for its token or its rate is read to its end all
/// the same, see [`body`].
async fn open<T: DeserializeOwned>(app: &App, peer: Peer, request: Request) -> Result<(String, T), Box<Response>> {
    let (most, time) = (app.limits().request_bytes, app.limits().request_time);
    match who::user(app, request.headers(), peer) {
        Ok(user) => Ok((user, body::read(request.into_body(), most, time).await?)),
        Err(refusal) => {
            body::discard(request.into_body(), most, time).await;
            Err(refusal)
        }
    }
}

fn unfit(why: Unfit) -> Box<Response> {
    match why {
        Unfit::OtherUser => {
            let text = "user_id is not the token's";
            Box::new(answer::refuse(StatusCode::FORBIDDEN, code::FORBIDDEN, text))
        }
        Unfit::Device => {
            let text = "device_id must be 1 to 256 bytes without control characters";
            Box::new(answer::refuse(StatusCode::BAD_REQUEST, code::VALIDATION, text))
        }
        Unfit::TooMany(what) => answer::too_large(what),
    }
}

/// What the storage answers, if it does so in time. What it was asked to write it may write later; the
/// device sends it again under the same id.
async fn within_time<T>(app: &App, asked: StorageFuture<'_, T>) -> Result<T, Box<Response>> {
    match tokio::time::timeout(app.limits().request_time, asked).await {
        Ok(answer) => answer.map_err(|error| Box::new(answer::storage_failed(&error))),
        Err(_) => Err(Box::new(answer::not_now())),
    }
}
