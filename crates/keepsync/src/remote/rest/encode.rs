//! From an unsent write to the operation that goes out. Pure.

use super::{
    api::{Api, Endpoints, Way},
    template::{Method, Slot, Template, Unfit, Values},
};
use crate::remote::PushItem;
use keepsync_wire::Operation;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

/// A write as it goes out.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestOperation {
    /// The operation id: the `Idempotency-Key` of every attempt.
    pub id: Uuid,
    /// Path and query below the base address.
    pub endpoint: String,
    /// The method.
    pub method: Method,
    /// The body, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Box<RawValue>>,
    /// When the user wrote it: UTC milliseconds.
    pub created_at: i64,
}

/// How a write goes out.
#[derive(Debug, Clone)]
pub enum Encoded {
    /// By this request. A write that brings a record back is a create, whatever it was written as.
    Send(RestOperation, Operation),
    /// By a later write.
    Carried,
}

/// Why a write cannot go out. It is parked with this; nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// No endpoint is registered for this kind of write in this collection.
    #[error("no endpoint is registered for this kind of write")]
    NoEndpoint,
    /// An id that cannot stand in an address without becoming another.
    #[error("{{{0}}} cannot stand in an address: it is empty, has control characters, or is a dot segment")]
    BadId(&'static str),
    /// The address needs a value the record does not have.
    #[error("the address needs {{{0}}}, which is not known")]
    Missing(&'static str),
    /// The body is not a JSON object.
    #[error("the body is not a JSON object")]
    BadBody,
}

impl Unsendable {
    /// Stable.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoEndpoint => "no_endpoint",
            Self::BadId(_) => "bad_id",
            Self::Missing(_) => "no_address",
            Self::BadBody => "bad_body",
        }
    }
}

/// The request that carries `item`.
///
/// # Errors
/// [`Unsendable`] where no attempt could ever be right.
pub fn encode(api: &Api, item: &PushItem) -> Result<Encoded, Unsendable> {
    let endpoints = api.of(&item.collection).ok_or(Unsendable::NoEndpoint)?;
    let (operation, template, is_bare) = match route(endpoints, item)? {
        Route::Own(operation, template, is_bare) => (operation, template, is_bare),
        Route::Carried => return Ok(Encoded::Carried),
    };
    let body = match &item.body {
        Some(body) if !is_bare => {
            let body = endpoints.record.outgoing(body, item.base_version);
            Some(body.ok_or(Unsendable::BadBody)?)
        }
        _ => None,
    };
    Ok(Encoded::Send(
        RestOperation {
            id: item.op,
            endpoint: address(template, item)?,
            method: template.method,
            body,
            created_at: item.created_at,
        },
        operation,
    ))
}

enum Route<'a> {
    Own(Operation, &'a Template, bool),
    Carried,
}

fn route<'a>(endpoints: &'a Endpoints, item: &PushItem) -> Result<Route<'a>, Unsendable> {
    let own = |operation| match endpoints.way_of(operation) {
        Some(Way::Own { template, is_bare }) => Some(Route::Own(operation, template, *is_bare)),
        _ => None,
    };
    let update = || {
        // The backend said that the record is not there: an update that stands brings it back.
        let is_gone = item.base_version == 0 && item.base_op.is_none();
        let again = if is_gone { own(Operation::Create) } else { None };
        again.or_else(|| own(Operation::Update))
    };
    let found = match (item.operation, endpoints.way_of(item.operation)) {
        (_, Some(Way::Carried)) => Some(Route::Carried),
        (Operation::Update, _) | (_, Some(Way::AsUpdate)) => update(),
        (operation, _) => own(operation),
    };
    found.ok_or(Unsendable::NoEndpoint)
}

/// Where `item`'s record is, by `template`.
pub(super) fn address(template: &Template, item: &PushItem) -> Result<String, Unsendable> {
    let values = Values {
        id: Some(&item.id),
        server_id: item.server_id.as_deref(),
        parent: item.parent_id.as_deref(),
        parent_server_id: item.parent_server_id.as_deref(),
        collection: Some(&item.collection),
        cursor: None,
        limit: None,
    };
    template.fill(&values).map_err(|unfit| match unfit {
        Unfit::Missing(slot) => Unsendable::Missing(Slot::name(slot)),
        Unfit::Misleading(slot) => Unsendable::BadId(Slot::name(slot)),
    })
}

#[cfg(test)]
mod tests;
