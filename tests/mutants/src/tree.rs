//! The copy of the tree that all mutants are compiled into, at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::fingerprint;
use crate::list::{Change, Mutant};
use crate::sites::Sites;
use crate::weave::{Alternative, Woven, by_hand, weave};

/// The service's side of the switch: asked whether mutant 17 is the one, it says so, and writes down that it was asked.
const SWITCH: &str = include_str!("switch.rs.txt");

/// Of the service's package.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).expect("it is tests/mutants").to_owned()
}

/// Where the mutated copy and what is made of it are.
pub(crate) struct Tree {
    root: PathBuf,
    copy: PathBuf,
    target: PathBuf,
    /// The mutants that did not compile, by name.
    not_compiled: PathBuf,
}

/// The binaries of the tests.
pub(crate) struct Binaries {
    pub(crate) unit: PathBuf,
    pub(crate) it: PathBuf,
}

impl Tree {
    pub(crate) fn new(out: &Path) -> Self {
        let root = root();
        Self { root, copy: out.join("tree"), target: out.join("build"), not_compiled: out.join("not-compiled.json") }
    }

    /// Where the tests are to run.
    pub(crate) fn copy(&self) -> &Path {
        &self.copy
    }

    pub(crate) fn source(&self, file: &str) -> String {
        fs::read_to_string(self.root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    /// The files that are under version control, or will be.
    pub(crate) fn files(&self) -> Vec<String> {
        let listed = ["ls-files", "--cached", "--others", "--exclude-standard"];
        let output = Command::new("git").args(listed).current_dir(&self.root).output().expect("git is there");
        let files = String::from_utf8(output.stdout).expect("names are UTF-8");
        files.lines().filter(|file| self.root.join(file).is_file()).map(str::to_owned).collect()
    }

    /// Builds the tests with all mutants in them; returns the binaries, and the mutants that do not compile.
    pub(crate) fn build(&self, mutants: &[Mutant]) -> (Binaries, BTreeSet<u32>) {
        let mut left_out = self.left_out_before(mutants);
        loop {
            let (woven, misplaced) = self.weave(mutants, &left_out);
            left_out.extend(misplaced);
            self.write(&woven, mutants);
            match self.compile() {
                Ok(binaries) => return (binaries, left_out),
                Err(complaints) => {
                    let blamed = blamed(&complaints, &woven);
                    assert!(
                        !blamed.is_empty(),
                        "the tree does not compile, and no mutant is to blame:\n{complaints:#?}"
                    );
                    eprintln!("{} mutants do not compile", blamed.len());
                    left_out.extend(blamed);
                    self.keep_left_out(mutants, &left_out);
                }
            }
        }
    }

    /// What did not compile before, in a file that is the same, does not compile today: it costs a build to find out.
    fn left_out_before(&self, mutants: &[Mutant]) -> BTreeSet<u32> {
        let known = fs::read(&self.not_compiled).ok().and_then(|known| serde_json::from_slice(&known).ok());
        let known: BTreeMap<String, u64> = known.unwrap_or_default();
        let is_known =
            |(_, mutant): &(u32, &Mutant)| known.get(&mutant.name).is_some_and(|key| *key == self.key(mutant));
        (1..).zip(mutants).filter(is_known).map(|(id, _)| id).collect()
    }

    fn keep_left_out(&self, mutants: &[Mutant], left_out: &BTreeSet<u32>) {
        let left_out = (1..).zip(mutants).filter(|(id, _)| left_out.contains(id));
        let left_out: BTreeMap<&str, u64> =
            left_out.map(|(_, mutant)| (mutant.name.as_str(), self.key(mutant))).collect();
        fs::write(&self.not_compiled, serde_json::to_vec(&left_out).expect("it is JSON")).expect("it can be written");
    }

    fn key(&self, mutant: &Mutant) -> u64 {
        let source = if mutant.file.is_empty() { String::new() } else { self.source(&mutant.file) };
        fingerprint::of(&(source, mutant.change.words()))
    }

    fn weave(&self, mutants: &[Mutant], left_out: &BTreeSet<u32>) -> (BTreeMap<String, Woven>, Vec<u32>) {
        let mut by_file: BTreeMap<&str, Vec<(u32, &Mutant)>> = BTreeMap::new();
        let is_woven =
            |(id, mutant): &(u32, &Mutant)| !left_out.contains(id) && !matches!(mutant.change, Change::Schema(_));
        for (id, mutant) in (1..).zip(mutants).filter(is_woven) {
            by_file.entry(&mutant.file).or_default().push((id, mutant));
        }
        let mut misplaced = Vec::new();
        let mut woven = BTreeMap::new();
        for (file, mutants) in by_file {
            // What is asked for at run time is no constant. The length stays, and with it every place.
            let source = self.source(file).replace("const fn ", "      fn ");
            let sites = Sites::of(&source).unwrap_or_else(|error| panic!("{file}: {error}"));
            let mut alternatives = Vec::new();
            for (id, mutant) in mutants {
                let placed = match &mutant.change {
                    Change::Schema(_) => None,
                    Change::ByHand { find, replace } => by_hand(&sites, &source, find, replace)
                        .map(Some)
                        .unwrap_or_else(|error| panic!("{} in {file}: {error}", mutant.name)),
                    Change::Generated(generated) => generated.place(&sites, &source),
                };
                match placed {
                    Some((site, text)) => alternatives.push(Alternative { id, site, text }),
                    None => misplaced.push(id),
                }
            }
            woven.insert(file.to_owned(), weave(&source, &alternatives));
        }
        (woven, misplaced)
    }

    /// Writes what has changed only, so that not everything is built anew.
    fn write(&self, woven: &BTreeMap<String, Woven>, mutants: &[Mutant]) {
        let files = self.files();
        for file in files.iter().filter(|file| !file.starts_with("panel/")) {
            let text = match (file.as_str(), woven.get(file)) {
                (_, Some(woven)) => woven.text.clone().into_bytes(),
                ("src/lib.rs", None) => (self.source(file) + "\npub mod mutant;\n").into_bytes(),
                _ => fs::read(self.root.join(file)).expect("it was listed"),
            };
            let text = if file == "src/store/migrations.rs" { hooked(text) } else { text };
            put(&self.copy.join(file), &text);
        }
        put(&self.copy.join("src/mutant.rs"), switch(mutants).as_bytes());
        // The pages are only looked at.
        let _ = std::os::unix::fs::symlink(self.root.join("panel"), self.copy.join("panel"));
    }

    fn compile(&self) -> Result<Binaries, Vec<Value>> {
        let output = Command::new(env!("CARGO"))
            .args(["test", "--no-run", "--lib", "--test", "it", "--message-format", "json", "--quiet"])
            .current_dir(&self.copy)
            .env("CARGO_TARGET_DIR", &self.target)
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo is there");
        let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let messages: Vec<Value> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
        if !output.status.success() {
            let errors = messages.into_iter().filter(|message| message["message"]["level"] == "error");
            return Err(errors.map(|message| message["message"].clone()).collect());
        }
        let binary = |kind: &str| {
            let is_it = |message: &&Value| message["target"]["kind"][0] == kind && message["profile"]["test"] == true;
            let path = messages.iter().filter(is_it).find_map(|message| message["executable"].as_str());
            PathBuf::from(path.expect("cargo names what it has built"))
        };
        Ok(Binaries { unit: binary("lib"), it: binary("test") })
    }
}

/// Whom the compiler's complaints are about. What it says of a test that does not fit a mutated signature is none of them.
fn blamed(complaints: &[Value], woven: &BTreeMap<String, Woven>) -> BTreeSet<u32> {
    let mut blamed = BTreeSet::new();
    for complaint in complaints {
        let spans = complaint["spans"].as_array().map_or(&[][..], Vec::as_slice);
        let (primary, other): (Vec<&Value>, Vec<&Value>) = spans.iter().partition(|span| span["is_primary"] == true);
        let about = |mut span: &Value| {
            // A macro's own lines are nobody's: what counts is where it was called.
            loop {
                let file = woven.get(span["file_name"].as_str().unwrap_or_default());
                let ids = file.map_or(&[][..], |file| file.blamed(span["byte_start"].as_u64().unwrap_or(0) as usize));
                if !ids.is_empty() {
                    return ids;
                }
                span = match span["expansion"].get("span") {
                    Some(call) => call,
                    None => return &[],
                };
            }
        };
        let found = primary.into_iter().chain(other).map(about).find(|ids| !ids.is_empty());
        blamed.extend(found.unwrap_or_default());
    }
    blamed
}

/// After the migrations, the one that takes a constraint away.
fn hooked(text: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8(text).expect("sources are UTF-8");
    let end = "    }\n    Ok(ran)\n}\n";
    assert_eq!(text.matches(end).count(), 1, "run_pending of src/store/migrations.rs has changed");
    let change = "    }
    if let Some(sql) = crate::mutant::schema().filter(|_| !ran.is_empty()) {
        diesel::connection::SimpleConnection::batch_execute(conn, sql)?;
    }
    Ok(ran)
}\n";
    text.replace(end, change).into_bytes()
}

fn switch(mutants: &[Mutant]) -> String {
    let mut arms = String::new();
    for (id, mutant) in (1..).zip(mutants) {
        if let Change::Schema(sql) = &mutant.change {
            arms.push_str(&format!("        _ if is({id}) => Some({sql:?}),\n"));
        }
    }
    SWITCH.replace("{count}", &(mutants.len() + 1).to_string()).replace("{arms}", &arms)
}

fn put(path: &Path, text: &[u8]) {
    if fs::read(path).is_ok_and(|there| there == text) {
        return;
    }
    fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("the copy can be written");
    fs::write(path, text).expect("the copy can be written");
}
