//! Runs the story of one seed, in a folder of its own that is gone afterwards.

use crate::{
    chance::Act,
    device::Broken,
    oracle::Violation,
    plot::Plot,
    world::{Stats, World},
};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// How a story came out.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Equal for equal stories.
    pub hash: u64,
    /// What it was made of.
    pub stats: Stats,
    /// The promise it broke, if it did.
    pub violation: Option<Violation>,
    /// What the second oracle was told, one fact a line, if the story came to its end.
    pub history: Option<String>,
    /// Its last lines.
    pub last: Vec<String>,
    /// The acts of its users.
    pub acts: BTreeSet<Act>,
    /// What its faults are made of, by the names of [`KINDS`](crate::faults::KINDS).
    pub kinds: Vec<&'static str>,
    /// Where it broke off, in virtual milliseconds.
    pub end: u64,
}

/// Runs a story. `print` writes its trace out.
///
/// # Errors
/// What is wrong with the machine it runs on: no room, no permission.
pub fn run(seed: u64, plot: Plot, print: bool) -> Result<Outcome, Broken> {
    let folder = Folder::new()?;
    let mut world = World::new(seed, &folder.0, plot, print)?;
    let violation = world.run().err();
    Ok(Outcome {
        acts: std::mem::take(&mut world.oracle.acts),
        kinds: world.kinds().to_vec(),
        end: world.clock.now(),
        seed,
        hash: world.trace().hash(),
        stats: world.stats(),
        violation,
        history: print.then(|| world.oracle.witness.told()).flatten(),
        last: world.trace().last(),
    })
}

/// A folder that goes with its value. In memory where the system has a place for that: the files are
/// real, only the disk is not waited for.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> std::io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let name = format!("keepsync-sim-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = base.join(name);
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder left behind is not worth an error.
        let _ = fs::remove_dir_all(&self.0);
    }
}
