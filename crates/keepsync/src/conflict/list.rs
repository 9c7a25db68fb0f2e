//! Puts conflicts together from their rows and records, as the user sees them.

use super::{
    Side,
    difference::{Difference, difference},
    member::{Member, all, of_root},
    proposal::{Proposed, Units, propose},
    resolver::Unresolved,
    shown::{ChildBody, Conflict, ConflictChild, Contested, Proposal},
};
use crate::{
    body::Body,
    db::Read,
    error::Result,
    record::{Row, find},
};
use serde_json::{Map, Value};
use uuid::Uuid;

impl Read<'_> {
    /// Conflicts the user has to settle, oldest first.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn conflicts(&self) -> Result<Vec<Conflict>> {
        self.together(|| {
            let mut members = all(self.conn)?;
            members.retain(|member| member.resolver.is_none());
            let mut conflicts = Vec::new();
            while let Some(root) = members.first().map(|first| first.root.clone()) {
                let (of, others) = members.into_iter().partition(|member| member.root == root);
                conflicts.push(build(self, root, of)?);
                members = others;
            }
            Ok(conflicts)
        })
    }

    /// Conflicts that wait for the app's resolvers, oldest first.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn unresolved(&self) -> Result<Vec<Unresolved>> {
        self.together(|| {
            let mut unresolved = Vec::new();
            for mut member in all(self.conn)? {
                if let Some(resolver) = member.resolver.take() {
                    let conflict = build(self, member.root.clone(), vec![member])?;
                    unresolved.push(Unresolved { resolver, conflict });
                }
            }
            Ok(unresolved)
        })
    }

    /// The conflict of a record; for one of its children ask for the record.
    ///
    /// # Errors
    /// Only those of the file.
    pub fn conflict(&self, collection: &str, id: &str) -> Result<Option<Conflict>> {
        self.together(|| {
            let members = of_root(self.conn, collection, id)?;
            if members.is_empty() {
                return Ok(None);
            }
            build(self, (collection.to_owned(), id.to_owned()), members).map(Some)
        })
    }
}

fn build(read: &Read<'_>, root: (String, String), members: Vec<Member>) -> Result<Conflict> {
    let record = find(read.conn, &root.0, &root.1)?;
    let at_root = |member: &&Member| (&member.collection, &member.id) == (&root.0, &root.1);
    let own = members.iter().find(at_root);
    let children = all_children(read, &root, &members)?;
    let token = token(record.as_ref(), own, &members);
    let sides = own.map_or_else(
        || record.as_ref().map(Sides::of_row).unwrap_or_default(),
        Sides::of_member,
    );
    // Where only children are in conflict, the latest of them tells who and when.
    let latest = |at: fn(&Member) -> i64| members.iter().max_by_key(|member| at(member));
    let (here, there) = (
        own.or_else(|| latest(|member| member.local_at)),
        own.or_else(|| latest(|member| member.remote_at)),
    );
    let mut merging = Merging::default();
    let groups = read
        .shared
        .collections
        .get(&root.0)
        .map_or_else(|_| Vec::new(), |it| it.groups.clone());
    let mut body = merging.take(&root, Units::Fields(&groups), &sides, &read.shared.device_id);
    let mut bodies = Vec::new();
    let mut keeps_a_child = false;
    for (child, sides) in &children {
        let groups = read
            .shared
            .collections
            .get(&child.collection)
            .map_or_else(|_| Vec::new(), |it| it.groups.clone());
        let units = if groups.is_empty() {
            Units::Whole
        } else {
            Units::Fields(&groups)
        };
        let key = (child.collection.clone(), child.id.clone());
        // What is not in conflict stays as it is here; the other side will have it too.
        let merged = merging.take(&key, units, sides, &read.shared.device_id);
        let body = if child.in_conflict { merged } else { child.local.clone() };
        keeps_a_child |= child.in_conflict && body.is_some();
        bodies.push(ChildBody {
            collection: key.0,
            id: key.1,
            body,
        });
    }
    if body.is_none() && keeps_a_child {
        // What is kept of it needs the record that one side deleted.
        body = sides.local.clone().or_else(|| sides.remote.clone());
        merging.contest(&root, String::new());
    }
    Ok(Conflict {
        collection: root.0,
        id: root.1,
        token,
        in_conflict: own.is_some(),
        base: sides.base,
        local: sides.local,
        local_at: here.map_or(0, |member| member.local_at),
        local_device: read.shared.device_id.to_string(),
        local_label: read.shared.settings.device_label.clone(),
        remote: sides.remote,
        remote_version: sides.remote_version,
        remote_device: there.map_or_else(String::new, |member| member.remote_device.clone()),
        remote_label: there.and_then(|member| member.remote_label.clone()),
        remote_at: there.map_or(0, |member| member.remote_at),
        opened_at: members.iter().map(|member| member.opened_at).min().unwrap_or(0),
        children: children.into_iter().map(|(child, _)| child).collect(),
        difference: merging.difference,
        proposal: Proposal {
            body,
            children: bodies,
            contested: merging.contested,
        },
    })
}

