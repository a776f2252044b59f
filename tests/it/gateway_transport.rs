//! What happens on a bad line: an adapter sends each request once, follows nothing, retries nothing, and calls every
//! doubtful end unknown. A resend is the same bytes.
#![allow(clippy::unwrap_used, reason = "helpers of a test may panic like the test")]

use domain::charge::{Answer, GatewayName, Heard, Lookup};
use serde_json::{Value, json};
use shared::gateway::{Charge, Gateway, transport};

use crate::gateway_house::{Attempt, Card, VERSION, adapter, captured, key};
use crate::gateway_script::{Script, Step, answer};

const ORDER: (&str, &str) = ("01KAS9Z0000000000000000000-0-0-1", "01KAS9Z0000000000000000000-0-0");

fn card() -> Card {
    Card { token: "tok".to_owned().into(), customer: "cus".to_owned().into() }
}

fn attempt(name: GatewayName) -> Attempt {
    let order = if name == GatewayName::Toss { ORDER.0 } else { ORDER.1 };
    Attempt::of_order(name, order)
}

fn gateway(name: GatewayName, url: &str) -> Box<dyn Gateway> {
    adapter(&transport::client().unwrap(), name, url, vec![key(name)])
}

fn intent(id: &str, status: &str) -> Value {
    json!({
        "id": id, "object": "payment_intent", "status": status, "amount_received": 33000, "currency": "krw",
        "latest_charge": "ch_1", "metadata": {"order_id": ORDER.1},
    })
}

fn paid(name: GatewayName) -> String {
    match name {
        GatewayName::Toss => json!({
            "paymentKey": "tviva1", "orderId": ORDER.0, "status": "DONE", "currency": "KRW", "totalAmount": 33000,
        }),
        GatewayName::Stripe => intent("pi_1", "succeeded"),
    }
    .to_string()
}

#[tokio::test]
async fn a_charge_is_sent_once_whatever_comes_back() {
    for name in GatewayName::ALL {
        for (step, wanted) in [
            (Step::Cut, Heard::Nothing),
            (Step::Half, Heard::Nothing),
            (Step::Answer(answer(200, &"x".repeat(5 * 1024 * 1024))), Heard::Nothing),
            (Step::Answer(answer(500, "{}")), Heard::Error),
            (Step::Answer(answer(503, "<html>")), Heard::Error),
            (Step::Answer(answer(302, "")), Heard::Error),
            (Step::Answer(answer(307, "")), Heard::Error),
            (Step::Answer(answer(200, "<html>")), Heard::Error),
        ] {
            let script = Script::play([step, Step::Answer(answer(200, &paid(name)))]).await;
            match gateway(name, &script.url).charge(&attempt(name).charge(&card())).await {
                Answer::Unknown { heard, .. } => assert_eq!(heard, wanted, "{name:?}"),
                other => panic!("{name:?}: {other:?}"),
            }
            assert_eq!(script.seen().len(), 1, "{name:?}: sent once");
        }
    }
}

#[tokio::test]
async fn nobody_there_is_unknown() {
    for name in GatewayName::ALL {
        let gateway = gateway(name, "http://127.0.0.1:1");
        let answer = gateway.charge(&attempt(name).charge(&card())).await;
        assert_eq!(answer, Answer::Unknown { heard: Heard::Nothing, code: None, intent: None });
        assert_eq!(gateway.find(&attempt(name).find(&card())).await, Lookup::Failed);
    }
}

#[tokio::test]
async fn a_resend_is_the_same_bytes() {
    for name in GatewayName::ALL {
        let ok = || Step::Answer(answer(200, &paid(name)));
        let script = Script::play([Step::Cut, ok(), ok()]).await;
        let (gateway, attempt, card) = (gateway(name, &script.url), attempt(name), card());
        gateway.charge(&attempt.charge(&card)).await;
        captured(gateway.charge(&attempt.charge(&card)).await);
        captured(
            adapter(&transport::client().unwrap(), name, &script.url, vec![key(name)])
                .charge(&attempt.charge(&card))
                .await,
        );
        let seen = script.seen();
        assert_eq!(seen.len(), 3);
        assert!(seen.iter().all(|request| *request == seen[0]), "{name:?}");
        assert!(seen[0].contains("idempotency-key: charge:sub_01KAS9Z0000000000000000000:0:0:1"), "{}", seen[0]);
    }
}

