//! A list that goes by its keys on one side and not on the other. Pure.
//!
//! There is nothing to compare element by element, so the whole list stands whose latest write is later, with its
//! elements' clocks, as if both sides had it. With a base and no clocks from the remote: the one that was changed.

use super::{
    Object,
    units::{self, Cell, Rule},
};
use crate::conflict::clocks::Clock;
use serde_json::Value;
use std::collections::BTreeMap;

type Cells = BTreeMap<String, Cell>;

/// Makes such lists the same on both sides. `base` only where it decides.
pub(super) fn settle(
    rule: &Rule<'_>,
    base: Option<&Object>,
    ours: (&mut Object, &mut Cells),
    theirs: (&mut Object, &mut Cells),
) {
    let Rule::PerKey(key) = rule else { return };
    let by_keys = |value: &Value| value.as_array().map(|all| units::keys(all, key).is_some());
    let differs = |(field, our): (&String, &Value)| {
        let their = theirs.0.get(field)?;
        (by_keys(our)? != by_keys(their)?).then(|| field.clone())
    };
    let fields: Vec<String> = ours.0.iter().filter_map(differs).collect();
    for field in fields {
        let stands = |side: &(&mut Object, &mut Cells)| rank(&field, side.0, side.1);
        let unchanged =
            |side: &(&mut Object, &mut Cells)| base.is_some_and(|base| base.get(&field) == side.0.get(&field));
        let ours_stands = match (unchanged(&ours), unchanged(&theirs)) {
            (true, false) => false,
            (false, true) => true,
            _ => stands(&ours) > stands(&theirs),
        };
        match ours_stands {
            true => copy(&field, (&*ours.0, &*ours.1), (&mut *theirs.0, &mut *theirs.1)),
            false => copy(&field, (&*theirs.0, &*theirs.1), (&mut *ours.0, &mut *ours.1)),
        }
    }
}

fn rank(field: &str, fields: &Object, cells: &Cells) -> (Option<Clock>, Option<String>) {
    let of_field = cells.iter().filter(|(unit, _)| units::is_in(unit, field));
    let latest = of_field.map(|(_, cell)| &cell.clock).max();
    // The text decides only between writes that no clock tells apart.
    (latest.cloned(), fields.get(field).map(Value::to_string))
}

fn copy(field: &str, from: (&Object, &Cells), onto: (&mut Object, &mut Cells)) {
    if let Some(value) = from.0.get(field) {
        onto.0.insert(field.to_owned(), value.clone());
    }
    onto.1.retain(|unit, _| !units::is_in(unit, field));
    let of_field = from.1.iter().filter(|(unit, _)| units::is_in(unit, field));
    onto.1.extend(of_field.map(|(unit, cell)| (unit.clone(), cell.clone())));
}
