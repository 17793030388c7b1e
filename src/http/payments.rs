//! A customer pays, and gateways say what has come of it.

use std::collections::HashMap;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, get, post};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;
use uuid::Uuid;

use super::extract::{Body, Customer, IdPath, RawBody, merchant_of, one_of};
use super::observe::{AboutOrder, InTheirForm};
use super::problem::{PROBLEM, ProblemView};
use super::view::{amount, name_of, names};
use super::{blocking, read};
use crate::App;
use crate::domain::money::Money;
use crate::domain::order::PayMethod;
use crate::domain::payment::{Channel, PaymentState, RefundState};
use crate::domain::{OrderId, PaymentId};
use crate::error::Error;
use crate::gateway::{Checkout, Envelope};
use crate::service::till::Started;
use crate::store::payments::Payment;
use crate::store::refunds::Refund;
use crate::store::{orders, payments, refunds};

/// An attempt to pay an order.
#[derive(Serialize, ToSchema)]
#[schema(as = Payment)]
pub(super) struct PaymentView {
    id: Uuid,
    gateway: &'static str,
    /// `closed` may still become `paid_late`: then the money goes back by itself, as it does with `paid_duplicate` and `paid_mismatch`.
    #[schema(schema_with = name_of::<PaymentState>)]
    state: &'static str,
    /// Where the customer pays; null for cash, and for money that came without being asked for.
    channel: Option<&'static str>,
    #[schema(schema_with = amount)]
    amount: Money,
    /// The gateway's number for it.
    transaction: Option<String>,
    created_at: DateTime<Utc>,
    /// Until when the gateway takes money for it.
    expires_at: Option<DateTime<Utc>>,
    /// When the money came in.
    settled_at: Option<DateTime<Utc>>,
}

impl From<Payment> for PaymentView {
    fn from(payment: Payment) -> Self {
        Self {
            id: payment.id.0,
            gateway: payment.gateway.name(),
            state: payment.state.name(),
            channel: payment.channel.map(Channel::name),
            amount: payment.amount,
            transaction: payment.transaction,
            created_at: payment.created_at,
            expires_at: payment.expires_at,
            settled_at: payment.settled_at,
        }
    }
}

/// Money that goes back.
#[derive(Serialize, ToSchema)]
#[schema(as = Refund)]
pub(super) struct RefundView {
    id: Uuid,
    payment_id: Uuid,
    /// `due` and `submitted` go on by themselves; `failed` and `abnormal` wait for a human. So does what is `submitted`, once an alert says
    /// that it is stuck.
    #[schema(schema_with = name_of::<RefundState>)]
    state: &'static str,
    #[schema(schema_with = amount)]
    amount: Money,
    reason: String,
    note: Option<String>,
    /// Its number at the gateway.
    number: String,
    /// How often the gateway was asked, since a human last put it in.
    attempts: i32,
    /// What went wrong the last time.
    trouble: Option<String>,
    /// Whether it was paid by hand, since the gateway could not go on.
    by_hand: bool,
    created_at: DateTime<Utc>,
    /// When the customer had the money.
    settled_at: Option<DateTime<Utc>>,
}

impl From<Refund> for RefundView {
    fn from(refund: Refund) -> Self {
        Self {
            number: refund.number().to_string(),
            id: refund.id.0,
            payment_id: refund.payment.0,
            state: refund.state.name(),
            amount: refund.amount,
            reason: refund.reason,
            note: refund.note,
            attempts: refund.attempts,
            trouble: refund.trouble,
            by_hand: refund.by_hand,
            created_at: refund.created_at,
            settled_at: refund.settled_at,
        }
    }
}

/// What the customer's device needs to make a payment, by the names its own interface has for them.
#[derive(Serialize, ToSchema)]
#[schema(as = Checkout)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum CheckoutView {
    /// The parameters of `wx.requestPayment`.
    WechatMiniProgram {
        #[serde(rename = "timeStamp")]
        time_stamp: String,
        #[serde(rename = "nonceStr")]
        nonce_str: String,
        package: String,
        #[serde(rename = "signType")]
        sign_type: String,
        #[serde(rename = "paySign")]
        pay_sign: String,
    },
    /// The parameter of `my.tradePay`.
    AlipayMiniProgram {
        #[serde(rename = "tradeNO")]
        trade_no: String,
    },
    /// A page to go to.
    Redirect { url: String },
    /// What a code that is shown to the customer says.
    Qr { code: String },
}

