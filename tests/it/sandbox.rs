//! The gateway that comes with the service: both of its sides over HTTP, and what they refuse.

use std::sync::Arc;

use actix_web::rt::task::spawn_blocking;
use chrono::TimeDelta;
use reqwest::Method;
use rowlock::clock::uuid_at;
use rowlock::domain::order::PayMethod;
use rowlock::domain::payment::{Channel, RefundNumber};
use rowlock::domain::{MerchantId, RefundId};
use rowlock::gateway::{
    Charge, Checkout, Gateway, GatewayError, Gateways, Receipt, RefundStanding, Refunding, Standing,
};
use serde_json::json;

use crate::clients::Answer;
use crate::harness::{TestApp, noon};
use crate::providers::{
    Machine, Reply, Signer, ask, ask_of, charge, close, code, create, new_number, pay, press, query, refunding, switch,
    yuan,
};

#[actix_web::test]
async fn a_payment_is_announced_once_and_paid_once() {
    let app = TestApp::start();
    let number = new_number();
    assert_eq!(query(&app, number).await, Standing::Unknown);
    assert_eq!(code(close(&app, number).await), "ORDER_NOT_EXIST");
    assert_eq!(press(&app, number, "pay").await.0, 404);
    let url = format!("{}/sandbox/pay/{number}", app.address);
    for channel in [Channel::Page, Channel::Page] {
        let checkout = ask(&app, move |gateway| gateway.create(&Charge { channel, ..charge(number) })).await;
        assert_eq!(checkout, Ok(Checkout::Redirect { url: url.clone() }), "again is the same");
    }
    let other = Charge { amount: yuan("12.51"), ..charge(number) };
    assert_eq!(code(ask(&app, move |gateway| gateway.create(&other)).await), "OUT_TRADE_NO_USED");
    let theirs = ask_of(&app, 2, move |gateway| gateway.create(&charge(number))).await;
    assert_eq!(code(theirs), "OUT_TRADE_NO_USED");
    assert_eq!(ask_of(&app, 2, move |gateway| gateway.query(number)).await, Ok(Standing::Unknown));
    assert_eq!(code(ask_of(&app, 2, move |gateway| gateway.close(number)).await), "ORDER_NOT_EXIST");

    assert_eq!(query(&app, number).await, Standing::Open);
    press(&app, number, "type").await;
    assert_eq!(query(&app, number).await, Standing::Paying);
    assert_eq!(code(close(&app, number).await), "USERPAYING");
    let receipt = pay(&app, number).await;
    assert_eq!(receipt.amount, yuan("12.50"));
    assert_eq!(code(close(&app, number).await), "ORDERPAID");
    assert_eq!(code(ask(&app, move |gateway| gateway.create(&charge(number))).await), "ORDERPAID");
    let (status, answer) = press(&app, number, "pay").await;
    assert_eq!((status, answer["code"].as_str()), (400, Some("ORDERPAID")));
    assert_eq!(query(&app, number).await, Standing::Paid(receipt));

    let qr = Charge { channel: Channel::Qr, ..charge(new_number()) };
    let code = format!("{}/sandbox/pay/{}", app.address, qr.number);
    assert_eq!(ask(&app, move |gateway| gateway.create(&qr)).await, Ok(Checkout::Qr { code }));
}

#[actix_web::test]
async fn what_is_closed_takes_no_money() {
    let app = TestApp::start();
    let (number, typed, late) = (create(&app).await, create(&app).await, create(&app).await);
    assert_eq!((close(&app, number).await, close(&app, number).await), (Ok(()), Ok(())));
    assert_eq!(query(&app, number).await, Standing::Closed);
    assert_eq!(code(ask(&app, move |gateway| gateway.create(&charge(number))).await), "ORDERCLOSED");
    for button in ["pay", "type"] {
        let (status, answer) = press(&app, number, button).await;
        assert_eq!((status, answer["code"].as_str()), (400, Some("ORDERCLOSED")));
    }
    // Who stops typing, or never ends, has not paid.
    press(&app, typed, "type").await;
    press(&app, typed, "cancel").await;
    assert_eq!(query(&app, typed).await, Standing::Open);
    press(&app, typed, "type").await;
    app.clock.advance(TimeDelta::seconds(11));
    assert_eq!(query(&app, typed).await, Standing::Open);
    assert_eq!(close(&app, typed).await, Ok(()));

    app.clock.advance(TimeDelta::minutes(15));
    assert_eq!(query(&app, late).await, Standing::Closed);
    assert_eq!(press(&app, late, "pay").await.0, 400);
    switch(&app, Some(&late.to_string()), json!({ "pay_late": true })).await;
    assert_eq!(press(&app, number, "pay").await.0, 400, "a switch of another payment");
    assert_eq!(pay(&app, late).await.amount, yuan("12.50"));
}

