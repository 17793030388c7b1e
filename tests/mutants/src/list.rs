//! What is taken out of the service: mechanisms, written by hand, and what cargo-mutants thinks of.

use std::collections::HashMap;
use std::ops::Range;
use std::process::Command;

use serde::Deserialize;

use crate::sites::{Operation, Site, Sites};
use crate::tree::root;
use crate::trials::Test;

/// The modules whose every line is tried.
const WHOLE: [&str; 3] = ["src/domain/**", "src/placement/**", "src/service/**"];

/// Something that is taken out, or changed.
pub(crate) struct Mutant {
    /// Says what and where, and stays the same while lines move.
    pub(crate) name: String,
    /// Where; nothing where it is in the schema.
    pub(crate) file: String,
    pub(crate) change: Change,
    /// Of a mechanism: the promise that it keeps, and the test that must see it gone.
    pub(crate) mechanism: Option<(u8, Test)>,
}

pub(crate) enum Change {
    /// This runs after the migrations.
    Schema(String),
    ByHand {
        find: String,
        replace: String,
    },
    Generated(Generated),
}

impl Change {
    /// What it is made of, as far as that was written by hand.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Schema(sql) => sql.clone(),
            Self::ByHand { find, replace } => format!("{find} {replace}"),
            Self::Generated(_) => String::new(),
        }
    }
}

#[derive(Deserialize)]
struct Mechanisms {
    mechanism: Vec<Mechanism>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mechanism {
    promise: u8,
    name: String,
    file: Option<String>,
    find: Option<String>,
    replace: Option<String>,
    sql: Option<String>,
    test: String,
}

/// The mechanisms, in the order of their file.
pub(crate) fn mechanisms() -> Vec<Mutant> {
    let Mechanisms { mechanism } =
        toml::from_str(include_str!("../mechanisms.toml")).unwrap_or_else(|error| panic!("mechanisms.toml: {error}"));
    let mutant = |Mechanism { promise, name, file, find, replace, sql, test }| {
        let change = match (find, replace, sql) {
            (Some(find), Some(replace), None) if file.is_some() => Change::ByHand { find, replace },
            (None, None, Some(sql)) if file.is_none() => Change::Schema(sql),
            _ => panic!("{name}: it has a file, what is found and what replaces it, or it has sql"),
        };
        let test = match test.strip_prefix("unit:") {
            Some(name) => Test { is_unit: true, name: name.to_owned() },
            None => Test { is_unit: false, name: test },
        };
        assert!((1..=8).contains(&promise), "{name}: there are eight promises");
        Mutant { name, file: file.unwrap_or_default(), change, mechanism: Some((promise, test)) }
    };
    mechanism.into_iter().map(mutant).collect()
}

/// One of cargo-mutants' own.
#[derive(Clone, Deserialize)]
pub(crate) struct Generated {
    name: String,
    file: String,
    function: Option<Function>,
    span: Span,
    replacement: String,
    genre: Genre,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
enum Genre {
    FnValue,
    BinaryOperator,
    UnaryOperator,
    MatchArm,
    MatchArmGuard,
    StructField,
}

#[derive(Clone, Deserialize)]
struct Function {
    return_type: String,
}

#[derive(Clone, Copy, Deserialize)]
struct Span {
    start: Position,
    end: Position,
}

/// From one, in characters.
#[derive(Clone, Copy, Deserialize)]
struct Position {
    line: usize,
    column: usize,
}

impl Position {
    fn byte(self, source: &str) -> usize {
        let before: usize = source.split_inclusive('\n').take(self.line - 1).map(str::len).sum();
        let columns = source[before..].chars().take(self.column - 1).map(char::len_utf8);
        before + columns.sum::<usize>()
    }
}

/// The mutants that cargo-mutants lists.
pub(crate) fn generated() -> Vec<Mutant> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["mutants", "--list", "--json"]).current_dir(root());
    for glob in WHOLE {
        command.args(["--file", glob]);
    }
    let output = command.output().expect("cargo is there");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo-mutants lists nothing (make mutants installs it): {told}");
    let listed: Vec<Generated> = serde_json::from_slice(&output.stdout).expect("it lists JSON");
    let mut twins: HashMap<String, u32> = HashMap::new();
    let mutant = |generated: Generated| {
        let Generated { file, name, span, .. } = &generated;
        let place = format!("{file}:{}:{}: ", span.start.line, span.start.column);
        let mut name = format!("{file}: {}", name.strip_prefix(&place).unwrap_or(name));
        let twin = twins.entry(name.clone()).or_default();
        *twin += 1;
        if *twin > 1 {
            name.push_str(&format!(" #{twin}"));
        }
        Mutant { name, file: file.clone(), change: Change::Generated(generated), mechanism: None }
    };
    listed.into_iter().map(mutant).collect()
}

impl Generated {
    /// Where in its file it is put, and what. Nothing where it cannot stand behind a switch.
    pub(crate) fn place(&self, sites: &Sites, source: &str) -> Option<(Site, String)> {
        let at = self.span.start.byte(source)..self.span.end.byte(source);
        let text = |range: &Range<usize>| source[range.clone()].to_owned();
        let expression = |Operation { whole, .. }: &Operation, text: String| (Site::Expression(whole.clone()), text);
        match self.genre {
            // One function has one type.
            Genre::FnValue if self.function.as_ref().is_some_and(|function| function.return_type.contains("impl ")) => {
                None
            }
            Genre::FnValue => Some((Site::Body(at.start), self.replacement.clone())),
            Genre::BinaryOperator => sites.binary.get(&at.start).map(|found| {
                let [left, right] = [&found.parts[0], &found.parts[1]].map(text);
                expression(found, format!("{left} {} {right}", self.replacement))
            }),
            Genre::UnaryOperator => sites.unary.get(&at.start).map(|found| expression(found, text(&found.parts[0]))),
            Genre::MatchArm => sites.arms.get(&at.start).map(|end| (Site::Arm(*end), String::new())),
            Genre::MatchArmGuard => Some((Site::Expression(at), self.replacement.clone())),
            Genre::StructField => sites.fields.get(&at.start).map(|found| {
                let [path, base] = [&found.parts[0], &found.parts[1]].map(text);
                let field = source[at.start..].split(|c: char| !c.is_alphanumeric() && c != '_').next();
                expression(found, format!("{{ let base: {path} = {base}; base.{} }}", field.unwrap_or_default()))
            }),
        }
    }
}
