//! The staff look for orders, and look at one.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, get};
use chrono::{Days, NaiveDate};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::days::checked_days;
use super::tickets::TicketView;
use crate::App;
use crate::domain::order::{FulfilmentKind, OrderState, PayMethod};
use crate::domain::{BusinessDays, OrderId};
use crate::error::Error;
use crate::http::extract::{IdPath, line};
use crate::http::observe::AboutOrder;
use crate::http::payments::{PaymentView, RefundView};
use crate::http::staff::{ReadOrders, Staff};
use crate::http::view::{EventView, OrderView};
use crate::http::{page, read};
use crate::store::board::Filter;
use crate::store::{board, merchants, moves, orders, payments, refunds, tickets};

/// Orders that can be asked for by their ids at once.
const IDS_MAX: usize = 100;

/// Which orders. What is absent or empty does not narrow them down.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct OrdersQuery {
    /// States, separated by commas.
    #[param(example = "pending_accept,accepted")]
    state: Option<String>,
    /// First day of business they were placed on.
    from: Option<NaiveDate>,
    /// Last day of business they were placed on.
    to: Option<NaiveDate>,
    /// `cash`, `wechat`, `alipay` or `sandbox`
    pay_method: Option<String>,
    /// `dine_in`, `pickup` or `delivery`
    fulfilment: Option<String>,
    /// Ids, separated by commas; at most 100. Those the merchant does not have are simply absent.
    #[param(example = "0192f0c1-2345-7abc-8def-0123456789ab")]
    ids: Option<String>,
    /// Stands somewhere in contact, phone, table or remark, is the pickup number, or begins the order's id. At most 50 characters.
    q: Option<String>,
    /// Orders in a page; 20 when absent. Not for exports.
    #[param(minimum = 1, maximum = 100)]
    pub(super) limit: Option<u8>,
    /// `next_cursor` of the page before; absent for the first. Not for exports.
    pub(super) cursor: Option<Uuid>,
}

/// A query that makes sense, before the merchant's clock is known.
pub(super) struct Asked {
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
    filter: Filter,
}

impl OrdersQuery {
    pub(super) fn checked(&self) -> Result<Asked, Error> {
        fn given(value: &Option<String>) -> Option<&str> {
            value.as_deref().map(str::trim).filter(|value| !value.is_empty())
        }
        let unknown = |field: &str, value: &str| Error::MalformedQuery(format!("there is no {field} {value:?}"));
        checked_days(self.from, self.to)?;
        let state = |name: &str| name.trim().parse::<OrderState>().map_err(|_| unknown("state", name));
        let method = |name: &str| name.parse::<PayMethod>().map_err(|_| unknown("pay_method", name));
        let fulfilment = |name: &str| name.parse().map(FulfilmentKind::name).map_err(|_| unknown("fulfilment", name));
        let id = |id: &str| Uuid::parse_str(id.trim()).map(OrderId).map_err(|_| unknown("order", id));
        let ids: Option<Vec<OrderId>> = given(&self.ids).map(|ids| ids.split(',').map(id).collect()).transpose()?;
        if ids.as_ref().is_some_and(|ids| ids.len() > IDS_MAX) {
            return Err(Error::MalformedQuery(format!("there may be at most {IDS_MAX} ids")));
        }
        Ok(Asked {
            from: self.from,
            to: self.to,
            filter: Filter {
                ids,
                states: given(&self.state).map_or(Ok(Vec::new()), |names| names.split(',').map(state).collect())?,
                pay_method: given(&self.pay_method).map(method).transpose()?,
                fulfilment: given(&self.fulfilment).map(fulfilment).transpose()?,
                text: given(&self.q).map(|text| line("q", text, 50)).transpose()?,
                from: None,
                until: None,
            },
        })
    }
}

impl Asked {
    /// The filter, by the clock of the merchant.
    pub(super) fn filter(self, days: BusinessDays) -> Filter {
        let from = self.from.map(|day| days.start(day));
        let until = self.to.map(|day| days.start(day + Days::new(1)));
        Filter { from, until, ..self.filter }
    }
}

/// A page of orders.
#[derive(Serialize, ToSchema)]
struct OrdersPage {
    items: Vec<OrderView>,
    /// Asks for the page after this one; null at the end.
    next_cursor: Option<Uuid>,
}

/// The merchant's orders, the newest first.
#[utoipa::path(
    tag = "staff",
    operation_id = "staff_list_orders",
    security(("staff" = [])),
    extensions(("x-permission" = json!("read_orders"))),
    params(("m" = i64, Path, description = "The merchant"), OrdersQuery),
    responses((status = 200, body = OrdersPage)),
)]
#[get("/v1/admin/merchants/{m}/orders")]
pub(in crate::http) async fn list_orders(
    app: Data<App>,
    who: Staff<ReadOrders>,
    query: Query<OrdersQuery>,
) -> Result<HttpResponse, Error> {
    let (limit, asked, before) = (page::limit(query.limit)?, query.checked()?, query.cursor.map(OrderId));
    let merchant = who.merchant;
    let mut orders = read(&app, merchant, move |conn| {
        let days = merchants::find(conn, merchant)?.ok_or(Error::NotFound)?.business_days();
        Ok(board::page(conn, merchant, &asked.filter(days), before, page::one_more(limit))?)
    })
    .await?;
    let next_cursor = page::cut(&mut orders, limit, |last| last.id.0);
    Ok(HttpResponse::Ok().json(OrdersPage { items: orders.into_iter().map(OrderView::from).collect(), next_cursor }))
}

/// An order with all that became of it.
#[derive(Serialize, ToSchema)]
struct WholeOrder {
    /// Whose it is.
    customer_id: Uuid,
    order: OrderView,
    /// The oldest move first. That it was placed is not among them.
    history: Vec<EventView>,
    /// The oldest first.
    payments: Vec<PaymentView>,
    /// The oldest first.
    refunds: Vec<RefundView>,
    /// The original first.
    tickets: Vec<TicketView>,
}

/// One order with its history, payments, refunds and tickets.
#[utoipa::path(
    tag = "staff",
    operation_id = "staff_show_order",
    security(("staff" = [])),
    extensions(("x-permission" = json!("read_orders"))),
    params(("m" = i64, Path, description = "The merchant"), ("id" = Uuid, Path, description = "The order")),
    responses((status = 200, body = WholeOrder)),
)]
#[get("/v1/admin/merchants/{m}/orders/{id}")]
pub(in crate::http) async fn show_order(
    app: Data<App>,
    req: HttpRequest,
    who: Staff<ReadOrders>,
    path: Path<IdPath>,
) -> Result<HttpResponse, Error> {
    let (merchant, id) = (who.merchant, OrderId(path.id));
    req.extensions_mut().insert(AboutOrder(id));
    let whole = read(&app, merchant, move |conn| {
        let order = orders::find_all(conn, merchant, &[id])?.pop().ok_or(Error::NotFound)?;
        Ok(WholeOrder {
            customer_id: order.customer_id.0,
            order: order.into(),
            history: moves::history(conn, merchant, id)?.into_iter().map(EventView::for_staff).collect(),
            payments: payments::of_order(conn, merchant, id)?.into_iter().map(PaymentView::from).collect(),
            refunds: refunds::of_order(conn, merchant, id)?.into_iter().map(RefundView::from).collect(),
            tickets: tickets::of_order(conn, merchant, id)?.into_iter().map(TicketView::from).collect(),
        })
    })
    .await?;
    Ok(HttpResponse::Ok().json(whole))
}
