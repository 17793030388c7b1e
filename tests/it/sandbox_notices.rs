//! How the sandbox calls merchants back, what it does wrong when its switches say so, and its pages.

use chrono::TimeDelta;
use reqwest::{Method, StatusCode};
use rowlock::gateway::{GatewayError, NoticeError, RefundStanding, Says, Standing};
use serde_json::{Value, json};

use crate::clients::Answer;
use crate::harness::{Setup, TestApp};
use crate::providers::{
    Machine, Received, Reply, Signer, ask, charge, close, code, create, gateway_of, new_number, pay, press, query,
    refunding, switch, terms, yuan,
};

/// Waits for what would come, if it came.
async fn silence(machine: &Machine, count: usize) {
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(machine.received().len(), count, "{:?}", machine.received());
}

/// Event and transaction of notices, in the order in which they came.
fn told(received: &[Received]) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    received.iter().map(|notice| (text(&notice.json()["event"]), text(&notice.json()["transaction"]))).collect()
}

#[actix_web::test]
async fn a_notice_says_what_came_in_and_is_believed_from_the_provider_only() {
    let app = TestApp::start();
    let (signer, machine) = (Signer::new(), Machine::start(&[]));
    let number = signer.announce(&app, &machine, "5.00").await;
    press(&app, &number, "pay").await;
    let notice = machine.first(1).await.remove(0);
    let (ours, theirs) = (gateway_of(&app, 1), gateway_of(&app, 2));
    let Ok(read) = notice.read_by(&*ours) else { panic!("{:?}", notice.read_by(&*ours)) };
    let Says::Paid { number: named, receipt } = read.says else { panic!("{read:?}") };
    assert_eq!((named, receipt.amount), (number.clone(), yuan("5.00")));

    assert_eq!(notice.read_by(&*theirs), Err(NoticeError::NotOurs("another merchant")));
    let unverified = |notice: &Received| matches!(notice.read_by(&*ours), Err(NoticeError::Unverified(_)));
    assert!(unverified(&notice.saying(notice.body.replace("5.00", "5000.00"))));
    assert!(unverified(&notice.saying(format!("{} ", notice.body))));
    assert!(unverified(&Received { headers: Vec::new(), ..notice.clone() }));
    let later = notice.headers.iter().map(|(name, value)| match name.as_str() {
        "sandbox-timestamp" => (name.clone(), (value.parse::<i64>().unwrap() + 1).to_string()),
        _ => (name.clone(), value.clone()),
    });
    assert!(unverified(&Received { headers: later.collect(), ..notice.clone() }));
    app.clock.advance(TimeDelta::seconds(300));
    assert!(!unverified(&notice), "five minutes are within the time");
    app.clock.advance(TimeDelta::seconds(1));
    assert!(unverified(&notice), "it is too old");

    signer.refund(&app, &machine, &number, "2.00").await;
    let refund = machine.first(2).await.remove(1).read_by(&*ours).unwrap();
    let Says::Refund { standing: RefundStanding::Succeeded, .. } = refund.says else { panic!("{refund:?}") };
    let (taken, again) = (ours.answer(true), ours.answer(false));
    assert_eq!((taken.status, again.status), (200, 401));
}

#[actix_web::test]
async fn a_notice_comes_again_until_it_is_taken() {
    let app = TestApp::start();
    let (signer, machine) = (Signer::new(), Machine::start(&[Reply::Status(500), Reply::Status(302)]));
    let number = signer.announce(&app, &machine, "5.00").await;
    press(&app, &number, "pay").await;
    machine.first(1).await;
    silence(&machine, 1).await;
    app.clock.advance(TimeDelta::seconds(15));
    machine.first(2).await;
    app.clock.advance(TimeDelta::seconds(14));
    silence(&machine, 2).await;
    app.clock.advance(TimeDelta::seconds(1));
    let received = machine.first(3).await;
    app.clock.advance(TimeDelta::days(2));
    silence(&machine, 3).await;
    assert!(received.iter().all(|notice| notice.body == received[0].body), "the same is said each time");
    assert_ne!(received[0].header("sandbox-timestamp"), received[2].header("sandbox-timestamp"), "signed anew");
}

