//! `serve`, `token`, `backup`, `restore`.

use std::{net::SocketAddr, path::PathBuf};

#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// The folder with the server's data; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// A folder of JSON Schemas, COLLECTION.json each, that bodies must fit
    #[arg(long, value_name = "DIR")]
    pub(crate) schema: Option<PathBuf>,
    /// A web page's origin that may call, such as https://app.example.com; may be repeated
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) origin: Vec<String>,
    /// Requests a second that one user may make; ten times as many at once
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rate: u32,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Token {
    /// The folder with the server's data; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The user
    #[arg(long)]
    pub(crate) user: String,
    /// How long the token is good for
    #[arg(long, value_name = "SECONDS", default_value_t = 900, conflicts_with = "refresh")]
    pub(crate) expires_in: u64,
    /// Prints a refresh token instead, which is traded for access tokens
    #[arg(long)]
    pub(crate) refresh: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Copy {
    /// The folder with the server's data
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The backup
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}
