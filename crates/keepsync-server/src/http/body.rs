//! The body of a request.
//!
//! Who answers before a request has come to its end, and closes, can destroy the answer on its way: the
//! sender's system reports a broken connection instead. So a body is read to its end, within bounds, also
//! where the answer is certain before.

use super::answer;
use axum::{
    body::{Body, HttpBody as _},
    http::StatusCode,
    response::Response,
};
use keepsync_wire::code;
use serde::de::DeserializeOwned;
use std::{future::poll_fn, pin::Pin, time::Duration};

/// Of a body that is too large, this many times the bound is read before the answer.
const DRAINED: usize = 16;

/// The body, as what was expected, of at most so many bytes that arrive within `time`.
pub(super) async fn read<T: DeserializeOwned>(body: Body, most: usize, time: Duration) -> Result<T, Box<Response>> {
    let bytes = tokio::time::timeout(time, bytes(body, most))
        .await
        .map_err(|_| Box::new(answer::too_slow()))??;
    serde_json::from_slice(&bytes).map_err(|error| {
        // The error's own text may quote the body.
        let (line, column) = (error.line(), error.column());
        let text = format!("the body is not the expected JSON, line {line} column {column}");
        Box::new(answer::refuse(StatusCode::BAD_REQUEST, code::VALIDATION, &text))
    })
}

/// Reads a body that nobody needs, up to `most` bytes and for as long as `time`.
pub(super) async fn discard(mut body: Body, most: usize, time: Duration) {
    let reading = async {
        let mut size = 0_usize;
        while let Some(Ok(piece)) = next(&mut body).await {
            size = size.saturating_add(piece.len());
            if size > most {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(time, reading).await;
}

async fn bytes(mut body: Body, most: usize) -> Result<Vec<u8>, Box<Response>> {
    let mut bytes = Vec::new();
    let mut size = 0_usize;
    while let Some(piece) = next(&mut body).await {
        let Ok(piece) = piece else {
            let text = "the body broke off";
            return Err(Box::new(answer::refuse(
                StatusCode::BAD_REQUEST,
                code::VALIDATION,
                text,
            )));
        };
        size = size.saturating_add(piece.len());
        if size > most.saturating_mul(DRAINED) {
            break;
        }
        if size <= most {
            bytes.extend_from_slice(&piece);
        } else {
            bytes = Vec::new();
        }
    }
    if size > most {
        return Err(answer::too_large("the request"));
    }
    Ok(bytes)
}

/// The next bytes; trailers are not looked at.
async fn next(
    body: &mut Body,
) -> Option<Result<impl AsRef<[u8]> + std::ops::Deref<Target = [u8]> + use<>, axum::Error>> {
    loop {
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await? {
            Err(error) => return Some(Err(error)),
            Ok(frame) => {
                if let Ok(piece) = frame.into_data() {
                    return Some(Ok(piece));
                }
            }
        }
    }
}
