//! Address templates: `POST /v1/sessions/{id}/complete`. Pure.
//!
//! A template is read once, when it is registered, and refused with its problem if it could ever lead
//! elsewhere. When it is filled, each value is percent-encoded, so that it stays inside the one segment
//! or query value it stands in. No encoding keeps a dot segment in its place (`%2E%2E` is one too), so
//! an id that is one is refused, and so is one that would become one behind a proxy that decodes `%2F`.

mod parse;

pub use parse::{TemplateError, TemplateProblem};

use keepsync_wire::Operation;
use serde::Serialize;
use std::fmt;

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Reads.
    Get,
    /// Does what the address says.
    Post,
    /// Puts the whole record there.
    Put,
    /// Changes what is there.
    Patch,
    /// Removes what is there.
    Delete,
}

/// What a template is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A write; `bare` goes without the record's body.
    Write { operation: Operation, bare: bool },
    /// Reads one record.
    Read,
    /// Reads what changed since a cursor.
    Since,
    /// Reads all there is.
    Whole,
    /// Asks whether the backend answers.
    Probe,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Id,
    ServerId,
    Parent,
    ParentServerId,
    Collection,
    Cursor,
    Limit,
}

impl Slot {
    const ALL: [Self; 7] = [
        Self::Id,
        Self::ServerId,
        Self::Parent,
        Self::ParentServerId,
        Self::Collection,
        Self::Cursor,
        Self::Limit,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::ServerId => "server_id",
            Self::Parent => "parent",
            Self::ParentServerId => "parent_server_id",
            Self::Collection => "collection",
            Self::Cursor => "cursor",
            Self::Limit => "limit",
        }
    }

    fn fits(self, purpose: Purpose) -> bool {
        match (self, purpose) {
            (_, Purpose::Probe) => false,
            (Self::Collection, _) => true,
            (Self::Cursor | Self::Limit, purpose) => purpose == Purpose::Since,
            (_, purpose) => matches!(purpose, Purpose::Write { .. } | Purpose::Read),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Slot(Slot),
}

/// A checked template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) method: Method,
    segments: Vec<Vec<Part>>,
    query: Vec<(String, Vec<Part>)>,
}

/// What placeholders stand for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Values<'a> {
    pub(super) id: Option<&'a str>,
    pub(super) server_id: Option<&'a str>,
    pub(super) parent: Option<&'a str>,
    pub(super) parent_server_id: Option<&'a str>,
    pub(super) collection: Option<&'a str>,
    pub(super) cursor: Option<&'a str>,
    pub(super) limit: Option<&'a str>,
}

/// Why a template cannot be filled with some values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// There is no such value.
    Missing(Slot),
    /// The value would address something else than itself.
    Misleading(Slot),
}

impl Values<'_> {
    fn of(&self, slot: Slot) -> Option<&str> {
        match slot {
            Slot::Id => self.id,
            Slot::ServerId => self.server_id,
            Slot::Parent => self.parent,
            Slot::ParentServerId => self.parent_server_id,
            Slot::Collection => self.collection,
            Slot::Cursor => self.cursor,
            Slot::Limit => self.limit,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        })
    }
}

impl Template {
    pub(super) fn parse(text: &str, purpose: Purpose) -> Result<Self, TemplateError> {
        parse::read(text, purpose).map_err(|problem| TemplateError {
            template: text.to_owned(),
            problem,
        })
    }

    fn has(&self, slot: Slot) -> bool {
        let parts = self.segments.iter().chain(self.query.iter().map(|(_, value)| value));
        parts.flatten().any(|part| *part == Part::Slot(slot))
    }

    /// Whether at most [`Slot::Limit`] items are asked for.
    pub(super) fn is_limited(&self) -> bool {
        self.has(Slot::Limit)
    }

    /// The address below the base: path and query. A query value whose cursor is absent is left out,
    /// with its name.
    pub(super) fn fill(&self, values: &Values<'_>) -> Result<String, Unfit> {
        let mut address = String::new();
        for segment in &self.segments {
            address.push('/');
            let start = address.len();
            let mut first = None;
            for part in segment {
                if let Part::Slot(slot) = part {
                    first = first.or(Some(*slot));
                }
                put(part, values, &mut address)?;
            }
            if let (".." | ".", Some(slot)) = (&address[start..], first) {
                return Err(Unfit::Misleading(slot));
            }
        }
        let mut mark = '?';
        for (name, value) in &self.query {
            if value.contains(&Part::Slot(Slot::Cursor)) && values.cursor.is_none() {
                continue;
            }
            address.push(mark);
            mark = '&';
            address.push_str(name);
            address.push('=');
            for part in value {
                put(part, values, &mut address)?;
            }
        }
        Ok(address)
    }
}

fn put(part: &Part, values: &Values<'_>, address: &mut String) -> Result<(), Unfit> {
    match part {
        Part::Text(text) => address.push_str(text),
        Part::Slot(slot) => {
            let value = values.of(*slot).ok_or(Unfit::Missing(*slot))?;
            let leads_away = |value: &str| {
                value.is_empty()
                    || value.chars().any(char::is_control)
                    || value.split(['/', '\\']).any(|piece| piece == "." || piece == "..")
            };
            // A cursor is the backend's own text, in a query.
            if *slot != Slot::Cursor && leads_away(value) {
                return Err(Unfit::Misleading(*slot));
            }
            encode(value, address);
        }
    }
    Ok(())
}

/// Everything but the characters that mean nothing anywhere in an address is encoded.
fn encode(value: &str, address: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            address.push(char::from(byte));
        } else {
            address.push('%');
            for digit in [byte >> 4, byte & 15] {
                address.extend(HEX.get(usize::from(digit)).copied().map(char::from));
            }
        }
    }
}

#[cfg(test)]
mod tests;
