//! What cargo-mutants would change, as it lists it.

use crate::Result;
use serde::Deserialize;
use std::{collections::HashMap, path::Path, process::Command};

/// A place in a source file. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Stretch {
    pub(crate) start: Place,
}

/// The kinds of cargo-mutants' changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub(crate) enum Genre {
    FnValue,
    BinaryOperator,
    UnaryOperator,
    MatchArm,
    MatchArmGuard,
    StructField,
}

/// One change.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Mutant {
    pub(crate) file: String,
    pub(crate) name: String,
    pub(crate) genre: Genre,
    pub(crate) replacement: String,
    pub(crate) span: Stretch,
    /// What it is called where lines may move: file, change and the text of its line.
    #[serde(skip)]
    pub(crate) key: String,
}

/// All mutants of the files that match one of the globs.
pub(crate) fn list(root: &Path, globs: &[&str]) -> Result<Vec<Mutant>> {
    let mut command = Command::new("cargo");
    command.current_dir(root).args(["mutants", "--list", "--json"]);
    for glob in globs {
        command.args(["-f", glob]);
    }
    let out = command.output()?;
    if !out.status.success() {
        return Err(format!("cargo mutants: {}", String::from_utf8_lossy(&out.stderr)).into());
    }
    let mut mutants: Vec<Mutant> = serde_json::from_slice(&out.stdout)?;
    let mut sources = HashMap::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for mutant in &mut mutants {
        if !sources.contains_key(&mutant.file) {
            let text = std::fs::read_to_string(root.join(&mutant.file))?;
            sources.insert(mutant.file.clone(), text);
        }
        let line = sources[&mutant.file]
            .lines()
            .nth(mutant.span.start.line - 1)
            .unwrap_or_default();
        let file = mutant.file.strip_prefix("crates/keepsync/src/").unwrap_or(&mutant.file);
        let change = mutant.name.splitn(4, ':').nth(3).unwrap_or_default().trim();
        let key = format!("`{file}`: `{change}` in `{}`", line.trim());
        let times = seen.entry(key.clone()).or_default();
        *times += 1;
        mutant.key = if *times == 1 { key } else { format!("{key} ({times})") };
    }
    Ok(mutants)
}
