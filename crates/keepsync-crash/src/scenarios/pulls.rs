//! Pages of other devices' writes.

use super::{
    deeds::{elsewhere, put},
    scenario, three,
};
use crate::{
    act::{Act, Scenario, pass, settle, world, write},
    server::Net,
};
use keepsync::notice;

pub(super) fn all() -> Vec<Scenario> {
    let theirs = || {
        vec![
            elsewhere("exercise", "squat", Some(r#"{"name":"Squat"}"#)),
            elsewhere("exercise", "bench", Some(r#"{"name":"Bench"}"#)),
            elsewhere("workout", "theirs", Some(r#"{"date":"9"}"#)),
            elsewhere("set_log", "their-set", Some(r#"{"workout_id":"theirs"}"#)),
            elsewhere("profile", "me", Some(r#"{"n":7}"#)),
        ]
    };
    let with = |mut acts: Vec<Act>, more: Vec<Act>| {
        acts.extend(more);
        acts
    };
    let paged = || world("pages of two", |server| server.page = 2);
    vec![
        scenario(
            "apply-pages",
            with(vec![paged()], theirs()),
            vec![pass(Net::Well), pass(Net::Well)],
        ),
        scenario(
            "apply-pages-that-break-off",
            with(vec![paged()], theirs()),
            vec![pass(Net::PullBreaks), pass(Net::Well)],
        ),
        scenario(
            "apply-page-beside-unsent",
            with(three(), with(theirs(), vec![paged()])),
            vec![pass(Net::Offline), put("exercise", "mine", "{}"), pass(Net::Well)],
        ),
        scenario(
            "apply-deletions",
            with(theirs(), vec![settle(), put("workout", "theirs", r#"{"date":"10"}"#)]),
            vec![
                elsewhere("exercise", "squat", None),
                elsewhere("workout", "theirs", None),
                elsewhere("profile", "me", None),
                pass(Net::Well),
            ],
        ),
        scenario(
            "server-restored",
            with(
                three(),
                vec![settle(), put("profile", "me", r#"{"n":9}"#), put("workout", "w2", "{}")],
            ),
            vec![
                world("the server is restored", |server| server.restore(1)),
                pass(Net::Well),
                pass(Net::Well),
            ],
        ),
        scenario(
            "notices",
            vec![
                put("workout", "w", r#"{"n":1}"#),
                settle(),
                elsewhere("workout", "w", Some(r#"{"n":2}"#)),
                elsewhere("exercise", "e", Some("{}")),
            ],
            vec![
                pass(Net::Well),
                write("dismiss all", |write| {
                    for one in write.read().notices()? {
                        notice::dismiss(write, one.n)?;
                    }
                    Ok(None)
                }),
            ],
        ),
    ]
}
