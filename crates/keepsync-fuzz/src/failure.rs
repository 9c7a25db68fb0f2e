//! In the place of the command's own: what went wrong, in words.

#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(code: &str, message: impl std::fmt::Display) -> Self {
        Self(format!("{code}: {message}"))
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
