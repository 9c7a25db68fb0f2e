//! What an app registers of its API: the endpoints of each collection, and the form of its errors.

use super::{
    RestSetupError,
    list::ListForm,
    record::RecordForm,
    refusal::ErrorForm,
    template::{Purpose, Template},
};
use keepsync_wire::Operation;

/// An API of plain endpoints.
#[derive(Debug, Clone)]
pub struct Api {
    pub(super) errors: ErrorForm,
    pub(super) probe: Option<Template>,
    pub(super) empty_ok: bool,
    collections: Vec<Endpoints>,
}

impl Api {
    /// An API that refuses in this form.
    pub fn new(errors: ErrorForm) -> Self {
        Self {
            errors,
            probe: None,
            empty_ok: false,
            collections: Vec::new(),
        }
    }

    /// Adds a collection.
    ///
    /// # Errors
    /// [`RestSetupError::Collection`] where its registration contradicts itself, or another has its
    /// name.
    pub fn collection(mut self, endpoints: Endpoints) -> Result<Self, RestSetupError> {
        let problem = if self.of(&endpoints.collection).is_some() {
            Some("it is registered twice")
        } else {
            endpoints.problem()
        };
        if let Some(problem) = problem {
            return Err(RestSetupError::Collection {
                collection: endpoints.collection,
                problem,
            });
        }
        self.collections.push(endpoints);
        Ok(self)
    }

    /// What is asked to find out whether the backend answers: `GET /v1/health`; otherwise the base
    /// address. Its answer has to be JSON, of any status below 500; it needs no token.
    ///
    /// # Errors
    /// [`RestSetupError::Template`].
    pub fn probe(mut self, template: &str) -> Result<Self, RestSetupError> {
        self.probe = Some(Template::parse(template, Purpose::Probe)?);
        Ok(self)
    }

    /// A 200 without a body is a success here. It is not taken for one otherwise, because it is also
    /// what a catch-all in front of an API says to everything; 201, 202, 204 and 205 are.
    #[must_use]
    pub fn empty_200_is_success(mut self) -> Self {
        self.empty_ok = true;
        self
    }

    pub(super) fn of(&self, collection: &str) -> Option<&Endpoints> {
        self.collections.iter().find(|it| it.collection == collection)
    }

    pub(super) fn pulls(&self) -> bool {
        self.collections.iter().any(|it| it.list.is_some())
    }
}

/// How one kind of write goes out.
#[derive(Debug, Clone)]
pub(super) enum Way {
    /// By an endpoint of its own.
    Own {
        template: Template,
        /// Without the record's body.
        is_bare: bool,
    },
    /// As an update.
    AsUpdate,
    /// Not at all: a later write carries it.
    Carried,
}

/// The endpoints of one collection. Nothing is assumed: a kind of write that is not registered is
/// parked as `no_endpoint`.
#[derive(Debug, Clone)]
pub struct Endpoints {
    collection: String,
    ways: Vec<(Operation, Way)>,
    stored: Vec<Operation>,
    pub(super) record: RecordForm,
    pub(super) read: Option<Template>,
    pub(super) list: Option<ListForm>,
}

impl Endpoints {
    /// A collection without endpoints.
    pub fn new(collection: impl Into<String>) -> Self {
        Self {
            collection: collection.into(),
            ways: Vec::new(),
            stored: Vec::new(),
            record: RecordForm::default(),
            read: None,
            list: None,
        }
    }

    /// The endpoint of a kind of write: `PUT /v1/sessions/{id}`. The record's body goes with it, except
    /// with a delete.
    ///
    /// # Errors
    /// [`RestSetupError::Template`].
    pub fn on(self, operation: Operation, template: &str) -> Result<Self, RestSetupError> {
        self.own(operation, template, false)
    }

    /// The same without the body, for an endpoint that wants none: `POST /v1/sessions/{id}/skip`. What
    /// the record says does not arrive with it.
    ///
    /// # Errors
    /// [`RestSetupError::Template`].
    pub fn on_bare(self, operation: Operation, template: &str) -> Result<Self, RestSetupError> {
        self.own(operation, template, true)
    }

