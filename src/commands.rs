//! The commands beside serving and its preparations: merchant, staff, audit, reconcile, database-url.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use chrono::NaiveDate;
use chrono_tz::Tz;
use rowlock::clock::Clock;
use rowlock::config::Config;
use rowlock::domain::money::Money;
use rowlock::domain::order::PayMethod;
use rowlock::domain::staff::Role;
use rowlock::domain::typed::{NAME_CHARS_MAX, line};
use rowlock::domain::{LocalText, MerchantId};
use rowlock::embedded_pg::Cluster;
use rowlock::error::Error;
use rowlock::gateway::bill::{self, Bill};
use rowlock::service::reconcile::{Finding, Kind, ProviderDay, Report, Total};
use rowlock::store::{Conn, audit as checks, merchants};
use rowlock::{service, store};
use serde_json::json;

use super::{Database, Failure, Stop, add_merchant, options, require_migrated, say_added, unreachable_database};

/// What `rowlock reconcile` is asked.
#[derive(clap::Args)]
pub(crate) struct Reconcile {
    /// The provider's day, from midnight to midnight in China.
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: NaiveDate,
    /// The merchant, by its number.
    #[arg(long, value_name = "ID")]
    merchant: i64,
    /// Whose bill it is: wechat or alipay.
    #[arg(long, value_name = "NAME")]
    gateway: PayMethod,
    /// The bill: WeChat's trade bill of the type ALL, Alipay's details of business, as downloaded and unpacked.
    #[arg(long, value_name = "FILE")]
    bill: PathBuf,
    /// The bill of the day before, which may have what was booked after midnight.
    #[arg(long, value_name = "FILE")]
    bill_before: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// What `rowlock merchant` is asked.
#[derive(clap::Args)]
pub(crate) struct NewMerchant {
    /// Its name, in Chinese.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Its name in English; without it, the same.
    #[arg(long, value_name = "NAME")]
    name_en: Option<String>,
    /// The zone that its clock and its days of business follow, by its name in the IANA database.
    #[arg(long, value_name = "ZONE", default_value = "Asia/Shanghai")]
    time_zone: String,
}

pub(crate) fn merchant(config: &Config, wanted: &NewMerchant, stop: &Stop) -> Result<ExitCode, Failure> {
    let name =
        |given| line(given, NAME_CHARS_MAX).map_err(|reason| Failure(format!("the name is not valid: {}", reason.en)));
    let name = LocalText::new(name(&wanted.name)?, name(wanted.name_en.as_ref().unwrap_or(&wanted.name))?);
    let unknown = |_| Failure(format!("there is no time zone {:?}", wanted.time_zone));
    let time_zone: Tz = wanted.time_zone.parse().map_err(unknown)?;
    let database = Database::join(config)?;
    stop.check()?;
    let mut conn = store::connect(&database.url).map_err(unreachable_database)?;
    require_migrated(&mut conn)?;
    drop(conn);
    let add = |store: &_, now| service::merchants::add(store, &name, time_zone, now);
    say_added(add_merchant(config, &database.url, add)?);
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn staff(
    config: &Config,
    merchant: MerchantId,
    login: &str,
    role: Role,
    password_stdin: bool,
    stop: &Stop,
) -> Result<ExitCode, Failure> {
    let login = line(login, 50).map_err(|reason| Failure(format!("the login is not valid: {}", reason.en)))?;
    let password = if password_stdin { read_password()? } else { made_up_password()? };
    let hash = service::staff::hash(&password).map_err(Failure::of)?;
    let database = Database::join(config)?;
    stop.check()?;
    let mut conn = store::connect(&database.url).map_err(unreachable_database)?;
    require_migrated(&mut conn)?;
    drop(conn);
    let store = store::Store::connect(&database.url, &config.database, Arc::default()).map_err(unreachable_database)?;
    let now = Clock::System.now();
    let done = store.write(merchant, |tx| service::staff::add_or_reset(tx, &login, &hash, role, now));
    let (member, is_new) = done.map_err(|error| match error {
        Error::NotFound => Failure(format!("there is no merchant {merchant}")),
        other => Failure::of(other),
    })?;
    say!("{} {} {login} of merchant {merchant}", if is_new { "added" } else { "reset" }, member.role);
    if !password_stdin {
        say!("password: {password}");
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn audit(config: &Config, stop: &Stop) -> Result<ExitCode, Failure> {
    let (_database, mut conn) = existing(config, "audit", stop)?;
    let (mut violations, mut are_more) = (0, false);
    for (check, found) in checks::run(&mut conn).map_err(Failure::of)? {
        say!("{:9} {:31} {}", if found.is_empty() { "holds" } else { "BROKEN" }, check.name, check.promise);
        for violation in found.iter().take(checks::NAMED_MAX) {
            say!("          merchant {} {}: {}", violation.merchant_id, violation.item, violation.finding);
        }
        if found.len() > checks::NAMED_MAX {
            say!("          … and more");
            are_more = true;
        }
        violations += found.len();
    }
    let least = if are_more { "at least " } else { "" };
    say!("audit: {} checks, {least}{violations} violations", checks::CHECKS.len());
    Ok(if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A database that must be there, with its cluster, if any: a command that only looks makes none.
fn existing(config: &Config, verb: &str, stop: &Stop) -> Result<(Database, Conn), Failure> {
    if config.database.url.is_empty() && !Cluster::exists(&options(config)).map_err(Failure::of)? {
        return Err(Failure(format!("there is no cluster in {}: nothing to {verb}", config.data.dir.display())));
    }
    let database = Database::join(config)?;
    stop.check()?;
    let mut conn = store::connect(&database.url).map_err(unreachable_database)?;
    require_migrated(&mut conn)?;
    Ok((database, conn))
}

/// Prints where the database is, if it answers there.
pub(crate) fn database_url(config: &Config) -> Result<ExitCode, Failure> {
    let is_private = config.database.url.is_empty();
    let url = match is_private {
        true => Cluster::url_in(&options(config)).map_err(Failure::of)?,
        false => config.database.url.expose().to_owned(),
    };
    store::connect(&url).map_err(|error| match is_private {
        true => Failure("the private PostgreSQL does not run: it is there while `rowlock serve` is".to_owned()),
        false => unreachable_database(error),
    })?;
    say!("{url}");
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn reconcile(config: &Config, wanted: &Reconcile, stop: &Stop) -> Result<ExitCode, Failure> {
    let (merchant, gateway) = (MerchantId(wanted.merchant), wanted.gateway);
    let day = ProviderDay::of(wanted.date).ok_or_else(|| Failure(format!("{} is too far off", wanted.date)))?;
    let bill = read_bill(&wanted.bill, gateway, day)?;
    let before = match (&wanted.bill_before, day.before()) {
        (Some(path), Some(before)) => Some(read_bill(path, gateway, before)?),
        (Some(_), None) => return Err(Failure(format!("{} has no day before", wanted.date))),
        (None, _) => None,
    };
    let (_database, mut conn) = existing(config, "reconcile", stop)?;
    if merchants::find(&mut conn, merchant).map_err(Failure::of)?.is_none() {
        return Err(Failure(format!("there is no merchant {merchant}")));
    }
    let report = service::reconcile::reconcile(&mut conn, merchant, gateway, day, &bill, before.as_ref());
    let report = report.map_err(Failure::of)?;
    if wanted.json {
        let told = json!({ "date": wanted.date, "merchant": merchant, "gateway": gateway, "differences": report.differences(), "report": report });
        say!("{told:#}");
    } else {
        say_report(&report);
    }
    Ok(if report.differences() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read_bill(path: &Path, gateway: PayMethod, day: ProviderDay) -> Result<Bill, Failure> {
    let bytes = fs::read(path).map_err(|error| Failure(format!("cannot read {}: {error}", path.display())))?;
    let bill = bill::read(gateway, &bytes).and_then(|bill| day.check(&bill).map(|()| bill));
    bill.map_err(|error| Failure(format!("{}: {error}", path.display())))
}

fn say_report(report: &Report) {
    let amount = |amount: Option<Money>| amount.map_or_else(|| "-".to_owned(), |amount| amount.to_string());
    for Finding { kind, line, payment, transaction, refund, there, here, detail } in &report.findings {
        let verdict = match kind {
            Kind::NotOurs => "not ours",
            kind if kind.is_difference() => "DIFFERS",
            _ => "note",
        };
        let mut said = format!("{verdict:9} {:18} payment {payment}", kind.name());
        for (name, number) in [("transaction", transaction), ("refund", refund)] {
            said += &number.as_ref().map_or_else(String::new, |number| format!(" {name} {number}"));
        }
        said += &format!(" there {} here {}", amount(*there), amount(*here));
        said += &line.map_or_else(String::new, |line| format!(" line {line}"));
        say!("{said}{}{detail}", if detail.is_empty() { "" } else { ": " });
    }
    for (name, there, here) in [
        ("payments", report.payments_there, report.payments_here),
        ("refunds", report.refunds_there, report.refunds_here),
    ] {
        let total = |total: Total| format!("{} of {:.2}", total.count, total.amount);
        say!("total     {name:18} there {}, here {}", total(there), total(here));
    }
    let of = |is: fn(Kind) -> bool| report.findings.iter().filter(|finding| is(finding.kind)).count();
    let not_ours = of(|kind| kind == Kind::NotOurs);
    let notes = of(|kind| kind != Kind::NotOurs && !kind.is_difference());
    say!("reconcile: {} differences, {notes} notes, {not_ours} not ours", report.differences());
}

fn read_password() -> Result<String, Failure> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(Failure::of)?;
    let password = line.trim_end_matches(['\r', '\n']).to_owned();
    let chars = service::staff::PASSWORD_CHARS;
    if chars.contains(&password.chars().count()) {
        return Ok(password);
    }
    Err(Failure(format!("a password has {} to {} characters", chars.start(), chars.end())))
}

/// Eighty random bits, in letters that are not mistaken for each other.
fn made_up_password() -> Result<String, Failure> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Failure("the system gives no random bytes".to_owned()))?;
    Ok(bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect())
}
