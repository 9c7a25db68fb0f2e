//! The targets, each in a module that says what it holds.

pub(crate) mod answers;
mod bodies;
mod carried;
mod cursors;
mod damage;
mod file;
mod jwt;
mod plans;
mod requests;
mod rest;
mod retry_after;
pub(crate) mod sessions;
mod strong;
mod templates;

/// What takes any bytes, and panics if what must hold does not.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// Runs it once.
    pub run: fn(&[u8]),
    /// How many mutations a test run makes: as many as take a second or two.
    pub mutations: u32,
}

macro_rules! targets {
    ($($name:ident $mutations:literal),* $(,)?) => {
        /// Every target.
        pub fn all() -> Vec<Target> {
            vec![$(Target { name: stringify!($name), run: $name::run, mutations: $mutations }),*]
        }
    };
}

targets! {
    answers 6_000,
    rest 6_000,
    sessions 300,
    cursors 6_000,
    templates 6_000,
    retry_after 6_000,
    jwt 1_500,
    requests 1_000,
    bodies 600,
    plans 4_000,
    carried 300,
    strong 1_500,
    file 200,
    damage 200,
}

/// The target of this name.
pub fn named(name: &str) -> Option<Target> {
    all().into_iter().find(|target| target.name == name)
}

/// Runs the target of this name once.
///
/// # Panics
/// If what must hold does not, or there is no such target.
pub fn run(name: &str, data: &[u8]) {
    (named(name).expect("a target of that name").run)(data);
}