    fn own(self, operation: Operation, template: &str, bare: bool) -> Result<Self, RestSetupError> {
        let template = Template::parse(template, Purpose::Write { operation, bare })?;
        Ok(self.way(
            operation,
            Way::Own {
                template,
                is_bare: bare || operation == Operation::Delete,
            },
        ))
    }

    /// This kind of write goes out as an update: for a `complete` or `skip` that has no endpoint.
    #[must_use]
    pub fn as_update(self, operation: Operation) -> Self {
        self.way(operation, Way::AsUpdate)
    }

    /// This kind of write makes no request and has arrived at once: a later one carries the whole
    /// record. For an API whose only write is `complete`, in a collection that is sent on completion
    /// ([`Sending::OnComplete`](crate::collection::Sending::OnComplete)): its creation and updates.
    #[must_use]
    pub fn carried(self, operation: Operation) -> Self {
        self.way(operation, Way::Carried)
    }

    fn way(mut self, operation: Operation, way: Way) -> Self {
        self.ways.retain(|(known, _)| *known != operation);
        self.ways.push((operation, way));
        self
    }

    /// The answer to this kind of write holds the whole record as the backend stored it; it becomes
    /// the record's body. Without this only its version and ids are taken from the answer.
    #[must_use]
    pub fn answers_record(mut self, operation: Operation) -> Self {
        self.stored.push(operation);
        self
    }

    /// Where one record is read: `GET /v1/sessions/{id}`. Asked after a 409 or 412, for the other side
    /// of the conflict. Without it such a write is refused.
    ///
    /// # Errors
    /// [`RestSetupError::Template`].
    pub fn read(mut self, template: &str) -> Result<Self, RestSetupError> {
        self.read = Some(Template::parse(template, Purpose::Read)?);
        Ok(self)
    }

    /// How the collection is pulled. Without it, it is not.
    #[must_use]
    pub fn list(mut self, form: ListForm) -> Self {
        self.list = Some(form);
        self
    }

    /// Where the parts of a record are.
    #[must_use]
    pub fn record(mut self, form: RecordForm) -> Self {
        self.record = form;
        self
    }

    pub(super) fn way_of(&self, operation: Operation) -> Option<&Way> {
        let found = self.ways.iter().find(|(known, _)| *known == operation);
        found.map(|(_, way)| way)
    }

    pub(super) fn stores_answer(&self, operation: Operation) -> bool {
        self.stored.contains(&operation)
    }

    fn problem(&self) -> Option<&'static str> {
        use Operation::{Complete, Create, Delete, Skip, Update};

        let is = |operation, wanted: fn(&Way) -> bool| self.way_of(operation).is_some_and(wanted);
        let as_update: fn(&Way) -> bool = |way| matches!(way, Way::AsUpdate);
        let carried: fn(&Way) -> bool = |way| matches!(way, Way::Carried);
        let own: fn(&Way) -> bool = |way| matches!(way, Way::Own { is_bare: false, .. });
        if [Create, Update, Delete].into_iter().any(|it| is(it, as_update)) {
            return Some("only complete and skip go out as an update");
        }
        if [Complete, Skip].into_iter().any(|it| is(it, as_update)) && !is(Update, own) {
            return Some("a kind of write goes out as an update, but updates have no endpoint");
        }
        if [Delete, Complete, Skip].into_iter().any(|it| is(it, carried)) {
            return Some("only a create or an update can be carried by a later write");
        }
        if [Create, Update].into_iter().any(|it| is(it, carried)) && ![Complete, Skip].into_iter().any(|it| is(it, own))
        {
            return Some("writes are carried by a later one, but neither complete nor skip sends the record");
        }
        match &self.list {
            Some(list) if !list.is_whole && !list.has_cursor() => {
                Some("its list has no cursor: say where it is, or that the list is whole")
            }
            Some(list) if !list.is_whole && !self.record.has_version() => {
                Some("its list tells what changed, but records have no version to tell the newer by")
            }
            _ => None,
        }
    }
}