#[actix_web::test]
async fn notices_are_forged_repeated_and_left_out() {
    let app = TestApp::start();
    let signer = Signer::new();
    let gateway = gateway_of(&app, 1);
    let machine = Machine::start(&[]);
    let number = signer.announce(&app, &machine, "5.00").await;
    switch(&app, Some(&number), json!({ "forge": true })).await;
    press(&app, &number, "pay").await;
    let received = machine.first(3).await;
    let verdicts: Vec<bool> = received.iter().map(|notice| notice.read_by(&*gateway).is_ok()).collect();
    assert_eq!(verdicts, [false, false, true]);
    assert_ne!(received[0].header("sandbox-signature"), received[1].header("sandbox-signature"), "forged in two ways");
    assert!(received[0].json()["transaction"].as_str().unwrap().starts_with("FORGED"), "they would do harm");

    // They are answered only when all ten are there.
    let machine = Machine::start(&vec![Reply::Together(10); 10]);
    let number = signer.announce(&app, &machine, "5.00").await;
    switch(&app, Some(&number), json!({ "repeat": true })).await;
    press(&app, &number, "pay").await;
    let received = machine.first(10).await;
    assert!(received.iter().all(|notice| notice.body == received[0].body && notice.read_by(&*gateway).is_ok()));

    let machine = Machine::start(&[]);
    let number = signer.announce(&app, &machine, "5.00").await;
    switch(&app, Some(&number), json!({ "never_call": true })).await;
    assert_eq!(press(&app, &number, "pay").await.0, 200);
    silence(&machine, 0).await;
}

#[actix_web::test]
async fn notices_are_late_and_out_of_order() {
    let app = TestApp::start();
    let (signer, machine) = (Signer::new(), Machine::start(&[]));
    let number = signer.announce(&app, &machine, "5.00").await;
    switch(&app, None, json!({ "delay_s": 60 })).await;
    press(&app, &number, "pay").await;
    silence(&machine, 0).await;
    app.clock.advance(TimeDelta::seconds(60));
    machine.first(1).await;

    // The refund's before the payment's.
    let machine = Machine::start(&[]);
    switch(&app, None, json!({ "reorder": true })).await;
    let number = signer.announce(&app, &machine, "5.00").await;
    press(&app, &number, "pay").await;
    silence(&machine, 0).await;
    signer.refund(&app, &machine, &number, "5.00").await;
    let events: Vec<String> = told(&machine.first(2).await).into_iter().map(|(event, _)| event).collect();
    assert_eq!(events, ["refund.succeeded", "payment.paid"]);

    // Two payments' notices, and one that nothing follows.
    let machine = Machine::start(&[]);
    let mut numbers = Vec::new();
    for _ in 0..3 {
        numbers.push(signer.announce(&app, &machine, "5.00").await);
        press(&app, numbers.last().unwrap(), "pay").await;
    }
    let received = machine.first(2).await;
    let order: Vec<Value> = received.iter().map(|notice| notice.json()["number"].clone()).collect();
    assert_eq!(order, [json!(numbers[1]), json!(numbers[0])]);
    silence(&machine, 2).await;
    app.clock.advance(TimeDelta::seconds(60));
    assert_eq!(machine.first(3).await[2].json()["number"], json!(numbers[2]));
}

