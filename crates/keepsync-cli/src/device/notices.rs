//! `notices`: what happened elsewhere that the user should be told, until it is dismissed.

use crate::{
    args::NoticesVerb,
    failure::{Exit, Failure},
    form::time,
    out::Out,
};
use keepsync::{
    Error, Store,
    notice::{Notice, NoticeKind},
};
use serde::Serialize;

#[derive(Serialize)]
struct NoticeForm<'a> {
    notice: i64,
    kind: &'static str,
    collection: &'a str,
    id: Option<&'a str>,
    device_id: Option<&'a str>,
    times: u64,
    at: String,
}

impl<'a> From<&'a Notice> for NoticeForm<'a> {
    fn from(notice: &'a Notice) -> Self {
        Self {
            notice: notice.n,
            kind: notice.kind.as_str(),
            collection: &notice.collection,
            id: notice.id.as_deref(),
            device_id: notice.device_id.as_deref(),
            times: notice.times,
            at: time(notice.at),
        }
    }
}

pub(super) async fn run(store: &Store, verb: NoticesVerb, out: &mut Out) -> Result<Exit, Failure> {
    match verb {
        NoticesVerb::List => list(&store.notices().await?, out)?,
        NoticesVerb::Dismiss { notice } => {
            if !store.notices().await?.iter().any(|known| known.n == notice) {
                return Err(Error::NotFound {
                    what: "notice",
                    id: notice.to_string(),
                }
                .into());
            }
            store.dismiss_notice(notice).await?;
        }
    }
    Ok(Exit::Good)
}

fn list(notices: &[Notice], out: &mut Out) -> Result<(), Failure> {
    if out.json {
        return notices
            .iter()
            .try_for_each(|notice| out.object(&NoticeForm::from(notice)));
    }
    let rows: Vec<[String; 4]> = notices
        .iter()
        .map(|notice| {
            [
                notice.n.to_string(),
                time(notice.at),
                about(notice),
                said(notice).to_owned(),
            ]
        })
        .collect();
    out.table(["notice", "at", "about", "what happened"], &rows, "no notices")
}

fn about(notice: &Notice) -> String {
    match &notice.id {
        Some(id) => format!("{}/{id}", notice.collection),
        None => notice.collection.clone(),
    }
}

fn said(notice: &Notice) -> &'static str {
    match notice.kind {
        NoticeKind::EditLostToDelete => "it was deleted elsewhere after you edited it; your edit is in its history",
        NoticeKind::DefinitionsChanged => "definitions were updated",
        NoticeKind::SessionDeletedElsewhere => "another device deleted this session while it is in progress here",
        NoticeKind::ChangedElsewhere => "another device has just changed it",
    }
}
