use std::path::PathBuf;

/// Why a server, or a command on its data, could not do its work. No message shows record contents,
/// tokens or keys.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The file system refused. Retryable once its cause is mended.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, with the path.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another server has this data folder. Retryable once it has ended.
    #[error("a server runs on {path}", path = .0.display())]
    InUse(PathBuf),
    /// A field of the configuration makes no sense. Not retryable.
    #[error("{field}: {reason}")]
    Config {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A schema could not be read or compiled. Not retryable.
    #[error("schema {path}: {reason}", path = .path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The data is from a later version of this program. Not retryable.
    #[error("the data has version {found}; this program reads up to {known}")]
    NewerData {
        /// In the file.
        found: i64,
        /// In this program.
        known: i64,
    },
    /// The file is not a Keepsync server's. Not retryable.
    #[error("{path} is not a server's data", path = .0.display())]
    NotData(PathBuf),
    /// The signing key's file is not 32 bytes. Not retryable.
    #[error("the signing key in {path} is damaged", path = .0.display())]
    SigningKey(PathBuf),
    /// A user's name is empty, longer than 256 bytes, or has control characters. Not retryable.
    #[error("the user must be 1 to 256 bytes without control characters")]
    User,
    /// A token could not be made. Not retryable.
    #[error("a token could not be made")]
    Token,
    /// There is a file already, and it is not overwritten. Not retryable.
    #[error("{path} exists", path = .0.display())]
    Exists(PathBuf),
    /// The system has no random numbers. Not retryable.
    #[error("the system has no random numbers")]
    Random,
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] crate::storage::StorageError),
}

impl ServerError {
    /// Stable, for programs and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "io",
            Self::InUse(_) => "in_use",
            Self::Config { .. } => "config",
            Self::Schema { .. } => "schema",
            Self::NewerData { .. } => "newer_data",
            Self::NotData(_) => "not_data",
            Self::SigningKey(_) => "signing_key",
            Self::User => "user",
            Self::Token => "token",
            Self::Exists(_) => "exists",
            Self::Random => "random",
            Self::Storage(error) => error.code(),
        }
    }

    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