#[actix_web::test]
async fn too_much_too_little_and_too_late_is_paid() {
    let app = TestApp::start();
    let (signer, machine) = (Signer::new(), Machine::start(&[]));
    let number = signer.announce(&app, &machine, "5.00").await;
    switch(&app, Some(&number), json!({ "pay_twice": true })).await;
    press(&app, &number, "pay").await;
    let received = told(&machine.first(2).await);
    assert_ne!(received[0], received[1], "two transactions");
    // Each can go back whole.
    for (_, transaction) in received {
        let body = json!({
            "number": format!("r{transaction}"), "payment": number, "transaction": transaction, "amount": "5.00",
            "paid": "5.00", "currency": "CNY", "reason": "twice", "notify_url": machine.url,
        });
        assert_eq!(signer.post(&app, "/sandbox/v1/refunds", &body).await.status, 200);
    }

    switch(&app, None, json!({ "pay_amount": "0.01", "pay_late": true })).await;
    let number = create(&app).await;
    close(&app, number).await.unwrap();
    assert_eq!(pay(&app, number).await.amount, yuan("0.01"));
}

#[actix_web::test]
async fn what_took_effect_is_answered_with_an_error_or_not_at_all() {
    let quick = vec![("ROWLOCK_GATEWAYS_TIMEOUT_MS", "1500")];
    let app = TestApp::with(Setup { variables: quick, ..Setup::default() });
    for switches in
        [json!({ "fail_after": ["create", "close", "refund"] }), json!({ "hang_after": ["create", "close", "refund"] })]
    {
        switch(&app, None, switches.clone()).await;
        let unclear = |result: Result<(), GatewayError>| {
            assert!(matches!(result, Err(GatewayError::Unclear(_))), "{switches}: {result:?}");
        };
        let number = new_number();
        unclear(ask(&app, move |gateway| gateway.create(&charge(number)).map(drop)).await);
        assert_eq!(query(&app, number).await, Standing::Open);
        unclear(close(&app, number).await);
        assert_eq!(query(&app, number).await, Standing::Closed);
        let number = new_number();
        unclear(ask(&app, move |gateway| gateway.create(&charge(number)).map(drop)).await);
        let receipt = pay(&app, number).await;
        let (asked, standing) = ask(&app, move |gateway| {
            let refund = refunding(number, &receipt, "12.50");
            (gateway.refund(&refund).map(drop), gateway.query_refund(&refund))
        })
        .await;
        unclear(asked);
        assert_eq!(standing, Ok(RefundStanding::Succeeded));
    }
    // Of one payment only.
    let number = new_number();
    switch(&app, None, json!({})).await;
    switch(&app, Some(&number.to_string()), json!({ "fail_after": ["create"] })).await;
    assert!(ask(&app, move |gateway| gateway.create(&charge(number))).await.is_err());
    create(&app).await;
}

