//! The pages that people see: the restaurant's panel under `/admin`, and the demo of a customer's page under `/demo`.
//!
//! Contract: they are files that `panel/` builds and the binary holds; they use the public API and nothing else. A binary that was built
//! without them says so. (A debug build reads them from their folder while it runs.)

use actix_web::http::header::{self, AcceptEncoding, ETag, Encoding, EntityTag, Header, IfNoneMatch};
use actix_web::web::{self, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rust_embed::{EmbeddedFile, RustEmbed};

use super::observe::InTheirForm;
use crate::error::Error;

/// What the build of `panel/` leaves.
#[derive(RustEmbed)]
#[folder = "panel/dist"]
#[allow_missing = true]
struct Built;

/// Scripts and styles come from here, pictures of dishes from wherever the merchant has them, and nobody puts the panel into a frame.
/// Style attributes are what menus and charts are placed with; style elements are not needed.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; \
    img-src 'self' https: http: data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What a binary without the panel shows instead.
const NOT_BUILT: &str = include_str!("not_built.html");

/// Serves them; the demo only where customers can log in as it does.
pub(super) fn mount(config: &mut ServiceConfig, has_demo: bool) {
    config
        .service(web::redirect("/admin", "/admin/"))
        .route("/admin/{path:.*}", web::get().to(|req, path: Path<String>| async move { panel(&req, &path) }));
    if has_demo {
        config
            .route("/demo", web::get().to(|req| async move { first_shop(&req) }))
            .route("/demo/{merchant:[0-9]+}", web::get().to(|req| async move { page(&req, "demo.html") }));
    }
}

fn panel(req: &HttpRequest, path: &str) -> Result<HttpResponse, Error> {
    // Pages are what the panel's own script tells apart; files have a dot.
    if path.contains('.') { file(req, path) } else { Ok(page(req, "index.html")) }
}

/// The demo of the first merchant, at the table that the code on it names.
fn first_shop(req: &HttpRequest) -> HttpResponse {
    let query = Some(req.query_string()).filter(|query| !query.is_empty());
    let address = query.map_or_else(|| "/demo/1".to_owned(), |query| format!("/demo/1?{query}"));
    HttpResponse::TemporaryRedirect().insert_header((header::LOCATION, address)).finish()
}

/// A page, which may be another one after the next upgrade.
fn page(req: &HttpRequest, name: &str) -> HttpResponse {
    let Some(found) = Built::get(name) else { return not_built() };
    let tag = EntityTag::new_strong(URL_SAFE_NO_PAD.encode(found.metadata.sha256_hash()));
    let is_known = match IfNoneMatch::parse(req) {
        Ok(IfNoneMatch::Items(known)) => known.iter().any(|known| known.weak_eq(&tag)),
        Ok(IfNoneMatch::Any) | Err(_) => false,
    };
    let mut answer = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    answer
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header(ETag(tag));
    if is_known { answer.finish() } else { filled(answer, req, name, found) }
}

/// A file. The names of those in `assets` change with what is in them.
fn file(req: &HttpRequest, name: &str) -> Result<HttpResponse, Error> {
    let found = Built::get(name).ok_or(Error::NotFound)?;
    let lasts = if name.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "max-age=3600" };
    let mut answer = HttpResponse::Ok();
    answer.insert_header((header::CACHE_CONTROL, lasts));
    Ok(filled(answer, req, name, found))
}

/// The answer with the file in it: packed, where the build has packed it and the browser can unpack it.
fn filled(mut answer: HttpResponseBuilder, req: &HttpRequest, name: &str, found: EmbeddedFile) -> HttpResponse {
    answer
        .content_type(found.metadata.mimetype())
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::VARY, "Accept-Encoding"));
    let unpacks = AcceptEncoding::parse(req)
        .is_ok_and(|accepted| accepted.negotiate([Encoding::gzip()].iter()) == Some(Encoding::gzip()));
    match Built::get(&format!("{name}.gz")).filter(|_| unpacks) {
        Some(packed) => answer.insert_header((header::CONTENT_ENCODING, "gzip")).body(packed.data),
        None => answer.body(found.data),
    }
}

fn not_built() -> HttpResponse {
    let mut answer = HttpResponse::ServiceUnavailable()
        .insert_header((header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"))
        .content_type("text/html; charset=utf-8")
        .body(NOT_BUILT);
    answer.extensions_mut().insert(InTheirForm);
    answer
}
