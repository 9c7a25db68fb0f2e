//! How a collection is listed, and what a page of it holds. Pure.

use super::{
    RestSetupError,
    pointer::{Pointer, items, pointer},
    record::{Found, RecordForm},
    template::{Purpose, Template},
};
use crate::remote::RemoteChange;
use serde_json::value::RawValue;

#[derive(Debug, Clone)]
enum Next {
    /// In the answer.
    Answer(Pointer),
    /// In its last item.
    LastItem(Pointer),
}

/// How a collection is listed.
#[derive(Debug, Clone)]
pub struct ListForm {
    pub(super) template: Template,
    /// Whether every answer is all there is.
    pub(super) is_whole: bool,
    items: Pointer,
    next: Option<Next>,
    more: Option<Pointer>,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Listed {
    pub(super) found: Vec<Found>,
    pub(super) next: Option<String>,
    pub(super) has_more: bool,
}

impl ListForm {
    /// What changed since a cursor: `GET /v1/sessions?updated_since={cursor}&limit={limit}`, oldest
    /// change first. The list is the answer itself, see [`ListForm::items`]; a cursor has to be
    /// declared. The first request has no cursor, and leaves its query parameter out.
    ///
    /// # Errors
    /// [`RestSetupError::Template`].
    pub fn since(template: &str) -> Result<Self, RestSetupError> {
        Self::new(template, Purpose::Since)
    }

    /// Everything there is, in one answer, every time: `GET /v1/exercises`. Clean records that do not
    /// come again are removed.
    ///
    /// # Errors
    /// [`RestSetupError::Template`].
    pub fn whole(template: &str) -> Result<Self, RestSetupError> {
        Self::new(template, Purpose::Whole)
    }

    fn new(template: &str, purpose: Purpose) -> Result<Self, RestSetupError> {
        Ok(Self {
            template: Template::parse(template, purpose)?,
            is_whole: purpose == Purpose::Whole,
            items: Pointer::default(),
            next: None,
            more: None,
        })
    }

    /// Where the list is in the answer, such as `/items`.
    ///
    /// # Errors
    /// [`RestSetupError::Pointer`].
    pub fn items(mut self, at: &str) -> Result<Self, RestSetupError> {
        self.items = pointer(at)?;
        Ok(self)
    }

    /// Where the next cursor is in the answer. Absent or `null`: it stays.
    ///
    /// # Errors
    /// [`RestSetupError::Pointer`].
    pub fn next_cursor(mut self, at: &str) -> Result<Self, RestSetupError> {
        self.next = Some(Next::Answer(pointer(at)?));
        Ok(self)
    }

    /// The next cursor is this value of the last item, such as `/updated_at`. Right only where the
    /// list includes what has the cursor's own value, or where no two have the same.
    ///
    /// # Errors
    /// [`RestSetupError::Pointer`].
    pub fn cursor_of_last(mut self, at: &str) -> Result<Self, RestSetupError> {
        self.next = Some(Next::LastItem(pointer(at)?));
        Ok(self)
    }

    /// Where the answer says (`true`) that there is another page. Without it a page as long as the
    /// limit has another after it.
    ///
    /// # Errors
    /// [`RestSetupError::Pointer`].
    pub fn has_more(mut self, at: &str) -> Result<Self, RestSetupError> {
        self.more = Some(pointer(at)?);
        Ok(self)
    }

    pub(super) fn has_cursor(&self) -> bool {
        self.next.is_some()
    }

    /// A page; `None` if any of it is not of the declared form, because leaving out one record would
    /// lose it: the cursor passes it by.
    pub(super) fn read(&self, answer: &RawValue, form: &RecordForm, limit: u32) -> Option<Listed> {
        let items = items(self.items.find(answer)?)?;
        let found = items
            .iter()
            .map(|item| form.read(item, 1))
            .collect::<Option<Vec<_>>>()?;
        let next = match &self.next {
            _ if self.is_whole => None,
            None => None,
            Some(Next::Answer(at)) => at.text(answer),
            Some(Next::LastItem(at)) => match items.last() {
                Some(last) => Some(at.text(last)?),
                None => None,
            },
        };
        let is_full = self.template.is_limited() && items.len() as u64 >= u64::from(limit);
        let has_more = match &self.more {
            Some(at) => at.find(answer)?.get() == "true",
            None => is_full,
        };
        Some(Listed {
            found,
            next: next.filter(|next| !next.is_empty()),
            has_more: has_more && !self.is_whole,
        })
    }
}

impl Listed {
    pub(super) fn changes(self, collection: &str) -> Vec<RemoteChange> {
        let change = |found: Found| RemoteChange {
            collection: collection.to_owned(),
            id: found.id,
            version: found.version,
        };
        self.found.into_iter().map(change).collect()
    }
}
