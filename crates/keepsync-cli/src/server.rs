//! `keepsync token`, `backup` and `restore`: what is done to a server's folder.

use crate::{
    args::{Copy, Token},
    failure::{Exit, Failure},
    out::Out,
};
use keepsync::env::{Env as _, SystemEnv};
use keepsync_server::ServerError;
use serde_json::json;

pub(crate) fn failed(error: ServerError) -> Failure {
    Failure::new(error.code(), error.to_string())
}

pub(crate) fn token(args: &Token, out: &mut Out) -> Result<Exit, Failure> {
    if args.user.is_empty() {
        return Err(Failure::usage("--user is empty"));
    }
    let now_ms = SystemEnv::default().wall_ms();
    let token = if args.refresh {
        keepsync_server::refresh_token(&args.data, &args.user, now_ms)
    } else {
        keepsync_server::access_token(&args.data, &args.user, args.expires_in, now_ms)
    }
    .map_err(failed)?;
    if out.json {
        let name = if args.refresh { "refresh_token" } else { "token" };
        out.object(&json!({ name: token }))?;
    } else {
        out.line(&token)?;
    }
    Ok(Exit::Good)
}

pub(crate) fn backup(args: &Copy, out: &mut Out) -> Result<Exit, Failure> {
    keepsync_server::backup(&args.data, &args.file).map_err(failed)?;
    done(out, "backup", "backed up to", &args.file)
}

pub(crate) fn restore(args: &Copy, out: &mut Out) -> Result<Exit, Failure> {
    keepsync_server::restore(&args.data, &args.file).map_err(failed)?;
    done(out, "restored", "restored from", &args.file)
}

fn done(out: &mut Out, name: &str, words: &str, file: &std::path::Path) -> Result<Exit, Failure> {
    if out.json {
        out.object(&json!({ name: file.to_string_lossy() }))?;
    } else {
        out.line(&format!("{words} {}", file.display()))?;
    }
    Ok(Exit::Good)
}