#[actix_web::test]
async fn pages_show_how_things_stand_and_escape_what_was_sent() {
    let app = TestApp::start();
    let (signer, machine) = (Signer::new(), Machine::start(&[]));
    let number = new_number().to_string();
    let mut body = terms(&number, &machine.url, "5.00");
    body["description"] = json!("<script>alert('{{number}}')</script>");
    assert_eq!(signer.post(&app, "/sandbox/v1/payments", &body).await.status, 200);
    let path = format!("/sandbox/pay/{number}");
    let page = app.get(&path).await;
    assert_eq!(
        (page.status, page.headers["content-type"].to_str().unwrap()),
        (StatusCode::OK, "text/html; charset=utf-8")
    );
    assert!(page.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    for page in [&page, &app.get("/sandbox").await] {
        assert!(page.text.contains("&lt;script&gt;alert(&#39;{{number}}&#39;)&lt;/script&gt;"), "{}", page.text);
        assert!(!page.text.contains("<script"), "{}", page.text);
    }
    assert!(page.text.contains("待支付") && page.text.contains("5.00"), "{}", page.text);
    let switches = app.get("/sandbox?number=%22%3E%3Cscript%3E").await;
    assert!(!switches.text.contains("<script"), "{}", switches.text);

    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    for (press, state) in [("type", "正在输入密码"), ("cancel", "待支付"), ("pay", "已支付"), ("pay", "已支付")]
    {
        let form =
            client.post(format!("{}{path}", app.address)).header("content-type", "application/x-www-form-urlencoded");
        let answer = Answer::of(form.body(format!("press={press}"))).await;
        assert_eq!((answer.status.as_u16(), answer.headers["location"].to_str().unwrap()), (303, path.as_str()));
        assert!(app.get(&path).await.text.contains(state), "{press}");
    }
    machine.first(1).await;

    let back = "?return_url=https%3A%2F%2Fshop.example%2Fdemo%2F1%23%22%3E";
    let link = "<a class=\"button main\" href=\"https://shop.example/demo/1#&quot;&gt;\">";
    assert!(app.get(&format!("{path}{back}")).await.text.contains(link));
    assert!(!app.get(&format!("{path}?return_url=javascript%3Aalert(1)")).await.text.contains("javascript:alert"));
    let form = client.post(format!("{}{path}{back}", app.address));
    let form = form.header("content-type", "application/x-www-form-urlencoded").body("press=pay");
    assert_eq!(Answer::of(form).await.headers["location"].to_str().unwrap(), format!("{path}{back}"));

    let fields = "number=&forge=on&fail_close=on&pay_amount=0.01&delay_s=3&refund=abnormal&refund_asks=2";
    let form =
        client.post(format!("{}/sandbox", app.address)).header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(Answer::of(form.body(fields)).await.status, 303);
    let set = app.get("/sandbox/v1/switches").await.json();
    let expected = json!({
        "pay_twice": false, "pay_late": false, "pay_amount": "0.01", "forge": true, "repeat": false, "reorder": false,
        "delay_s": 3, "never_call": false, "fail_after": ["close"], "hang_after": [], "refund": "abnormal", "refund_asks": 2,
    });
    assert_eq!(set, expected);
    let page = app.get("/sandbox").await.text;
    assert!(page.contains("name=\"forge\" checked") && page.contains("value=\"0.01\""), "{page}");
}

#[actix_web::test]
async fn where_it_is_switched_off_there_is_none() {
    let off = vec![("ROWLOCK_GATEWAYS_SANDBOX", "false")];
    let app = TestApp::with(Setup { variables: off, ..Setup::default() });
    for path in ["/sandbox", "/sandbox/v1/switches", "/sandbox/pay/1"] {
        assert_eq!(app.get(path).await.refusal(), (404, "not_found".to_owned()), "{path}");
    }
    assert_eq!(Answer::of(app.request(Method::POST, "/sandbox/v1/payments")).await.status, 404);
    assert!(app.app.sandbox.is_none());
}

#[actix_web::test]
async fn strange_requests_are_refused() {
    let app = TestApp::start();
    let (signer, machine) = (Signer::new(), Machine::start(&[]));
    let good = |number: &str| terms(number, &machine.url, "5.00");
    let with = |field: &str, value: Value| {
        let mut body = good("0123456789");
        body[field] = value;
        body
    };
    let bad = [
        json!(null),
        json!([]),
        good("short"),
        good("not a number"),
        with("amount", json!("0")),
        with("amount", json!(5)),
        with("amount", json!("-1")),
        with("currency", json!("USD")),
        with("description", json!("")),
        with("notify_url", json!("file:///etc/passwd")),
        with("expires_at", json!("2026-01-01T00:00:00Z")),
        with("expires_at", json!("2030-01-01T00:00:00Z")),
        with("more", json!(1)),
    ];
    for body in bad {
        let answer = signer.post(&app, "/sandbox/v1/payments", &body).await;
        assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (400, Some("PARAM_ERROR")), "{body}");
    }
    assert_eq!(code(close(&app, new_number()).await), "ORDER_NOT_EXIST");
    for (method, path) in [
        (Method::PUT, "/sandbox/v1/switches"),
        (Method::POST, "/sandbox/pay/x"),
        (Method::POST, "/sandbox/v1/refunds/x/fail"),
        (Method::DELETE, "/sandbox/v1/payments"),
        (Method::GET, "/sandbox/pay/%FF"),
        (Method::GET, "/sandbox/else"),
    ] {
        let answer = Answer::of(app.request(method, path).body("{\"what\":1}")).await;
        assert!(answer.status.is_client_error(), "{path}: {}", answer.status);
    }
}
