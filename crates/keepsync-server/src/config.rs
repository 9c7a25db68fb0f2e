use crate::ServerError;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Devices give a restored server again what it acknowledged in this time; an answer forgotten sooner
/// would be applied twice.
const DEVICE_JOURNAL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What a [`Server`](crate::Server) needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data folder; made if absent.
    pub data: PathBuf,
    /// The address to listen on; port 0 takes any free one.
    pub listen: SocketAddr,
    /// A folder with `<collection>.json` for each collection that has a JSON Schema.
    pub schemas: Option<PathBuf>,
    /// Whether collections without a schema are refused.
    pub known_only: bool,
    /// Origins of web pages that may call, such as `https://app.example.com`; `*` for all.
    pub origins: Vec<String>,
    /// Seconds an access token lives that was traded for a refresh token.
    pub access_token_s: u64,
    /// How much is taken at once.
    pub limits: Limits,
    /// How long things are remembered.
    pub retention: Retention,
}

/// How much a server takes at once.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of a request's body.
    pub request_bytes: usize,
    /// Bytes of one record's body.
    pub record_bytes: usize,
    /// Items of a push.
    pub items: usize,
    /// Collections of a pull.
    pub collections: usize,
    /// Changes of a page; a device that asks for more gets as many.
    pub page: u32,
    /// Bytes after which a page ends, though more changes were asked for, and after which a push's conflicts
    /// are put off. Far below what devices take as an answer (8 MiB), since one record may be larger.
    pub page_bytes: usize,
    /// How long a request's body may take to arrive, and how long its answer may then take.
    pub request_time: Duration,
    /// How long a connection may take to send a request's head, also between two requests.
    pub header_time: Duration,
    /// How long requests under way may take after the server was told to stop.
    pub stop_time: Duration,
    /// Connections at a time; more wait.
    pub connections: usize,
    /// Requests of one user.
    pub per_user: Rate,
    /// Requests of one address that name no user: probes, trades of tokens, and bad tokens. Behind a
    /// proxy all requests come from one address.
    pub per_address: Rate,
}

/// How often something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Each second, in the long run; at least 1.
    pub per_second: u32,
    /// At once, after a pause; at least 1.
    pub burst: u32,
}

/// How long a server remembers.
#[derive(Debug, Clone)]
pub struct Retention {
    /// Tombstones, from when they were made; at least as long as answers. A device that did not pull for longer
    /// starts over.
    pub tombstones: Duration,
    /// Answers to applied operations; longer than the 30 days devices keep theirs.
    pub answers: Duration,
}

impl Config {
    /// The defaults: `127.0.0.1` on any free port, no schemas, no web pages.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            schemas: None,
            known_only: false,
            origins: Vec::new(),
            access_token_s: 15 * 60,
            limits: Limits::default(),
            retention: Retention::default(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ServerError> {
        let wrong = |field, reason: &str| {
            Err(ServerError::Config {
                field,
                reason: reason.to_owned(),
            })
        };
        let limits = &self.limits;
        if self.retention.answers <= DEVICE_JOURNAL {
            return wrong("retention.answers", "must be longer than the 30 days devices remember");
        }
        if self.retention.tombstones < self.retention.answers {
            // The answer to a creation would outlive all that tells of the deletion that came after it.
            return wrong("retention.tombstones", "must not be shorter than that of answers");
        }
        if self.known_only && self.schemas.is_none() {
            return wrong("known_only", "needs schemas");
        }
        if !self.origins.iter().all(|origin| is_origin(origin)) {
            return wrong("origins", "must be * or like https://app.example.com, without a path");
        }
        if self.access_token_s == 0 {
            return wrong("access_token_s", "must not be 0");
        }
        let counts = [
            ("limits.request_bytes", limits.request_bytes),
            ("limits.record_bytes", limits.record_bytes),
            ("limits.items", limits.items),
            ("limits.collections", limits.collections),
            ("limits.page", limits.page as usize),
            ("limits.page_bytes", limits.page_bytes),
            ("limits.connections", limits.connections),
            (
                "limits.per_user",
                limits.per_user.per_second.min(limits.per_user.burst) as usize,
            ),
            (
                "limits.per_address",
                limits.per_address.per_second.min(limits.per_address.burst) as usize,
            ),
        ];
        match counts.iter().find(|(_, count)| *count == 0) {
            Some((field, _)) => wrong(field, "must not be 0"),
            None => Ok(()),
        }
    }
}

/// As a browser writes it in `Origin`; anything else would never match.
fn is_origin(origin: &str) -> bool {
    let host = origin.split_once("://").map(|(_, host)| host);
    let fits = |host: &str| {
        !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"/?#@".contains(&byte))
    };
    origin == "*" || (host.is_some_and(fits) && origin == origin.to_ascii_lowercase())
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_bytes: 4 * 1024 * 1024,
            record_bytes: 1024 * 1024,
            items: 1_000,
            collections: 100,
            page: 1_000,
            page_bytes: 2 * 1024 * 1024,
            request_time: Duration::from_secs(30),
            header_time: Duration::from_secs(60),
            stop_time: Duration::from_secs(10),
            connections: 4_096,
            per_user: Rate {
                per_second: 200,
                burst: 2_000,
            },
            // Behind a proxy, or after a token of many devices expired, all come from one address.
            per_address: Rate {
                per_second: 500,
                burst: 5_000,
            },
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            tombstones: 90 * DAY,
            answers: 90 * DAY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_named() {
        type Change = fn(&mut Config);
        let cases: [(Change, &str); 11] = [
            (|it| it.origins = vec!["https://app.example.com/".to_owned()], "origins"),
            (|it| it.origins = vec!["app.example.com".to_owned()], "origins"),
            (|it| it.origins = vec!["https://App.example.com".to_owned()], "origins"),
            (|it| it.known_only = true, "known_only"),
            (|it| it.access_token_s = 0, "access_token_s"),
            (|it| it.limits.items = 0, "limits.items"),
            (|it| it.limits.page = 0, "limits.page"),
            (|it| it.limits.per_user.burst = 0, "limits.per_user"),
            (|it| it.limits.per_address.per_second = 0, "limits.per_address"),
            (|it| it.retention.answers = DEVICE_JOURNAL, "retention.answers"),
            (|it| it.retention.tombstones = 89 * DAY, "retention.tombstones"),
        ];
        for (change, wanted) in cases {
            let mut config = Config::new("data");
            change(&mut config);
            match config.check() {
                Err(ServerError::Config { field, .. }) => assert_eq!(field, wanted),
                other => panic!("{wanted}: {other:?}"),
            }
        }
        let mut config = Config::new("data");
        config.origins = [
            "*",
            "https://app.example.com",
            "http://localhost:8081",
            "exp://10.0.0.1",
        ]
        .map(str::to_owned)
        .to_vec();
        assert!(config.check().is_ok());
    }
}
