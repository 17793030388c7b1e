//! The tree as a whole: who may import whom, and words that have no place.

#![expect(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Which of our modules each module may name. `lib.rs`, `main.rs` and its `commands.rs` put all together.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("metrics", &[]),
    ("config", &[]),
    ("clock", &[]),
    ("hex", &[]),
    ("embedded_pg", &["hex"]),
    ("store", &["domain", "config", "metrics"]),
    ("redis_store", &["domain", "config", "metrics", "store"]),
    ("error", &["domain", "store"]),
    ("gateway", &["domain", "config", "metrics", "clock", "hex"]),
    ("sandbox", &["domain", "clock"]),
    ("placement", &["domain", "store", "metrics", "error", "config", "clock"]),
    ("service", &["domain", "store", "redis_store", "gateway", "error", "clock", "config", "metrics", "hex"]),
    ("events", &["domain", "store", "gateway", "error", "metrics", "clock", "config"]),
    ("jobs", &["service", "store", "gateway", "metrics", "error", "clock", "config", "domain"]),
    (
        "http",
        &[
            "sandbox",
            "events",
            "service",
            "placement",
            "store",
            "domain",
            "gateway",
            "error",
            "metrics",
            "clock",
            "config",
            "hex",
        ],
    ),
];

/// Crates that only the named modules may name.
const AT_HOME: &[(&str, &[&str])] = &[
    ("diesel", &["store"]),
    ("diesel_migrations", &["store"]),
    ("actix_web", &["http", "sandbox", "main"]),
    ("utoipa", &["http"]),
    ("prometheus_client", &["metrics"]),
    ("jsonwebtoken", &["http"]),
    ("actix_http", &["http"]),
    ("actix_server", &["http"]),
    ("actix_service", &["http"]),
    ("nix", &["embedded_pg", "http"]),
    ("redis", &["redis_store"]),
    ("csv", &["http", "gateway"]),
    // What providers send, and what spreadsheets save.
    ("encoding_rs", &["gateway", "http"]),
    ("rust_embed", &["http"]),
];

/// What stands nowhere in `src`, where it may stand, and what to use instead.
const BANNED: &[(&str, &[&str], &str)] = &[
    ("Utc::now", &["src/clock.rs"], "the App's clock"),
    ("SystemTime::now", &[], "the App's clock"),
    ("f32", &[], "Money or Decimal"),
    (
        "f64",
        &["src/metrics.rs", "src/metrics/process.rs", "src/placement/mod.rs", "src/gateway/client.rs"],
        "Money or Decimal; floats are for metrics",
    ),
    ("web::block(", &["src/http/mod.rs"], "http::blocking"),
    (".unwrap()", &[], "expect, with the reason it cannot fail"),
    ("todo!", &[], "the code"),
    (" println!", &[], "log, or say! in main.rs"),
    ("constraint_name()", &[], "the name inside the message: a sharded database forwards nothing else"),
];

fn sources(dir: &str) -> Vec<(String, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(&root.join(dir), &mut found);
    found.sort();
    let relative = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    found.iter().map(|path| (relative(path), fs::read_to_string(path).unwrap())).collect()
}

/// `src/store/orders.rs` → `store`, `src/clock.rs` → `clock`.
fn module(path: &str) -> &str {
    path.trim_start_matches("src/").split('/').next().unwrap().trim_end_matches(".rs")
}

/// The words that follow `prefix` in code, comments left out.
fn named_after<'s>(source: &'s str, prefix: &str) -> BTreeSet<&'s str> {
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| {
        let parts: Vec<&str> = line.split(prefix).skip(1).collect();
        parts.into_iter().map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap())
    })
    .collect()
}

#[test]
fn modules_import_downwards_only() {
    for (path, source) in sources("src") {
        let module = module(&path);
        assert!(!source.contains("use crate::{"), "{path}: one import a line, so that this test can read them");
        if ["lib", "main", "commands"].contains(&module) {
            continue;
        }
        let (_, allowed) = MAY_USE
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("{module} has no row in MAY_USE"));
        for used in named_after(&source, "crate::") {
            let is_item = used.starts_with(char::is_uppercase) && module == "http";
            assert!(used == module || is_item || allowed.contains(&used), "{path} may not use crate::{used}");
        }
    }
}

