//! The table of routes as tests know it: who may, what a path names, what is sent, and what is answered.

use rowlock::domain::staff::Role;

/// Who is let in.
#[derive(Clone, Copy)]
pub(crate) enum Who {
    Anybody,
    /// Customers of the merchant.
    Customers,
    /// Its staff, in these roles.
    Staff(&'static [Role]),
    /// Who signs what they send: tried in a test of its own.
    Gateway,
}

use Who::{Anybody, Customers, Gateway, Staff};

const ALL: Who = Staff(&[Role::Owner, Role::Manager, Role::Cashier, Role::Kitchen]);
const COUNTER: Who = Staff(&[Role::Owner, Role::Manager, Role::Cashier]);
const OFFICE: Who = Staff(&[Role::Owner, Role::Manager]);
const OWNER: Who = Staff(&[Role::Owner]);

/// A route, who may, what its path names, a body that it takes, and the answer to who may.
pub(crate) struct Row(
    pub(crate) &'static str,
    pub(crate) Who,
    pub(crate) &'static str,
    pub(crate) &'static str,
    pub(crate) u16,
);

const NAME: &str = r#"{"name":{"zh":"新","en":"New"}}"#;

/// What a name in `<>` stands for is one of the ids of [`Ids`](crate::world::Ids); a word after `=` is itself.
#[rustfmt::skip]
pub(crate) const TABLE: &[Row] = &[
    Row("GET /healthz", Anybody, "", "", 200),
    Row("GET /readyz", Anybody, "", "", 200),
    Row("GET /metrics", Anybody, "", "", 200),
    Row("POST /v1/callbacks/{m}/{gateway}", Gateway, "=sandbox", "", 401),
    Row("GET /v1/merchants/{m}/menu", Anybody, "", "", 200),
    Row("POST /v1/merchants/{m}/sessions", Anybody, "", r#"{"code":"alice"}"#, 201),
    Row("POST /v1/admin/merchants/{m}/sessions", Anybody, "", r#"{"login":"owner","password":"correct horse"}"#, 201),
    Row("POST /v1/merchants/{m}/orders", Customers, "", r#"{"lines":[{"goods_id":<goods>,"count":1}],"fulfilment":{"kind":"pickup"},"pay_method":"cash"}"#, 201),
    Row("GET /v1/merchants/{m}/orders", Customers, "", "", 200),
    Row("GET /v1/merchants/{m}/orders/{id}", Customers, "unpaid", "", 200),
    Row("POST /v1/merchants/{m}/orders/{id}/cancel", Customers, "waiting", r#"{"reason":"changed_mind"}"#, 200),
    Row("POST /v1/merchants/{m}/orders/{id}/nudge", Customers, "accepted", "", 200),
    Row("POST /v1/merchants/{m}/orders/{id}/receive", Customers, "ready", "", 200),
    Row("GET /v1/merchants/{m}/orders/{id}/payments", Customers, "unpaid", "", 200),
    Row("POST /v1/merchants/{m}/orders/{id}/payments", Customers, "unpaid", "{}", 200),
    Row("POST /v1/merchants/{m}/orders/{id}/payments/{payment}/check", Customers, "unpaid payment", "", 200),
    Row("GET /v1/merchants/{m}/cart", Customers, "", "", 200),
    Row("DELETE /v1/merchants/{m}/cart", Customers, "", "", 200),
    Row("PUT /v1/merchants/{m}/cart/selection", Customers, "", r#"{"selected":false}"#, 200),
    Row("PUT /v1/merchants/{m}/cart/lines/{goods_id}", Customers, "goods", r#"{"count":3}"#, 200),
    Row("PATCH /v1/merchants/{m}/cart/lines/{goods_id}", Customers, "goods", r#"{"count":3}"#, 200),
    Row("DELETE /v1/merchants/{m}/cart/lines/{goods_id}", Customers, "goods", "", 200),
    Row("GET /v1/merchants/{m}/addresses", Customers, "", "", 200),
    Row("POST /v1/merchants/{m}/addresses", Customers, "", r#"{"contact":"A","phone":"138","place":"B"}"#, 201),
    Row("PUT /v1/merchants/{m}/addresses/{id}", Customers, "address", r#"{"contact":"A","phone":"138","place":"B"}"#, 200),
    Row("DELETE /v1/merchants/{m}/addresses/{id}", Customers, "address", "", 204),
    Row("GET /v1/merchants/{m}/points", Customers, "", "", 200),
    Row("GET /v1/admin/merchants/{m}/me", ALL, "", "", 200),
    Row("PUT /v1/admin/merchants/{m}/me/password", ALL, "", r#"{"old":"correct horse","new":"another one"}"#, 200),
    Row("GET /v1/admin/merchants/{m}/orders", ALL, "", "", 200),
    Row("GET /v1/admin/merchants/{m}/orders/{id}", ALL, "unpaid", "", 200),
    Row("GET /v1/admin/merchants/{m}/orders/export", OFFICE, "", "", 200),
    Row("POST /v1/admin/merchants/{m}/orders/{id}/accept", COUNTER, "waiting", "{}", 200),
    Row("POST /v1/admin/merchants/{m}/orders/{id}/reject", COUNTER, "waiting", r#"{"reason":"too_busy"}"#, 200),
    Row("POST /v1/admin/merchants/{m}/orders/{id}/delay", COUNTER, "accepted", r#"{"minutes":9}"#, 200),
    Row("POST /v1/admin/merchants/{m}/orders/{id}/prepare", ALL, "accepted", "", 200),
    Row("POST /v1/admin/merchants/{m}/orders/{id}/ready", ALL, "preparing", "", 200),
    Row("POST /v1/admin/merchants/{m}/orders/{id}/recall", ALL, "ready", "", 200),
    Row("POST /v1/admin/merchants/{m}/orders/{id}/deliver", COUNTER, "packed", "", 200),
    Row("POST /v1/admin/merchants/{m}/orders/{id}/complete", COUNTER, "ready", "", 200),
    Row("POST /v1/admin/merchants/{m}/orders/{id}/collect", COUNTER, "accepted", "", 200),
    Row("POST /v1/admin/merchants/{m}/orders/{id}/cancel", OFFICE, "accepted", r#"{"reason":"other","note":"x"}"#, 200),
    Row("POST /v1/admin/merchants/{m}/orders/{id}/refunds", OFFICE, "ready", r#"{"reason":"other","note":"x","amount":"1.00"}"#, 200),
    Row("POST /v1/admin/merchants/{m}/orders/{id}/tickets", ALL, "accepted", "", 201),
    // None waits for a human, as whoever is let in is told.
    Row("POST /v1/admin/merchants/{m}/refunds/{id}/retry", OFFICE, "refund", "", 409),
    Row("POST /v1/admin/merchants/{m}/refunds/{id}/paid-by-hand", OFFICE, "refund", "", 409),
    Row("POST /v1/admin/merchants/{m}/payments/{id}/give-up", OFFICE, "payment", "", 409),
    Row("GET /v1/admin/merchants/{m}/alerts", ALL, "", "", 200),
    Row("POST /v1/admin/merchants/{m}/alerts/{id}/resolve", OFFICE, "alert", "", 200),
    Row("GET /v1/admin/merchants/{m}/events", ALL, "", "", 200),
    Row("GET /v1/admin/merchants/{m}/events/page", ALL, "", "", 200),
    Row("GET /v1/admin/merchants/{m}/webhook-deliveries", OFFICE, "", "", 200),
    Row("POST /v1/admin/merchants/{m}/webhook-deliveries/{seq}/retry", OFFICE, "delivery", "", 200),
    Row("GET /v1/admin/merchants/{m}/menu", ALL, "", "", 200),
    Row("GET /v1/admin/merchants/{m}/menu/export", ALL, "", "", 200),
    Row("POST /v1/admin/merchants/{m}/menu/import", OFFICE, "", "goods_id\r\n", 200),
    Row("POST /v1/admin/merchants/{m}/categories", OFFICE, "", NAME, 201),
    Row("PUT /v1/admin/merchants/{m}/categories/order", OFFICE, "", r#"{"ids":[<categories>]}"#, 204),
    Row("PATCH /v1/admin/merchants/{m}/categories/{id}", OFFICE, "category", NAME, 200),
    Row("DELETE /v1/admin/merchants/{m}/categories/{id}", OFFICE, "empty_category", "", 204),
    Row("PUT /v1/admin/merchants/{m}/categories/{id}/products/order", OFFICE, "category", r#"{"ids":[<empty_product>,<product>]}"#, 204),
    Row("POST /v1/admin/merchants/{m}/products", OFFICE, "", r#"{"category_id":<category>,"name":{"zh":"新","en":"New"}}"#, 201),
    Row("PATCH /v1/admin/merchants/{m}/products/{id}", OFFICE, "product", NAME, 200),
    Row("DELETE /v1/admin/merchants/{m}/products/{id}", OFFICE, "empty_product", "", 204),
    Row("PUT /v1/admin/merchants/{m}/products/{id}/goods/order", OFFICE, "product", r#"{"ids":[<spare_goods>]}"#, 204),
    Row("POST /v1/admin/merchants/{m}/goods", OFFICE, "", r#"{"product_id":<product>,"spec":{"zh":"新","en":"New"},"price":"1.00"}"#, 201),
    Row("PATCH /v1/admin/merchants/{m}/goods/{id}", OFFICE, "goods", r#"{"price":"2.00"}"#, 200),
    Row("GET /v1/admin/merchants/{m}/goods/{id}/stock-moves", ALL, "goods", "", 200),
    Row("POST /v1/admin/merchants/{m}/goods/{id}/stock-moves", OFFICE, "goods", r#"{"delta":1,"reason":"count"}"#, 201),
    Row("PUT /v1/admin/merchants/{m}/goods/{id}/sold-out", ALL, "goods", "", 200),
    Row("DELETE /v1/admin/merchants/{m}/goods/{id}/sold-out", ALL, "goods", "", 200),
    Row("GET /v1/admin/merchants/{m}/settings", OFFICE, "", "", 200),
    Row("PATCH /v1/admin/merchants/{m}/settings", OFFICE, "", r#"{"paused":true}"#, 200),
    Row("POST /v1/admin/merchants/{m}/settings/webhook-secret", OFFICE, "", "", 201),
    Row("GET /v1/admin/merchants/{m}/staff", OWNER, "", "", 200),
    Row("GET /v1/admin/merchants/{m}/staff/names", ALL, "", "", 200),
    Row("POST /v1/admin/merchants/{m}/staff", OWNER, "", r#"{"login":"li","name":"Li","role":"owner","password":"li's password"}"#, 201),
    Row("PATCH /v1/admin/merchants/{m}/staff/{id}", OWNER, "member", r#"{"role":"owner"}"#, 200),
    Row("GET /v1/admin/merchants/{m}/actions", OFFICE, "", "", 200),
    Row("GET /v1/admin/merchants/{m}/accounts", COUNTER, "", "", 200),
    Row("POST /v1/admin/merchants/{m}/accounts", OFFICE, "", r#"{"kind":"tips","name":"Li"}"#, 201),
    Row("GET /v1/admin/merchants/{m}/accounts/{id}", COUNTER, "account", "", 200),
    Row("POST /v1/admin/merchants/{m}/accounts/{id}/entries", OFFICE, "account", r#"{"delta":5,"reason":"x"}"#, 201),
    Row("POST /v1/admin/merchants/{m}/customers/{id}/accounts/{kind}/entries", OFFICE, "customer =points", r#"{"delta":5,"reason":"x"}"#, 201),
    Row("GET /v1/admin/merchants/{m}/statistics", OFFICE, "", "", 200),
];
