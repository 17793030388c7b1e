//! Orders as a table that a spreadsheet opens.
//!
//! One row an order, so that the sum of a column is what it looks like.

use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse, get};
use serde_json::json;

use super::orders::OrdersQuery;
use super::table::{Table, attached, cell};
use crate::App;
use crate::domain::order::{Fulfilment, Order};
use crate::domain::{BusinessDays, OrderId};
use crate::error::Error;
use crate::http::problem::{PROBLEM, ProblemView};
use crate::http::read;
use crate::http::staff::{Action, ExportOrders, Staff, act};
use crate::store::board::Moved;
use crate::store::{board, merchants};

/// Orders in one export. All of them are in memory at once, as rows.
const EXPORT_ORDERS_MAX: usize = 20_000;
const CHUNK_ORDERS: usize = 500;

const HEAD: [&str; 18] = [
    "订单 Order",
    "下单时间 Placed at",
    "营业日 Business day",
    "取餐号 Pickup number",
    "状态 State",
    "方式 Fulfilment",
    "桌号 Table",
    "联系人 Contact",
    "电话 Phone",
    "地址 Address",
    "支付方式 Pay method",
    "商品 Items",
    "商品金额 Goods",
    "配送费 Freight",
    "应付 Total",
    "实收 Paid",
    "退款 Refunded",
    "备注 Remark",
];

/// The merchant's orders that pass the filter, all of them, as CSV: at most 20,000.
#[utoipa::path(
    tag = "staff",
    security(("staff" = [])),
    extensions(("x-permission" = json!("export_orders"))),
    params(("m" = i64, Path, description = "The merchant"), OrdersQuery),
    responses(
        (status = 200, body = String, content_type = "text/csv"),
        (status = 422, body = ProblemView, content_type = PROBLEM, description = "`export_too_large`: choose fewer days"),
    ),
)]
#[get("/v1/admin/merchants/{m}/orders/export")]
pub(in crate::http) async fn export_orders(
    app: Data<App>,
    req: HttpRequest,
    who: Staff<ExportOrders>,
    query: Query<OrdersQuery>,
) -> Result<HttpResponse, Error> {
    if query.limit.is_some() || query.cursor.is_some() {
        return Err(Error::MalformedQuery("an export has no pages".to_owned()));
    }
    let (asked, merchant) = (query.checked()?, who.merchant);
    let table = read(&app, merchant, move |conn| {
        let days = merchants::find(conn, merchant)?.ok_or(Error::NotFound)?.business_days();
        let filter = asked.filter(days);
        let mut table = Table::new(HEAD)?;
        let (mut before, mut rows) = (None, 0);
        loop {
            let orders = board::page(conn, merchant, &filter, before, CHUNK_ORDERS as i64)?;
            let ids: Vec<OrderId> = orders.iter().map(|order| order.id).collect();
            let moved = board::money_moved(conn, merchant, &ids)?;
            rows += orders.len();
            if rows > EXPORT_ORDERS_MAX {
                return Err(Error::ExportTooLarge { orders_max: EXPORT_ORDERS_MAX });
            }
            for order in &orders {
                table.push(row(order, moved.get(&order.id), days))?;
            }
            match ids.last() {
                Some(last) if ids.len() == CHUNK_ORDERS => before = Some(*last),
                _ => return table.finish(),
            }
        }
    })
    .await?;
    // What customers told of themselves leaves the house: the trail says who took it.
    let detail = json!({ "query": req.query_string() });
    let action = Action { name: "export_orders", subject: "orders".to_owned(), detail };
    act(&app, &who, action, app.clock.now(), |_| Ok(())).await?;
    Ok(attached(table, "orders.csv"))
}

/// The row of an order.
fn row(order: &Order, moved: Option<&Moved>, days: BusinessDays) -> [String; HEAD.len()] {
    let (table, address) = match &order.fulfilment {
        Fulfilment::DineIn { table } => (Some(table), None),
        Fulfilment::Pickup => (None, None),
        Fulfilment::Delivery(address) => (None, Some(address)),
    };
    let typed = |text: Option<&String>| cell(text.map_or("", String::as_str));
    let item = |line: &crate::domain::order::OrderLine| format!("{} {} × {}", line.name.zh, line.spec.zh, line.count);
    let items: Vec<String> = order.lines.iter().map(item).collect();
    let amount = |amount: Option<crate::domain::money::Money>| amount.unwrap_or_default().to_string();
    [
        order.id.to_string(),
        order.placed_at.with_timezone(&days.time_zone).format("%Y-%m-%d %H:%M:%S").to_string(),
        days.of(order.placed_at).to_string(),
        order.pickup_no.map(|number| number.to_string()).unwrap_or_default(),
        order.state.to_string(),
        order.fulfilment.name().to_owned(),
        typed(table),
        typed(address.map(|address| &address.contact)),
        typed(address.map(|address| &address.phone)),
        typed(address.map(|address| &address.place)),
        order.pay_method.to_string(),
        cell(&items.join("; ")),
        order.goods_amount.to_string(),
        order.freight.to_string(),
        order.total.to_string(),
        amount(moved.map(|moved| moved.paid)),
        amount(moved.map(|moved| moved.refunded)),
        cell(&order.remark),
    ]
}
