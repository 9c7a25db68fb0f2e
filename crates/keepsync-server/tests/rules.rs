//! The tests that `docs/rules.md` names are there.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::{collections::BTreeMap, path::Path};

/// `crate/file::function`; the file is below `tests`, unless it begins with `src/`.
fn named(cell: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    cell.split('`').skip(1).step_by(2).filter_map(|name| {
        let (place, function) = name.split_once("::")?;
        let (package, file) = place.split_once('/')?;
        Some((package, file, function))
    })
}

#[test]
fn every_rule_of_the_seeds_has_the_tests_its_row_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let document = std::fs::read_to_string(root.join("docs/rules.md")).unwrap();
    let mut sources: BTreeMap<String, String> = BTreeMap::new();
    let (mut rules, mut missing) = (0, Vec::new());
    for row in document
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| rule |"))
    {
        let cell = row.rsplit('|').nth(1).unwrap_or_default();
        let mut tests = 0;
        for (package, file, function) in named(cell) {
            let folder = if file.starts_with("src/") { "" } else { "tests/" };
            let path = format!("crates/{package}/{folder}{file}.rs");
            let source = sources
                .entry(path.clone())
                .or_insert_with(|| std::fs::read_to_string(root.join(&path)).unwrap_or_default());
            let lines: Vec<&str> = source.lines().collect();
            let is_test = |at: usize| {
                let before = lines.get(..at).unwrap_or_default().iter().rev();
                before
                    .take_while(|line| line.starts_with("#["))
                    .any(|line| *line == "#[test]" || line.starts_with("#[tokio::test"))
            };
            let there = lines
                .iter()
                .position(|line| line.contains(&format!("fn {function}()")))
                .is_some_and(is_test);
            if !there {
                missing.push(format!("{path}: {function}"));
            }
            tests += 1;
        }
        assert!(tests > 0, "no test is named: {row}");
        rules += 1;
    }
    assert!(rules > 40, "{rules} rules");
    assert_eq!(missing, Vec::<String>::new());
}
