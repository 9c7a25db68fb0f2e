//! Why a survivor may survive: the list in docs/mutants.md.

use crate::Result;
use std::{collections::BTreeMap, path::Path};

/// By the mutant's key. A reason is a list item: the key, a colon, and why.
pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, String>> {
    let Ok(text) = std::fs::read_to_string(path) else {
        return Ok(BTreeMap::new());
    };
    let mut reasons = BTreeMap::new();
    for line in text.lines() {
        let Some(item) = line.strip_prefix("- `") else {
            continue;
        };
        // The key ends with a backtick, or a number in parentheses, and a colon.
        let ends = [item.rfind("`: "), item.rfind("): ")];
        let Some(at) = ends.into_iter().flatten().max() else {
            continue;
        };
        reasons.insert(format!("`{}", &item[..=at]), item[at + 3..].to_owned());
    }
    Ok(reasons)
}
