//! The HTTP API, version 1: the route table, and what every request passes through.
//!
//! A handler is four moves: who may (an argument's type), the time, one closure for the database, the view built after
//! its transaction is committed.

pub mod auth;
pub mod limits;

mod admin;
mod cart;
mod connections;
mod document;
mod extract;
mod observe;
mod ops;
mod orders;
mod page;
mod panel;
mod payments;
mod points;
mod problem;
mod shop;
mod staff;
mod view;

use std::collections::HashMap;
use std::net::TcpListener;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Bytes, Data};
use actix_web::{App as ActixApp, HttpResponse};
use utoipa::openapi::{OpenApi as Document, PathItem};
use utoipa_actix_web::AppExt;
use utoipa_actix_web::service_config::ServiceConfig;
use utoipa_swagger_ui::{Config as SwaggerConfig, SwaggerUi};

pub use self::document::openapi;
use crate::App;
use crate::config::LoginProvider;
use crate::domain::MerchantId;
use crate::error::Error;
use crate::store::{Conn, Tx};

/// The route table. A route is declared, with its path, above its handler; what is not here is not served. A request tries
/// them from the top, so the busiest stands there.
fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(orders::place_order)
        .service(shop::log_in)
        .service(shop::menu)
        .service(shop::list_addresses)
        .service(shop::add_address)
        .service(shop::change_address)
        .service(shop::remove_address)
        .service(cart::show_cart)
        .service(cart::put_line)
        .service(cart::amend_line)
        .service(cart::remove_line)
        .service(cart::select)
        .service(cart::clear_cart)
        .service(orders::list_orders)
        .service(orders::show_order)
        .service(orders::cancel_order)
        .service(orders::nudge_order)
        .service(orders::receive_order)
        .service(payments::start_payment)
        .service(payments::list_payments)
        .service(payments::check_payment)
        .service(payments::take_notice)
        .service(admin::moves::accept)
        .service(admin::moves::reject)
        .service(admin::moves::prepare)
        .service(admin::moves::ready)
        .service(admin::moves::recall)
        .service(admin::moves::deliver)
        .service(admin::moves::complete)
        .service(admin::moves::collect)
        .service(admin::moves::delay)
        .service(admin::moves::cancel)
        .service(admin::moves::refund)
        .service(admin::tickets::print_ticket)
        .service(admin::payments::retry_refund)
        .service(admin::payments::pay_refund_by_hand)
        .service(admin::payments::give_up)
        .service(admin::alerts::list_alerts)
        .service(admin::alerts::resolve_alert)
        .service(admin::events::stream_events)
        .service(admin::events::list_events)
        .service(admin::webhooks::list_deliveries)
        .service(admin::webhooks::retry_delivery)
        .service(points::points)
        .service(admin::sessions::log_in)
        .service(admin::sessions::me)
        .service(admin::sessions::change_password)
        .service(admin::menu::show_menu)
        .service(admin::import::export_menu)
        .service(admin::import::import_menu)
        .service(admin::categories::add_category)
        .service(admin::categories::order_categories)
        .service(admin::categories::change_category)
        .service(admin::categories::remove_category)
        .service(admin::categories::order_products)
        .service(admin::categories::add_product)
        .service(admin::categories::change_product)
        .service(admin::categories::remove_product)
        .service(admin::goods::add_goods)
        .service(admin::goods::change_goods)
        .service(admin::goods::order_goods)
        .service(admin::stock::move_stock)
        .service(admin::stock::list_stock_moves)
        .service(admin::stock::declare_sold_out)
        .service(admin::stock::lift_sold_out)
        .service(admin::settings::show_settings)
        .service(admin::settings::change_settings)
        .service(admin::settings::renew_secret)
        .service(admin::members::list_staff)
        .service(admin::members::list_names)
        .service(admin::members::add_member)
        .service(admin::members::change_member)
        .service(admin::actions::list_actions)
        .service(admin::accounts::list_accounts)
        .service(admin::accounts::add_account)
        .service(admin::accounts::show_account)
        .service(admin::accounts::correct_account)
        .service(admin::accounts::correct_customer)
        .service(admin::export::export_orders)
        .service(admin::orders::list_orders)
        .service(admin::orders::show_order)
        .service(admin::statistics::show_statistics)
        .service(ops::healthz)
        .service(ops::readyz)
        .service(ops::metrics);
}

/// The methods of each path, as an `Allow` header lists them.
struct AllowedMethods(HashMap<String, String>);

impl AllowedMethods {
    fn of(document: &Document) -> Self {
        let methods = |item: &PathItem| {
            let all = [
                ("GET", &item.get),
                ("POST", &item.post),
                ("PUT", &item.put),
                ("PATCH", &item.patch),
                ("DELETE", &item.delete),
            ];
            let taken: Vec<&str> =
                all.iter().filter(|(_, operation)| operation.is_some()).map(|(name, _)| *name).collect();
            taken.join(", ")
        };
        Self(document.paths.paths.iter().map(|(path, item)| (path.clone(), methods(item))).collect())
    }
}

/// Serves `app` on `listener` until the returned server is told to stop.
///
/// # Errors
/// When the listener cannot be used.
pub fn serve(app: Data<App>, listener: TcpListener) -> std::io::Result<Server> {
    let document = openapi();
    let allowed = Data::new(AllowedMethods::of(&document));
    // Written once: it is large, and anybody may ask for it.
    let document = Bytes::from(document.to_json().map_err(std::io::Error::other)?);
    let workers = match app.config.http.workers {
        0 => std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2)),
        workers => workers,
    };
    let (http, placement) = (app.config.http.clone(), app.config.placement.lanes_max);
    let others = app.config.database.pool_size as usize + app.config.redis.pool_size as usize + placement;
    app.limits.forget_idle_customers(&app);
    let factory = move || {
        let document = document.clone();
        let (actix, _) = ActixApp::new()
            .into_utoipa_app()
            .app_data(app.clone())
            .app_data(allowed.clone())
            .app_data(web::PayloadConfig::new(app.config.http.body_bytes_max))
            .app_data(extract::path_config())
            .app_data(extract::query_config())
            .configure(routes)
            .split_for_parts();
        actix
            .configure(|config| {
                if let Some(sandbox) = &app.sandbox {
                    sandbox.mount(config);
                }
                panel::mount(config, app.config.login.provider == LoginProvider::Sandbox);
            })
            .service(web::redirect("/docs", "/docs/"))
            .route("/openapi.json", web::get().to(move || show_document(document.clone())))
            .service(SwaggerUi::new("/docs/{_:.*}").config(SwaggerConfig::from("/openapi.json")))
            .wrap(from_fn(observe::observe))
    };
    connections::serve(factory, listener, &http, workers, others)
}

async fn show_document(document: Bytes) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(document)
}

/// Runs work that blocks on the pool of threads made for it. The only call of `web::block`.
async fn blocking<T: Send + 'static>(
    app: &Data<App>,
    work: impl FnOnce(&App) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let app = app.clone();
    web::block(move || work(&app)).await.unwrap_or_else(|_| Err(Error::Internal("a request panicked".to_owned())))
}

/// Reads a merchant's rows.
async fn read<T: Send + 'static>(
    app: &Data<App>,
    merchant: MerchantId,
    work: impl FnOnce(&mut Conn) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    blocking(app, move |app| app.store.read(merchant, work)).await
}

/// Changes a merchant's rows in one transaction; see [`crate::service::till::Till::write`].
async fn write<T: Send + 'static>(
    app: &Data<App>,
    merchant: MerchantId,
    work: impl FnMut(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    blocking(app, move |app| app.till.write(merchant, work)).await
}
