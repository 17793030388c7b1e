//! The staff change the menu.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::clients::{Answer, Staff};
use crate::harness::{TestApp, number, order, words};

fn name(text: &str) -> Value {
    json!({ "zh": text, "en": text })
}

/// The names on the staff's menu, as `category/product/spec`.
async fn on_menu(staff: &Staff<'_>) -> Vec<String> {
    let menu = staff.get("/menu").await.json();
    let mut found = Vec::new();
    for category in menu["categories"].as_array().unwrap() {
        found.push(category["name"]["en"].as_str().unwrap().to_owned());
        for product in category["products"].as_array().unwrap() {
            let specs = product["goods"].as_array().unwrap().iter().map(|goods| goods["spec"]["en"].as_str().unwrap());
            found.push(format!(
                "- {}: {}",
                product["name"]["en"].as_str().unwrap(),
                specs.collect::<Vec<_>>().join(" ")
            ));
        }
    }
    found
}

fn told(app: &TestApp, goods: &Value) -> i64 {
    number(
        &mut app.conn(),
        &format!("SELECT count(*) AS value FROM outbox WHERE kind = 'goods_changed' AND goods_id = {goods}"),
    )
}

#[actix_web::test]
async fn the_staff_see_what_is_off_sale_too() {
    let app = TestApp::start();
    app.execute("UPDATE goods SET daily_stock = 30, sold_out_units = 100, grant_kind = 'votes', grant_per_unit = 2 WHERE id = 6");
    let menu = app.staff("kitchen").await.get("/menu").await.json();
    let goods = &menu["categories"][0]["products"][0]["goods"];
    assert_eq!(goods.as_array().unwrap().len(), 6);
    assert_eq!(
        goods[5],
        json!({
            "id": 6, "product_id": 1, "spec": { "zh": "旧", "en": "old" }, "price": "8.00", "on_sale": false, "position": 6,
            "stock": 100, "sold_out": true, "sold_out_units": 100, "daily_stock": 30,
            "grant": { "account_id": null, "kind": "votes", "per_unit": 2 }, "sales": 0,
        })
    );
    assert_eq!((&goods[0]["daily_stock"], &goods[0]["grant"]), (&Value::Null, &Value::Null));
}

#[actix_web::test]
async fn a_dish_comes_changes_and_goes_off_sale() {
    let app = TestApp::start();
    let manager = app.staff("manager").await;
    let soups = manager.post("/categories", &json!({ "name": name("Soups") })).await;
    assert_eq!((soups.status.as_u16(), &soups.json()["position"]), (201, &json!(2)), "{}", soups.text);
    let soups = soups.json()["id"].clone();
    let product = manager.post("/products", &json!({ "category_id": soups, "name": name("Broth") })).await.json();
    let new =
        json!({ "product_id": product["id"], "spec": name("bowl"), "price": "12.5", "stock": 7, "daily_stock": 20 });
    let bowl = manager.post("/goods", &new).await;
    assert_eq!(bowl.status, 201, "{}", bowl.text);
    let bowl = bowl.json();
    assert_eq!((&bowl["price"], &bowl["stock"], &bowl["on_sale"]), (&json!("12.50"), &json!(7), &json!(true)));
    let none =
        json!({ "product_id": product["id"], "spec": name("pot"), "price": "0", "on_sale": false, "position": 9 });
    let pot = manager.post("/goods", &none).await.json();
    assert_eq!((&pot["stock"], &pot["position"], &pot["daily_stock"]), (&json!(0), &json!(9), &Value::Null));
    assert_eq!(
        number(&mut app.conn(), &format!("SELECT count(*) AS value FROM stock_moves WHERE goods_id = {}", pot["id"])),
        0
    );
    assert_eq!(
        on_menu(&manager).await,
        ["Dishes", "- Dumplings: small medium large single special old", "Soups", "- Broth: bowl pot"]
    );

    let alice = app.customer("alice").await;
    let id = bowl["id"].as_i64().unwrap();
    assert_eq!(alice.place("a", &order(&[(id, 2)])).await.json()["total"], "25.00");
    let path = format!("/goods/{id}");
    let before = told(&app, &bowl["id"]);
    let change =
        json!({ "price": "13", "on_sale": false, "daily_stock": null, "grant": { "kind": "points", "per_unit": 3 } });
    let changed = manager.patch(&path, &change).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let changed = changed.json();
    assert_eq!(
        (&changed["price"], &changed["on_sale"], &changed["stock"]),
        (&json!("13.00"), &json!(false), &json!(5))
    );
    assert_eq!((&changed["daily_stock"], &changed["grant"]["per_unit"]), (&Value::Null, &json!(3)));
    assert_eq!(changed["spec"], name("bowl"), "what is not sent stays");
    assert_eq!(told(&app, &bowl["id"]), before + 1);
    assert_eq!(alice.place("b", &order(&[(id, 1)])).await.refusal(), (409, "not_on_sale".into()));
    let kept = manager.patch(&path, &json!({ "on_sale": true })).await.json();
    assert_eq!(kept["grant"]["per_unit"], 3, "what is not sent stays");
    assert_eq!(manager.patch(&path, &json!({ "grant": null })).await.json()["grant"], Value::Null);
    assert_eq!(alice.place("c", &order(&[(id, 1)])).await.json()["total"], "13.00");

    // What is not empty is not removed.
    let (product_path, category_path) = (format!("/products/{}", product["id"]), format!("/categories/{soups}"));
    assert_eq!(manager.delete(&product_path).await.refusal(), (409, "not_empty".into()));
    assert_eq!(manager.delete(&category_path).await.refusal(), (409, "not_empty".into()));
    let moved =
        manager.patch(&product_path, &json!({ "category_id": 1, "name": name("Clear broth"), "position": 0 })).await;
    assert_eq!(moved.json()["category_id"], 1);
    assert_eq!(manager.delete(&category_path).await.status, 204);
    assert_eq!(manager.delete(&category_path).await.refusal(), (404, "not_found".into()));
    assert_eq!(on_menu(&manager).await[1], "- Clear broth: bowl pot");
    let empty = manager.post("/products", &json!({ "category_id": 1, "name": name("Nothing") })).await.json();
    assert_eq!(manager.delete(&format!("/products/{}", empty["id"])).await.status, 204);
}

