//! How an API refuses: the form that only its own answers have. Pure.

use super::{
    RestSetupError,
    pointer::{Pointer, pointer},
};
use crate::remote::{
    answer::{Body, Head},
    wire::cut,
};
use serde_json::value::RawValue;

/// JSON of an API. A portal describes itself in JSON too (RFC 8908); that proves nothing.
pub(super) fn is_json(head: &Head<'_>) -> bool {
    head.media_type.is_some_and(is_json_type)
}

fn is_json_type(value: &str) -> bool {
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.ends_with("+json") && essence != "application/captive+json")
}

/// How the API refuses: the media type of its errors and where their code is. Only an answer of this
/// form may settle or park a write; everything else may have come from something in between.
#[derive(Debug, Clone)]
pub struct ErrorForm {
    pub(super) media_type: String,
    code: Pointer,
    message: Option<Pointer>,
    in_progress: Vec<String>,
    token: Vec<String>,
    gone: Vec<String>,
}

/// A refusal in the declared form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) code: String,
    pub(super) message: String,
}

impl ErrorForm {
    /// Errors of `media_type` whose code (a string or an integer) is at the JSON pointer `code`:
    /// `("application/json", "/error/code")`, or `("application/problem+json", "/type")`.
    ///
    /// # Errors
    /// [`RestSetupError`] where the media type is not JSON or the pointer is not one.
    pub fn new(media_type: &str, code: &str) -> Result<Self, RestSetupError> {
        let at = pointer(code)?;
        if !is_json_type(media_type) || media_type.contains(';') || at.is_root() {
            return Err(RestSetupError::ErrorForm);
        }
        Ok(Self {
            media_type: media_type.to_owned(),
            code: at,
            message: None,
            in_progress: Vec::new(),
            token: Vec::new(),
            gone: Vec::new(),
        })
    }

    /// Where the text for a person is. It is shown, never used to decide.
    ///
    /// # Errors
    /// [`RestSetupError::Pointer`].
    pub fn message(mut self, at: &str) -> Result<Self, RestSetupError> {
        self.message = Some(pointer(at)?);
        Ok(self)
    }

    /// A 409 with this code says that the first attempt is still running: the write goes again.
    #[must_use]
    pub fn in_progress(mut self, code: &str) -> Self {
        self.in_progress.push(code.to_owned());
        self
    }

    /// A 403 with this code means the token, not the write.
    #[must_use]
    pub fn token(mut self, code: &str) -> Self {
        self.token.push(code.to_owned());
        self
    }

    /// Only a 404 or 410 with this code says that the *record* is not there. Say so wherever the API
    /// refuses unknown routes in the same form: else a mistyped route looks like a deletion.
    #[must_use]
    pub fn gone(mut self, code: &str) -> Self {
        self.gone.push(code.to_owned());
        self
    }

    pub(super) fn read(&self, head: &Head<'_>, body: Body<'_>) -> Option<Declared> {
        let Body::Whole(bytes) = body else { return None };
        if !head.has_media_type(&self.media_type) {
            return None;
        }
        let document: &RawValue = serde_json::from_slice(bytes).ok()?;
        let code = self.code.text(document).filter(|code| !code.is_empty())?;
        let message = self.message.as_ref().and_then(|at| at.text(document));
        Some(Declared {
            code: cut(&code).to_owned(),
            message: cut(&message.unwrap_or_default()).to_owned(),
        })
    }

    pub(super) fn is_in_progress(&self, declared: &Declared) -> bool {
        self.in_progress.contains(&declared.code)
    }

    pub(super) fn is_token(&self, declared: &Declared) -> bool {
        self.token.contains(&declared.code)
    }

    pub(super) fn is_gone(&self, declared: &Declared) -> bool {
        self.gone.is_empty() || self.gone.contains(&declared.code)
    }
}
