//! What the days came to.

use actix_web::web::{Data, Query};
use actix_web::{HttpResponse, get};
use chrono::{DateTime, Days, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::days::checked_days;
use crate::App;
use crate::domain::money::Money;
use crate::error::Error;
use crate::http::read;
use crate::http::staff::{ReadStatistics, Staff};
use crate::http::view::{Text, amount, optional_amount};
use crate::store::statistics::{By, Sold, Sums};
use crate::store::{merchants, statistics};

/// Days in one answer.
const DAYS_MAX: usize = 366;
/// Dishes in a ranking.
const BEST_MAX: i64 = 10;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct DaysQuery {
    /// First day of business; when absent, the last.
    from: Option<NaiveDate>,
    /// Last day of business, at most 366 days from the first; when absent, today.
    to: Option<NaiveDate>,
    /// Only what was placed before this moment counts: to compare a day that is not over with another one up to the same hour.
    until: Option<DateTime<Utc>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StatisticsSums)]
struct SumsView {
    /// Money that came in, less what went back or is on its way.
    #[schema(schema_with = amount)]
    turnover: Money,
    /// Orders for which any of it is left.
    paid: u64,
    /// Turnover for each of those; null where there is none.
    #[schema(schema_with = optional_amount)]
    average: Option<Money>,
    /// Orders placed.
    placed: u64,
    /// Of them, completed by now.
    completed: u64,
    /// Of them, cancelled by now.
    cancelled: u64,
    /// Of them, rejected by now.
    rejected: u64,
    /// How many seconds, on average, an order waited until somebody accepted it; null where nobody did.
    mean_accept_seconds: Option<u64>,
}

impl From<Sums> for SumsView {
    fn from(sums: Sums) -> Self {
        Self {
            turnover: sums.turnover,
            paid: sums.paid_orders,
            average: sums.turnover.fen().checked_div(sums.paid_orders).map(Money::from_fen),
            placed: sums.placed,
            completed: sums.completed,
            cancelled: sums.cancelled,
            rejected: sums.rejected,
            mean_accept_seconds: sums.accept_seconds.checked_div(sums.accepted),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = StatisticsDay)]
struct DayView {
    day: NaiveDate,
    #[serde(flatten)]
    sums: SumsView,
}

/// An hour on the merchant's clock, over all the days.
#[derive(Serialize, ToSchema)]
#[schema(as = StatisticsHour)]
struct HourView {
    #[schema(minimum = 0, maximum = 23)]
    hour: u32,
    /// Orders placed.
    placed: u64,
    /// Money that came in for them, less what went back or is on its way.
    #[schema(schema_with = amount)]
    turnover: Money,
}

#[derive(Serialize, ToSchema)]
#[schema(as = BestSeller)]
struct SoldView {
    goods_id: i64,
    name: Text,
    spec: Text,
    /// Units that were not paid back.
    units: u64,
    /// What they cost.
    #[schema(schema_with = amount)]
    amount: Money,
}

impl From<Sold> for SoldView {
    fn from(sold: Sold) -> Self {
        let Sold { goods_id, name, spec, units, amount } = sold;
        Self { goods_id: goods_id.0, name: name.into(), spec: spec.into(), units, amount }
    }
}

/// Days of business in numbers. All that belongs to an order counts for the day it was placed on.
#[derive(Serialize, ToSchema)]
struct Statistics {
    from: NaiveDate,
    to: NaiveDate,
    #[schema(example = "Asia/Shanghai")]
    time_zone: &'static str,
    /// When a day begins.
    #[schema(example = "04:00")]
    day_starts_at: String,
    total: SumsView,
    /// Every day from `from` to `to`.
    days: Vec<DayView>,
    /// Every hour from 0 to 23.
    hours: Vec<HourView>,
    /// The ten dishes of which most units were sold.
    best_by_units: Vec<SoldView>,
    /// The ten dishes that brought in most.
    best_by_amount: Vec<SoldView>,
}

/// Turnover, orders, waits and best sellers by day of business and by the hour.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("read_statistics"))),
    params(("m" = i64, Path, description = "The merchant"), DaysQuery),
    responses((status = 200, body = Statistics)),
)]
#[get("/v1/admin/merchants/{m}/statistics")]
pub(in crate::http) async fn show_statistics(
    app: Data<App>,
    who: Staff<ReadStatistics>,
    query: Query<DaysQuery>,
) -> Result<HttpResponse, Error> {
    checked_days(query.from, query.to)?;
    let (now, merchant, asked) = (app.clock.now(), who.merchant, query.into_inner());
    let statistics = read(&app, merchant, move |conn| {
        let business = merchants::find(conn, merchant)?.ok_or(Error::NotFound)?.business_days();
        let to = asked.to.unwrap_or_else(|| business.of(now));
        let from = asked.from.unwrap_or(to);
        checked_days(Some(from), Some(to))?;
        let days: Vec<NaiveDate> = from.iter_days().take_while(|day| *day <= to).take(DAYS_MAX + 1).collect();
        if days.len() > DAYS_MAX {
            return Err(Error::MalformedQuery(format!("at most {DAYS_MAX} days at once")));
        }
        // Days and hours are both made of the hours of each day.
        let (mut starts, mut belongs) = (Vec::new(), Vec::new());
        for (day, date) in days.iter().enumerate() {
            for (moment, hour) in business.hours(*date) {
                starts.push(moment);
                belongs.push((day, hour));
            }
        }
        // A zone that has moved over the date line has a day without an hour.
        let (start, end) = (business.start(from), business.start(to + Days::new(1)));
        let until = asked.until.map_or(end, |until| until.clamp(start, end));
        let mut by_day = vec![Sums::default(); days.len()];
        let mut by_hour = [Sums::default(); 24];
        for (sums, (day, hour)) in statistics::spans(conn, merchant, &starts, until)?.into_iter().zip(belongs) {
            by_day[day] = by_day[day].plus(sums);
            by_hour[hour as usize] = by_hour[hour as usize].plus(sums);
        }
        let total = by_day.iter().copied().fold(Sums::default(), Sums::plus);
        let best = |conn: &mut _, by| statistics::best_sellers(conn, merchant, start, until, by, BEST_MAX);
        let hour = |(hour, sums): (u32, Sums)| HourView { hour, placed: sums.placed, turnover: sums.turnover };
        let view = |sold: Vec<Sold>| sold.into_iter().map(SoldView::from).collect();
        Ok(Statistics {
            from,
            to,
            time_zone: business.time_zone.name(),
            day_starts_at: business.starts_at.format("%H:%M").to_string(),
            total: total.into(),
            days: days.into_iter().zip(by_day).map(|(day, sums)| DayView { day, sums: sums.into() }).collect(),
            hours: (0..).zip(by_hour).map(hour).collect(),
            best_by_units: view(best(conn, By::Units)?),
            best_by_amount: view(best(conn, By::Amount)?),
        })
    })
    .await?;
    Ok(HttpResponse::Ok().json(statistics))
}
