//! Which mutants each test comes by, and how long it takes: so that a mutant is tried by the tests that can see it, the fastest first.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fingerprint::{self, fingerprint};
use crate::tree::Tree;
use crate::trials::{Ended, Test, Trials, side_by_side};

/// What is known of a test.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Record {
    /// Of all it depends on.
    key: u64,
    pub(crate) seconds: f64,
    reaches: BTreeSet<u32>,
    /// It passes without any mutant.
    passes: bool,
}

pub(crate) struct Records(BTreeMap<Test, Record>);

impl Records {
    /// Runs every test whose record is missing or old. `names` are those of all mutants, by which the numbers are given.
    /// Where `only_unit`, of the library's own tests alone.
    pub(crate) fn fresh(tree: &Tree, trials: &Trials<'_>, out: &Path, names: &[&str], only_unit: bool) -> Self {
        let path = out.join("records.json");
        let names = fingerprint::of(names);
        let saved = fs::read(&path).ok().and_then(|saved| serde_json::from_slice(&saved).ok());
        let mut known: BTreeMap<String, Record> = saved.unwrap_or_default();
        let tests = trials.all().into_iter().map(|test| (key(tree, names, &test), test));
        let tests: Vec<(u64, Test)> = tests.collect();
        known.retain(|name, record| tests.iter().any(|(key, test)| test.to_string() == *name && *key == record.key));
        let tests: Vec<(u64, Test)> = tests.into_iter().filter(|(_, test)| test.is_unit || !only_unit).collect();
        let missing: Vec<_> = tests.iter().filter(|(_, test)| !known.contains_key(&test.to_string())).collect();
        if !missing.is_empty() {
            eprintln!("{} tests are run once each, to see which mutants they come by", missing.len());
        }
        let known = Mutex::new((known, 0_usize));
        side_by_side(&missing, |(key, test)| {
            let (ended, took, reaches) = trials.record(test);
            let record = Record { key: *key, seconds: took.as_secs_f64(), reaches, passes: ended == Ended::Passed };
            if !record.passes {
                eprintln!("{test} fails without any mutant, and is left out: {ended:?}");
            }
            let mut known = known.lock().expect("nobody panics with it");
            known.0.insert(test.to_string(), record);
            known.1 += 1;
            if known.1.is_multiple_of(50) || known.1 == missing.len() {
                eprintln!("{} of {}", known.1, missing.len());
                save(&path, &known.0);
            }
        });
        let (mut known, _) = known.into_inner().expect("nobody panicked with it");
        Self(
            tests
                .into_iter()
                .filter_map(|(_, test)| known.remove(&test.to_string()).map(|record| (test, record)))
                .collect(),
        )
    }

    /// The tests that come by a mutant, the library's own first, then the fastest.
    pub(crate) fn of(&self, mutant: u32) -> Vec<(&Test, Duration)> {
        let reach = self.0.iter().filter(|(_, record)| record.passes && record.reaches.contains(&mutant));
        let mut tests: Vec<_> = reach.map(|(test, record)| (test, Duration::from_secs_f64(record.seconds))).collect();
        tests.sort_by_key(|(test, took)| (!test.is_unit, *took));
        tests
    }

    pub(crate) fn failing(&self) -> Vec<&Test> {
        self.0.iter().filter(|(_, record)| !record.passes).map(|(test, _)| test).collect()
    }
}

fn save(path: &PathBuf, known: &BTreeMap<String, Record>) {
    let text = serde_json::to_vec(known).expect("it is JSON");
    fs::write(path, text).expect("it can be written");
}

/// Of the test and of the mutants there are. What else of the service has changed does not count, or every change would cost half an hour: a
/// record that is old may leave a test out, and so let a mutant survive that it sees, but nothing is caught by it that is not.
fn key(tree: &Tree, names: u64, test: &Test) -> u64 {
    if test.is_unit {
        return names ^ fingerprint(tree, |file| file.starts_with("src/"));
    }
    let module = test.name.split("::").next().unwrap_or_default();
    names ^ fingerprint(tree, |file| file == format!("tests/it/{module}.rs") || file == "tests/it/harness.rs")
}
