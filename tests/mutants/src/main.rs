//! Takes mechanisms out of the service, one at a time, and looks whether a test fails.
//!
//! Two kinds: mechanisms (`mechanisms.toml`), written by hand, each with the promise that it keeps and the test that must see
//! it gone; and what cargo-mutants thinks of in `src/domain`, `src/placement` and `src/service`. What survives is explained in
//! `survivors.toml`, or it is an error; so is an explanation of what does not survive.
//!
//! To build the service for each would take days. So all are built at once, each behind a switch that the environment turns (`weave`),
//! into a copy of the tree. Then every test is run once to see which switches it comes by (`records`), and every mutant is tried with
//! the tests that come by it, the fastest first, until one fails (`verdicts`). All that was found out is kept in `target/mutants`.
//!
//! `MECHANISMS=1`: these alone. `FILE=src/domain/`: what is in files whose path begins so. `JOBS=4`: so many at a time.
//! `FRESH=1`: forgets what was found out before; wanted after changes that have tests come by other mutants than they did.

mod fingerprint;
mod list;
mod records;
mod report;
mod sites;
mod tree;
mod trials;
mod verdicts;
mod weave;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::list::Mutant;
use crate::records::Records;
use crate::tree::Tree;
use crate::trials::{Ended, Test, Trials};
use crate::verdicts::{Court, Verdict};

fn main() -> ExitCode {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let out = tree::root().join(target).join("mutants");
    std::fs::create_dir_all(&out).expect("the target folder can be written");
    let wanted = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if wanted("FRESH").is_some() {
        for file in ["records.json", "verdicts.jsonl"] {
            let _ = std::fs::remove_file(out.join(file));
        }
    }
    let (only_mechanisms, file) = (wanted("MECHANISMS").is_some(), wanted("FILE"));

    let tree = Tree::new(&out);
    let mut mutants = list::generated();
    mutants.extend(list::mechanisms());
    let names: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.name.as_str()).collect();
    assert_eq!(names.len(), mutants.len(), "two mutants have one name");
    eprintln!("{} mutants are built", mutants.len());
    let (binaries, left_out) = tree.build(&mutants);

    let trials = Trials { binaries: &binaries, folder: tree.copy(), out: &out };
    let tests: BTreeSet<String> = trials.all().iter().map(Test::to_string).collect();
    require_sane_mechanisms(&trials, &mutants, &tests);
    let is_wanted = |mutant: &Mutant| match &file {
        Some(file) => mutant.file.starts_with(file.as_str()),
        None => mutant.mechanism.is_some() || !only_mechanisms,
    };
    let chosen = (1..).zip(&mutants).filter(|(_, mutant)| is_wanted(mutant));
    let (built, not_built): (Vec<_>, Vec<_>) = chosen.partition(|(id, _)| !left_out.contains(id));
    let (mechanisms, mut others): (Vec<_>, Vec<_>) =
        built.into_iter().partition(|(_, mutant)| mutant.mechanism.is_some());

    // Mechanisms first: what they keep is worth most. Then what the library's own tests see, in no time; and then the rest.
    let court = Court { tree: &tree, trials: &trials, records: None, tests: &tests, out: &out };
    let mut verdicts = court.try_all(&mechanisms, true);
    let generated = mutants.iter().filter(|mutant| mutant.mechanism.is_none());
    let generated: Vec<&str> = generated.map(|mutant| mutant.name.as_str()).collect();
    let mut failing = Vec::new();
    for only_unit in [true, false] {
        if others.is_empty() {
            break;
        }
        let records = Records::fresh(&tree, &trials, &out, &generated, only_unit);
        failing = records.failing().into_iter().map(|test| format!("fails without any mutant: {test}")).collect();
        verdicts.extend(Court { records: Some(&records), ..court }.try_all(&others, !only_unit));
        others.retain(|(_, mutant)| verdicts.get(&mutant.name).is_some_and(Verdict::is_survival));
    }
    verdicts.extend(not_built.iter().map(|(_, mutant)| (mutant.name.clone(), Verdict::NotCompiled)));

    let (text, mut wrong) = report::report(&mutants, &verdicts);
    wrong.extend(failing);
    std::fs::write(out.join("report.md"), &text).expect("the target folder can be written");
    println!("{text}");
    for line in &wrong {
        println!("{line}");
    }
    println!(
        "{} mutants, {} things wrong. This is also in {}",
        verdicts.len(),
        wrong.len(),
        out.join("report.md").display()
    );
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What a mechanism names must be there, and pass while nothing is taken out.
fn require_sane_mechanisms(trials: &Trials<'_>, mutants: &[Mutant], tests: &BTreeSet<String>) {
    let named: BTreeSet<&Test> = mutants.iter().filter_map(|mutant| Some(&mutant.mechanism.as_ref()?.1)).collect();
    let absent: Vec<String> = named.iter().map(ToString::to_string).filter(|name| !tests.contains(name)).collect();
    assert!(absent.is_empty(), "mechanisms name tests that are not there: {absent:#?}");
    let (unit, it): (Vec<&Test>, Vec<&Test>) = named.into_iter().partition(|test| test.is_unit);
    for group in [unit, it] {
        let ended = trials.attempt(0, &group, Duration::from_secs(600));
        assert_eq!(ended, Ended::Passed, "a test fails that a mechanism names, while nothing is taken out");
    }
}