impl From<Checkout> for CheckoutView {
    fn from(checkout: Checkout) -> Self {
        match checkout {
            Checkout::WechatMiniProgram { time_stamp, nonce_str, package, sign_type, pay_sign } => {
                Self::WechatMiniProgram { time_stamp, nonce_str, package, sign_type, pay_sign }
            }
            Checkout::AlipayMiniProgram { trade_no } => Self::AlipayMiniProgram { trade_no },
            Checkout::Redirect { url } => Self::Redirect { url },
            Checkout::Qr { code } => Self::Qr { code },
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = StartedPayment)]
struct StartedView {
    payment: PaymentView,
    /// Null where the order turns out to be paid already.
    checkout: Option<CheckoutView>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct StartPayment {
    /// `mini_program`, `page`, `wap` or `qr`; absent: what the gateway is mostly used by.
    #[schema(example = "page")]
    channel: Option<String>,
}

/// Begins to pay an order, by the way it was placed with: announces a payment at the gateway, and answers what the customer's device needs
/// to make it. Repeating it is safe, and gives the same payment while that is open.
///
/// That the device says the payment succeeded proves nothing. Ask `…/payments/{id}/check`, or look at the order.
#[utoipa::path(
    tag = "customers",
    security(("customer" = [])),
    params(("m" = i64, Path, description = "The merchant"), ("id" = Uuid, Path, description = "The order")),
    request_body = StartPayment,
    responses(
        (status = 200, body = StartedView),
        (status = 409, body = ProblemView, content_type = PROBLEM, description = "`illegal_move` with the `state` the order is in, `payment_time_over`, `payment_in_progress`, `payment_refused`, `too_many_payments`"),
        (status = 503, body = ProblemView, content_type = PROBLEM, description = "`gateway_unavailable`: repeat it"),
    ),
)]
#[post("/v1/merchants/{m}/orders/{id}/payments")]
pub(super) async fn start_payment(
    app: Data<App>,
    req: HttpRequest,
    who: Customer,
    path: Path<IdPath>,
    body: Body<StartPayment>,
) -> Result<HttpResponse, Error> {
    let id = OrderId(path.id);
    req.extensions_mut().insert(AboutOrder(id));
    let channel = body.0.channel.map(|channel| one_of("channel", &channel, Channel::ALL)).transpose()?;
    let started = blocking(&app, move |app| app.till.pay(who.merchant, who.id, id, channel)).await?;
    let Started { payment, checkout } = started;
    Ok(HttpResponse::Ok().json(StartedView { payment: payment.into(), checkout: checkout.map(CheckoutView::from) }))
}

/// Money that goes back, as its customer sees it: whose turn it is, and how often somebody tried, is not for them to worry about.
#[derive(Serialize, ToSchema)]
#[schema(as = CustomerRefund)]
struct CustomerRefundView {
    id: Uuid,
    payment_id: Uuid,
    /// `processing` until the customer has the money.
    #[schema(schema_with = customer_refund_state)]
    state: &'static str,
    #[schema(schema_with = amount)]
    amount: Money,
    created_at: DateTime<Utc>,
    /// When the customer had the money.
    settled_at: Option<DateTime<Utc>>,
}

fn customer_refund_state() -> Object {
    names(vec!["processing", "succeeded"])
}

