//! The staff see and change their merchant's settings.

use actix_web::web::Data;
use actix_web::{HttpResponse, get, patch, post};
use chrono::NaiveTime;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::App;
use crate::domain::LocalText;
use crate::domain::ledger::EarnedOn;
use crate::domain::money::Money;
use crate::domain::order::{FulfilmentKind, PayMethod};
use crate::domain::placement::Hours;
use crate::error::Error;
use crate::http::extract::{Body, nullable, number, one_of, price, web_address};
use crate::http::problem::{PROBLEM, ProblemView};
use crate::http::staff::{Action, EditSettings, Staff, act};
use crate::http::view::{NameFields, Text, amount, fulfilments, minimum_amount, name_of, names, optional_amount};
use crate::http::{blocking, read};
use crate::service;
use crate::service::settings::{Changed, Webhook};
use crate::store::merchants::{self, Merchant};
use crate::store::settings;

fn accept_timeout() -> utoipa::openapi::Object {
    names(vec!["reject", "accept"])
}

/// Opening hours by the wall clock of the shop. They may pass midnight.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OpeningHours {
    #[schema(example = "09:00", pattern = "^[0-9]{2}:[0-9]{2}$")]
    opens_at: String,
    #[schema(example = "21:30", pattern = "^[0-9]{2}:[0-9]{2}$")]
    closes_at: String,
}

#[derive(Serialize, ToSchema)]
struct Settings {
    name: Text,
    #[schema(example = "Asia/Shanghai")]
    time_zone: &'static str,
    /// Null when always open.
    hours: Option<OpeningHours>,
    /// Takes no orders at the moment.
    paused: bool,
    /// How orders can be had.
    #[schema(schema_with = fulfilments)]
    fulfilments: Vec<&'static str>,
    /// Orders may be paid in cash.
    takes_cash: bool,
    /// The least the goods of a delivery must cost.
    #[schema(schema_with = minimum_amount)]
    minimum_amount: Money,
    /// What a delivery costs.
    #[schema(schema_with = amount)]
    freight: Money,
    /// From this goods amount on, delivery is free; null where it never is.
    #[schema(schema_with = optional_amount)]
    free_freight_from: Option<Money>,
    /// Minutes an order may wait for its payment.
    unpaid_minutes: i32,
    /// Minutes the restaurant may take to answer an order.
    accept_minutes: i32,
    /// When a day of business begins.
    #[schema(example = "04:00")]
    day_starts_at: String,
    /// Orders are accepted as soon as they may be.
    auto_accept: bool,
    /// What becomes of orders that nobody answers in time.
    #[schema(schema_with = accept_timeout)]
    accept_timeout: &'static str,
    /// Minutes after which orders that are ready or on their way, and for which no cash is owed, are completed by themselves; null where
    /// they never are.
    complete_after_minutes: Option<i32>,
    /// Customers may cancel orders that wait to be accepted.
    customer_cancels: bool,
    /// How many points pay one yuan; 0 where none are taken.
    points_per_yuan: u32,
    /// Points that a paid yuan earns.
    points_earned_per_yuan: u32,
    /// When they are credited.
    #[schema(schema_with = name_of::<EarnedOn>)]
    points_earned_on: &'static str,
    /// Where to tell of what happens; null where nobody is told.
    webhook_url: Option<String>,
    /// What its messages are signed with. Shown once: when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_secret: Option<String>,
}

fn clock(time: NaiveTime) -> String {
    time.format("%H:%M").to_string()
}

