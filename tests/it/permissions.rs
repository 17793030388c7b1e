//! Every route of the staff's against every role: what the document says is required is required, and of everybody.

use reqwest::Method;
use rowlock::domain::staff::{Permission, Role};
use serde_json::Value;

use crate::clients::Answer;
use crate::harness::TestApp;

/// An operation of the document: method, path, what it requires.
struct Operation {
    method: Method,
    path: String,
    permission: Option<Permission>,
}

/// The staff's operations but the login. One that does not say what it requires fails here.
fn operations() -> Vec<Operation> {
    let document = serde_json::to_value(rowlock::http::openapi()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        if !path.starts_with("/v1/admin/") || path.ends_with("/sessions") {
            continue;
        }
        for (method, operation) in item.as_object().unwrap() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let required =
                operation.get("x-permission").unwrap_or_else(|| panic!("{method} {path} has no x-permission"));
            let permission = required.as_str().map(|name| name.parse().unwrap());
            assert!(permission.is_some() || path.contains("/me"), "{method} {path}");
            assert_eq!(operation["security"], serde_json::json!([{ "staff": [] }]), "{method} {path}");
            operations.push(Operation { method, path: concrete(path, operation), permission });
        }
    }
    operations
}

/// A path that parses and names nothing there is.
fn concrete(path: &str, operation: &Value) -> String {
    let mut path = path.replace("{m}", "1");
    for parameter in operation["parameters"].as_array().unwrap().iter().filter(|parameter| parameter["in"] == "path") {
        let schema = &parameter["schema"];
        let value = match (schema["type"].as_str(), schema["format"].as_str()) {
            (Some("integer"), _) => "999999",
            (_, Some("uuid")) => "00000000-0000-0000-0000-000000000000",
            _ => "x",
        };
        path = path.replace(&format!("{{{}}}", parameter["name"].as_str().unwrap()), value);
    }
    assert!(!path.contains('{'), "{path}");
    path
}

#[actix_web::test]
async fn every_route_requires_of_every_role_what_it_says() {
    let app = TestApp::start();
    let operations = operations();
    assert!(operations.len() > 25, "{} operations were found", operations.len());
    for role in Role::ALL {
        let member = app.staff(role.name()).await;
        for Operation { method, path, permission } in &operations {
            // Nothing but a path: who is let in is told what is missing, and nothing happens.
            let request = app.request(method.clone(), path).bearer_auth(&member.token).header("Idempotency-Key", "k");
            let response = request.send().await.unwrap();
            // What is let in to a stream is let in; it would go on for ever.
            if response.headers().get("content-type").is_some_and(|kind| kind == "text/event-stream") {
                assert!(permission.is_some_and(|permission| role.has(permission)), "{role}: {method} {path}");
                continue;
            }
            let answer = Answer::read(response).await;
            let what = format!("{role}: {method} {path}: {}", answer.text);
            match permission {
                Some(permission) if !role.has(*permission) => {
                    assert_eq!(answer.refusal(), (403, "forbidden".into()), "{what}");
                    assert_eq!(answer.json()["permission"], permission.name(), "{what}");
                }
                _ => assert!(![401, 403, 500, 503].contains(&answer.status.as_u16()), "{what}"),
            }
        }
    }
    assert_eq!(app.count("staff_actions WHERE action <> 'export_orders'"), 0, "nothing was done");
}

#[actix_web::test]
async fn no_route_of_the_staff_is_open_to_others() {
    let app = TestApp::start();
    let (alice, neighbour) = (app.customer("alice").await, app.staff_of(2, "owner").await);
    for Operation { method, path, .. } in operations() {
        for (name, token, refusal) in [
            ("nobody", "", (401, "unauthenticated")),
            ("a customer", &alice.token, (401, "unauthenticated")),
            ("another merchant's owner", &neighbour.token, (403, "wrong_merchant")),
        ] {
            let answer = Answer::of(app.request(method.clone(), &path).bearer_auth(token)).await;
            assert_eq!(answer.refusal(), (refusal.0, refusal.1.to_owned()), "{name}: {method} {path}");
        }
    }
    let owner = app.staff("owner").await;
    for path in ["/v1/merchants/1/orders", "/v1/merchants/1/points", "/v1/merchants/1/addresses"] {
        let answer = Answer::of(app.request(Method::GET, path).bearer_auth(&owner.token)).await;
        assert_eq!(answer.refusal(), (401, "unauthenticated".into()), "{path}");
    }
}