#[test]
fn crates_stay_at_home() {
    for (path, source) in sources("src") {
        let code: String =
            source.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        for (name, homes) in AT_HOME {
            let is_named = code
                .match_indices(&format!("{name}::"))
                .any(|(at, _)| !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_'));
            assert!(!is_named || homes.contains(&module(&path)), "{path} may not name {name}");
        }
    }
}

#[test]
fn banned_words_have_replacements() {
    for (path, source) in sources("src") {
        for (word, homes, instead) in BANNED {
            for (number, line) in source.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
                let is_banned = line.contains(word) && !homes.contains(&path.as_str());
                assert!(!is_banned, "{path}:{}: {word}: use {instead}", number + 1);
            }
        }
    }
}

#[test]
fn files_stay_readable() {
    for (path, source) in sources("src").into_iter().chain(sources("tests")) {
        let lines = source.lines().count();
        assert!(lines <= 500 || path == "src/store/schema.rs", "{path} has {lines} lines: is it one idea?");
        for (number, line) in source.lines().enumerate() {
            assert!(line.chars().count() <= 240, "{path}:{} is too long to read", number + 1);
            assert!(!line.ends_with(' ') && !line.contains('\t'), "{path}:{} has stray blanks", number + 1);
        }
        if path.starts_with("src/") && path != "src/store/schema.rs" {
            assert!(source.starts_with("//! "), "{path} does not say what it is");
        }
    }
}

/// Every error can happen: a variant that nothing makes is a promise that nothing keeps.
#[test]
fn every_error_is_used() {
    let error = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/error/mod.rs")).unwrap();
    let body = error.split("pub enum Error {").nth(1).unwrap().split("\n}").next().unwrap();
    let variants = body.lines().filter_map(|line| {
        let name = line.strip_prefix("    ")?;
        name.starts_with(char::is_uppercase).then(|| name.split(|c: char| !c.is_alphanumeric()).next().unwrap())
    });
    let conversions: String = error.split("impl From<").skip(1).map(|part| part.split("\n}").next().unwrap()).collect();
    let elsewhere: String = sources("src")
        .into_iter()
        .filter(|(path, _)| !path.starts_with("src/error/"))
        .map(|(_, source)| source)
        .collect();
    let mut count = 0;
    for variant in variants {
        let named = format!("Error::{variant}");
        let stands_alone = |(at, _): (usize, &str)| {
            let (before, after) = (&elsewhere[..at], &elsewhere[at + named.len()..]);
            !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric)
        };
        let is_converted = conversions.contains(&format!("Self::{variant}"));
        let is_made = is_converted || elsewhere.match_indices(&named).any(stands_alone);
        assert!(is_made, "nothing makes Error::{variant}");
        count += 1;
    }
    assert!(count > 15, "{count} variants were found");
}

/// What `make mutants` takes out is where it looks for it, and the test that must see it gone is there: a mechanism that was moved would be
/// missed only when somebody next runs it.
#[test]
fn mechanisms_are_where_they_are_looked_for() {
    #[derive(serde::Deserialize)]
    struct Mechanism {
        name: String,
        test: String,
        /// None for what is taken out of the schema.
        file: Option<String>,
        find: Option<String>,
    }
    #[derive(serde::Deserialize)]
    struct Mechanisms {
        mechanism: Vec<Mechanism>,
    }

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("tests/mutants/mechanisms.toml")).unwrap();
    let all: Mechanisms = toml::from_str(&text).unwrap();
    assert!(all.mechanism.len() > 100);
    for Mechanism { name, test, file, find } in all.mechanism {
        if let (Some(file), Some(find)) = (file, find) {
            let source = fs::read_to_string(root.join(&file)).unwrap();
            assert_eq!(source.matches(&find).count(), 1, "{name}: {file} has not once: {find}");
        }
        let (folder, test) = test.strip_prefix("unit:").map_or(("tests/it", test.as_str()), |test| ("src", test));
        let function = format!("fn {}(", test.rsplit("::").next().unwrap());
        assert!(
            sources(folder).iter().any(|(_, source)| source.contains(&function)),
            "{name}: there is no test {test}"
        );
    }
}
