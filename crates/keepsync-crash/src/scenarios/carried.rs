//! Bringing what another device exported.

use super::{collections, deeds::put, scenario};
use crate::{
    act::{Act, Scenario, pass, work},
    server::{Net, START},
};
use keepsync::{
    Db, Error, OpenOptions, Place, Result,
    carry::{self, Import, Imported},
    conflict::Resolvers,
    record, session,
    settings::Settings,
};
use std::sync::Arc;

/// What another device exported.
fn exported() -> Result<String> {
    let options = OpenOptions {
        place: Place::Memory,
        account: "another".to_owned(),
        key: crate::key::key(),
        device_id: Some("another".to_owned()),
        collections: collections()?,
        settings: Settings::default(),
        resolvers: Resolvers::new(),
        env: Arc::new(crate::phone::Clock::default()),
    };
    let mut db = Db::open(options)?;
    db.write(|write| {
        for n in 0..6 {
            record::put(write, "workout", &format!("w{n}"), &format!("{{\"date\":\"{n}\"}}"))?;
            let set = format!("{{\"workout_id\":\"w{n}\",\"kg\":{n}}}");
            record::put(write, "set_log", &format!("x{n}"), &set)?;
        }
        session::start(write, "workout", "set_log", "live", "{}")?;
        session::log_set(write, "workout", "live", "bench/1", r#"{"kg":60}"#)?;
        Ok(())
    })?;
    Ok(db.read(|read| carry::export(read, START))?.text)
}

fn import() -> Result<Act> {
    let text = exported()?;
    let (known, limits) = (collections()?, Settings::default());
    Ok(work("import", move |db, done| {
        let import =
            Import::parse(text.as_bytes(), &known, &limits).map_err(|error| Error::Internal(error.to_string()))?;
        let mut so_far = Imported::default();
        while !import.is_done(so_far) {
            so_far = db.write(|write| import.bring(write, so_far))?.0;
            done();
        }
        Ok(())
    }))
}

pub(super) fn all() -> Result<Vec<Scenario>> {
    Ok(vec![scenario(
        "import",
        vec![put("workout", "w1", r#"{"mine":true}"#)],
        vec![import()?, pass(Net::Well)],
    )])
}
