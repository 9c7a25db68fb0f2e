//! Reads a template, and says what is wrong with one that cannot be used. Pure.

use super::{Method, Part, Purpose, Slot, Template};
use keepsync_wire::Operation;

/// A template that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template {template:?}: {problem}")]
pub struct TemplateError {
    /// As it was given.
    pub template: String,
    /// What is wrong with it.
    pub problem: TemplateProblem,
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateProblem {
    /// Not a method, one space and a path.
    #[error("it is not METHOD /path")]
    Form,
    /// Not one of `GET`, `POST`, `PUT`, `PATCH`, `DELETE`.
    #[error("the method is not known")]
    UnknownMethod,
    /// It names a scheme or a host; a token would go there.
    #[error("the address is absolute; it must be below the base address")]
    Absolute,
    /// `.`, `..`, or nothing between two slashes.
    #[error("a segment of the path is empty, or a dot segment")]
    BadSegment,
    /// `#` and what follows never leave the device.
    #[error("a fragment is never sent")]
    Fragment,
    /// The query is not `name=value&name=value`, or a name holds a placeholder.
    #[error("the query is not name=value pairs with placeholders in the values only")]
    Query,
    /// A character that would have to be encoded, or a stray brace.
    #[error("the character {0:?} cannot stand in it")]
    Character(char),
    /// A placeholder nobody knows.
    #[error("the placeholder {{{0}}} is not known")]
    UnknownPlaceholder(String),
    /// A placeholder that has no value here.
    #[error("the placeholder {{{0}}} has no value in this kind of template")]
    PlaceholderHere(&'static str),
    /// A method that cannot do this.
    #[error("{0} cannot be used for this")]
    MethodHere(Method),
    /// Nothing would carry the record: a create or an update without its body.
    #[error("a create or an update has to carry the record")]
    NoBody,
    /// Nothing would name the record: neither the address nor a body.
    #[error("nothing names the record: there is no {{id}} or {{server_id}}, and no body")]
    NoRecord,
}

pub(super) fn read(text: &str, purpose: Purpose) -> Result<Template, TemplateProblem> {
    let (method, address) = text.split_once(' ').ok_or(TemplateProblem::Form)?;
    let method = match method {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "PATCH" => Method::Patch,
        "DELETE" => Method::Delete,
        _ => return Err(TemplateProblem::UnknownMethod),
    };
    if address.contains("://") || address.starts_with("//") {
        return Err(TemplateProblem::Absolute);
    }
    if address.contains('#') {
        return Err(TemplateProblem::Fragment);
    }
    let (path, query) = match address.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (address, None),
    };
    let path = path.strip_prefix('/').ok_or(TemplateProblem::Form)?;
    let count = path.split('/').count();
    let segments = path.split('/').enumerate().map(|(n, segment)| {
        // A slash may stand at the end.
        if matches!(segment, "." | "..") || (segment.is_empty() && n + 1 < count) {
            return Err(TemplateProblem::BadSegment);
        }
        parts(segment, purpose)
    });
    let pairs = query.map(|query| query.split('&')).into_iter().flatten().map(|pair| {
        let (name, value) = pair.split_once('=').ok_or(TemplateProblem::Query)?;
        let name = match &parts(name, purpose)?[..] {
            [Part::Text(name)] => name.clone(),
            _ => return Err(TemplateProblem::Query),
        };
        Ok((name, parts(value, purpose)?))
    });
    let template = Template {
        method,
        segments: segments.collect::<Result<_, _>>()?,
        query: pairs.collect::<Result<_, _>>()?,
    };
    check(&template, purpose)?;
    Ok(template)
}

fn parts(text: &str, purpose: Purpose) -> Result<Vec<Part>, TemplateProblem> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (plain, after) = match rest.split_once('{') {
            Some((plain, after)) => (plain, Some(after)),
            None => (rest, None),
        };
        let fits = |c: &char| c.is_ascii_alphanumeric() || "-._~!$()*+,;:@=".contains(*c);
        if let Some(stray) = plain.chars().find(|c| !fits(c)) {
            return Err(TemplateProblem::Character(stray));
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain.to_owned()));
        }
        let Some(after) = after else { break };
        let (name, after) = after.split_once('}').ok_or(TemplateProblem::Character('{'))?;
        let slot = Slot::ALL.into_iter().find(|slot| slot.name() == name);
        let slot = slot.ok_or_else(|| TemplateProblem::UnknownPlaceholder(name.to_owned()))?;
        if !slot.fits(purpose) {
            return Err(TemplateProblem::PlaceholderHere(slot.name()));
        }
        parts.push(Part::Slot(slot));
        rest = after;
    }
    Ok(parts)
}

fn check(template: &Template, purpose: Purpose) -> Result<(), TemplateProblem> {
    use Operation::{Create, Delete, Update};

    let method = template.method;
    let names_record = template.has(Slot::Id) || template.has(Slot::ServerId);
    let in_path = |slot| template.segments.iter().flatten().any(|part| *part == Part::Slot(slot));
    match purpose {
        Purpose::Read | Purpose::Since | Purpose::Whole | Purpose::Probe if method != Method::Get => {
            Err(TemplateProblem::MethodHere(method))
        }
        Purpose::Read if !names_record => Err(TemplateProblem::NoRecord),
        // Without a cursor there is nothing to put into a path.
        Purpose::Since if in_path(Slot::Cursor) => Err(TemplateProblem::PlaceholderHere("cursor")),
        Purpose::Write { .. } if method == Method::Get => Err(TemplateProblem::MethodHere(method)),
        // What removes a record carries none.
        Purpose::Write { operation, .. } if method == Method::Delete && operation != Delete => {
            Err(TemplateProblem::MethodHere(method))
        }
        Purpose::Write {
            operation: Create | Update,
            bare: true,
        } => Err(TemplateProblem::NoBody),
        Purpose::Write { operation, bare } if (bare || operation == Delete) && !names_record => {
            Err(TemplateProblem::NoRecord)
        }
        _ => Ok(()),
    }
}