impl From<Changed> for Settings {
    fn from(changed: Changed) -> Self {
        let Changed { merchant, complete_after_minutes, webhook_url, new_secret, published: _ } = changed;
        let hours = |hours: Hours| OpeningHours { opens_at: clock(hours.opens_at), closes_at: clock(hours.closes_at) };
        Self {
            name: merchant.name.into(),
            time_zone: merchant.time_zone.name(),
            hours: merchant.hours.map(hours),
            paused: merchant.paused,
            fulfilments: merchant.offered.fulfilments(),
            takes_cash: merchant.offered.cash,
            minimum_amount: merchant.minimum_amount,
            freight: merchant.freight,
            free_freight_from: merchant.free_freight_from,
            unpaid_minutes: merchant.unpaid_minutes,
            accept_minutes: merchant.accept_minutes,
            day_starts_at: clock(merchant.day_starts_at),
            auto_accept: merchant.auto_accept,
            accept_timeout: if merchant.timeout_accepts { "accept" } else { "reject" },
            complete_after_minutes,
            customer_cancels: merchant.customer_cancels,
            points_per_yuan: merchant.points_per_yuan,
            points_earned_per_yuan: merchant.points_earned_per_yuan,
            points_earned_on: merchant.points_earned_on.name(),
            webhook_url,
            webhook_secret: new_secret,
        }
    }
}

