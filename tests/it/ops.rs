//! `ops/`: the alert rules and the dashboard speak of metrics that the service renders, by labels that these have.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{TestApp, order};
use crate::two_tills::run_timers;
use rowlock::metrics::{CodeLabels, GatewayLabels};

fn read(path: &str) -> String {
    fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The samples a scrape holds, each with its labels. What has not happened yet is made to have happened.
async fn rendered() -> BTreeMap<String, BTreeSet<String>> {
    let app = TestApp::start();
    app.customer("alice").await.place("k", &order(&[(1, 1)])).await;
    app.customer("alice").await.place("none", &order(&[(1, 999)])).await;
    run_timers(&app).await;
    let metrics = &app.app.metrics;
    metrics.request("GET", "/", 200, Duration::ZERO);
    let gateway = GatewayLabels { gateway: "sandbox", outcome: "ok" };
    drop((metrics.gateway_requests.get_or_create(&gateway), metrics.notices.get_or_create(&gateway)));
    drop(metrics.leases.get_or_create(&CodeLabels { code: "acquired" }));
    let scrape = app.get("/metrics").await;
    let mut samples: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in scrape.text.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_once(['{', ' ']).unwrap();
        samples.entry(name.to_owned()).or_default().extend(labels(rest));
    }
    // Prometheus adds where it found a sample, and whether there was one.
    samples.insert("up".to_owned(), BTreeSet::new());
    for labels in samples.values_mut() {
        labels.extend(["instance", "job"].map(str::to_owned));
    }
    samples
}

/// The names before `="`, `=~"` and their like.
fn labels(text: &str) -> Vec<String> {
    let before = |(at, _): (usize, &str)| {
        let name = text[..at].trim_end_matches(['=', '!', '~']);
        name.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap().to_owned()
    };
    let quotes = text.match_indices('"').filter(|(at, _)| text[..*at].ends_with(['=', '~']));
    quotes.map(before).collect()
}

/// What an expression speaks of: metrics, and the labels it selects them by.
fn spoken_of(expression: &str) -> Vec<(String, Vec<String>)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(at) = ["rowlock_", "process_", "up{"].iter().filter_map(|name| rest.find(name)).min() {
        let from = &rest[at..];
        let end = from.find(|c| !is_word(c)).unwrap_or(from.len());
        let selector = from[end..]
            .strip_prefix('{')
            .and_then(|more| more.split_once(r#""}"#))
            .map(|(inside, _)| format!("{inside}\""));
        found.push((from[..end].to_owned(), labels(&selector.unwrap_or_default())));
        rest = &from[end..];
    }
    found
}

fn hold(samples: &BTreeMap<String, BTreeSet<String>>, expression: &str) {
    let spoken = spoken_of(expression);
    assert!(!spoken.is_empty(), "{expression}");
    for (metric, labels) in spoken {
        let known = samples.get(&metric).unwrap_or_else(|| panic!("there is no {metric}: {expression}"));
        for label in labels {
            assert!(known.contains(&label), "{metric} has no label {label}: {expression}");
        }
    }
}

#[actix_web::test]
async fn alerts_and_dashboard_speak_of_what_is_rendered() {
    let samples = rendered().await;
    let alerts = read("ops/alerts.yml");
    let expressions: Vec<String> = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: '")?.strip_suffix('\'').map(|text| text.replace("''", "'")))
        .collect();
    let count = |word: &str| alerts.lines().filter(|line| line.trim_start().starts_with(word)).count();
    assert!(expressions.len() > 20);
    for part in ["- alert: Rowlock", "expr:", "severity:", "summary:", "description:"] {
        assert_eq!(count(part), expressions.len(), "{part}");
    }
    expressions.iter().for_each(|expression| hold(&samples, expression));

    let dashboard: Value = serde_json::from_str(&read("ops/grafana.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let rows = panels.iter().filter(|panel| panel["type"] == "row").map(|row| row["title"].as_str().unwrap());
    assert_eq!(rows.collect::<Vec<_>>(), ["Orders", "Engine", "Database", "Payments", "Side effects", "Process"]);
    let source = json!({ "type": "prometheus", "uid": "${datasource}" });
    let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        assert!(ids.insert(panel["id"].as_i64().unwrap()) && places.insert(panel["gridPos"].to_string()), "{panel}");
        for target in panel["targets"].as_array().unwrap_or(&Vec::new()) {
            assert_eq!((&panel["datasource"], &target["datasource"]), (&source, &source));
            hold(&samples, target["expr"].as_str().unwrap());
        }
    }
    // Nothing is measured that nobody looks at.
    let looked_at = format!("{alerts}{dashboard}");
    for metric in samples.keys().filter(|metric| metric.starts_with("rowlock_")) {
        let family = ["_bucket", "_sum", "_count"].iter().fold(metric.as_str(), |name, end| name.trim_end_matches(end));
        assert!(looked_at.contains(family), "no rule and no panel has {metric}");
    }
}

/// The README sends operators to alerts by name.
#[test]
fn the_alerts_that_are_named_are_there() {
    let alerts = read("ops/alerts.yml");
    let readme = read("README.md");
    let named = readme.split('`').filter(|word| word.starts_with("Rowlock") && word.chars().all(char::is_alphanumeric));
    let mut count = 0;
    for name in named {
        assert!(alerts.contains(&format!("alert: {name}\n")), "{name}");
        count += 1;
    }
    assert!(count > 10);
}

/// What stands in the database is measured: what is late, what waits for a human, and whose clock is ahead.
#[actix_web::test]
async fn what_is_late_shows() {
    let app = TestApp::start();
    app.customer("alice").await.place("k", &order(&[(1, 1)])).await;
    app.execute(
        "UPDATE merchants SET webhook_url = 'https://example.com', webhook_secret = 'whsec_c2VjcmV0' WHERE id = 1",
    );
    app.execute("INSERT INTO alerts (merchant_id, id, kind, detail, raised_at) VALUES (1, gen_random_uuid(), 'payment_unknown', '', '2026-01-01Z')");
    app.execute("INSERT INTO webhook_deliveries (merchant_id, seq, state, due_at) SELECT 1, 1, 'pending', '2026-11-21T03:59:00Z' WHERE EXISTS
                     (SELECT FROM events WHERE seq = 1)");
    assert!(app.metric("rowlock_measured_timestamp_seconds") < 1.0);
    app.clock.advance(chrono::TimeDelta::seconds(30));
    run_timers(&app).await;
    assert!((app.metric("rowlock_lag_seconds{work=\"events\"}") - 30.0).abs() < 0.01);
    assert!(app.metric("rowlock_lag_seconds{work=\"unpaid_orders\"}") < 0.01);
    assert!(app.metric("rowlock_alerts_open{code=\"payment_unknown\"}") > 0.5);
    assert!(app.metric("rowlock_alerts_open{code=\"refund_stuck\"}") < 0.5);
    assert!(app.metric("rowlock_measured_timestamp_seconds") > 1.0);
    // The test's clock stands at a noon of its own.
    let skew = app.metric("rowlock_clock_skew_seconds");
    let real = (chrono::Utc::now() - app.clock.now()).num_seconds() as f64;
    assert!((skew - real).abs() < 2.0, "{skew} {real}");
    assert!(app.metric("process_resident_memory_bytes") > 1e6 && app.metric("process_open_fds") > 3.0);
    assert!(app.metric("process_start_time_seconds") > 1e9 && app.metric("process_max_fds") > 10.0);
    assert!(app.metric("process_cpu_seconds_total") > 0.0);
}
