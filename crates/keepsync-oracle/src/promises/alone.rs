//! Leaked: something of one account is met in another's.

use super::{Judged, Promise};
use crate::history::{Fact, History};

pub(super) fn judge(history: &History, judged: &mut Judged) {
    for fact in &history.facts {
        let (user, place, writes): (&str, &str, Vec<&str>) = match fact {
            Fact::Shows { user, write, .. } => (user, "is shown to", write.as_deref().into_iter().collect()),
            Fact::Unsent { user, write, .. } => (user, "is unsent of", write.as_deref().into_iter().collect()),
            Fact::History { user, write, .. } => (user, "is in the history of", write.as_deref().into_iter().collect()),
            Fact::Conflict { user, writes, .. } => {
                (user, "is in a conflict of", writes.iter().map(String::as_str).collect())
            }
            Fact::Applied(applied) => (
                &applied.user,
                "was applied for",
                history.write_of(applied).into_iter().collect(),
            ),
            Fact::Holds { user, write, .. } => (user, "is held for", write.as_deref().into_iter().collect()),
            _ => continue,
        };
        for write in writes {
            let author = history.writes.get(write).map(|written| written.user.as_str());
            if let Some(author) = author.filter(|author| *author != user) {
                judged.broken(Promise::MineOnly, format!("{write} of {author} {place} {user}"));
            }
        }
    }
}
