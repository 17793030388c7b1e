//! Ids of others inside bodies and query strings: each that the document knows of, against a row of another merchant.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::clients::Answer;
use crate::routes::TABLE;
use crate::world::{World, digest};

/// A route, the field, what is sent in it, and the answer. `<goods>` is Alice's, `<their goods>` is of shop 2.
struct Case(&'static str, &'static str, &'static str, u16, &'static str);

#[rustfmt::skip]
const CASES: &[Case] = &[
    Case("POST /v1/merchants/{m}/orders", ".lines[].goods_id", r#"{"lines":[{"goods_id":<goods>,"count":1},{"goods_id":<their goods>,"count":1}],"fulfilment":{"kind":"pickup"},"pay_method":"cash"}"#, 422, "unknown_goods"),
    Case("POST /v1/merchants/{m}/orders", ".fulfilment.address_id", r#"{"lines":[{"goods_id":<goods>,"count":1}],"fulfilment":{"kind":"delivery","address_id":"<their address>"},"pay_method":"cash"}"#, 422, "unknown_address"),
    Case("PUT /v1/merchants/{m}/cart/selection", ".goods_ids", r#"{"goods_ids":[<their goods>]}"#, 422, "unknown_goods"),
    Case("GET /v1/merchants/{m}/orders", "?cursor", "?cursor=<their unpaid>", 200, ""),
    Case("GET /v1/merchants/{m}/points", "?cursor", "?cursor=1795233600000000-6f72646572", 200, ""),
    Case("GET /v1/admin/merchants/{m}/orders", "?ids", "?ids=<their unpaid>,<their waiting>", 200, ""),
    Case("GET /v1/admin/merchants/{m}/orders", "?cursor", "?cursor=<their unpaid>", 200, ""),
    Case("GET /v1/admin/merchants/{m}/orders/export", "?ids", "?ids=<their unpaid>", 200, ""),
    Case("GET /v1/admin/merchants/{m}/orders/export", "?cursor", "?cursor=<their unpaid>", 400, "malformed_query"),
    Case("GET /v1/admin/merchants/{m}/accounts", "?customer_id", "?customer_id=<their customer>", 200, ""),
    Case("GET /v1/admin/merchants/{m}/accounts/{id}", "?cursor", "?cursor=1795233600000000-6f72646572", 200, ""),
    Case("GET /v1/admin/merchants/{m}/actions", "?staff_id", "?staff_id=<their member>", 200, ""),
    Case("GET /v1/admin/merchants/{m}/actions", "?cursor", "?cursor=<their unpaid>", 200, ""),
    Case("GET /v1/admin/merchants/{m}/alerts", "?cursor", "?cursor=<their alert>", 200, ""),
    Case("GET /v1/admin/merchants/{m}/events", "?last_event_id", "?last_event_id=<their delivery>", 200, ""),
    Case("GET /v1/admin/merchants/{m}/events/page", "?after", "?after=<their delivery>", 200, ""),
    Case("GET /v1/admin/merchants/{m}/webhook-deliveries", "?cursor", "?cursor=<their delivery>", 200, ""),
    Case("GET /v1/admin/merchants/{m}/goods/{id}/stock-moves", "?cursor", "?cursor=1795233600000000-30313932", 400, "malformed_query"),
    Case("POST /v1/admin/merchants/{m}/orders/{id}/reject", ".sold_out", r#"{"reason":"sold_out","sold_out":[<their goods>]}"#, 422, "invalid_field"),
    Case("POST /v1/admin/merchants/{m}/orders/{id}/cancel", ".returned[].goods_id", r#"{"reason":"closing","returned":[{"goods_id":<their goods>,"count":1}]}"#, 422, "invalid_field"),
    Case("POST /v1/admin/merchants/{m}/orders/{id}/refunds", ".lines[].goods_id", r#"{"reason":"closing","lines":[{"goods_id":<their goods>,"count":1}]}"#, 422, "invalid_field"),
    Case("PUT /v1/admin/merchants/{m}/categories/order", ".ids", r#"{"ids":[<categories>,<their category>]}"#, 422, "invalid_field"),
    Case("PUT /v1/admin/merchants/{m}/categories/{id}/products/order", ".ids", r#"{"ids":[<product>,<empty_product>,<their product>]}"#, 422, "invalid_field"),
    Case("PUT /v1/admin/merchants/{m}/products/{id}/goods/order", ".ids", r#"{"ids":[<spare_goods>,<their spare_goods>]}"#, 422, "invalid_field"),
    Case("POST /v1/admin/merchants/{m}/products", ".category_id", r#"{"category_id":<their category>,"name":{"zh":"x","en":"x"}}"#, 422, "invalid_field"),
    Case("PATCH /v1/admin/merchants/{m}/products/{id}", ".category_id", r#"{"category_id":<their category>}"#, 422, "invalid_field"),
    Case("POST /v1/admin/merchants/{m}/goods", ".product_id", r#"{"product_id":<their product>,"spec":{"zh":"x","en":"x"},"price":"1.00"}"#, 422, "invalid_field"),
    Case("POST /v1/admin/merchants/{m}/goods", ".grant.account_id", r#"{"product_id":<product>,"spec":{"zh":"x","en":"x"},"price":"1.00","grant":{"account_id":"<their account>","per_unit":1}}"#, 422, "invalid_field"),
    Case("PATCH /v1/admin/merchants/{m}/goods/{id}", ".grant.account_id", r#"{"grant":{"account_id":"<their account>","per_unit":1}}"#, 422, "invalid_field"),
];

fn is_id(field: &str) -> bool {
    let name = field.rsplit(['.', '?']).next().unwrap();
    ["_id", "_ids"].iter().any(|end| name.ends_with(end))
        || ["ids", "id", "cursor", "after", "sold_out"].contains(&name)
}

/// The fields of a schema that name something, with their paths.
fn ids(document: &Value, schema: &Value, at: &str, found: &mut BTreeSet<String>) {
    if let Some(to) = schema["$ref"].as_str() {
        return ids(document, document.pointer(to.trim_start_matches('#')).unwrap(), at, found);
    }
    let parts = ["oneOf", "anyOf", "allOf"].iter().flat_map(|of| schema[of].as_array().into_iter().flatten());
    parts.for_each(|part| ids(document, part, at, found));
    if let Some(items) = schema.get("items") {
        ids(document, items, &format!("{at}[]"), found);
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let at = format!("{at}.{name}");
        ids(document, property, &at, found);
        if is_id(&at) {
            found.insert(at);
        }
    }
}

#[actix_web::test]
async fn ids_of_others_in_bodies_and_queries_name_nothing() {
    let document = serde_json::to_value(rowlock::http::openapi()).unwrap();
    let mut fields = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let mut found = BTreeSet::new();
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let queries = parameters.filter(|parameter| parameter["in"] == "query");
            found.extend(
                queries.map(|query| format!("?{}", query["name"].as_str().unwrap())).filter(|name| is_id(name)),
            );
            ids(&document, &operation["requestBody"]["content"]["application/json"]["schema"], "", &mut found);
            fields.extend(found.into_iter().map(|field| format!("{} {path} {field}", method.to_uppercase())));
        }
    }
    let cases: BTreeSet<String> = CASES.iter().map(|case| format!("{} {}", case.0, case.1)).collect();
    assert_eq!(fields, cases, "each field that names something has a case");

    let world = World::create().await;
    let before = digest(&world.app);
    let fill = |text: &str, prefix: &str, ids: &crate::world::Ids| {
        ids.iter().fold(text.to_owned(), |text, (name, id)| text.replace(&format!("<{prefix}{name}>"), id))
    };
    for Case(route, field, sent, status, code) in CASES {
        let row = TABLE.iter().find(|row| row.0 == *route).unwrap();
        let sent = fill(&fill(sent, "their ", &world.foreign), "", &world.alices);
        let (query, body) = if sent.starts_with('?') { (sent.as_str(), "") } else { ("", sent.as_str()) };
        let caller = if route.contains("/admin/") { world.owner() } else { &world.callers[1] };
        let request =
            world.request(row, &World::names(row, &world.alices), query).bearer_auth(caller.token.as_ref().unwrap());
        let request = request.header("content-type", "application/json").body(body.to_owned());
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), *status, "{route} {field}");
        if response.headers()["content-type"] == "text/event-stream" {
            continue;
        }
        let answer = Answer::read(response).await;
        assert!(code.is_empty() || answer.code() == *code, "{route} {field}: {}", answer.text);
        // Numbers are short, and may stand for anything.
        let told = world.foreign.values().find(|id| id.len() == 36 && answer.text.contains(*id));
        assert_eq!(told, None, "{route} {field} tells of another merchant: {}", answer.text);
        // That an export was asked for stands in the trail, and nothing else anywhere.
        world.app.execute("DELETE FROM staff_actions WHERE action = 'export_orders'");
    }
    assert_eq!(digest(&world.app), before);

    // A sheet names goods, too.
    let row = TABLE.iter().find(|row| row.0.ends_with("/menu/export")).unwrap();
    let sheet = world.ask(row, &[], world.owner()).await.text;
    let goods = sheet.lines().nth(1).unwrap().split(',').next().unwrap();
    let theirs = sheet.replacen(&format!("\n{goods},"), &format!("\n{},", world.foreign["spare_goods"]), 1);
    let row = TABLE.iter().find(|row| row.0.ends_with("/menu/import")).unwrap();
    let request = world.request(row, &[], "?dry_run=true").bearer_auth(world.owner().token.as_ref().unwrap());
    let preview = Answer::of(request.header("content-type", "text/csv").body(theirs)).await;
    assert_eq!((preview.status.as_u16(), &preview.json()["digest"]), (200, &Value::Null), "{}", preview.text);
    assert_eq!(preview.json()["errors"][0]["field"], "goods_id", "{}", preview.text);
}
