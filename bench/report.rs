//! The report: ratios, and all of it as JSON, as Markdown and as a chart in bench/out.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use crate::Result;
use crate::chart;
use crate::machine::Machine;
use crate::numbers::Summary;
use crate::plan::{CLIENTS, Cell, Load, PEER_CLIENTS, Plan, System, WORST_CLIENTS, WORST_LOADS};

/// What was measured of each cell.
pub(crate) type Cells = BTreeMap<Cell, Summary>;

/// All that a run has found out.
pub(crate) struct Report {
    method: String,
    machine: Machine,
    cells: Cells,
    ratios: Ratios,
    audit_violations: usize,
}

/// The service next to bare SQL, in medians.
#[derive(Serialize)]
struct Ratios {
    /// Most orders a second through groups by the most through bare SQL.
    spread: f64,
    hot: f64,
    /// Refusals a second by placements a second of the same goods, were they there.
    sold_out: f64,
    /// Latency of a lone client by that of a lone connection, at the median.
    one_client: f64,
    /// The least of orders a second by bare SQL's at the same number of clients.
    worst: f64,
    #[serde(skip)]
    worst_at: String,
    service_rss_mb: Option<f64>,
    spread_p99_ms_128_clients: f64,
    hot_p99_ms_128_clients: f64,
    spread_best_clients: u32,
    hot_best_clients: u32,
    spread_best_clients_bare_sql: u32,
    hot_best_clients_bare_sql: u32,
}

impl Ratios {
    fn of(cells: &Cells, rss_kb: Option<u64>) -> Self {
        let (spread_best_clients, spread_groups) = best(cells, Load::Spread, System::Groups, &CLIENTS);
        let (spread_best_clients_bare_sql, spread_bare) = best(cells, Load::Spread, System::BareSql, &PEER_CLIENTS);
        let (hot_best_clients, hot_groups) = best(cells, Load::Hot, System::Groups, &CLIENTS);
        let (hot_best_clients_bare_sql, hot_bare) = best(cells, Load::Hot, System::BareSql, &PEER_CLIENTS);
        let (_, refusals) = best(cells, Load::SoldOut, System::Groups, &CLIENTS);
        let (worst, worst_at) = worst(cells);
        let lone = |system| find(cells, Load::Spread, 1, system).p50_ms.median;
        let p99_ms = |load| find(cells, load, 128, System::Groups).p99_ms.median;
        Self {
            spread: rounded(spread_groups / spread_bare),
            hot: rounded(hot_groups / hot_bare),
            sold_out: rounded(refusals / hot_groups),
            one_client: rounded(lone(System::Groups) / lone(System::BareSql)),
            worst: rounded(worst),
            worst_at,
            service_rss_mb: rss_kb.map(|kb| rounded(kb as f64 / 1024.0)),
            spread_p99_ms_128_clients: p99_ms(Load::Spread),
            hot_p99_ms_128_clients: p99_ms(Load::Hot),
            spread_best_clients,
            hot_best_clients,
            spread_best_clients_bare_sql,
            hot_best_clients_bare_sql,
        }
    }
}

/// A cell that every plan has.
fn find(cells: &Cells, load: Load, clients: u32, system: System) -> &Summary {
    &cells[&Cell { load, clients, system }]
}

/// The client count, of those measured, at which a system takes the most orders, and how many a second.
pub(crate) fn best(cells: &Cells, load: Load, system: System, among: &[u32]) -> (u32, f64) {
    let rate = |clients: &u32| {
        Some((*clients, cells.get(&Cell { load, clients: *clients, system })?.orders_per_second.median))
    };
    among.iter().filter_map(rate).max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0))
}

