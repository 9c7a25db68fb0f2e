//! What users do in the collections whose versions are merged, with twins, with the queue: and what the
//! oracle is to know of it.

use crate::{
    app::{COUNTED, DAYS, DISHES, FIELDS, INSTANT, JUDGED, LARGEST, NEW, TWINS},
    oracle::{Fate, Sum},
    user::{Done, Hands, deed, note, nothing},
};
use keepsync::{
    queue::{self, WriteOutcome},
    record::{self, Query},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

impl Hands<'_> {
    /// One thing a user does there.
    pub(crate) fn more(&mut self) -> Done {
        match self.rng.below(20) {
            0..4 => self.count_up(),
            4..6 => self.raise(LARGEST),
            6..8 => self.raise(INSTANT),
            8..10 => self.write_unit(DAYS),
            10..12 => self.write_unit(FIELDS),
            12..14 => {
                let id = format!("x{}", self.rng.below(3));
                self.put_to(JUDGED, &id)
            }
            14 | 15 => self.eat(),
            16 => self.merge_twins(),
            17 => self.roll_back(),
            18 => self.ask_what_became(),
            _ if self.device.version >= 2 => {
                let id = format!("x{}", self.rng.below(3));
                self.put_to(NEW, &id)
            }
            _ => self.put(),
        }
    }

    fn object(&mut self, collection: &str, id: &str) -> Result<Map<String, Value>, crate::oracle::Violation> {
        let record = self.app()?.db.read(|read| read.get(collection, id))?;
        let body = record.and_then(|record| record.body);
        Ok(body
            .and_then(|body| serde_json::from_str(&body).ok())
            .unwrap_or_default())
    }

    /// Counts something up by a few.
    fn count_up(&mut self) -> Done {
        let id = format!("x{}", self.rng.below(2));
        let mut body = self.object(COUNTED, &id)?;
        let (saw, old) = (mark(&body), number(&body, "n"));
        let by = i64::try_from(self.rng.between(1, 9)).unwrap_or(1);
        let marker = self.fresh();
        body.insert("m".to_owned(), marker.as_str().into());
        body.insert("n".to_owned(), (old + by).into());
        let text = Value::from(body).to_string();
        let written = self.app()?.db.write(|write| record::put(write, COUNTED, &id, &text));
        let fate = Fate::of(written.is_ok());
        let what = format!("counts {COUNTED}/{id} up by {by} {marker}");
        let (user, key) = (self.device.user(), (COUNTED.to_owned(), id.clone()));
        self.oracle.counted(user, key, "n", Sum { by, to: old + by }, fate);
        self.tell(written, what, vec![note(COUNTED, &id, &marker, false, saw)])
    }

    /// Writes a number larger than the one that is there.
    fn raise(&mut self, collection: &str) -> Done {
        let id = format!("x{}", self.rng.below(2));
        let mut body = self.object(collection, &id)?;
        let saw = mark(&body);
        let by = i64::try_from(self.rng.between(1, 9)).unwrap_or(1);
        let marker = self.fresh();
        body.insert("m".to_owned(), marker.as_str().into());
        let (member, to) = if collection == INSTANT {
            let to = number(&body, "at") + by;
            body.insert("at".to_owned(), to.into());
            ("at", to)
        } else {
            let member = *self.rng.pick(&["a", "b"]).unwrap_or(&"a");
            let mut numbers = body.get("v").and_then(Value::as_object).cloned().unwrap_or_default();
            let to = number(&numbers, member) + by;
            numbers.insert(member.to_owned(), to.into());
            body.insert("v".to_owned(), numbers.into());
            (member, to)
        };
        let text = Value::from(body).to_string();
        let written = self.app()?.db.write(|write| record::put(write, collection, &id, &text));
        let fate = Fate::of(written.is_ok());
        let what = format!("raises {member} of {collection}/{id} to {to} {marker}");
        let (user, key) = (self.device.user(), (collection.to_owned(), id.clone()));
        self.oracle.counted(user, key, member, Sum { by, to }, fate);
        self.tell(written, what, vec![note(collection, &id, &marker, false, saw)])
    }

    /// Writes one unit of a record whose units are settled each by itself.
    fn write_unit(&mut self, collection: &str) -> Done {
        let id = format!("x{}", self.rng.below(2));
        let mut body = self.object(collection, &id)?;
        let (saw, marker) = (mark(&body), self.fresh());
        body.insert("m".to_owned(), marker.as_str().into());
        let unit = self.fresh();
        let (name, before) = if collection == DAYS {
            let day = self.rng.below(3);
            let mut days = body.get("days").and_then(Value::as_array).cloned().unwrap_or_default();
            let at = days
                .iter()
                .position(|it| it.get("day").and_then(Value::as_u64) == Some(day));
            let new = json!({ "day": day, "u": unit });
            let before = match at {
                Some(at) => std::mem::replace(&mut days[at], new).get("u").cloned(),
                None => {
                    days.push(new);
                    None
                }
            };
            body.insert("days".to_owned(), days.into());
            (format!("day {day}"), before)
        } else if self.rng.chance(0.5) {
            body.insert("w".to_owned(), unit.as_str().into());
            ("w".to_owned(), body.insert("u".to_owned(), unit.as_str().into()))
        } else {
            ("a".to_owned(), body.insert("a".to_owned(), unit.as_str().into()))
        };
        let text = Value::from(body).to_string();
        let written = self.app()?.db.write(|write| record::put(write, collection, &id, &text));
        let fate = Fate::of(written.is_ok());
        let what = format!("writes {name} of {collection}/{id}: {unit} {marker}");
        let before = before.as_ref().and_then(Value::as_str).map(str::to_owned);
        let (user, key) = (self.device.user(), (collection.to_owned(), id.clone()));
        self.oracle.wrote_unit(user, key, &name, &unit, before, fate);
        self.tell(written, what, vec![note(collection, &id, &marker, false, saw)])
    }

    /// Notes a meal, or a dish of one.
    fn eat(&mut self) -> Done {
        let meals = self.app()?.db.read(|read| read.query(&Query::new(TWINS).limit(20)))?;
        let marker = self.fresh();
        if let Some(meal) = self.rng.pick(&meals.records).filter(|_| self.rng.clone().chance(0.6)) {
            let id = format!("{}-{}", meal.id, self.rng.below(2));
            let body = json!({ "m": marker, "meal_id": meal.id, "slot": "s" }).to_string();
            let saw = self.seen(DISHES, &id)?;
            let written = self.app()?.db.write(|write| record::put(write, DISHES, &id, &body));
            let what = format!("puts {DISHES}/{id} {marker}");
            return self.tell(written, what, vec![note(DISHES, &id, &marker, false, saw)]);
        }
        let id = format!("d{}-{}", self.device.index, self.rng.below(2));
        let body = json!({ "m": marker, "date": format!("d{}", self.rng.below(2)) }).to_string();
        let saw = self.seen(TWINS, &id)?;
        let written = self.app()?.db.write(|write| record::put(write, TWINS, &id, &body));
        let what = format!("puts {TWINS}/{id} {marker}");
        self.tell(written, what, vec![note(TWINS, &id, &marker, false, saw)])
    }

    /// Makes one of two meals of one date: the dishes of the one move to the other.
    fn merge_twins(&mut self) -> Done {
        let groups = self.app()?.db.read(|read| read.twins(TWINS))?;
        let Some([keep, drop, ..]) = self.rng.pick(&groups).map(Vec::as_slice) else {
            return Ok(nothing("finds no twins".to_owned()));
        };
        let (keep, drop) = (keep.record.clone(), drop.record.clone());
        let dishes = self.app()?.db.read(|read| read.query(&Query::new(DISHES).limit(100)))?;
        let mut notes = vec![note(TWINS, &drop.id, &self.fresh(), true, body_mark(&drop.body))];
        for dish in &dishes.records {
            let body: Map<String, Value> = dish
                .body
                .as_deref()
                .and_then(|body| serde_json::from_str(body).ok())
                .unwrap_or_default();
            if body.get("meal_id").and_then(Value::as_str) == Some(&drop.id) {
                notes.push(note(DISHES, &dish.id, &self.fresh(), true, mark(&body)));
            }
        }
        let written = self
            .app()?
            .db
            .write(|write| record::merge_into(write, TWINS, &keep.id, &drop.id));
        let what = format!("keeps {TWINS}/{}, merges {} into it", keep.id, drop.id);
        self.tell(written, what, notes)
    }

    /// Takes an unsent write back.
    fn roll_back(&mut self) -> Done {
        let mut entries = self.app()?.db.read(|read| read.entries(i64::MIN, 1_000))?;
        entries.retain(|entry| entry.collection != COUNTED);
        let Some(entry) = self.rng.pick(&entries).cloned() else {
            return Ok(nothing("has nothing to roll back".to_owned()));
        };
        self.thrown(&entry.collection, &entry.id);
        let op = entry.op;
        let written = self.app()?.db.write(|write| queue::rollback(write, op, true));
        let what = format!("rolls {op} of {}/{} back", entry.collection, entry.id);
        Ok(deed(what, written.map(|(_, changes)| changes)))
    }

    /// The user throws something of a record away: what stands at the end cannot be told from what was written.
    pub(crate) fn thrown(&mut self, collection: &str, id: &str) {
        let user = self.device.user();
        self.oracle.thrown(user, (collection.to_owned(), id.to_owned()));
    }

    /// Asks what became of a write, of this life of the app or of an earlier one.
    fn ask_what_became(&mut self) -> Done {
        let (user, device) = (self.device.user(), self.device.index);
        let entries = self.app()?.db.read(|read| read.entries(i64::MIN, 1_000))?;
        if let Some(entry) = self.rng.pick(&entries) {
            self.oracle.remember(user, device, entry.op);
        }
        let ops: Vec<Uuid> = self.oracle.remembered(user, device);
        let Some(op) = self.rng.pick(&ops).copied() else {
            return Ok(nothing("has nothing to ask about".to_owned()));
        };
        let outcome = self.app()?.db.read(|read| read.outcome(op))?;
        if outcome == WriteOutcome::Unknown && !self.device.full {
            return crate::oracle::broken("never stuck in silence", format!("nothing is known of {op}"));
        }
        Ok(nothing(format!("asks about {op}: {}", outcome.code())))
    }
}

fn mark(body: &Map<String, Value>) -> Option<String> {
    body.get("m").and_then(Value::as_str).map(str::to_owned)
}

fn body_mark(body: &Option<String>) -> Option<String> {
    body.as_deref().and_then(crate::oracle::marker).map(str::to_owned)
}

fn number(body: &Map<String, Value>, name: &str) -> i64 {
    body.get(name).and_then(Value::as_i64).unwrap_or(0)
}
