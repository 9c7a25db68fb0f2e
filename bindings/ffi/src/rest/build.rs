//! From what an app declares to the core's endpoints.

use super::{RestApi, RestEndpoints, RestList, RestRecord, RestWay};
use crate::error::{KeepsyncError, Result};
use keepsync::remote::rest::{Api, Endpoints, ErrorForm, ListForm, RecordForm, RestSetupError};
use keepsync_wire::Operation;

type Setup<T> = std::result::Result<T, RestSetupError>;

/// Carries out `step` with the value, if there is one.
fn given<T, V>(it: T, value: Option<V>, step: impl FnOnce(T, &V) -> Setup<T>) -> Setup<T> {
    match value {
        Some(value) => step(it, &value),
        None => Ok(it),
    }
}

impl From<RestSetupError> for KeepsyncError {
    fn from(problem: RestSetupError) -> Self {
        Self::invalid("backend", problem.to_string())
    }
}

impl TryFrom<RestApi> for Api {
    type Error = KeepsyncError;

    fn try_from(api: RestApi) -> Result<Self> {
        Ok(build(api)?)
    }
}

fn build(api: RestApi) -> Setup<Api> {
    let errors = api.errors;
    let mut form = given(
        ErrorForm::new(&errors.media_type, &errors.code)?,
        errors.message,
        |it, at: &String| it.message(at),
    )?;
    if let Some(code) = errors.in_progress {
        form = form.in_progress(&code);
    }
    if let Some(code) = errors.token {
        form = form.token(&code);
    }
    if let Some(code) = errors.gone {
        form = form.gone(&code);
    }
    let mut it = given(Api::new(form), api.probe, |it, template: &String| it.probe(template))?;
    if api.empty_200_is_success {
        it = it.empty_200_is_success();
    }
    for collection in api.collections {
        it = it.collection(endpoints(collection)?)?;
    }
    Ok(it)
}

fn endpoints(declared: RestEndpoints) -> Setup<Endpoints> {
    let mut it = Endpoints::new(declared.collection);
    for write in declared.writes {
        let operation = operation(write.kind);
        it = match write.way {
            RestWay::On { template } => it.on(operation, &template)?,
            RestWay::OnBare { template } => it.on_bare(operation, &template)?,
            RestWay::AsUpdate => it.as_update(operation),
            RestWay::Carried => it.carried(operation),
        };
        if write.answers_record {
            it = it.answers_record(operation);
        }
    }
    it = given(it, declared.read, |it, template: &String| it.read(template))?;
    it = given(it, declared.record, |it, form| Ok(it.record(record(form.clone())?)))?;
    given(it, declared.list, |it, form| Ok(it.list(list(form.clone())?)))
}

fn record(form: RestRecord) -> Setup<RecordForm> {
    let mut it = RecordForm::new();
    type Step = fn(RecordForm, &str) -> Setup<RecordForm>;
    let steps: [(Option<String>, Step); 8] = [
        (form.at, RecordForm::at),
        (form.id, RecordForm::id),
        (form.body, RecordForm::body),
        (form.server_id, RecordForm::server_id),
        (form.version_number, RecordForm::version_number),
        (form.version_time, RecordForm::version_time),
        (form.deleted, RecordForm::deleted),
        (form.updated_at, RecordForm::updated_at),
    ];
    for (at, step) in steps {
        it = given(it, at, |it, at| step(it, at))?;
    }
    if form.send_base { it.send_base() } else { Ok(it) }
}

fn list(form: RestList) -> Setup<ListForm> {
    let mut it = if form.whole {
        ListForm::whole(&form.template)?
    } else {
        ListForm::since(&form.template)?
    };
    type Step = fn(ListForm, &str) -> Setup<ListForm>;
    let steps: [(Option<String>, Step); 4] = [
        (form.items, ListForm::items),
        (form.next_cursor, ListForm::next_cursor),
        (form.cursor_of_last, ListForm::cursor_of_last),
        (form.has_more, ListForm::has_more),
    ];
    for (at, step) in steps {
        it = given(it, at, |it, at| step(it, at))?;
    }
    Ok(it)
}

fn operation(kind: crate::Kind) -> Operation {
    use crate::Kind;
    match kind {
        Kind::Create => Operation::Create,
        Kind::Update => Operation::Update,
        Kind::Delete => Operation::Delete,
        Kind::Complete => Operation::Complete,
        Kind::Skip => Operation::Skip,
    }
}