/// The merchant's settings.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("edit_settings"))),
    params(("m" = i64, Path, description = "The merchant")),
    responses(
        (status = 200, body = Settings),
    ),
)]
#[get("/v1/admin/merchants/{m}/settings")]
pub(in crate::http) async fn show_settings(app: Data<App>, who: Staff<EditSettings>) -> Result<HttpResponse, Error> {
    let shown = read(&app, who.merchant, move |conn| {
        let merchant = merchants::find(conn, who.merchant)?.ok_or(Error::NotFound)?;
        let complete_after_minutes = settings::complete_after_minutes(conn, who.merchant)?;
        let webhook_url = settings::webhook_url(conn, who.merchant)?;
        Ok(Changed { merchant, complete_after_minutes, webhook_url, new_secret: None, published: 0 })
    })
    .await?;
    Ok(HttpResponse::Ok().json(Settings::from(shown)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeSettings {
    name: Option<NameFields>,
    /// A name of the IANA database.
    #[schema(example = "Asia/Shanghai")]
    time_zone: Option<String>,
    /// Null: always open.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<OpeningHours>)]
    hours: Option<Option<OpeningHours>>,
    paused: Option<bool>,
    /// Those that are named, and no others. Orders that stand go on.
    #[schema(schema_with = fulfilments)]
    fulfilments: Option<Vec<String>>,
    /// Can be false only where there is another way to pay. Orders that stand are paid as they were to be.
    takes_cash: Option<bool>,
    /// At most 1000000, like the other amounts.
    #[serde(default)]
    #[schema(schema_with = optional_amount)]
    minimum_amount: Option<Money>,
    #[serde(default)]
    #[schema(schema_with = optional_amount)]
    freight: Option<Money>,
    /// Null: never free.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(schema_with = optional_amount)]
    free_freight_from: Option<Option<Money>>,
    #[schema(minimum = 5, maximum = 120)]
    unpaid_minutes: Option<i32>,
    #[schema(minimum = 1, maximum = 120)]
    accept_minutes: Option<i32>,
    #[schema(example = "04:00", pattern = "^[0-9]{2}:[0-9]{2}$")]
    day_starts_at: Option<String>,
    auto_accept: Option<bool>,
    #[schema(schema_with = accept_timeout)]
    accept_timeout: Option<String>,
    /// Null: never by themselves. It counts for orders that become ready or leave from now on; null for those that wait, too.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i32>, minimum = 10, maximum = 10_080)]
    complete_after_minutes: Option<Option<i32>>,
    customer_cancels: Option<bool>,
    #[schema(minimum = 0, maximum = 10_000)]
    points_per_yuan: Option<u32>,
    #[schema(minimum = 0, maximum = 10_000)]
    points_earned_per_yuan: Option<u32>,
    #[schema(schema_with = name_of::<EarnedOn>)]
    points_earned_on: Option<String>,
    /// http or https; null: nobody is told any more.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 500)]
    webhook_url: Option<Option<String>>,
}

/// A change of settings that is within its bounds; what is none stays.
#[derive(Clone)]
struct Change {
    name: Option<LocalText>,
    time_zone: Option<Tz>,
    hours: Option<Option<Hours>>,
    paused: Option<bool>,
    fulfilments: Option<Vec<FulfilmentKind>>,
    takes_cash: Option<bool>,
    minimum_amount: Option<Money>,
    freight: Option<Money>,
    free_freight_from: Option<Option<Money>>,
    unpaid_minutes: Option<i32>,
    accept_minutes: Option<i32>,
    day_starts_at: Option<NaiveTime>,
    auto_accept: Option<bool>,
    timeout_accepts: Option<bool>,
    complete_after_minutes: Option<Option<i32>>,
    customer_cancels: Option<bool>,
    points_per_yuan: Option<u32>,
    points_earned_per_yuan: Option<u32>,
    points_earned_on: Option<EarnedOn>,
}

fn time(field: &'static str, text: &str) -> Result<NaiveTime, Error> {
    let is_clock = text.len() == 5 && text.is_char_boundary(2);
    let time = NaiveTime::parse_from_str(text, "%H:%M").ok().filter(|_| is_clock);
    time.ok_or_else(|| Error::invalid(field, "须为 09:30 这样的时刻", "it must be a time of day such as 09:30"))
}

fn hours(hours: &OpeningHours) -> Result<Hours, Error> {
    let (opens_at, closes_at) = (time("hours.opens_at", &hours.opens_at)?, time("hours.closes_at", &hours.closes_at)?);
    if opens_at == closes_at {
        return Err(Error::invalid(
            "hours.closes_at",
            "不能与 opens_at 相同；全天营业为 null",
            "it must differ from opens_at; always open is null",
        ));
    }
    Ok(Hours { opens_at, closes_at })
}

fn kinds(names: &[String]) -> Result<Vec<FulfilmentKind>, Error> {
    if names.is_empty() {
        return Err(Error::invalid("fulfilments", "至少须提供一种", "one at least must be offered"));
    }
    let kind = |name: &String| one_of("fulfilments", name, FulfilmentKind::ALL);
    let named = names.iter().map(kind).collect::<Result<Vec<FulfilmentKind>, Error>>()?;
    Ok(FulfilmentKind::ALL.iter().copied().filter(|kind| named.contains(kind)).collect())
}

impl ChangeSettings {
    fn checked(&self) -> Result<(Change, Webhook), Error> {
        let points = |field, points: Option<u32>| points.map(|points| number(field, points, 0..=10_000)).transpose();
        let zone = |zone: &String| {
            let unknown = |_| Error::invalid("time_zone", "没有此时区", "there is no such time zone");
            zone.parse::<Tz>().map_err(unknown)
        };
        let timeout = |what: &String| match what.as_str() {
            "accept" => Ok(true),
            "reject" => Ok(false),
            _ => Err(Error::none_of("accept_timeout", "reject, accept")),
        };
        let unpaid = self.unpaid_minutes.map(|minutes| number("unpaid_minutes", minutes, 5..=120));
        let accept = self.accept_minutes.map(|minutes| number("accept_minutes", minutes, 1..=120));
        let complete = |minutes| number("complete_after_minutes", minutes, 10..=10_080);
        let free = |amount: Money| price("free_freight_from", amount);
        let change = Change {
            name: self.name.as_ref().map(|name| name.checked("name.zh", "name.en")).transpose()?,
            time_zone: self.time_zone.as_ref().map(zone).transpose()?,
            hours: self.hours.as_ref().map(|fields| fields.as_ref().map(hours).transpose()).transpose()?,
            paused: self.paused,
            fulfilments: self.fulfilments.as_deref().map(kinds).transpose()?,
            takes_cash: self.takes_cash,
            minimum_amount: self.minimum_amount.map(|amount| price("minimum_amount", amount)).transpose()?,
            freight: self.freight.map(|amount| price("freight", amount)).transpose()?,
            free_freight_from: self.free_freight_from.map(|amount| amount.map(free).transpose()).transpose()?,
            unpaid_minutes: unpaid.transpose()?,
            accept_minutes: accept.transpose()?,
            day_starts_at: self.day_starts_at.as_ref().map(|text| time("day_starts_at", text)).transpose()?,
            auto_accept: self.auto_accept,
            timeout_accepts: self.accept_timeout.as_ref().map(timeout).transpose()?,
            complete_after_minutes: self
                .complete_after_minutes
                .map(|minutes| minutes.map(complete).transpose())
                .transpose()?,
            customer_cancels: self.customer_cancels,
            points_per_yuan: points("points_per_yuan", self.points_per_yuan)?,
            points_earned_per_yuan: points("points_earned_per_yuan", self.points_earned_per_yuan)?,
            points_earned_on: self
                .points_earned_on
                .as_ref()
                .map(|when| one_of("points_earned_on", when, EarnedOn::ALL))
                .transpose()?,
        };
        let webhook = match &self.webhook_url {
            None => Webhook::Stay,
            Some(None) => Webhook::Off,
            Some(Some(url)) => Webhook::To(web_address("webhook_url", url)?),
        };
        Ok((change, webhook))
    }
}

impl Change {
    fn apply(&self, merchant: &mut Merchant) {
        merchant.name = self.name.clone().unwrap_or_else(|| merchant.name.clone());
        merchant.time_zone = self.time_zone.unwrap_or(merchant.time_zone);
        merchant.hours = self.hours.unwrap_or(merchant.hours);
        merchant.paused = self.paused.unwrap_or(merchant.paused);
        if let Some(kinds) = &self.fulfilments {
            merchant.offered.dine_in = kinds.contains(&FulfilmentKind::DineIn);
            merchant.offered.pickup = kinds.contains(&FulfilmentKind::Pickup);
            merchant.offered.delivery = kinds.contains(&FulfilmentKind::Delivery);
        }
        merchant.offered.cash = self.takes_cash.unwrap_or(merchant.offered.cash);
        merchant.minimum_amount = self.minimum_amount.unwrap_or(merchant.minimum_amount);
        merchant.freight = self.freight.unwrap_or(merchant.freight);
        merchant.free_freight_from = self.free_freight_from.unwrap_or(merchant.free_freight_from);
        merchant.unpaid_minutes = self.unpaid_minutes.unwrap_or(merchant.unpaid_minutes);
        merchant.accept_minutes = self.accept_minutes.unwrap_or(merchant.accept_minutes);
        merchant.day_starts_at = self.day_starts_at.unwrap_or(merchant.day_starts_at);
        merchant.auto_accept = self.auto_accept.unwrap_or(merchant.auto_accept);
        merchant.timeout_accepts = self.timeout_accepts.unwrap_or(merchant.timeout_accepts);
        merchant.customer_cancels = self.customer_cancels.unwrap_or(merchant.customer_cancels);
        merchant.points_per_yuan = self.points_per_yuan.unwrap_or(merchant.points_per_yuan);
        merchant.points_earned_per_yuan = self.points_earned_per_yuan.unwrap_or(merchant.points_earned_per_yuan);
        merchant.points_earned_on = self.points_earned_on.unwrap_or(merchant.points_earned_on);
    }

    /// What is changed, for the trail.
    fn detail(&self, webhook: &Webhook) -> Value {
        let hours = self.hours.map(|hours| hours.map(|hours| [clock(hours.opens_at), clock(hours.closes_at)]));
        let mut detail = json!({
            "name": self.name,
            "time_zone": self.time_zone.map(|zone| zone.name()),
            "paused": self.paused,
            "fulfilments": self.fulfilments,
            "takes_cash": self.takes_cash,
            "minimum_amount": self.minimum_amount,
            "freight": self.freight,
            "unpaid_minutes": self.unpaid_minutes,
            "accept_minutes": self.accept_minutes,
            "day_starts_at": self.day_starts_at.map(clock),
            "auto_accept": self.auto_accept,
            "timeout_accepts": self.timeout_accepts,
            "customer_cancels": self.customer_cancels,
            "points_per_yuan": self.points_per_yuan,
            "points_earned_per_yuan": self.points_earned_per_yuan,
            "points_earned_on": self.points_earned_on.map(EarnedOn::name),
        });
        let fields = detail.as_object_mut().expect("it was made as an object");
        fields.retain(|_, value| !value.is_null());
        // Here null is a value: it was taken away.
        if let Some(hours) = hours {
            fields.insert("hours".to_owned(), json!(hours));
        }
        if let Some(amount) = self.free_freight_from {
            fields.insert("free_freight_from".to_owned(), json!(amount));
        }
        if let Some(minutes) = self.complete_after_minutes {
            fields.insert("complete_after_minutes".to_owned(), json!(minutes));
        }
        match webhook {
            Webhook::Stay => {}
            Webhook::Off => drop(fields.insert("webhook".to_owned(), json!("off"))),
            // An address may hold a secret of whoever receives.
            Webhook::To(_) => drop(fields.insert("webhook".to_owned(), json!("set"))),
        }
        detail
    }
}

/// Changes settings: the fields that are sent.
///
/// Where there was no webhook, the answer holds the secret that a new one's messages are signed with, and it is told of what happens
/// from then on. When it is taken away, deliveries that are pending are parked.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("edit_settings"))),
    params(("m" = i64, Path, description = "The merchant")),
    request_body = ChangeSettings,
    responses(
        (status = 200, body = Settings),
    ),
)]
#[patch("/v1/admin/merchants/{m}/settings")]
pub(in crate::http) async fn change_settings(
    app: Data<App>,
    who: Staff<EditSettings>,
    body: Body<ChangeSettings>,
) -> Result<HttpResponse, Error> {
    let ((change, webhook), now) = (body.0.checked()?, app.clock.now());
    let has_gateway = app.gateways.methods(who.merchant).any(|method| method != PayMethod::Cash);
    if change.takes_cash == Some(false) && !has_gateway {
        return Err(Error::invalid("takes_cash", "没有其他支付方式", "there is no other way to pay"));
    }
    let detail = change.detail(&webhook);
    if let Webhook::To(_) = webhook {
        // Or a week of them would be published while nobody else can change the settings.
        let merchant = who.merchant;
        blocking(&app, move |app| app.events.current(merchant)).await?;
    }
    let action = Action { name: "change_settings", subject: "settings".to_owned(), detail };
    let changed = act(&app, &who, action, now, move |tx| {
        service::settings::change(tx, |merchant| change.apply(merchant), change.complete_after_minutes, &webhook, now)
    })
    .await?;
    app.metrics.events_published.inc_by(changed.published as u64);
    Ok(HttpResponse::Ok().json(Settings::from(changed)))
}

#[derive(Serialize, ToSchema)]
struct WebhookSecret {
    /// What messages are signed with from now on. Shown this once.
    webhook_secret: String,
}

/// Gives the webhook another secret.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("edit_settings"))),
    params(("m" = i64, Path, description = "The merchant")),
    responses(
        (status = 201, body = WebhookSecret),
        (status = 404, body = ProblemView, content_type = PROBLEM, description = "`not_found`: there is no webhook"),
    ),
)]
#[post("/v1/admin/merchants/{m}/settings/webhook-secret")]
pub(in crate::http) async fn renew_secret(app: Data<App>, who: Staff<EditSettings>) -> Result<HttpResponse, Error> {
    let now = app.clock.now();
    let action = Action { name: "renew_webhook_secret", subject: "settings".to_owned(), detail: json!({}) };
    let webhook_secret = act(&app, &who, action, now, service::settings::renew_secret).await?;
    Ok(HttpResponse::Created().json(WebhookSecret { webhook_secret }))
}
