//! Customers and staff as tests play them.

use actix_web::rt::task::JoinHandle;
use diesel::connection::SimpleConnection;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{PASSWORD, TestApp, number, until};

impl TestApp {
    /// A customer of shop 1, logged in by the sandbox.
    pub(crate) async fn customer(&self, name: &str) -> Customer<'_> {
        self.customer_of(1, name).await
    }

    pub(crate) async fn customer_of(&self, merchant: i64, name: &str) -> Customer<'_> {
        let path = format!("/v1/merchants/{merchant}/sessions");
        let session = Answer::of(self.request(Method::POST, &path).json(&json!({ "code": name }))).await;
        assert_eq!(session.status, StatusCode::CREATED, "{}", session.text);
        Customer { app: self, merchant, token: session.json()["token"].as_str().unwrap().to_owned() }
    }

    /// A member of the staff of shop 1, by their role.
    pub(crate) async fn staff(&self, role: &str) -> Staff<'_> {
        self.staff_of(1, role).await
    }

    pub(crate) async fn staff_of(&self, merchant: i64, role: &str) -> Staff<'_> {
        let path = format!("/v1/admin/merchants/{merchant}/sessions");
        let body = json!({ "login": role, "password": PASSWORD });
        let session = Answer::of(self.request(Method::POST, &path).json(&body)).await;
        assert_eq!(session.status, StatusCode::CREATED, "{}", session.text);
        Staff { app: self, merchant, token: session.json()["token"].as_str().unwrap().to_owned() }
    }
}

/// Sends all `requests` while the rows that `hold` selects are locked, and lets go when every one of them waits for a lock.
pub(crate) async fn all_at_once(app: &TestApp, hold: &str, requests: Vec<reqwest::RequestBuilder>) -> Vec<Answer> {
    let (mut holder, mut watcher) = (app.conn(), app.conn());
    holder.batch_execute(&format!("BEGIN; {hold} FOR UPDATE")).unwrap();
    let count = i64::try_from(requests.len()).unwrap();
    let sent: Vec<_> = requests.into_iter().map(|request| actix_web::rt::spawn(Answer::of(request))).collect();
    let waiting = "SELECT count(*) AS value FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until(|| number(&mut watcher, waiting) == count).await;
    holder.batch_execute("COMMIT").unwrap();
    futures_util::future::join_all(sent).await.into_iter().map(Result::unwrap).collect()
}

/// A logged-in customer.
#[derive(Clone)]
pub(crate) struct Customer<'a> {
    app: &'a TestApp,
    pub(crate) merchant: i64,
    pub(crate) token: String,
}

impl<'a> Customer<'a> {
    /// The same customer at another instance.
    pub(crate) fn at(&self, app: &'a TestApp) -> Self {
        Self { app, ..self.clone() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.app.request(method, &format!("/v1/merchants/{}{path}", self.merchant)).bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(Method::PUT, path).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, path)).await
    }

    /// Places an order under a key.
    pub(crate) async fn place(&self, key: &str, body: &Value) -> Answer {
        Answer::of(self.placing(key, body)).await
    }

    /// As [`Customer::place`], without waiting for the answer. Whoever aborts it hangs up.
    pub(crate) fn send(&self, key: &str, body: &Value) -> JoinHandle<Answer> {
        actix_web::rt::spawn(Answer::of(self.placing(key, body)))
    }

    fn placing(&self, key: &str, body: &Value) -> reqwest::RequestBuilder {
        self.request(Method::POST, "/orders").header("Idempotency-Key", key).json(body)
    }
}

/// A logged-in member of the staff.
#[derive(Clone)]
pub(crate) struct Staff<'a> {
    app: &'a TestApp,
    pub(crate) merchant: i64,
    pub(crate) token: String,
}

impl<'a> Staff<'a> {
    /// The same member at another instance.
    pub(crate) fn at(&self, app: &'a TestApp) -> Self {
        Self { app, ..self.clone() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.app.request(method, &format!("/v1/admin/merchants/{}{path}", self.merchant)).bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    /// A refund is made under a key of its own.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = self.request(Method::POST, path).json(body);
        let is_refund = path.ends_with("/refunds");
        let key = uuid::Uuid::new_v4().to_string();
        Answer::of(if is_refund { request.header("Idempotency-Key", key) } else { request }).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(Method::PUT, path).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, path)).await
    }

    /// Posts under an idempotency key.
    pub(crate) async fn post_once(&self, key: &str, path: &str, body: &Value) -> Answer {
        Answer::of(self.posting(key, path, body)).await
    }

    /// The same, not sent yet.
    pub(crate) fn posting(&self, key: &str, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.request(Method::POST, path).header("Idempotency-Key", key).json(body)
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(Method::PATCH, path).json(body)).await
    }
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> Self {
        Self::read(request.send().await.unwrap()).await
    }

    pub(crate) async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// The problem's code; the answer must be one in every respect.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.text);
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(problem["request_id"], self.headers["x-request-id"].to_str().unwrap());
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        problem["code"].as_str().unwrap().to_owned()
    }

    /// Status and code of a refusal.
    pub(crate) fn refusal(&self) -> (u16, String) {
        (self.status.as_u16(), self.code())
    }
}