#[tokio::test]
async fn a_socket_closed_while_idle_costs_no_second_send() {
    for name in GatewayName::ALL {
        let script = Script::play([
            Step::AnswerAndClose(answer(200, &paid(name))),
            Step::Answer(answer(200, &paid(name))),
            Step::Answer(answer(200, &paid(name))),
        ])
        .await;
        let gateway = gateway(name, &script.url);
        captured(gateway.charge(&attempt(name).charge(&card())).await);
        let second = gateway.charge(&attempt(name).charge(&card())).await;
        assert!(matches!(second, Answer::Captured(_) | Answer::Unknown { heard: Heard::Nothing, .. }), "{second:?}");
        assert!(script.seen().len() <= 2, "{name:?}");
    }
}

#[tokio::test]
async fn an_attempt_uses_the_key_it_froze_or_none() {
    for name in GatewayName::ALL {
        let script = Script::play([Step::Answer(answer(200, &paid(name)))]).await;
        let mut current = key(name);
        current.version = "v2".into();
        current.secret = "newer".to_owned().into();
        let client = transport::client().unwrap();
        let rotating = adapter(&client, name, &script.url, vec![current.clone(), key(name)]);
        assert_eq!(rotating.key_versions().await.unwrap(), ["v2", VERSION]);
        captured(rotating.charge(&attempt(name).charge(&card())).await);
        let header = match name {
            GatewayName::Toss => "authorization: Basic dGVzdF9za19zYW5kYm94Og==",
            GatewayName::Stripe => "authorization: Bearer sk_test_sandbox",
        };
        assert!(script.seen()[0].contains(header), "{}", script.seen()[0]);
        for keys in [vec![current], Vec::new()] {
            let later = adapter(&client, name, &script.url, keys);
            let gone = later.charge(&attempt(name).charge(&card())).await;
            assert!(matches!(gone, Answer::Unknown { heard: Heard::Nothing, code: Some(_), .. }), "{gone:?}");
        }
        let (attempt, card) = (attempt(name), card());
        let unknown = Charge { request_version: 99, ..attempt.charge(&card) };
        let gone = rotating.charge(&unknown).await;
        assert!(matches!(gone, Answer::Unknown { heard: Heard::Nothing, code: Some(_), .. }), "{gone:?}");
        assert_eq!(script.seen().len(), 1, "{name:?}: nothing more was sent");
    }
}

#[tokio::test]
async fn a_stripe_lookup_reads_every_page_before_it_says_absent() {
    let other = |id: &str| {
        let mut other = intent(id, "succeeded");
        other["metadata"] = json!({"order_id": "another"});
        other
    };
    let page = |rows: Value, more: bool| {
        Step::Answer(answer(200, &json!({"object": "list", "data": rows, "has_more": more}).to_string()))
    };
    let (attempt, card) = (attempt(GatewayName::Stripe), card());
    let find = attempt.find(&card);
    let script = Script::play([
        page(json!([other("pi_9"), other("pi_8")]), true),
        page(json!([other("pi_7"), intent("pi_6", "succeeded")]), false),
    ])
    .await;
    let Lookup::Found(found) = gateway(GatewayName::Stripe, &script.url).find(&find).await else { panic!("found") };
    assert_eq!(captured(found).payment_id, "pi_6");
    let seen = script.seen();
    assert!(seen[0].starts_with("GET /v1/payment_intents?customer=cus&created%5Bgte%5D="), "{}", seen[0]);
    assert!(!seen[0].contains("starting_after") && seen[1].contains("&starting_after=pi_8"), "{}", seen[1]);

    let script = Script::play([page(json!([other("pi_9")]), true), page(json!([]), false)]).await;
    assert_eq!(gateway(GatewayName::Stripe, &script.url).find(&find).await, Lookup::NotFound);
    let script = Script::play([page(json!([other("pi_9")]), true), Step::Answer(answer(500, "{}"))]).await;
    assert_eq!(
        gateway(GatewayName::Stripe, &script.url).find(&find).await,
        Lookup::Failed,
        "half a list proves nothing"
    );
}