#[actix_web::test]
async fn what_came_in_goes_back_once() {
    let app = TestApp::start();
    let number = create(&app).await;
    let nothing = Receipt { transaction: "SBX0".to_owned(), amount: yuan("12.50") };
    let early = move |gateway: &dyn Gateway| gateway.refund(&refunding(number, &nothing, "1.00"));
    assert_eq!(code(ask(&app, early).await), "TRADE_ERROR");
    let receipt = pay(&app, number).await;
    let done = ask(&app, move |gateway| {
        let refund = refunding(number, &receipt, "10.00");
        assert_eq!(gateway.query_refund(&refund), Ok(RefundStanding::Unknown));
        let another = Refunding { transaction: "SBX1", ..refund.clone() };
        assert_eq!(code(gateway.refund(&another)), "INVALID_REQUEST");
        let of_more = Refunding { paid: yuan("99.00"), ..refund.clone() };
        assert_eq!(code(gateway.refund(&of_more)), "INVALID_REQUEST");
        assert_eq!(gateway.refund(&refund), Ok(RefundStanding::Processing));
        assert_eq!(gateway.query_refund(&refund), Ok(RefundStanding::Succeeded));
        assert_eq!(gateway.refund(&refund), Ok(RefundStanding::Succeeded), "again is the same");
        let other = Refunding { amount: yuan("1.00"), ..refund.clone() };
        assert_eq!(code(gateway.refund(&other)), "INVALID_REQUEST", "the number is taken");
        assert_eq!(code(gateway.refund(&refunding(number, &receipt, "2.51"))), "INVALID_REQUEST", "too much");
        gateway.refund(&refunding(number, &receipt, "2.50"))
    });
    assert_eq!(done.await, Ok(RefundStanding::Processing));
}

#[actix_web::test]
async fn refunds_fail_stick_and_take_their_time() {
    let app = TestApp::start();
    let number = create(&app).await;
    let receipt = Arc::new(pay(&app, number).await);
    let of = |receipt: &Arc<Receipt>| {
        let receipt = Arc::clone(receipt);
        move |gateway: &dyn Gateway, refund: RefundNumber| {
            let refund = Refunding { number: refund, ..refunding(number, &receipt, "12.50") };
            (gateway.refund(&refund), gateway.query_refund(&refund))
        }
    };
    let next = || RefundNumber { refund: RefundId(uuid_at(noon())), round: 1 };
    // What failed leaves the money where it was.
    switch(&app, None, json!({ "refund": "fail" })).await;
    let (go, refund) = (of(&receipt), next());
    let failed = (Ok(RefundStanding::Processing), Ok(RefundStanding::Failed));
    assert_eq!(ask(&app, move |gateway| go(gateway, refund)).await, failed);

    switch(&app, None, json!({ "refund_asks": 2 })).await;
    let (go, refund) = (of(&receipt), next());
    let slow = (Ok(RefundStanding::Processing), Ok(RefundStanding::Processing));
    assert_eq!(ask(&app, move |gateway| go(gateway, refund)).await, slow);
    let go = of(&receipt);
    let come = ask(&app, move |gateway| go(gateway, refund)).await;
    assert_eq!(come.1, Ok(RefundStanding::Succeeded), "it was asked about twice");

    let number = create(&app).await;
    let receipt = pay(&app, number).await;
    switch(&app, Some(&number.to_string()), json!({ "refund": "abnormal" })).await;
    let (refund, transaction) = (next(), receipt.transaction.clone());
    let stuck = move |gateway: &dyn Gateway| {
        let refund = Refunding { number: refund, transaction: &transaction, ..refunding(number, &receipt, "12.50") };
        (gateway.refund(&refund).is_ok(), gateway.query_refund(&refund))
    };
    assert_eq!(ask(&app, stuck.clone()).await, (true, Ok(RefundStanding::Abnormal)));
    Answer::of(app.request(Method::POST, &format!("/sandbox/v1/refunds/{refund}/succeed"))).await;
    assert_eq!(ask(&app, stuck).await, (true, Ok(RefundStanding::Succeeded)));
}

