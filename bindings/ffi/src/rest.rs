//! Plain REST endpoints, as an app declares them. What each means: the core's `remote::rest`.

#[cfg(feature = "http")]
mod build;

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