/// The pictures of shop 1's dishes: on the staff's menu, and on the customers'.
async fn pictures(app: &TestApp, staff: &Staff<'_>) -> (Vec<Value>, Vec<Value>) {
    let of = |menu: Value| -> Vec<Value> {
        let categories = menu["categories"].as_array().unwrap().iter();
        categories.flat_map(|c| c["products"].as_array().unwrap()).map(|product| product["image_url"].clone()).collect()
    };
    (of(staff.get("/menu").await.json()), of(app.get("/v1/merchants/1/menu").await.json()))
}

#[actix_web::test]
async fn a_dish_may_have_a_picture() {
    let app = TestApp::start();
    let manager = app.staff("manager").await;
    assert_eq!(pictures(&app, &manager).await, (vec![Value::Null], vec![Value::Null]));
    let url = "https://pictures.example/饺子.jpg?w=300";
    let new = json!({ "category_id": 1, "name": name("Broth"), "image_url": format!(" {url} ") });
    let broth = manager.post("/products", &new).await;
    assert_eq!((broth.status.as_u16(), &broth.json()["image_url"]), (201, &json!(url)), "{}", broth.text);
    let plain = manager.post("/products", &json!({ "category_id": 1, "name": name("Rice"), "image_url": "" })).await;
    assert_eq!((plain.status.as_u16(), &plain.json()["image_url"]), (201, &Value::Null), "{}", plain.text);
    let longest = format!("HTTP://x/{}", "x".repeat(491));
    let changed = manager.patch("/products/1", &json!({ "image_url": longest })).await;
    assert_eq!(changed.json()["image_url"], longest, "{}", changed.text);
    let kept = manager.patch("/products/1", &json!({ "position": 1 })).await.json();
    assert_eq!(kept["image_url"], longest, "what is not sent stays");
    // What has no goods on sale is not on the customers' menu.
    assert_eq!(pictures(&app, &manager).await, (vec![json!(longest), json!(url), Value::Null], vec![json!(longest)]));
    for wrong in [
        "pictures.example/x.jpg",
        "ftp://pictures.example/x.jpg",
        "javascript:alert(1)",
        "data:image/png;base64,AAAA",
        "https:pictures.example",
        "https://",
        "https://user:secret@pictures.example/x.jpg",
        "https://pictures.example/\nx.jpg",
        &format!("{longest}x"),
    ] {
        for (method, path) in [(Method::PATCH, "/products/1"), (Method::POST, "/products")] {
            let mut body = new.clone();
            body["image_url"] = json!(wrong);
            let answer = Answer::of(manager.request(method, path).json(&body)).await;
            assert_eq!(answer.refusal(), (422, "invalid_field".into()), "{wrong}");
            assert_eq!(answer.json()["field"], "image_url", "{wrong}");
        }
    }
    for nothing in [json!(null), json!(" ")] {
        manager.patch("/products/1", &json!({ "image_url": url })).await;
        let cleared = manager.patch("/products/1", &json!({ "image_url": nothing })).await;
        assert_eq!((cleared.status.as_u16(), &cleared.json()["image_url"]), (200, &Value::Null));
    }
    // The trail tells what was taken away from what was not sent.
    let cleared = "staff_actions WHERE action = 'change_product' AND detail -> 'image_url' = 'null'";
    assert_eq!((app.count(cleared), app.count("staff_actions WHERE action = 'change_product'")), (2, 6));
}

