//! The copy of the workspace that has all mutants in it, and which of them compile.

use crate::{
    Result,
    mutant::Mutant,
    weave::{Woven, weave},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What became of the mutants before any ran.
#[derive(Default)]
pub(crate) struct Dropped {
    /// Their code does not compile.
    pub(crate) unviable: BTreeSet<usize>,
    /// They may compile, but not behind a switch.
    pub(crate) unswitched: BTreeSet<usize>,
}

impl Dropped {
    fn has(&self, id: usize) -> bool {
        self.unviable.contains(&id) || self.unswitched.contains(&id)
    }
}

/// Copies `root` to `copy` and leaves files alone that are as they should be: cargo looks at times.
fn copy_over(root: &Path, copy: &Path, woven: &BTreeMap<PathBuf, Woven>) -> Result<()> {
    let mut wanted = BTreeSet::new();
    let listed = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .output()?;
    for name in String::from_utf8(listed.stdout)?
        .split('\0')
        .filter(|name| !name.is_empty())
    {
        let path = PathBuf::from(name);
        let Ok(mut bytes) = fs::read(root.join(&path)) else {
            continue; // A link, or deleted.
        };
        if let Some(woven) = woven.get(&path) {
            bytes = woven.text.clone().into_bytes();
        } else if name == "Cargo.toml" {
            // Cargo tells the packages of two workspaces in one target directory apart by their versions alone.
            bytes = with_version(&String::from_utf8(bytes)?)?.into_bytes();
        } else if name == "crates/keepsync/src/lib.rs" {
            bytes.extend_from_slice(b"\n#[allow(warnings)]\npub mod switches;\n");
        }
        write_if_other(&copy.join(&path), &bytes)?;
        wanted.insert(path);
    }
    let switches = PathBuf::from("crates/keepsync/src/switches.rs");
    write_if_other(&copy.join(&switches), include_bytes!("switches.txt"))?;
    wanted.insert(switches);
    prune(copy, copy, &wanted)
}

/// `version = "0.1.0"` of the workspace becomes `"0.1.0+mutants"`.
fn with_version(manifest: &str) -> Result<String> {
    let package = manifest
        .find("[workspace.package]")
        .ok_or("the workspace has no version")?;
    let version = manifest[package..]
        .find("version = \"")
        .ok_or("the workspace has no version")?;
    let start = package + version + "version = \"".len();
    let end = start + manifest[start..].find('"').ok_or("the version does not end")?;
    Ok(format!("{}+mutants{}", &manifest[..end], &manifest[end..]))
}

fn prune(copy: &Path, folder: &Path, wanted: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            prune(copy, &path, wanted)?;
        } else if !wanted.contains(path.strip_prefix(copy)?) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn write_if_other(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    Ok(fs::write(path, bytes)?)
}

/// Makes the copy, and drops mutants until it compiles.
pub(crate) fn make(root: &Path, copy: &Path, mutants: &[Mutant], say: &mut dyn FnMut(String)) -> Result<Dropped> {
    let mut dropped = Dropped::default();
    let remembered = copy.with_extension("dropped.json");
    if let Ok(bytes) = fs::read(&remembered) {
        let (unviable, unswitched): (BTreeSet<String>, BTreeSet<String>) = serde_json::from_slice(&bytes)?;
        for (id, mutant) in mutants.iter().enumerate() {
            if unviable.contains(&mutant.key) {
                dropped.unviable.insert(id);
            } else if unswitched.contains(&mutant.key) {
                dropped.unswitched.insert(id);
            }
        }
    }
    for round in 1.. {
        let woven = weave_all(root, mutants, &mut dropped)?;
        copy_over(root, copy, &woven)?;
        let before = dropped.unviable.len() + dropped.unswitched.len();
        let good = check(copy, &woven, &mut dropped)?;
        let now = dropped.unviable.len() + dropped.unswitched.len();
        say(format!(
            "round {round}: {} mutants do not compile, {} not behind a switch",
            dropped.unviable.len(),
            dropped.unswitched.len()
        ));
        if good {
            break;
        }
        if now == before {
            return Err("the copy does not compile, and no mutant is to blame".into());
        }
    }
    let keys = |ids: &BTreeSet<usize>| ids.iter().map(|id| mutants[*id].key.clone()).collect::<BTreeSet<_>>();
    fs::write(
        remembered,
        serde_json::to_vec(&(keys(&dropped.unviable), keys(&dropped.unswitched)))?,
    )?;
    Ok(dropped)
}

fn weave_all(root: &Path, mutants: &[Mutant], dropped: &mut Dropped) -> Result<BTreeMap<PathBuf, Woven>> {
    let mut files: BTreeMap<&str, Vec<(usize, &Mutant)>> = BTreeMap::new();
    for (id, mutant) in mutants.iter().enumerate() {
        if !dropped.has(id) {
            files.entry(&mutant.file).or_default().push((id, mutant));
        }
    }
    let mut woven = BTreeMap::new();
    for (file, here) in files {
        let source = fs::read_to_string(root.join(file))?;
        let one = weave(&source, &here)?;
        dropped.unviable.extend(&one.ungrammatical);
        for (id, _) in here {
            if !one.placed.contains(&id) && !one.ungrammatical.contains(&id) {
                dropped.unswitched.insert(id);
            }
        }
        woven.insert(PathBuf::from(file), one);
    }
    Ok(woven)
}

/// Whether it compiles; what is to blame if not goes to `dropped`.
fn check(copy: &Path, woven: &BTreeMap<PathBuf, Woven>, dropped: &mut Dropped) -> Result<bool> {
    let out = Command::new("cargo")
        .current_dir(copy)
        .args(["check", "-p", "keepsync", "--lib", "--message-format=json"])
        .stderr(Stdio::inherit())
        .output()?;
    for line in out
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| line.starts_with(b"{"))
    {
        let message: Value = serde_json::from_slice(line)?;
        if message["message"]["level"] != "error" {
            continue;
        }
        let spans = message["message"]["spans"].as_array().cloned().unwrap_or_default();
        // The error's own place first.
        let (first, rest): (Vec<_>, Vec<_>) = spans.into_iter().partition(|span| span["is_primary"] == true);
        for span in first.into_iter().chain(rest) {
            if blame(&span, woven, dropped) {
                break;
            }
        }
    }
    Ok(out.status.success())
}

