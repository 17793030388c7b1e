//! What came of it: for whoever reads it, and whether all is well.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde::Deserialize;

use crate::list::Mutant;
use crate::verdicts::Verdict;

#[derive(Deserialize)]
struct Survivors {
    #[serde(default)]
    survivor: Vec<Survivor>,
}

/// Mutants that no test sees, and why that is well.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Survivor {
    reason: String,
    mutants: Vec<String>,
}

/// All that was found, as Markdown, and what is wrong, a line each.
pub(crate) fn report(mutants: &[Mutant], verdicts: &BTreeMap<String, Verdict>) -> (String, Vec<String>) {
    let Survivors { survivor: explained } =
        toml::from_str(include_str!("../survivors.toml")).unwrap_or_else(|error| panic!("survivors.toml: {error}"));
    let mut reasons: BTreeMap<&str, &str> = BTreeMap::new();
    let mut wrong = Vec::new();
    for Survivor { reason, mutants: names } in &explained {
        for name in names {
            if reasons.insert(name, reason).is_some() {
                wrong.push(format!("explained twice: {name}"));
            }
        }
    }
    let mut text = String::from("# Mutants\n");
    summarize(&mut text, mutants, verdicts);
    tell_of_promises(&mut text, mutants, verdicts);

    text.push_str("\n## Survivors\n\n");
    for mutant in mutants {
        let (name, is_mechanism) = (&mutant.name, mutant.mechanism.is_some());
        match (verdicts.get(name), reasons.get(name.as_str())) {
            (Some(Verdict::Survived(_)), Some(reason)) => writeln!(text, "* {name}: {reason}").expect("a string"),
            (Some(Verdict::Survived(tests)), None) => {
                writeln!(text, "* {name}: **not explained** ({tests} tests came by)").expect("a string");
                wrong.push(format!("survives and is not explained: {name} ({tests} tests came by)"));
            }
            (Some(Verdict::NotCompiled), _) if is_mechanism => wrong.push(format!("does not compile: {name}")),
            (Some(verdict), Some(_)) => wrong.push(format!("is explained and does not survive: {name}: {verdict:?}")),
            _ => {}
        }
    }
    let names: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.name.as_str()).collect();
    let gone = reasons.keys().filter(|name| !names.contains(*name));
    wrong.extend(gone.map(|name| format!("is explained and is not there: {name}")));

    text.push_str(
        "\n## Not compiled\n\nA switch in an expression cannot change its type, nor stand in a constant.\n\n",
    );
    for (name, _) in verdicts.iter().filter(|(_, verdict)| **verdict == Verdict::NotCompiled) {
        writeln!(text, "* {name}").expect("a string");
    }
    (text, wrong)
}

fn summarize(text: &mut String, mutants: &[Mutant], verdicts: &BTreeMap<String, Verdict>) {
    let mut rows: BTreeMap<&str, [usize; 5]> = BTreeMap::new();
    for mutant in mutants {
        let Some(verdict) = verdicts.get(&mutant.name) else { continue };
        let column = match verdict {
            Verdict::Caught(_) => 0,
            Verdict::TimedOut(_) => 1,
            Verdict::Survived(_) => 2,
            Verdict::NotCompiled => 3,
        };
        let row = if mutant.mechanism.is_some() { "mechanisms" } else { &mutant.file };
        for row in [row, "~ all"] {
            let row = rows.entry(row).or_default();
            row[column] += 1;
            row[4] += 1;
        }
    }
    text.push_str(
        "\n| | caught | timed out | survived | not compiled | all |\n| --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for (row, [caught, hung, survived, not_compiled, all]) in rows {
        let row = row.trim_start_matches("~ ");
        writeln!(text, "| {row} | {caught} | {hung} | {survived} | {not_compiled} | {all} |").expect("a string");
    }
}

fn tell_of_promises(text: &mut String, mutants: &[Mutant], verdicts: &BTreeMap<String, Verdict>) {
    for promise in 1..=8 {
        let of_it = mutants.iter().filter(|mutant| mutant.mechanism.as_ref().is_some_and(|(kept, _)| *kept == promise));
        writeln!(text, "\n## Promise {promise}\n\n| without this | is seen by |\n| --- | --- |").expect("a string");
        for mutant in of_it {
            let seen = match verdicts.get(&mutant.name) {
                Some(Verdict::Caught(test)) => test.clone(),
                Some(Verdict::TimedOut(test)) => format!("{test}, which does not end"),
                Some(Verdict::Survived(_)) => "nobody".to_owned(),
                Some(Verdict::NotCompiled) => "the compiler".to_owned(),
                None => "not tried".to_owned(),
            };
            writeln!(text, "| {} | {seen} |", mutant.name).expect("a string");
        }
    }
}