fn worst(cells: &Cells) -> (f64, String) {
    let points = WORST_LOADS.into_iter().flat_map(|load| WORST_CLIENTS.map(|clients| (load, clients)));
    let ratio = |(load, clients): (Load, u32)| {
        let rate = |system| find(cells, load, clients, system).orders_per_second.median;
        (rate(System::Groups) / rate(System::BareSql), format!("{}, {clients} clients", load.name()))
    };
    points.map(ratio).min_by(|a, b| a.0.total_cmp(&b.0)).expect("there are loads and client counts to compare")
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

impl Report {
    pub(crate) fn new(
        plan: &Plan,
        cells: Cells,
        machine: Machine,
        rss_kb: Option<u64>,
        audit_violations: usize,
    ) -> Self {
        let ratios = Ratios::of(&cells, rss_kb);
        let method = format!(
            "{} rounds of {} seconds a cell, the systems of one load and client count directly after one another. A number is \
             the median of the rounds, with the least and the greatest in brackets. PostgreSQL runs with its default \
             settings (fsync on) on the same machine as the service and the load. bare_sql is pgbench over a unix socket: \
             prepared statements, one order per transaction, the same rows, no HTTP. The services are driven by wrk over HTTP \
             with a keep-alive connection for each client, and answer each order in full.",
            plan.rounds, plan.seconds
        );
        Self { method, machine, cells, ratios, audit_violations }
    }

    /// Whether every request got its answer and every promise holds.
    pub(crate) fn is_sound(&self) -> bool {
        self.audit_violations == 0 && self.cells.values().all(|summary| summary.errors.max == 0.0)
    }

    /// The report as Markdown, which a terminal shows well enough.
    pub(crate) fn text(&self) -> String {
        let rate = |s: &Summary| {
            format!(
                "{} ({}–{})",
                whole(s.orders_per_second.median),
                whole(s.orders_per_second.min),
                whole(s.orders_per_second.max)
            )
        };
        let latency = |s: &Summary| format!("{:.2} / {:.2}", s.p50_ms.median, s.p99_ms.median);
        let errors: f64 = self.cells.values().map(|summary| summary.errors.max).sum();
        let mut text = format!("# Rowlock: benchmark\n\n{}\n\n{}\n", self.machine.words(), self.method);
        let _ = write!(text, "\n## Orders per second (sold_out: refusals)\n\n{}", self.table(rate));
        let _ = write!(text, "\n## Latency in ms, p50 / p99\n\n{}", self.table(latency));
        let _ = write!(text, "\n## Ratios\n\n{}", self.ratio_lines());
        let _ = write!(text, "\nAudit: {} violations. Errors: {}.\n", self.audit_violations, whole(errors));
        text
    }

    fn ratio_lines(&self) -> String {
        let r = &self.ratios;
        let rss = r.service_rss_mb.map_or_else(|| "unknown".to_owned(), |mb| format!("{mb:.1} MB"));
        let lines = [
            format!(
                "spread: {:.2}, groups at {} clients by bare_sql at {}",
                r.spread, r.spread_best_clients, r.spread_best_clients_bare_sql
            ),
            format!(
                "hot: {:.2}, groups at {} clients by bare_sql at {}",
                r.hot, r.hot_best_clients, r.hot_best_clients_bare_sql
            ),
            format!("sold_out: {:.2}, refusals by placements on hot, groups", r.sold_out),
            format!("one_client: {:.2}, p50 of groups by p50 of bare_sql, spread", r.one_client),
            format!("worst: {:.2}, groups by bare_sql at the same 1, 8 or 32 clients: {}", r.worst, r.worst_at),
            format!(
                "p99 of groups at 128 clients: spread {:.1} ms, hot {:.1} ms",
                r.spread_p99_ms_128_clients, r.hot_p99_ms_128_clients
            ),
            format!("memory of the service: {rss}"),
        ];
        lines.map(|line| format!("- {line}\n")).concat()
    }

    /// A row for every load and client count, a column for every system.
    fn table(&self, entry: impl Fn(&Summary) -> String) -> String {
        let mut rows = vec![vec!["load".to_owned(), "clients".to_owned()]];
        rows[0].extend(System::ALL.map(|system| system.name().to_owned()));
        for (load, clients) in Load::ALL.into_iter().flat_map(|load| CLIENTS.map(|clients| (load, clients))) {
            let entries = System::ALL.map(|system| self.cells.get(&Cell { load, clients, system }).map(&entry));
            if entries.iter().any(Option::is_some) {
                let mut row = vec![load.name().to_owned(), clients.to_string()];
                row.extend(entries.map(Option::unwrap_or_default));
                rows.push(row);
            }
        }
        aligned(&rows)
    }

    fn json(&self) -> Value {
        let cell = |(cell, summary): (&Cell, &Summary)| {
            let Summary { orders_per_second, p50_ms, p99_ms, errors } = summary;
            json!({
                "system": cell.system, "load": cell.load, "clients": cell.clients,
                "orders_per_second": orders_per_second, "p50_ms": p50_ms, "p99_ms": p99_ms, "errors": errors,
            })
        };
        json!({
            "machine": self.machine, "method": self.method, "cells": self.cells.iter().map(cell).collect::<Vec<_>>(),
            "ratios": self.ratios, "worst_at": self.ratios.worst_at, "audit_violations": self.audit_violations,
        })
    }

    /// Writes report.json, report.md and chart.svg.
    pub(crate) fn write(&self) -> Result<()> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/out");
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("report.json"), format!("{:#}\n", self.json()))?;
        fs::write(dir.join("report.md"), format!("{}\n![Orders per second](chart.svg)\n", self.text()))?;
        fs::write(dir.join("chart.svg"), chart::svg(&self.cells, &self.machine.words()))?;
        println!("Wrote report.json, report.md and chart.svg to {}", dir.display());
        Ok(())
    }
}

/// A Markdown table whose columns stand under each other; the first row is its head.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
        if number == 0 {
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            let _ = writeln!(text, "| {} |", rule.join(" | "));
        }
    }
    text
}

/// `12345.6` → `12,346`.
pub(crate) fn whole(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
