use super::*;
use crate::{
    hlc::Hlc,
    remote::rest::{ErrorForm, RecordForm},
};
use Operation::{Complete, Create, Delete, Skip, Update};

fn api() -> Api {
    let session = Endpoints::new("session")
        .on(Create, "PUT /v1/sessions/{id}")
        .and_then(|it| it.on(Update, "PATCH /v1/sessions/{id}"))
        .and_then(|it| it.on(Complete, "POST /v1/sessions/{id}/complete"))
        .and_then(|it| it.on_bare(Skip, "POST /v1/sessions/{server_id}/skip"))
        .unwrap();
    let set = Endpoints::new("set_log")
        .on(Create, "POST /v1/sessions/{parent}/sets")
        .and_then(|it| it.on(Update, "PUT /v1/{collection}/{id}"))
        .and_then(|it| it.on(Delete, "DELETE /v1/sessions/{parent}/sets/{id}"))
        .unwrap()
        .as_update(Complete);
    let plan = Endpoints::new("plan")
        .carried(Create)
        .carried(Update)
        .on(Complete, "POST /v1/plans/{id}/complete")
        .unwrap()
        .record(
            RecordForm::new()
                .version_number("/version")
                .unwrap()
                .send_base()
                .unwrap(),
        );
    let api = Api::new(ErrorForm::new("application/json", "/error/code").unwrap());
    [session, set, plan].into_iter().try_fold(api, Api::collection).unwrap()
}

fn item(collection: &str, operation: Operation, base_version: i64) -> PushItem {
    PushItem {
        seq: 1,
        op: Uuid::from_u128(7),
        collection: collection.to_owned(),
        id: "i/1".to_owned(),
        parent_id: Some("p 1".to_owned()),
        parent_server_id: None,
        operation,
        body: (operation != Delete).then(|| r#"{"reps": 5.0}"#.to_owned()),
        base_version,
        base_op: None,
        base_id: None,
        after: Vec::new(),
        replaces: None,
        earlier: Vec::new(),
        created_at: 1_763_600_000_000,
        hlc: Hlc::at(1),
        clocks: None,
        server_id: None,
    }
}

fn said(item: &PushItem) -> String {
    match encode(&api(), item) {
        Ok(Encoded::Send(operation, kind)) => format!(
            "{kind:?} {} {} {}",
            operation.method,
            operation.endpoint,
            operation.body.as_ref().map_or("-", |body| body.get())
        ),
        Ok(Encoded::Carried) => "carried".to_owned(),
        Err(why) => format!("{}: {why}", why.code()),
    }
}

#[test]
fn an_operation_has_the_form_of_the_seed() {
    let Ok(Encoded::Send(operation, _)) = encode(&api(), &item("session", Complete, 1)) else {
        panic!("it can be sent");
    };
    assert_eq!(
        serde_json::to_string(&operation).unwrap(),
        r#"{"id":"00000000-0000-0000-0000-000000000007","endpoint":"/v1/sessions/i%2F1/complete","method":"POST","body":{"reps": 5.0},"createdAt":1763600000000}"#
    );
}

#[test]
fn each_kind_of_write_goes_to_its_endpoint_or_nowhere() {
    let none = "no_endpoint: no endpoint is registered for this kind of write";
    let plain = r#"{"reps": 5.0}"#;
    for (collection, operation, base, expected) in [
        ("session", Create, 0, format!("Create PUT /v1/sessions/i%2F1 {plain}")),
        ("session", Update, 3, format!("Update PATCH /v1/sessions/i%2F1 {plain}")),
        // The backend said that it is gone.
        ("session", Update, 0, format!("Create PUT /v1/sessions/i%2F1 {plain}")),
        (
            "session",
            Complete,
            3,
            format!("Complete POST /v1/sessions/i%2F1/complete {plain}"),
        ),
        (
            "session",
            Skip,
            3,
            "no_address: the address needs {server_id}, which is not known".to_owned(),
        ),
        ("session", Delete, 3, none.to_owned()),
        (
            "set_log",
            Create,
            0,
            format!("Create POST /v1/sessions/p%201/sets {plain}"),
        ),
        (
            "set_log",
            Delete,
            3,
            "Delete DELETE /v1/sessions/p%201/sets/i%2F1 -".to_owned(),
        ),
        ("set_log", Complete, 3, format!("Update PUT /v1/set_log/i%2F1 {plain}")),
        ("set_log", Skip, 3, none.to_owned()),
        ("plan", Create, 0, "carried".to_owned()),
        ("plan", Update, 0, "carried".to_owned()),
        (
            "plan",
            Complete,
            3,
            r#"Complete POST /v1/plans/i%2F1/complete {"reps":5.0,"version":3}"#.to_owned(),
        ),
        ("unknown", Create, 0, none.to_owned()),
    ] {
        assert_eq!(
            said(&item(collection, operation, base)),
            expected,
            "{collection} {operation:?} on {base}"
        );
    }
    let bare = PushItem {
        server_id: Some("s-9".to_owned()),
        ..item("session", Skip, 3)
    };
    assert_eq!(said(&bare), "Skip POST /v1/sessions/s-9/skip -");
    let orphan = PushItem {
        parent_id: None,
        ..item("set_log", Create, 0)
    };
    assert_eq!(
        said(&orphan),
        "no_address: the address needs {parent}, which is not known"
    );
    let lost = PushItem {
        id: "..".to_owned(),
        ..item("session", Create, 0)
    };
    assert!(said(&lost).starts_with("bad_id: "), "{}", said(&lost));
    let broken = PushItem {
        body: Some("{".to_owned()),
        ..item("session", Create, 0)
    };
    assert!(said(&broken).starts_with("bad_body: "), "{}", said(&broken));
}

#[test]
fn a_registration_that_contradicts_itself_is_refused() {
    let update = |it: Endpoints| it.on(Update, "PUT /v1/{id}").unwrap();
    let complete = |it: Endpoints| it.on(Complete, "POST /v1/{id}/complete").unwrap();
    let new = || Endpoints::new("session");
    let since = || crate::remote::rest::ListForm::since("GET /v1?since={cursor}").unwrap();
    let versioned = || new().record(RecordForm::new().version_number("/version").unwrap());
    for (endpoints, is_fine) in [
        (new(), true),
        (new().as_update(Complete), false),
        (update(new()).as_update(Complete), true),
        (update(new()).as_update(Delete), false),
        (new().carried(Create), false),
        (complete(new()).carried(Create), true),
        (
            new().on_bare(Complete, "POST /v1/{id}/c").unwrap().carried(Create),
            false,
        ),
        (complete(new()).carried(Delete), false),
        (new().list(since()), false),
        (new().list(since().next_cursor("/next").unwrap()), false),
        (versioned().list(since()), false),
        (versioned().list(since().next_cursor("/next").unwrap()), true),
    ] {
        let text = format!("{endpoints:?}");
        let api = Api::new(ErrorForm::new("application/json", "/code").unwrap());
        assert_eq!(api.collection(endpoints).is_ok(), is_fine, "{text}");
    }
    let api = Api::new(ErrorForm::new("application/json", "/code").unwrap());
    let twice = api.collection(new()).and_then(|api| api.collection(new()));
    assert!(twice.is_err());
    for (media_type, code) in [
        ("text/html", "/code"),
        ("application/json; charset=utf-8", "/code"),
        ("application/json", ""),
    ] {
        assert!(ErrorForm::new(media_type, code).is_err(), "{media_type} {code}");
    }
}