#[actix_web::test]
async fn what_does_not_fit_the_menu_is_refused_by_field() {
    let app = TestApp::start();
    let manager = app.staff("manager").await;
    let own = manager.post("/accounts", &json!({ "kind": "votes", "name": "Qiang" })).await.json()["id"].clone();
    let other = app
        .staff_of(2, "manager")
        .await
        .post("/accounts", &json!({ "kind": "votes", "name": "Mei" }))
        .await
        .json()["id"]
        .clone();
    let alice = app.customer_id("alice").await;
    let path = format!("/customers/{alice}/accounts/votes/entries");
    manager.post_once("k", &path, &json!({ "delta": 1, "reason": "x" })).await;
    let hers = manager.get(&format!("/accounts?customer_id={alice}")).await.json()["items"][0]["id"].clone();
    let grant = |account: &Value| json!({ "account_id": account, "per_unit": 1 });
    assert_eq!(manager.patch("/goods/1", &json!({ "grant": grant(&own) })).await.json()["grant"]["account_id"], own);
    for (change, field) in [
        (json!({ "price": "1000000.01" }), "price"),
        (json!({ "spec": { "zh": "", "en": "x" } }), "spec.zh"),
        (json!({ "spec": { "zh": "x", "en": "x".repeat(51) } }), "spec.en"),
        (json!({ "daily_stock": -1 }), "daily_stock"),
        (json!({ "position": -1 }), "position"),
        (json!({ "grant": { "per_unit": 1 } }), "grant"),
        (json!({ "grant": { "per_unit": 1, "kind": "points", "account_id": own } }), "grant"),
        (json!({ "grant": { "per_unit": 1, "kind": "gold" } }), "grant.kind"),
        (json!({ "grant": { "per_unit": 0, "kind": "votes" } }), "grant.per_unit"),
        (json!({ "grant": { "per_unit": 1_000_001, "kind": "votes" } }), "grant.per_unit"),
        (json!({ "grant": grant(&other) }), "grant.account_id"),
        (json!({ "grant": grant(&hers) }), "grant.account_id"),
        (json!({ "grant": grant(&json!("00000000-0000-0000-0000-000000000000")) }), "grant.account_id"),
    ] {
        let answer = manager.patch("/goods/1", &change).await;
        assert_eq!(answer.refusal(), (422, "invalid_field".into()), "{change}");
        assert_eq!(answer.json()["field"], field, "{change}");
    }
    for change in [
        json!({ "price": 10 }),
        json!({ "stock": 5 }),
        json!({ "price": "-1" }),
        json!({ "daily_stock": 3_000_000_000_u32 }),
    ] {
        assert_eq!(manager.patch("/goods/1", &change).await.refusal(), (400, "malformed_body".into()), "{change}");
    }
    let goods = json!({ "product_id": 1, "spec": name("x"), "price": "1" });
    for (path, body, field) in [
        ("/products", json!({ "category_id": 2, "name": name("x") }), "category_id"),
        ("/goods", json!({ "product_id": 2, "spec": name("x"), "price": "1" }), "product_id"),
        (
            "/goods",
            {
                let mut body = goods.clone();
                body["stock"] = json!(10_000_001);
                body
            },
            "stock",
        ),
        ("/categories", json!({ "name": { "zh": " ", "en": "x" } }), "name.zh"),
    ] {
        let answer = manager.post(path, &body).await;
        assert_eq!(
            (answer.refusal(), &answer.json()["field"]),
            ((422, "invalid_field".into()), &json!(field)),
            "{body}"
        );
    }
    assert_eq!(
        manager.patch("/products/1", &json!({ "category_id": 2 })).await.refusal(),
        (422, "invalid_field".into())
    );
    for path in ["/goods/101", "/products/2", "/categories/2", "/goods/x", "/products/9223372036854775808"] {
        assert_eq!(manager.patch(path, &json!({})).await.refusal(), (404, "not_found".into()), "{path}");
    }
    assert_eq!(manager.delete("/categories/2").await.refusal(), (404, "not_found".into()));
    assert_eq!(app.count("categories") + app.count("products"), 4);
}