#[actix_web::test]
async fn strangers_are_not_served() {
    let app = TestApp::start();
    let (signer, machine) = (Signer::new(), Machine::start(&[]));
    let number = signer.announce(&app, &machine, "5.00").await;
    let path = format!("/sandbox/v1/payments/{number}");
    let now = app.clock.now().timestamp();
    let good = || signer.request(&app, Method::GET, &path, "");
    assert_eq!(Answer::of(good()).await.status, 200);
    let theirs = app.request(Method::GET, &path).header("sandbox-merchant", "1");
    let refused = [
        ("unsigned", app.request(Method::GET, &path)),
        ("no signature", theirs),
        ("another's", signer.request(&app, Method::GET, "/sandbox/v1/payments/another", "")),
        ("too old", signer.at(&app, now - 301, Method::GET, &path, "")),
        ("of tomorrow", signer.at(&app, now + 301, Method::GET, &path, "")),
        ("another body", signer.request(&app, Method::GET, &path, "").body("{}")),
    ];
    for (what, request) in refused {
        let request = request.build().unwrap();
        // A signature of one path does not open another.
        let answer = match what {
            "another's" => {
                let signed = request.headers().clone();
                Answer::of(app.request(Method::GET, &path).headers(signed)).await
            }
            _ => Answer::read(reqwest::Client::new().execute(request).await.unwrap()).await,
        };
        assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (401, Some("SIGN_ERROR")), "{what}");
    }
    let unsigned = Answer::of(app.request(Method::POST, &format!("{path}/close"))).await;
    assert_eq!(unsigned.status, 401);
    let standing = Answer::of(good()).await;
    assert_eq!(standing.json()["state"], "open", "nobody has closed it");
}

#[actix_web::test]
async fn what_the_provider_has_not_signed_is_not_believed() {
    let app = TestApp::start();
    let number = create(&app).await;
    let receipt = pay(&app, number).await;
    let (signer, path) = (Signer::new(), format!("/sandbox/v1/payments/{number}"));
    let genuine = Answer::of(signer.request(&app, Method::GET, &path, "")).await;
    let header = |name: &str| (name.to_owned(), genuine.headers[name].to_str().unwrap().to_owned());
    let signed = vec![header("sandbox-timestamp"), header("sandbox-signature")];
    let forged = genuine.text.replace(&receipt.transaction, "SBX1");
    // Unsigned; of another question; changed.
    let replies = [
        Reply::As(Vec::new(), genuine.text.clone()),
        Reply::As(signed.clone(), genuine.text.clone()),
        Reply::As(signed, forged),
        Reply::Status(404),
    ];
    let liar = Machine::start(&replies);
    let (config, clock, metrics) = (&app.app.config.gateways, app.clock.clone(), Arc::clone(&app.app.metrics));
    let gateways = Gateways::open(config, liar.url.clone(), &[7; 32], clock, metrics).unwrap();
    let gateway = gateways.get(MerchantId(1), PayMethod::Sandbox).unwrap();
    spawn_blocking(move || {
        for _ in 0..4 {
            let answer = gateway.query(number);
            assert!(matches!(answer, Err(GatewayError::Unclear(_))), "{answer:?}");
        }
    })
    .await
    .unwrap();
    assert_eq!(liar.received().len(), 4);
}