fn blame(span: &Value, woven: &BTreeMap<PathBuf, Woven>, dropped: &mut Dropped) -> bool {
    let (Some(file), Some(start), Some(end)) = (
        span["file_name"].as_str(),
        span["byte_start"].as_u64(),
        span["byte_end"].as_u64(),
    ) else {
        return false;
    };
    let (start, end) = (start as usize, end as usize);
    let Some(woven) = woven.get(Path::new(file)) else {
        return false;
    };
    if let Some((_, id)) = woven
        .mutants
        .iter()
        .find(|(range, _)| range.start <= start && end <= range.end)
    {
        dropped.unviable.insert(*id);
        return true;
    }
    let around = woven
        .wraps
        .iter()
        .filter(|(range, _)| range.start <= start && end <= range.end);
    if let Some((_, ids)) = around.min_by_key(|(range, _)| range.len()) {
        dropped.unswitched.extend(ids);
        return true;
    }
    false
}

/// A test program.
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// Where cargo would run it.
    pub(crate) folder: PathBuf,
}

/// Builds the tests of these packages in the copy, or only their unit tests.
pub(crate) fn build(copy: &Path, packages: &[&str], unit: bool) -> Result<Vec<Program>> {
    let mut command = Command::new("cargo");
    command
        .current_dir(copy)
        .args(["test", "--no-run", "--lib", "--message-format=json"]);
    if !unit {
        command.arg("--tests");
    }
    for package in packages {
        command.args(["-p", package]);
    }
    let out = command.stderr(Stdio::inherit()).output()?;
    if !out.status.success() {
        return Err("the tests do not build".into());
    }
    let mut found = HashMap::new();
    for line in out
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| line.starts_with(b"{"))
    {
        let message: Value = serde_json::from_slice(line)?;
        let (Some(path), Some(manifest)) = (message["executable"].as_str(), message["manifest_path"].as_str()) else {
            continue;
        };
        if message["profile"]["test"] == true {
            let folder = Path::new(manifest).parent().unwrap_or(copy).to_path_buf();
            let package = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let target = message["target"]["name"].as_str().unwrap_or_default();
            found.insert(
                path.to_owned(),
                Program {
                    name: format!("{package}/{target}"),
                    path: path.into(),
                    folder,
                },
            );
        }
    }
    let mut programs: Vec<Program> = found.into_values().collect();
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(programs)
}
