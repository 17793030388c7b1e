//! What became of mutants: found out by running tests, and kept, so that a run that was interrupted goes on.
//!
//! That a mutant was caught stays known while its file and the test that caught it are there; one that survived is tried again
//! when anything has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::fingerprint::{self, fingerprint};
use crate::list::Mutant;
use crate::records::Records;
use crate::tree::Tree;
use crate::trials::{Ended, Test, Trials, side_by_side};

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum Verdict {
    /// This test failed.
    Caught(String),
    /// Tests did not end: one of these.
    TimedOut(String),
    /// That many tests came by it and passed.
    Survived(usize),
    /// It does not compile behind a switch.
    NotCompiled,
}

impl Verdict {
    pub(crate) fn is_survival(&self) -> bool {
        matches!(self, Self::Survived(_))
    }
}

#[derive(Deserialize, Serialize)]
struct Line {
    name: String,
    key: u64,
    verdict: Verdict,
}

/// What is tried, and what it is tried with.
#[derive(Clone, Copy)]
pub(crate) struct Court<'c> {
    pub(crate) tree: &'c Tree,
    pub(crate) trials: &'c Trials<'c>,
    /// None where mechanisms alone are tried: their tests are known.
    pub(crate) records: Option<&'c Records>,
    pub(crate) tests: &'c BTreeSet<String>,
    pub(crate) out: &'c Path,
}

impl Court<'_> {
    /// Tries each mutant, by its number, unless what became of it is known. That it survived is kept where it `is_final`: where all tests
    /// that come by it are tried.
    pub(crate) fn try_all(&self, mutants: &[(u32, &Mutant)], is_final: bool) -> BTreeMap<String, Verdict> {
        let everything = fingerprint(self.tree, |_| true);
        let key = |mutant: &Mutant, verdict: &Verdict| {
            let mechanism = mutant.mechanism.as_ref().map(|(_, test)| test.to_string());
            let depends = match verdict {
                Verdict::Caught(_) | Verdict::TimedOut(_) => fingerprint(self.tree, |file| file == mutant.file),
                Verdict::Survived(_) | Verdict::NotCompiled => everything,
            };
            fingerprint::of(&(mutant.change.words(), mechanism, depends))
        };
        let path = self.out.join("verdicts.jsonl");
        let mut verdicts = BTreeMap::new();
        let known = self.known(&path);
        let is_known = |(_, mutant): &&(u32, &Mutant)| {
            let line = known.get(&mutant.name);
            line.is_some_and(|line| line.key == key(mutant, &line.verdict))
        };
        let (old, new): (Vec<_>, Vec<_>) = mutants.iter().partition(|mutant| is_known(mutant));
        for (_, mutant) in old {
            verdicts.insert(mutant.name.clone(), known[&mutant.name].verdict.clone());
        }
        eprintln!("{} mutants are tried; of {} it is known what becomes of them", new.len(), verdicts.len());
        let file = OpenOptions::new().create(true).append(true).open(&path).expect("it can be written");
        // By function, the last test that caught a mutant of it: most likely it sees the next one, too.
        let state = Mutex::new((verdicts, file, BTreeMap::new()));
        let begun = Instant::now();
        side_by_side(&new, |(id, mutant)| {
            let place = mutant.name.rsplit(" in ").next().unwrap_or_default().to_owned();
            let hint = state.lock().expect("nobody panics with it").2.get(&place).cloned();
            let verdict = match &mutant.mechanism {
                Some((_, test)) => self.try_mechanism(*id, test),
                None => self.try_generated(*id, hint.as_ref()),
            };
            let mut state = state.lock().expect("nobody panics with it");
            let (verdicts, file, hints) = &mut *state;
            if is_final || !verdict.is_survival() {
                let name = mutant.name.clone();
                write_line(file, &Line { name, key: key(mutant, &verdict), verdict: verdict.clone() });
            }
            if is_final && verdict.is_survival() {
                eprintln!("survived: {} ({verdict:?})", mutant.name);
            }
            if let Verdict::Caught(test) = &verdict {
                hints.insert(place, test.clone());
            }
            verdicts.insert(mutant.name.clone(), verdict);
            if verdicts.len().is_multiple_of(20) {
                eprintln!("{} of {} after {} s", verdicts.len(), mutants.len(), begun.elapsed().as_secs());
            }
        });
        state.into_inner().expect("nobody panicked with it").0
    }

    fn known(&self, path: &PathBuf) -> BTreeMap<String, Line> {
        let Ok(file) = File::open(path) else { return BTreeMap::new() };
        let lines = std::io::BufRead::lines(std::io::BufReader::new(file)).map_while(Result::ok);
        // The last word counts; half a line is none.
        let lines = lines.filter_map(|line| serde_json::from_str::<Line>(&line).ok());
        let is_there = |line: &Line| match &line.verdict {
            Verdict::Caught(test) => self.tests.contains(test),
            _ => true,
        };
        lines.filter(is_there).map(|line| (line.name.clone(), line)).collect()
    }

    fn try_mechanism(&self, id: u32, test: &Test) -> Verdict {
        match self.trials.attempt(id, &[test], Duration::from_secs(180)) {
            Ended::Failed(test) => Verdict::Caught(test.to_string()),
            Ended::Died => Verdict::Caught(test.to_string()),
            Ended::Hung => Verdict::TimedOut(test.to_string()),
            Ended::Passed => Verdict::Survived(1),
        }
    }

    /// In growing groups: the first are the fastest, and most mutants go no further.
    fn try_generated(&self, id: u32, hint: Option<&String>) -> Verdict {
        let tests = self.records.map(|records| records.of(id)).unwrap_or_default();
        let (unit, it): (Vec<_>, Vec<_>) = tests.iter().copied().partition(|(test, _)| test.is_unit);
        let (hinted, others): (Vec<_>, Vec<_>) = it.into_iter().partition(|(test, _)| Some(&test.to_string()) == hint);
        let (few, others) = others.split_at(others.len().min(6));
        let (more, rest) = others.split_at(others.len().min(24));
        for group in [&unit[..], &hinted, few, more, rest] {
            if group.is_empty() {
                continue;
            }
            let names: Vec<&Test> = group.iter().map(|(test, _)| *test).collect();
            let limit = Duration::from_secs(30) + 3 * group.iter().map(|(_, took)| *took).sum::<Duration>();
            match self.trials.attempt(id, &names, limit) {
                Ended::Failed(test) => return Verdict::Caught(test.to_string()),
                Ended::Died => return Verdict::Caught(names[0].to_string()),
                Ended::Hung => return Verdict::TimedOut(names[0].to_string()),
                Ended::Passed => {}
            }
        }
        Verdict::Survived(tests.len())
    }
}

fn write_line(file: &mut File, line: &Line) {
    let mut text = serde_json::to_vec(line).expect("it is JSON");
    text.push(b'\n');
    file.write_all(&text).expect("it can be written");
}