/// The three bodies of a record, and who wrote two of them.
#[derive(Default)]
struct Sides {
    base: Option<String>,
    local: Option<String>,
    local_hlc: crate::hlc::Hlc,
    remote: Option<String>,
    remote_hlc: crate::hlc::Hlc,
    remote_device: String,
    remote_version: i64,
}

impl Sides {
    fn of_member(member: &Member) -> Self {
        Self {
            base: member.base.clone(),
            local: member.local.clone(),
            local_hlc: member.local_hlc,
            remote: member.remote.clone(),
            remote_hlc: member.remote_hlc,
            remote_device: member.remote_device.clone(),
            remote_version: member.remote_version,
        }
    }

    /// Of a record that is not in conflict: at most one side has changed it.
    fn of_row(row: &Row) -> Self {
        let base = row.base_body().map(str::to_owned);
        Self {
            base: base.clone(),
            local: row.body.clone(),
            local_hlc: row.hlc,
            remote: base,
            remote_hlc: row.hlc,
            remote_device: row.base_device.clone().unwrap_or_else(|| row.device_id.clone()),
            remote_version: row.version,
        }
    }
}

/// The record's children, and members further down.
fn all_children(read: &Read<'_>, root: &(String, String), members: &[Member]) -> Result<Vec<(ConflictChild, Sides)>> {
    let mut keys: Vec<(String, String)> = {
        let mut statement = read
            .conn
            .prepare_cached("SELECT collection, id FROM record WHERE parent_id = ?1 ORDER BY rid")?;
        let rows = statement.query_map([&root.1], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    keys.retain(|(collection, _)| {
        let parent = read
            .shared
            .collections
            .get(collection)
            .ok()
            .and_then(|it| it.parent.as_ref());
        parent.is_some_and(|parent| parent.collection == root.0)
    });
    for member in members {
        let key = (member.collection.clone(), member.id.clone());
        if key != *root && !keys.contains(&key) {
            keys.push(key);
        }
    }
    let mut children = Vec::new();
    for (collection, id) in keys {
        let member = members.iter().find(|it| (&it.collection, &it.id) == (&collection, &id));
        let row = find(read.conn, &collection, &id)?;
        let Some(sides) = member.map(Sides::of_member).or_else(|| row.as_ref().map(Sides::of_row)) else {
            continue;
        };
        if sides.local.is_none() && sides.remote.is_none() && member.is_none() {
            continue;
        }
        let slot = [&sides.local, &sides.remote]
            .into_iter()
            .flatten()
            .find_map(|body| slot_of(body));
        let remote_label = match member {
            Some(member) => member.remote_label.clone(),
            None => read.device_label(&sides.remote_device)?,
        };
        let row_times = row.map_or((0, 0), |row| (row.updated_at, row.base_at.unwrap_or(row.updated_at)));
        let (local_at, remote_at) = member.map_or(row_times, |member| (member.local_at, member.remote_at));
        let child = ConflictChild {
            collection,
            id,
            slot,
            in_conflict: member.is_some(),
            base: sides.base.clone(),
            local: sides.local.clone(),
            local_at,
            remote: sides.remote.clone(),
            remote_version: sides.remote_version,
            remote_device: sides.remote_device.clone(),
            remote_label,
            remote_at,
        };
        children.push((child, sides));
    }
    Ok(children)
}

fn slot_of(body: &str) -> Option<String> {
    Some(object(body)?.get("slot")?.as_str()?.to_owned())
}

/// JSON that no value can hold (a lone surrogate) can be chosen as it stands, but not compared.
fn object(body: &str) -> Option<Map<String, Value>> {
    Body::stored(body.to_owned()).object().ok()
}

#[derive(Default)]
struct Merging {
    difference: Vec<Difference>,
    contested: Vec<Contested>,
}

impl Merging {
    /// The proposed body; where the two cannot be compared, this device's.
    fn take(&mut self, key: &(String, String), units: Units<'_>, sides: &Sides, here: &str) -> Option<String> {
        let parse = |body: &Option<String>| body.as_deref().map(object);
        let (base, local, remote) = (parse(&sides.base), parse(&sides.local), parse(&sides.remote));
        let (base, Some(local), Some(remote)) = (base.flatten(), known(local), known(remote)) else {
            return sides.local.clone().or_else(|| sides.remote.clone());
        };
        let (base, local, remote) = (base.as_ref(), local.as_ref(), remote.as_ref());
        self.difference
            .extend(difference((&key.0, &key.1), base, local, remote));
        let side = |body, hlc, device_id| Side {
            body,
            hlc,
            device_id,
            clocks: None,
        };
        let (l, r) = (
            side(local, sides.local_hlc, here),
            side(remote, sides.remote_hlc, sides.remote_device.as_str()),
        );
        let Proposed { body, contested } = propose(units, base, l, r);
        contested.into_iter().for_each(|path| self.contest(key, path));
        // As it was written, where it is one of the two.
        match body {
            body if body.as_ref() == remote => sides.remote.clone(),
            body if body.as_ref() == local => sides.local.clone(),
            body => body.map(|body| Body::from(body).into_string()),
        }
    }
}

impl Merging {
    fn contest(&mut self, (collection, id): &(String, String), path: String) {
        let (collection, id) = (collection.clone(), id.clone());
        self.contested.push(Contested { collection, id, path });
    }
}

/// `None` for a body that cannot be read; within it, `None` for one that is not there.
#[allow(clippy::option_option, reason = "the two are different things")]
fn known(body: Option<Option<Map<String, Value>>>) -> Option<Option<Map<String, Value>>> {
    match body {
        None => Some(None),
        Some(None) => None,
        read => read,
    }
}

/// The server's version alone, where the record is alone in its conflict and nothing was written since
/// the two met: that is what people read and type. Else it also tells of every side of every member.
fn token(record: Option<&Row>, own: Option<&Member>, members: &[Member]) -> String {
    let version = own.map_or_else(|| record.map_or(0, |row| row.version), |own| own.remote_version);
    if let ([_], Some(own)) = (members, own)
        && own.turn == 0
    {
        return version.to_string();
    }
    let mut told = String::new();
    for member in members {
        let (local, remote) = (member.local_hlc.to_i64(), member.remote_hlc.to_i64());
        told += &format!(
            "{}\n{}\n{} {remote} {local} {}\n",
            member.collection, member.id, member.remote_version, member.turn
        );
    }
    let tail = Uuid::new_v5(&crate::db::NAMESPACE, told.as_bytes())
        .simple()
        .to_string();
    format!("{version}.{}", tail.get(..8).unwrap_or(&tail))
}
