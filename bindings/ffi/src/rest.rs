//! Plain REST endpoints, as an app declares them. What each means: the core's `remote::rest`.

use crate::error::{KeepsyncError, Result};
use keepsync::remote::rest::{Api, Endpoints, ErrorForm, ListForm, RecordForm, RestSetupError};
use keepsync_wire::Operation;

/// How an API refuses. Only an answer of this form may settle or park a write.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct RestErrors {
    /// `application/json` or a JSON type of its own.
    pub media_type: String,
    /// A JSON pointer to the code: `/error/code`.
    pub code: String,
    /// A JSON pointer to the text for a person.
    #[uniffi(default = None)]
    pub message: Option<String>,
    /// The code that says: this very operation is being carried out.
    #[uniffi(default = None)]
    pub in_progress: Option<String>,
    /// The code that means the token, on a 403.
    #[uniffi(default = None)]
    pub token: Option<String>,
    /// The code that says of a delete: it is not there.
    #[uniffi(default = None)]
    pub gone: Option<String>,
}

/// How one kind of write goes out.
#[derive(Debug, Clone, PartialEq, uniffi::Enum)]
#[cfg_attr(
    test,
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", rename_all_fields = "camelCase")
)]
pub enum RestWay {
    /// By an endpoint of its own, with the body: `PUT /v1/sessions/{id}`.
    On {
        /// Method and path.
        template: String,
    },
    /// By an endpoint of its own, without the body: `POST /v1/sessions/{id}/skip`.
    OnBare {
        /// Method and path.
        template: String,
    },
    /// As an update.
    AsUpdate,
    /// Not at all: a later write carries it.
    Carried,
}

/// One kind of write and how it goes out.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct RestWrite {
    /// The kind.
    pub kind: crate::Kind,
    /// How it goes out.
    pub way: RestWay,
    /// The answer holds the whole record as the backend stored it.
    #[uniffi(default = false)]
    #[cfg_attr(test, serde(default))]
    pub answers_record: bool,
}

/// Where in a record its parts are: JSON pointers. What is left out: the answer is the record, which is its own body,
/// with its id at `/id` and no version.
#[derive(Debug, Clone, Default, PartialEq, uniffi::Record)]
#[cfg_attr(
    test,
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", default)
)]
pub struct RestRecord {
    /// Where the record is in the answer.
    #[uniffi(default = None)]
    pub at: Option<String>,
    /// Its id.
    #[uniffi(default = None)]
    pub id: Option<String>,
    /// Its body.
    #[uniffi(default = None)]
    pub body: Option<String>,
    /// The backend's own id.
    #[uniffi(default = None)]
    pub server_id: Option<String>,
    /// A version that is a number.
    #[uniffi(default = None)]
    pub version_number: Option<String>,
    /// A version that is an instant.
    #[uniffi(default = None)]
    pub version_time: Option<String>,
    /// The base is sent in the version's field.
    #[uniffi(default = false)]
    pub send_base: bool,
    /// There and not null, false: it is deleted.
    #[uniffi(default = None)]
    pub deleted: Option<String>,
    /// When it was changed.
    #[uniffi(default = None)]
    pub updated_at: Option<String>,
}

/// How a collection is pulled.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct RestList {
    /// `GET /v1/sessions?updated_since={cursor}&limit={limit}`.
    pub template: String,
    /// Every answer is all there is.
    #[uniffi(default = false)]
    #[cfg_attr(test, serde(default))]
    pub whole: bool,
    /// Where the items are.
    #[uniffi(default = None)]
    pub items: Option<String>,
    /// Where the next cursor is.
    #[uniffi(default = None)]
    pub next_cursor: Option<String>,
    /// Where in the last item its cursor is.
    #[uniffi(default = None)]
    pub cursor_of_last: Option<String>,
    /// Where it says that there is more.
    #[uniffi(default = None)]
    pub has_more: Option<String>,
}

/// The endpoints of one collection. A kind of write that is not declared is parked as `no_endpoint`.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct RestEndpoints {
    /// The collection.
    pub collection: String,
    /// Its writes.
    pub writes: Vec<RestWrite>,
    /// Where one record is read: `GET /v1/sessions/{id}`.
    #[uniffi(default = None)]
    pub read: Option<String>,
    /// Where the parts of a record are.
    #[uniffi(default = None)]
    pub record: Option<RestRecord>,
    /// How it is pulled; without, it is not.
    #[uniffi(default = None)]
    pub list: Option<RestList>,
}

/// An API of plain endpoints.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[cfg_attr(test, derive(serde::Serialize, serde::Deserialize), serde(rename_all = "camelCase"))]
pub struct RestApi {
    /// How it refuses.
    pub errors: RestErrors,
    /// Its collections.
    pub collections: Vec<RestEndpoints>,
    /// What is asked to find out whether it answers: `GET /v1/health`.
    #[uniffi(default = None)]
    pub probe: Option<String>,
    /// A 200 without a body is a success here.
    #[uniffi(default = false)]
    #[cfg_attr(test, serde(default))]
    pub empty_200_is_success: bool,
}

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