impl From<Refund> for CustomerRefundView {
    fn from(refund: Refund) -> Self {
        Self {
            id: refund.id.0,
            payment_id: refund.payment.0,
            state: if refund.state == RefundState::Succeeded { "succeeded" } else { "processing" },
            amount: refund.amount,
            created_at: refund.created_at,
            settled_at: refund.settled_at,
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Payments)]
struct PaymentsView {
    /// The oldest first.
    items: Vec<PaymentView>,
    /// What goes back of them, the oldest first.
    refunds: Vec<CustomerRefundView>,
}

/// The attempts to pay an order, and what goes back of them.
#[utoipa::path(
    tag = "customers",
    security(("customer" = [])),
    params(("m" = i64, Path, description = "The merchant"), ("id" = Uuid, Path, description = "The order")),
    responses((status = 200, body = PaymentsView)),
)]
#[get("/v1/merchants/{m}/orders/{id}/payments")]
pub(super) async fn list_payments(
    app: Data<App>,
    req: HttpRequest,
    who: Customer,
    path: Path<IdPath>,
) -> Result<HttpResponse, Error> {
    let id = OrderId(path.id);
    req.extensions_mut().insert(AboutOrder(id));
    let found = read(&app, who.merchant, move |conn| {
        orders::find(conn, who.merchant, who.id, id)?.ok_or(Error::NotFound)?;
        Ok(PaymentsView {
            items: payments::of_order(conn, who.merchant, id)?.into_iter().map(PaymentView::from).collect(),
            refunds: refunds::of_order(conn, who.merchant, id)?.into_iter().map(CustomerRefundView::from).collect(),
        })
    })
    .await?;
    Ok(HttpResponse::Ok().json(found))
}

#[derive(Deserialize)]
struct PaymentPath {
    id: Uuid,
    payment: Uuid,
}

/// Asks the gateway at once whether a payment was made, instead of waiting for it to say so.
#[utoipa::path(
    tag = "customers",
    security(("customer" = [])),
    params(("m" = i64, Path, description = "The merchant"), ("id" = Uuid, Path, description = "The order"),
        ("payment" = Uuid, Path, description = "The payment")),
    responses(
        (status = 200, body = PaymentView),
        (status = 503, body = ProblemView, content_type = PROBLEM, description = "`gateway_unavailable`: repeat it"),
    ),
)]
#[post("/v1/merchants/{m}/orders/{id}/payments/{payment}/check")]
pub(super) async fn check_payment(
    app: Data<App>,
    req: HttpRequest,
    who: Customer,
    path: Path<PaymentPath>,
) -> Result<HttpResponse, Error> {
    let (order, payment) = (OrderId(path.id), PaymentId(path.payment));
    req.extensions_mut().insert(AboutOrder(order));
    let payment = blocking(&app, move |app| app.till.check(who.merchant, who.id, order, payment)).await?;
    Ok(HttpResponse::Ok().json(PaymentView::from(payment)))
}

#[derive(Deserialize)]
struct NoticePath {
    gateway: String,
}

/// Takes what a payment gateway says of its own accord. It is answered in the gateway's form, with success only after it has taken effect.
#[utoipa::path(
    tag = "gateways",
    params(("m" = i64, Path, description = "The merchant"), ("gateway" = String, Path, description = "`wechat`, `alipay` or `sandbox`")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "As the gateway signs it"),
    responses(
        (status = 200, content((String = "text/plain"), (serde_json::Value = "application/json")),
            description = "It was taken, now or before. To Alipay `success`, and `fail` where it was not"),
        (status = 204, description = "It was taken, now or before: to WeChat Pay"),
        (status = 400, content((ProblemView = "application/problem+json"), (String = "text/plain")), description = "Nobody says such things: to `cash`"),
        (status = 401, body = serde_json::Value, content_type = "application/json", description = "It cannot be verified"),
        (status = 503, body = ProblemView, content_type = PROBLEM, description = "Send it again"),
    ),
)]
#[post("/v1/callbacks/{m}/{gateway}")]
pub(super) async fn take_notice(
    app: Data<App>,
    req: HttpRequest,
    path: Path<NoticePath>,
    body: RawBody,
) -> Result<HttpResponse, Error> {
    let merchant = merchant_of(&req)?;
    let method: PayMethod = path.gateway.parse().map_err(|_| Error::NotFound)?;
    let text = |(name, value): (&actix_web::http::header::HeaderName, &actix_web::http::header::HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    let headers: HashMap<String, String> = req.headers().iter().filter_map(text).collect();
    let answer = blocking(&app, move |app| {
        let header = |name: &str| headers.get(name).map(String::as_str);
        app.till.take_notice(merchant, method, &Envelope { header: &header, body: &body.0 })
    })
    .await?;
    let status = StatusCode::from_u16(answer.status).map_err(|error| Error::Internal(error.to_string()))?;
    let mut response = HttpResponse::build(status).content_type(answer.content_type).body(answer.body);
    response.extensions_mut().insert(InTheirForm);
    Ok(response)
}
