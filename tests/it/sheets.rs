//! The menu leaves as a sheet and comes back changed: what is previewed is done, all of it, once, or nothing.

use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::clients::{Answer, Staff, all_at_once};
use crate::harness::{TestApp, number, order, words};
use crate::moves::id;

const HEAD: &str = "goods_id,category_zh,category_en,product_zh,product_en,image_url,spec_zh,spec_en,price,on_sale,daily_stock,stock,stock_change";

fn sending(staff: &Staff<'_>, query: &str, sheet: impl Into<reqwest::Body>) -> RequestBuilder {
    staff
        .request(Method::POST, &format!("/menu/import{query}"))
        .header("Content-Type", "text/csv; charset=utf-8")
        .body(sheet)
}

async fn previewed(staff: &Staff<'_>, sheet: impl Into<reqwest::Body>) -> Value {
    let answer = Answer::of(sending(staff, "?dry_run=true", sheet)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

fn importing(staff: &Staff<'_>, sheet: &str, preview: &Value) -> RequestBuilder {
    let digest = preview["digest"].as_str().unwrap_or_else(|| panic!("{preview}"));
    sending(staff, &format!("?expect={digest}"), sheet.to_owned())
}

/// A sheet as it would come from a spreadsheet: rows under the head.
fn sheet(rows: &[&str]) -> String {
    format!("{HEAD}\r\n{}\r\n", rows.join("\r\n"))
}

/// The menu, a line each goods.
fn menu(app: &TestApp) -> Vec<String> {
    let rows = "SELECT format('%s %s/%s %s/%s %s/%s %s %s daily %s stock %s', g.id, c.name_zh, c.name_en, p.name_zh, p.name_en,
             g.spec_zh, g.spec_en, g.price, CASE WHEN g.on_sale THEN 'on' ELSE 'off' END, g.daily_stock, g.stock) AS value
         FROM goods g JOIN products p ON p.id = g.product_id JOIN categories c ON c.id = p.category_id
         WHERE g.merchant_id = 1 ORDER BY c.position, p.position, g.position";
    words(&mut app.conn(), rows)
}

#[actix_web::test]
async fn an_export_brought_back_changes_nothing() {
    let app = TestApp::start();
    // Whatever a name is like, and however often it stands on the menu.
    app.execute(
        "UPDATE goods SET spec_zh = '=1+1', spec_en = '-1', daily_stock = 30 WHERE id = 1; UPDATE goods SET spec_zh = '''=x' WHERE id = 2;
         UPDATE goods SET spec_zh = '小', spec_en = '小, \"small\"' WHERE id IN (3, 4);
         UPDATE products SET name_zh = '@home', image_url = 'https://pictures.example/1.jpg?a=1,2' WHERE id = 1;
         UPDATE goods SET stock = 0, sold_out_units = 100 WHERE id = 5;
         INSERT INTO categories (merchant_id, name_zh, name_en, position) VALUES (1, '菜', 'Dishes', 2), (1, '菜', 'Other', 0);
         INSERT INTO products (merchant_id, category_id, name_zh, name_en, position) SELECT 1, id, '@home', name_en, 1 FROM categories
             WHERE merchant_id = 1 AND id > 1;
         INSERT INTO goods (merchant_id, product_id, spec_zh, spec_en, price, stock, position)
             SELECT 1, id, '小', 'small', 1.5, 0, 1 FROM products WHERE merchant_id = 1 AND id > 1;
         INSERT INTO products (merchant_id, category_id, name_zh, name_en, position) VALUES (1, 1, 'No', 'goods', 9);
         INSERT INTO stock_moves (merchant_id, id, goods_id, delta, reason, actor, moved_at)
             VALUES (1, gen_random_uuid(), 5, -100, 'sold_out', 'test', '2026-01-01Z')",
    );
    let kitchen = app.staff("kitchen").await;
    let exported = kitchen.request(Method::GET, "/menu/export").send().await.unwrap();
    assert_eq!(exported.headers()["content-type"], "text/csv; charset=utf-8");
    assert_eq!(exported.headers()["content-disposition"], "attachment; filename=\"menu.csv\"");
    let bytes = exported.bytes().await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let rows: Vec<&str> = text.strip_prefix('\u{feff}').unwrap().split("\r\n").collect();
    assert_eq!(
        rows,
        [
            HEAD,
            "1002,菜,Other,'@home,Other,,小,small,1.50,true,,0,",
            "1,菜,Dishes,'@home,Dumplings,\"https://pictures.example/1.jpg?a=1,2\",'=1+1,'-1,10.00,true,30,100,",
            "2,菜,Dishes,'@home,Dumplings,\"https://pictures.example/1.jpg?a=1,2\",''=x,medium,20.00,true,,100,",
            "3,菜,Dishes,'@home,Dumplings,\"https://pictures.example/1.jpg?a=1,2\",小,\"小, \"\"small\"\"\",30.00,true,,100,",
            "4,菜,Dishes,'@home,Dumplings,\"https://pictures.example/1.jpg?a=1,2\",小,\"小, \"\"small\"\"\",0.50,true,,100,",
            "5,菜,Dishes,'@home,Dumplings,\"https://pictures.example/1.jpg?a=1,2\",特,special,9.90,true,,0,",
            "6,菜,Dishes,'@home,Dumplings,\"https://pictures.example/1.jpg?a=1,2\",旧,old,8.00,false,,100,",
            "1001,菜,Dishes,'@home,Dishes,,小,small,1.50,true,,0,",
            "",
        ]
    );
    let before = menu(&app);
    let manager = app.staff("manager").await;
    let preview = previewed(&manager, bytes.clone()).await;
    let same =
        json!({ "digest": preview["digest"], "added": 0, "changed": 0, "unchanged": 8, "rows": [], "errors": [] });
    assert_eq!(preview, same);
    let done = Answer::of(importing(&manager, &text, &preview)).await;
    assert_eq!((done.status.as_u16(), done.json()), (200, same), "{}", done.text);
    assert_eq!(menu(&app), before);
    assert_eq!(app.count("staff_actions") + app.count("outbox"), 0, "nothing was done, so nothing is told");
}

#[actix_web::test]
async fn what_is_previewed_is_done() {
    let app = TestApp::start();
    let (manager, alice) = (app.staff("manager").await, app.customer("alice").await);
    let changed = sheet(&[
        "1,主食,Staples,水饺,Jiaozi,https://x/1.jpg,小,small,11,true,,7,+5",
        "2,主食,Staples,水饺,Jiaozi,https://x/1.jpg,中,medium,20.00,FALSE,,100,",
        "6,主食,Staples,水饺,Jiaozi,https://x/1.jpg,旧,old,8.00,false,40,100,-100",
        ",主食,Staples,水饺,Jiaozi,,巨,huge,55.5,,12,3,",
        ",汤,Soups,蛋花汤,Egg drop soup,,碗,Bowl,8,true,,0,",
    ]);
    let preview = previewed(&manager, changed.clone()).await;
    let change = |field: &str, from: &str, to: &str| json!({ "field": field, "from": from, "to": to });
    let shared = [
        change("category_zh", "菜", "主食"),
        change("category_en", "Dishes", "Staples"),
        change("product_zh", "饺子", "水饺"),
        change("product_en", "Dumplings", "Jiaozi"),
        change("image_url", "", "https://x/1.jpg"),
    ];
    let with = |own: &[Value]| json!(shared.iter().chain(own).collect::<Vec<_>>());
    let mut rows = json!([
        { "row": 2, "kind": "changed", "goods_id": 1, "name": "Jiaozi · small",
            "changes": with(&[change("price", "10.00", "11.00"), change("stock_change", "", "+5")]) },
        { "row": 3, "kind": "changed", "goods_id": 2, "name": "Jiaozi · medium",
            "changes": with(&[change("on_sale", "true", "false")]) },
        { "row": 4, "kind": "changed", "goods_id": 6, "name": "Jiaozi · old",
            "changes": with(&[change("daily_stock", "", "40"), change("stock_change", "", "-100")]) },
        { "row": 5, "kind": "added", "goods_id": null, "name": "Jiaozi · huge", "changes": [
            change("category_zh", "", "主食"), change("category_en", "", "Staples"), change("product_zh", "", "水饺"),
            change("product_en", "", "Jiaozi"), change("spec_zh", "", "巨"), change("spec_en", "", "huge"),
            change("price", "", "55.50"), change("on_sale", "", "true"), change("daily_stock", "", "12"), change("stock", "", "3")] },
        { "row": 6, "kind": "added", "goods_id": null, "name": "Egg drop soup · Bowl", "changes": [
            change("category_zh", "", "汤"), change("category_en", "", "Soups"), change("product_zh", "", "蛋花汤"),
            change("product_en", "", "Egg drop soup"), change("spec_zh", "", "碗"), change("spec_en", "", "Bowl"),
            change("price", "", "8.00"), change("on_sale", "", "true"), change("stock", "", "0")] },
    ]);
    assert_eq!(preview["rows"], rows);
    assert_eq!(preview["errors"], json!([]));
    let counts =
        |answer: &Value| [&answer["added"], &answer["changed"], &answer["unchanged"]].map(|n| n.as_u64().unwrap());
    assert_eq!(counts(&preview), [2, 3, 0]);
    let chinese = sending(&manager, "?dry_run=true", changed.clone()).header("Accept-Language", "zh-CN");
    assert_eq!(Answer::of(chinese).await.json()["rows"][0]["name"], "水饺 · 小");
    assert_eq!((app.count("staff_actions"), app.count("outbox")), (0, 0), "a preview does nothing");

    // What customers take meanwhile is no obstacle.
    assert_eq!(alice.place("k", &order(&[(1, 10)])).await.status, 201);
    let done = Answer::of(importing(&manager, &changed, &preview)).await;
    assert_eq!(done.status, 200, "{}", done.text);
    let done = done.json();
    (rows[3]["goods_id"], rows[4]["goods_id"]) = (json!(1001), json!(1002));
    assert_eq!((&done["rows"], &done["digest"], counts(&done)), (&rows, &preview["digest"], [2, 3, 0]));
    assert_eq!(
        menu(&app),
        [
            "1 主食/Staples 水饺/Jiaozi 小/small 11.00 on daily  stock 95",
            "2 主食/Staples 水饺/Jiaozi 中/medium 20.00 off daily  stock 100",
            "3 主食/Staples 水饺/Jiaozi 大/large 30.00 on daily  stock 100",
            "4 主食/Staples 水饺/Jiaozi 单/single 0.50 on daily  stock 100",
            "5 主食/Staples 水饺/Jiaozi 特/special 9.90 on daily  stock 100",
            "6 主食/Staples 水饺/Jiaozi 旧/old 8.00 off daily 40 stock 0",
            "1001 主食/Staples 水饺/Jiaozi 巨/huge 55.50 on daily 12 stock 3",
            "1002 汤/Soups 蛋花汤/Egg drop soup 碗/Bowl 8.00 on daily  stock 0",
        ]
    );
    assert_eq!(app.count("categories WHERE merchant_id = 1"), 2, "the category was renamed");
    let moves =
        "SELECT format('%s %s %s %s', goods_id, delta, reason, split_part(actor, ' ', 1)) AS value FROM stock_moves
         WHERE actor <> 'test' ORDER BY goods_id";
    assert_eq!(words(&mut app.conn(), moves), ["1 5 count staff", "6 -100 count staff", "1001 3 opening staff"]);
    let told = "SELECT DISTINCT goods_id::text AS value FROM outbox WHERE kind = 'goods_changed' ORDER BY 1";
    assert_eq!(words(&mut app.conn(), told), ["1", "1001", "1002", "2", "6"]);

    let actions = app.staff("owner").await.get("/actions?action=import_menu").await.json();
    let trail = &actions["items"][0];
    assert_eq!((&trail["staff_name"], &trail["subject"]), (&json!("The manager"), &json!("menu")));
    assert_eq!((&trail["detail"]["added"], &trail["detail"]["changed"]), (&json!(2), &json!(3)));
    let first = &trail["detail"]["rows"][0];
    assert_eq!((&first["goods_id"], &first["changes"][5]), (&json!(1), &change("price", "10.00", "11.00")));
    assert_eq!(trail["detail"]["rows"][3]["goods_id"], 1001);

    // What was added is there now, and is not added again.
    let again = Answer::of(importing(&manager, &changed, &preview)).await;
    assert_eq!(again.refusal(), (422, "bad_sheet".into()));
    let errors = again.json()["errors"].as_array().unwrap().clone();
    let errors: Vec<Value> = errors.iter().map(|error| json!([error["row"], error["field"]])).collect();
    assert_eq!(errors, [json!([4, "stock_change"]), json!([5, "spec_zh"]), json!([6, "spec_zh"])]);
    let rest = manager.get("/menu/export").await.text;
    assert_eq!(previewed(&manager, rest).await["unchanged"], 8);
}

/// A dish that moves comes last where it goes to; one that is only renamed stays where it is.
#[actix_web::test]
async fn dishes_move_and_stay_in_their_places() {
    let app = TestApp::start();
    let manager = app.staff("manager").await;
    let import = async |rows: &[&str]| {
        let sheet = sheet(rows);
        let preview = previewed(&manager, sheet.clone()).await;
        let done = Answer::of(importing(&manager, &sheet, &preview)).await;
        assert_eq!(done.status, 200, "{}", done.text);
        let dish = |line: &String| line.split(' ').take(4).collect::<Vec<_>>().join(" ");
        menu(&app).iter().map(dish).filter(|line| line.starts_with('1')).collect::<Vec<_>>()
    };
    import(&[",汤,Soups,蛋花汤,Eggdrop,,碗,Bowl,8,true,,0,", ",菜,Dishes,面,Noodles,,碗,Bowl,9,true,,0,"]).await;
    let moved = import(&["1001,菜,Dishes,蛋花汤,Eggdrop,,例,Cup,8.00,true,,0,"]).await;
    let dumplings = "1 菜/Dishes 饺子/Dumplings 小/small";
    assert_eq!(moved, [dumplings, "1002 菜/Dishes 面/Noodles 碗/Bowl", "1001 菜/Dishes 蛋花汤/Eggdrop 例/Cup"]);
    let renamed = import(&["1002,菜,Dishes,拉面,Ramen,,碗,Bowl,9.00,true,,0,"]).await;
    assert_eq!(renamed, [dumplings, "1002 菜/Dishes 拉面/Ramen 碗/Bowl", "1001 菜/Dishes 蛋花汤/Eggdrop 例/Cup"]);
}

/// A file may have ten thousand rows, and a page of the trail a hundred files.
#[actix_web::test]
async fn the_trail_tells_a_hundred_rows_of_a_file() {
    let app = TestApp::start();
    let manager = app.staff("manager").await;
    let rows: Vec<String> = (0..120).map(|number| format!(",汤,Soups,汤,Soup,,{number},{number},8,true,,0,")).collect();
    let sheet = sheet(&rows.iter().map(String::as_str).collect::<Vec<_>>());
    let preview = previewed(&manager, sheet.clone()).await;
    assert_eq!(Answer::of(importing(&manager, &sheet, &preview)).await.status, 200);
    let trail = app.staff("owner").await.get("/actions?action=import_menu").await.json()["items"][0]["detail"].clone();
    assert_eq!((&trail["added"], trail["rows"].as_array().unwrap().len()), (&json!(120), 100));
}

#[actix_web::test]
async fn a_file_that_is_wrong_is_told_why_and_changes_nothing() {
    let app = TestApp::start();
    let manager = app.staff("manager").await;
    let good = "1,菜,Dishes,饺子,Dumplings,,小,small,12.00,true,,100,";
    let row = |was: &str, is: &str| {
        sheet(&[good, &"2,菜,Dishes,饺子,Dumplings,,中,medium,20.00,true,,100,".replace(was, is)])
    };
    for (name, file, row, field) in [
        ("binary", b"\x89PNG\r\n\x1a\n\0\0\xff".to_vec(), 1, ""),
        ("a line of a megabyte", vec![b'x'; 1 << 20], 1, ""),
        ("a cell of a megabyte", row("medium", &"x".repeat(1 << 20)).into_bytes(), 3, "spec_en"),
        ("a column too few", sheet(&[good]).replace("price,", "").into_bytes(), 1, "price"),
        ("a column too many", sheet(&[good]).replace("price,", "price,colour,").into_bytes(), 1, "colour"),
        ("the same goods twice", row("2,菜", "1,菜").into_bytes(), 3, "goods_id"),
        ("goods of another merchant", row("2,菜", "101,菜").into_bytes(), 3, "goods_id"),
        ("no goods", row("2,菜", "two,菜").into_bytes(), 3, "goods_id"),
        ("a price below zero", row("20.00", "-1").into_bytes(), 3, "price"),
        ("a picture of nothing", row("Dumplings,", "Dumplings,file:///etc/passwd").into_bytes(), 3, "image_url"),
        ("more stock out than there is", row("100,", "100,-101").into_bytes(), 3, "stock_change"),
        ("a dish of two names", row("Dumplings", "Jiaozi").into_bytes(), 3, "product_en"),
        ("nothing", Vec::new(), 1, ""),
    ] {
        let preview = previewed(&manager, file.clone()).await;
        let errors = preview["errors"].as_array().unwrap();
        assert!(!errors.is_empty(), "{name}");
        assert_eq!((&errors[0]["row"], &errors[0]["field"]), (&json!(row), &json!(field)), "{name}: {preview}");
        assert_eq!((&preview["digest"], &preview["rows"]), (&Value::Null, &json!([])), "{name}");
        let refused = Answer::of(sending(&manager, "?expect=x", file)).await;
        assert_eq!(refused.refusal(), (422, "bad_sheet".into()), "{name}");
        assert_eq!(refused.json()["errors"], preview["errors"], "{name}");
    }
    let bad = row("20.00", "-1");
    for (query, language) in
        [("?dry_run=true", "en"), ("?expect=x", "en"), ("?dry_run=true", "zh"), ("?expect=x", "zh")]
    {
        let answer = Answer::of(sending(&manager, query, bad.clone()).header("Accept-Language", language)).await.json();
        let begin = if language == "zh" { "须为 0 到 1000000 的金额" } else { "It must be an amount from 0" };
        let detail = answer["errors"][0]["detail"].as_str().unwrap();
        assert!(detail.starts_with(begin), "{query} {language}: {detail}");
    }

    let whole = sheet(&[good]);
    for query in ["", "?dry_run=true&expect=x", "?dry_run=false", "?dry_run=maybe", "?expected=x"] {
        let answer = Answer::of(sending(&manager, query, whole.clone())).await;
        assert_eq!(answer.refusal(), (400, "malformed_query".into()), "{query}");
    }
    let import = || manager.request(Method::POST, "/menu/import?dry_run=true");
    let as_json = import().json(&json!({}));
    assert_eq!(Answer::of(as_json).await.refusal(), (415, "not_csv".into()));
    let packed = import().header("Content-Type", "text/csv").header("Content-Encoding", "gzip").body("x");
    assert_eq!(Answer::of(packed).await.refusal(), (415, "not_csv".into()));
    let large = previewed(&manager, format!("{whole}{}", " ".repeat((1 << 21) - whole.len()))).await;
    assert_eq!(large["changed"], 1, "{large}");
    let too_large = Answer::of(sending(&manager, "?dry_run=true", vec![b' '; (1 << 21) + 1])).await;
    assert_eq!(too_large.refusal(), (413, "body_too_large".into()));
    let cashier = app.staff("cashier").await;
    for query in ["?dry_run=true", "?expect=x"] {
        // Who may not is told that, whatever they send.
        let answer = Answer::of(sending(&cashier, query, "x")).await;
        assert_eq!(answer.refusal(), (403, "forbidden".into()));
    }
    assert_eq!(number(&mut app.conn(), "SELECT count(*) AS value FROM goods WHERE price = 12"), 0);
    assert_eq!(app.count("staff_actions") + app.count("outbox"), 0);
}

/// What is in a file of the encoding that Excel saves in China is the same file.
#[actix_web::test]
async fn a_file_may_be_gbk() {
    let app = TestApp::start();
    let manager = app.staff("manager").await;
    // 1,菜,Dishes,饺子,Dumplings,,大,large,12.00,true,,100,
    let mut file = format!("{HEAD}\r\n1,").into_bytes();
    file.extend(b"\xb2\xcb,Dishes,\xbd\xc8\xd7\xd3,Dumplings,,\xb4\xf3,large,12.00,true,,100,\r\n");
    let preview = previewed(&manager, file).await;
    let fields: Vec<&Value> = preview["rows"][0]["changes"].as_array().unwrap().iter().map(|c| &c["field"]).collect();
    assert_eq!(fields, ["spec_zh", "spec_en", "price"], "{preview}");
    assert_eq!(preview["rows"][0]["changes"][0]["to"], "大");
}

#[actix_web::test]
async fn only_what_was_previewed_is_done() {
    let app = TestApp::start();
    let (manager, owner, alice) = (app.staff("manager").await, app.staff("owner").await, app.customer("alice").await);
    let file = sheet(&[
        "1,菜,Dishes,饺子,Dumplings,,小,small,12.00,true,,100,-90",
        "2,菜,Dishes,饺子,Dumplings,,中,medium,22.00,true,,100,",
    ]);
    let preview = previewed(&manager, file.clone()).await;
    let before = menu(&app);
    // What the file changes is something else now, or is so already; what it keeps is not any more.
    for (path, change, back) in [
        ("/goods/2", json!({ "price": "21" }), json!({ "price": "20" })),
        ("/goods/2", json!({ "price": "22" }), json!({ "price": "20" })),
        ("/goods/1", json!({ "daily_stock": 5 }), json!({ "daily_stock": null })),
        ("/products/1", json!({ "image_url": "https://x/1.jpg" }), json!({ "image_url": null })),
        (
            "/categories/1",
            json!({ "name": { "zh": "菜", "en": "Food" } }),
            json!({ "name": { "zh": "菜", "en": "Dishes" } }),
        ),
    ] {
        assert_eq!(owner.patch(path, &change).await.status, 200);
        let answer = Answer::of(importing(&manager, &file, &preview)).await;
        assert_eq!(answer.refusal(), (409, "menu_changed".into()), "{path} {change}");
        assert_eq!(owner.patch(path, &back).await.status, 200);
        assert_eq!(menu(&app), before);
    }
    let other = file.replace("12.00", "12.50");
    assert_eq!(Answer::of(importing(&manager, &other, &preview)).await.refusal(), (409, "menu_changed".into()));
    // There is not as much left to go out as when it was looked at: nothing else is done either.
    let placed = alice.place("k", &order(&[(1, 11)])).await;
    let short = Answer::of(importing(&manager, &file, &preview)).await;
    assert_eq!(short.refusal(), (422, "bad_sheet".into()));
    assert_eq!(
        short.json()["errors"][0],
        json!({ "row": 2, "field": "stock_change", "detail": "There are 89 units only." })
    );
    assert_eq!(menu(&app)[1], before[1]);
    assert_eq!(app.count("staff_actions WHERE action = 'import_menu'"), 0);
    let path = format!("/orders/{}/cancel", id(&placed.json()));
    assert_eq!(alice.post(&path, &json!({ "reason": "changed_mind" })).await.status, 200);
    // Whoever counted the same stock has done what the file would do again.
    assert_eq!(manager.post("/goods/1/stock-moves", &json!({ "delta": -1, "reason": "count" })).await.status, 201);
    assert_eq!(Answer::of(importing(&manager, &file, &preview)).await.refusal(), (409, "menu_changed".into()));
    let preview = previewed(&manager, file.clone()).await;
    // What the file does not name may change as it likes.
    assert_eq!(owner.patch("/goods/3", &json!({ "price": "33" })).await.status, 200);
    assert_eq!(manager.post("/goods/2/stock-moves", &json!({ "delta": 1, "reason": "delivery" })).await.status, 201);
    let done = Answer::of(importing(&manager, &file, &preview)).await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert_eq!((app.stock(1), app.stock(2)), (9, 101));
}

/// Customers order what an import changes, all at the same moment: every unit is accounted for.
#[actix_web::test]
async fn an_import_and_orders_take_turns() {
    let app = TestApp::start();
    let (manager, alice) = (app.staff("manager").await, app.customer("alice").await);
    let file = sheet(&[
        "3,菜,Dishes,饺子,Dumplings,,大,large,31.00,true,,100,+7",
        "1,菜,Dishes,饺子,Dumplings,,小,small,10.00,true,,100,-50",
        ",菜,Dishes,饺子,Dumplings,,巨,huge,40.00,true,,5,",
    ]);
    let preview = previewed(&manager, file.clone()).await;
    let body = order(&[(1, 2), (3, 1)]);
    let placing =
        (0..5).map(|key| alice.request(Method::POST, "/orders").header("Idempotency-Key", key.to_string()).json(&body));
    let mut requests: Vec<RequestBuilder> = placing.collect();
    requests.insert(2, importing(&manager, &file, &preview));
    requests.push(importing(&manager, &file, &preview));
    let sent: Vec<Answer> = join_all(requests.into_iter().map(Answer::of)).await;
    let statuses: Vec<u16> = sent.iter().map(|answer| answer.status.as_u16()).collect();
    let placed = statuses.iter().filter(|status| **status == 201).count();
    let mut others: Vec<u16> = statuses.into_iter().filter(|status| *status != 201).collect();
    others.sort_unstable();
    assert_eq!((placed, others), (5, vec![200, 422]), "{sent:#?}");
    assert_eq!((app.stock(1), app.stock(3)), (100 - 50 - 10, 100 + 7 - 5));
    assert_eq!(app.count("goods WHERE spec_en = 'huge'"), 1);
}

/// Somebody has changed something and not committed yet when an import looks at it: the import waits, and looks again.
#[actix_web::test]
async fn what_is_changed_is_looked_at_under_its_lock() {
    let app = TestApp::start();
    let manager = app.staff("manager").await;
    let price_and_stock = sheet(&["1,菜,Dishes,饺子,Dumplings,,小,small,12.00,true,,100,-90"]);
    let name = sheet(&["1,菜,Dishes,水饺,Jiaozi,,小,small,10.00,true,,100,"]);
    for (file, meanwhile, locked, refusal) in [
        (&name, "UPDATE products SET name_en = 'Raviolis' WHERE id = 1", "products", (409, "menu_changed")),
        (&price_and_stock, "UPDATE goods SET price = 11 WHERE id = 1", "goods", (409, "menu_changed")),
        (
            &price_and_stock,
            "UPDATE goods SET stock = 80 WHERE id = 1;
             INSERT INTO stock_moves (merchant_id, id, goods_id, delta, reason, actor, moved_at)
                 VALUES (1, gen_random_uuid(), 1, -20, 'waste', 'test', '2026-01-01Z')",
            "goods",
            (422, "bad_sheet"),
        ),
    ] {
        app.execute("UPDATE products SET name_en = 'Dumplings' WHERE id = 1");
        let preview = previewed(&manager, file.clone()).await;
        let hold = format!("{meanwhile}; SELECT FROM {locked} WHERE id = 1");
        let answers = all_at_once(&app, &hold, vec![importing(&manager, file, &preview)]).await;
        assert_eq!(answers[0].refusal(), (refusal.0, refusal.1.to_owned()), "{meanwhile}");
    }
    assert_eq!(menu(&app)[0], "1 菜/Dishes 饺子/Dumplings 小/small 11.00 on daily  stock 80");
}

/// A restaurant brings its first menu, and whoever does so is impatient: nothing is there that could be locked but the merchant.
#[actix_web::test]
async fn a_first_menu_is_added_once() {
    let app = TestApp::start();
    app.execute(
        "INSERT INTO merchants (id, name_zh, name_en, time_zone, created_at) VALUES (3, '新店', 'New', 'Asia/Shanghai', '2026-01-01Z');
         INSERT INTO staff (merchant_id, id, login, name, password_hash, role, tokens_from, created_at)
             SELECT 3, gen_random_uuid(), login, name, password_hash, role, tokens_from, created_at FROM staff WHERE merchant_id = 2",
    );
    let owner = app.staff_of(3, "owner").await;
    let file = sheet(&[
        ",面,Noodles,牛肉面,Beef noodles,,大,large,28,true,,50,",
        ",面,Noodles,牛肉面,Beef noodles,,小,small,22,true,,50,",
    ]);
    let preview = previewed(&owner, file.clone()).await;
    let requests = (0..4).map(|_| importing(&owner, &file, &preview)).collect();
    let answers = all_at_once(&app, "SELECT FROM merchants WHERE id = 3", requests).await;
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(200), count(422)), (1, 3), "{answers:#?}");
    let rows = ["categories", "products", "goods"].map(|table| app.count(&format!("{table} WHERE merchant_id = 3")));
    assert_eq!(rows, [1, 1, 2]);
}

/// The same import several times at once, of which nothing but the stock tells that it is done: one does it.
#[actix_web::test]
async fn of_imports_at_once_one_is_done() {
    let app = TestApp::start();
    let manager = app.staff("manager").await;
    let file = sheet(&["1,菜,Dishes,饺子,Dumplings,,小,small,10.00,true,,100,+7"]);
    let preview = previewed(&manager, file.clone()).await;
    let requests = (0..4).map(|_| importing(&manager, &file, &preview)).collect();
    let answers = all_at_once(&app, "SELECT FROM goods WHERE id = 1", requests).await;
    let refused = answers.iter().filter(|answer| answer.status == 409 && answer.code() == "menu_changed").count();
    assert_eq!((refused, app.stock(1)), (3, 107), "{answers:#?}");
}