#[actix_web::test]
async fn one_request_sets_a_whole_order() {
    let app = TestApp::start();
    let manager = app.staff("manager").await;
    for number in 1..=3 {
        let category = manager.post("/categories", &json!({ "name": name(&format!("c{number}")) })).await.json();
        manager.post("/products", &json!({ "category_id": 1, "name": name(&format!("p{number}")) })).await;
        assert_eq!(category["position"], number + 1);
    }
    let ids = |table: &str| -> Vec<i64> {
        let sql = format!("SELECT id::text AS value FROM {table} WHERE merchant_id = 1 ORDER BY id DESC");
        words(&mut app.conn(), &sql).iter().map(|id| id.parse().unwrap()).collect()
    };
    for (path, table) in [
        ("/categories/order", "categories"),
        ("/categories/1/products/order", "products"),
        ("/products/1/goods/order", "goods"),
    ] {
        let ids = ids(table);
        let last = ids.len() - 1;
        let stranger: Vec<i64> = ids[..last].iter().copied().chain([101]).collect();
        let twice: Vec<i64> = ids[..last].iter().copied().chain([ids[0]]).collect();
        for wrong in [&ids[..last], &stranger, &twice, &[], &[1; 1001]] {
            assert_eq!(
                manager.put(path, &json!({ "ids": wrong })).await.refusal(),
                (422, "invalid_field".into()),
                "{path} {wrong:?}"
            );
        }
        assert_eq!(manager.put(path, &json!({ "ids": ids })).await.status, 204, "{path}");
    }
    let expected = [
        "c3",
        "c2",
        "c1",
        "Dishes",
        "- p3: ",
        "- p2: ",
        "- p1: ",
        "- Dumplings: old special single large medium small",
    ];
    assert_eq!(on_menu(&manager).await, expected);
    assert_eq!((told(&app, &json!(1)), told(&app, &json!(6))), (1, 1), "goods tell of their new places");
    for path in ["/categories/2/products/order", "/products/2/goods/order"] {
        assert_eq!(manager.put(path, &json!({ "ids": [101] })).await.refusal(), (404, "not_found".into()), "{path}");
    }
    let orders: Vec<Value> = (0..10)
        .map(|number| {
            let mut ids = ids("categories");
            ids.rotate_left(number % 4);
            json!({ "ids": ids })
        })
        .collect();
    for answer in join_all(orders.iter().map(|body| manager.put("/categories/order", body))).await {
        assert_eq!(answer.status, 204, "{}", answer.text);
    }
}

/// Two who change different fields do not undo each other, nor what customers take meanwhile.
#[actix_web::test]
async fn changes_at_once_do_not_undo_each_other() {
    let app = TestApp::start();
    let (owner, manager, alice) = (app.staff("owner").await, app.staff("manager").await, app.customer("alice").await);
    for round in 1..=10 {
        let (price, daily) = (json!({ "price": format!("{round}.00") }), json!({ "daily_stock": round }));
        let key = round.to_string();
        let body = order(&[(1, 1)]);
        let (one, other, placed) =
            tokio::join!(owner.patch("/goods/1", &price), manager.patch("/goods/1", &daily), alice.place(&key, &body));
        assert_eq!((one.status.as_u16(), other.status.as_u16(), placed.status.as_u16()), (200, 200, 201));
        let menu = owner.get("/menu").await.json();
        let goods = &menu["categories"][0]["products"][0]["goods"][0];
        assert_eq!((&goods["price"], &goods["daily_stock"]), (&json!(format!("{round}.00")), &json!(round)));
        assert_eq!(goods["stock"], 100 - round);
    }
}

/// Whoever adds to what somebody removes: either it is not removed, or there is nothing to add to.
#[actix_web::test]
async fn adding_to_what_is_removed_fails_one_way_or_the_other() {
    let app = TestApp::start();
    let manager = app.staff("manager").await;
    for _ in 0..10 {
        let category = manager.post("/categories", &json!({ "name": name("c") })).await.json()["id"].clone();
        let product = json!({ "category_id": category, "name": name("p") });
        let path = format!("/categories/{category}");
        let (added, removed) = tokio::join!(manager.post("/products", &product), manager.delete(&path));
        match (added.status.as_u16(), removed.status.as_u16()) {
            (201, 409) => assert_eq!(removed.code(), "not_empty"),
            (422, 204) => assert_eq!(added.json()["field"], "category_id"),
            other => panic!("{other:?}: {} {}", added.text, removed.text),
        }
    }
}
