//! The pages under `/admin` and `/demo`. Whether this build has them is a matter of `panel/dist`, which a debug build reads while it runs.

use std::path::Path;

use reqwest::{Method, StatusCode};

use crate::clients::Answer;
use crate::harness::TestApp;

fn built() -> Option<String> {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("panel/dist/index.html")).ok()
}

#[actix_web::test]
async fn every_page_of_the_panel_is_the_same_file_and_trusts_nobody() {
    let app = TestApp::start();
    for path in ["/admin/", "/admin", "/admin/board", "/admin/orders?q=1"] {
        let answer = app.request(Method::GET, path).send().await.unwrap();
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        match built() {
            Some(page) => {
                assert_eq!((status, text), (StatusCode::OK, page), "{path}");
                assert!(policy.contains("script-src 'self';") && policy.contains("frame-ancestors 'none'"), "{policy}");
            }
            None => {
                assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
                assert!(text.contains("built without the panel") && text.contains("没有内置"), "{text}");
            }
        }
    }
}

#[actix_web::test]
async fn browsers_keep_files_and_ask_for_pages() {
    let app = TestApp::start();
    let Some(page) = built() else { return };
    let script = page.split('"').find(|part| part.ends_with(".js")).unwrap();
    let got = app.request(Method::GET, script).header("accept-encoding", "br").send().await.unwrap();
    assert_eq!(got.headers()["cache-control"], "public, max-age=31536000, immutable");
    assert_eq!(got.headers()["content-type"], "text/javascript");
    assert_eq!(got.headers()["x-content-type-options"], "nosniff");
    assert!(!got.headers().contains_key("content-encoding"));
    let plain = got.bytes().await.unwrap();
    let got = app.request(Method::GET, script).header("accept-encoding", "gzip, br").send().await.unwrap();
    assert_eq!(got.headers()["content-encoding"], "gzip");
    assert!(got.bytes().await.unwrap().len() < plain.len() / 2);

    let got = app.request(Method::GET, "/admin/").send().await.unwrap();
    assert_eq!(got.headers()["cache-control"], "no-cache");
    let tag = got.headers()["etag"].to_str().unwrap().to_owned();
    for (sent, status) in [(tag.as_str(), 304), (&format!("W/{tag}"), 304), ("\"another\"", 200)] {
        let again = app.request(Method::GET, "/admin/").header("if-none-match", sent).send().await.unwrap();
        assert_eq!(again.status().as_u16(), status, "{sent}");
    }
}

#[actix_web::test]
async fn nothing_but_the_panel_is_served() {
    let app = TestApp::start();
    for path in
        ["/admin/assets/none.js", "/admin/..%2f..%2fCargo.toml", "/admin/%2e%2e/%2e%2e/Cargo.toml", "/admin/.git"]
    {
        assert_eq!(app.get(path).await.refusal(), (404, "not_found".into()), "{path}");
    }
    assert_eq!(Answer::of(app.request(Method::POST, "/admin/")).await.status, StatusCode::NOT_FOUND);
}

#[actix_web::test]
async fn the_demo_is_where_customers_log_in_by_the_sandbox() {
    let app = TestApp::start();
    let status = if built().is_some() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    for path in ["/demo", "/demo/1", "/demo/27"] {
        assert_eq!(app.get(path).await.status, status, "{path}");
    }
    assert_eq!(app.get("/demo/x").await.status, StatusCode::NOT_FOUND);
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let answer = client.get(format!("{}/demo?table=A3", app.address)).send().await.unwrap();
    assert_eq!(answer.headers()["location"], "/demo/1?table=A3", "the table is the one on the code");
}
