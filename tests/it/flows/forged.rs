//! Ten thousand deliveries that are not what Stripe signed, or not when, or not as an event: none is taken, and none costs a
//! call to the store. Every way in which Stripe may sign one is taken. The seed is fixed.

use std::collections::BTreeMap;

use domain::charge::{Billable, GatewayName};
use serde_json::{Value, json};
use shared::web::Request;
use shared::web::webhook::EVENT_MAX;

use super::door::{CURRENT, PATH, PREVIOUS, Porch, delivery, event, mac};

const FORGERIES: u64 = 10_000;

/// SplitMix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(n).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.roll().to_le_bytes()[0]
    }
}

/// What Stripe sent, and when.
struct Honest {
    body: Vec<u8>,
    at: i64,
}

impl Honest {
    fn v1(&self) -> String {
        mac(CURRENT, self.at, &self.body)
    }

    fn header(&self) -> String {
        format!("t={},v1={}", self.at, self.v1())
    }

    /// Another body, signed as it should be.
    fn signed(&self, body: Vec<u8>) -> Request {
        let header = Honest { body: body.clone(), at: self.at }.header();
        delivery("stripe", &[("stripe-signature", &header)], body)
    }

    fn with_header(&self, header: &str) -> Request {
        delivery("stripe", &[("stripe-signature", header)], self.body.clone())
    }

    fn with_body(&self, body: Vec<u8>) -> Request {
        delivery("stripe", &[("stripe-signature", &self.header())], body)
    }
}

const WAYS: [&str; 24] = [
    "truncated",
    "bit flipped",
    "byte inserted",
    "bytes appended",
    "written again",
    "two bytes swapped",
    "too old",
    "from the future",
    "another time",
    "another secret",
    "digit of the signature",
    "length of the signature",
    "another scheme",
    "two times",
    "two headers",
    "no readable header",
    "another event's signature",
    "too large",
    "another content type",
    "not UTF-8",
    "no event",
    "another path",
    "another message",
    "still in base64",
];

/// The bytes or the header changed, the signature as it was.
fn changed_bytes(way: &str, honest: &Honest, dice: &mut Dice) -> Vec<u8> {
    let mut body = honest.body.clone();
    let at = dice.below(body.len());
    match way {
        "truncated" => body.truncate(at),
        "bit flipped" => body[at] ^= 1 << dice.below(8),
        "byte inserted" => body.insert(at, dice.byte()),
        "bytes appended" => body.extend((0..=dice.below(8)).map(|_| *b" \n\r\t".get(dice.below(4)).unwrap())),
        "written again" => {
            let value: Value = serde_json::from_slice(&body).unwrap();
            body = serde_json::to_vec_pretty(&value).unwrap();
        }
        "two bytes swapped" => {
            let other = (0..body.len()).map(|n| (at + n) % body.len()).find(|n| body[*n] != body[at]).unwrap();
            body.swap(at, other);
        }
        "still in base64" => {
            use base64::Engine as _;
            body = base64::engine::general_purpose::STANDARD.encode(&body).into_bytes();
        }
        other => panic!("{other}"),
    }
    body
}

fn changed_header(way: &str, honest: &Honest, dice: &mut Dice) -> String {
    let (t, v1) = (honest.at, honest.v1());
    let far = 301 + i64::try_from(dice.below(1_000_000)).unwrap();
    let another = |at: i64| format!("t={at},v1={}", mac(CURRENT, at, &honest.body));
    match way {
        "too old" => another(t - far),
        "from the future" => another(t + far),
        "another time" => format!("t={},v1={v1}", t + 1 + i64::try_from(dice.below(299)).unwrap()),
        "another secret" => {
            let longer = format!("{CURRENT} ");
            let secret = ["", &CURRENT[6..], &CURRENT[..CURRENT.len() - 1], &longer, "whsec_"][dice.below(5)];
            format!("t={t},v1={}", mac(secret, t, &honest.body))
        }
        "digit of the signature" => {
            let at = dice.below(v1.len());
            let digit = u32::from_str_radix(&v1[at..=at], 16).unwrap();
            let other = char::from_digit((digit + 1 + u32::from(dice.byte() % 15)) % 16, 16).unwrap();
            format!("t={t},v1={}{other}{}", &v1[..at], &v1[at + 1..])
        }
        "length of the signature" => match dice.below(3) {
            0 => format!("t={t},v1={}", &v1[..dice.below(v1.len())]),
            1 => format!("t={t},v1={v1}{:02x}", dice.byte()),
            _ => format!("t={t},v1={v1}{v1}"),
        },
        "another scheme" => {
            let scheme = ["v0", "V1", "v2", "v10", "", "v1 ", "v1=v1"][dice.below(7)];
            format!("t={t},{scheme}={v1}")
        }
        "two times" => match dice.below(3) {
            0 => format!("t={t},t={t},v1={v1}"),
            1 => format!("t={t},v1={v1},t={},v1={v1}", t + 1),
            _ => format!("{0},{0}", honest.header()),
        },
        "another message" => {
            let body = &honest.body;
            let message = [String::from_utf8(body.clone()).unwrap(), format!("0{t}."), format!("{t}")];
            let mut bytes = message[dice.below(3)].clone().into_bytes();
            bytes.extend_from_slice(body);
            // `mac` puts its own time in front: signed twice over.
            format!("t={t},v1={}", mac(CURRENT, t, &bytes))
        }
        other => panic!("{other}"),
    }
}

/// Signed as it should be, and yet nothing to take.
fn signed_nonsense(way: &str, honest: &Honest, dice: &mut Dice) -> Request {
    match way {
        "too large" => {
            let mut body = honest.body.clone();
            body.resize(EVENT_MAX + 1 + dice.below(64), b' ');
            honest.signed(body)
        }
        "another content type" => {
            let kinds = [
                "text/plain",
                "application/x-www-form-urlencoded",
                "application/xml",
                "multipart/form-data",
                "json",
                "",
            ];
            let mut request = honest.signed(honest.body.clone());
            request.headers.insert("content-type", kinds[dice.below(kinds.len())].parse().unwrap());
            request
        }
        "not UTF-8" => {
            let mut body = honest.body.clone();
            let lone: [&[u8]; 4] = [b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"];
            let at = dice.below(body.len());
            body.splice(at..at, lone[dice.below(4)].iter().copied());
            honest.signed(body)
        }
        "no event" => {
            let whole: Value = serde_json::from_slice(&honest.body).unwrap();
            let without = |field: &str, value: Value| {
                let mut event = whole.clone();
                event[field] = value;
                event.to_string()
            };
            let bodies = [
                String::new(),
                "[]".into(),
                "null".into(),
                "\"evt\"".into(),
                "{".into(),
                "{}".into(),
                "[{}]".into(),
                without("id", Value::Null),
                without("id", json!("x".repeat(256))),
                without("type", json!(5)),
                without("object", json!("v2.core.event")),
                String::from_utf8(honest.body[1..].to_vec()).unwrap(),
            ];
            honest.signed(bodies[dice.below(bodies.len())].clone().into_bytes())
        }
        "another path" => {
            let paths = ["/paypal", "/stripe/x", "/Stripe", "/stripe%2F", "s"];
            let path = format!("{PATH}{}", paths[dice.below(paths.len())]);
            Request { path, ..honest.signed(honest.body.clone()) }
        }
        other => panic!("{other}"),
    }
}

fn forge(way: &'static str, honest: &Honest, other: &Honest, dice: &mut Dice) -> Request {
    match way {
        "truncated" | "bit flipped" | "byte inserted" | "bytes appended" | "written again" | "two bytes swapped"
        | "still in base64" => honest.with_body(changed_bytes(way, honest, dice)),
        "two headers" => {
            let mut request = honest.with_header(&honest.header());
            request.headers.append("stripe-signature", honest.header().parse().unwrap());
            if dice.below(2) == 0 {
                request.path = PATH.to_owned();
                request.headers.insert("tosspayments-webhook-transmission-id", "whtrans_1".parse().unwrap());
            }
            request
        }
        "no readable header" => {
            let mut request = honest.with_header("t=1");
            let odd: [&[u8]; 5] = [b"", b"t", b"\xfft=1,v1=00", b",,,", b"t=-1,v1="];
            match dice.below(6) {
                5 => drop(request.headers.remove("stripe-signature")),
                n => drop(request.headers.insert("stripe-signature", http_value(odd[n]))),
            }
            request
        }
        "another event's signature" => honest.with_header(&other.header()),
        "too large" | "another content type" | "not UTF-8" | "no event" | "another path" => {
            signed_nonsense(way, honest, dice)
        }
        _ => honest.with_header(&changed_header(way, honest, dice)),
    }
}

fn http_value<V: TryFrom<&'static [u8]>>(bytes: &'static [u8]) -> V {
    V::try_from(bytes).unwrap_or_else(|_| panic!("no header value"))
}

/// A capture of the renewal that is not due yet: were it taken, money would be booked that nobody paid.
fn honest(porch: &Porch, at: i64, n: u64) -> Honest {
    let billable = Billable { subscription: porch.id.clone(), index: 1, seq: 0 };
    let intent = json!({ "id": format!("pi_{n}"), "object": "payment_intent", "status": "succeeded",
        "amount_received": 44_000, "currency": "krw", "latest_charge": format!("ch_{n}"), "description": "봄날 \"상담\"",
        "metadata": { "order_id": billable.order_id(GatewayName::Stripe, 1) } });
    let body = event(&format!("evt_{n}"), "payment_intent.succeeded", intent).to_string().into_bytes();
    Honest { body, at }
}

#[expect(clippy::print_stdout, reason = "the figures of a proof are its result")]
#[tokio::test]
async fn ten_thousand_forgeries_are_refused_and_cost_no_call_to_the_store() {
    let porch = Porch::of(GatewayName::Stripe).await;
    let at = porch.world.context().await.now.as_second();
    let before = porch.world.store.dump();
    let mut dice = Dice(0x5EED);
    let mut seen: BTreeMap<(&str, u16), u64> = BTreeMap::new();
    porch.touched();
    for n in 0..FORGERIES {
        let way = WAYS[usize::try_from(n).unwrap() % WAYS.len()];
        let request = forge(way, &honest(&porch, at, n), &honest(&porch, at, n + 1), &mut dice);
        let (status, code) = porch.send(&request).await;
        assert!(matches!(status, 400 | 404 | 413 | 415), "{n} {way}: {status} {code}");
        assert_eq!(porch.touched(), 0, "{n} {way}: a call to the store");
        *seen.entry((way, status)).or_default() += 1;
    }
    assert_eq!(porch.world.store.dump(), before);
    println!("{FORGERIES} forgeries of {} kinds: 0 taken, 0 calls to the store; {seen:?}", WAYS.len());
    // The same event as it was sent: the door is open, it was the forgeries that were not let in.
    let honest = honest(&porch, at, 0);
    assert_eq!(porch.send(&honest.with_header(&honest.header())).await, (200, ""));
    assert!(porch.touched() > 0);
}

/// Every shape of header, for one body signed with `secret`.
fn headers(secret: &str, at: i64, body: &[u8]) -> Vec<String> {
    let (own, wrong) = (mac(secret, at, body), mac("whsec_nobodys", at, body));
    let many = format!("v1={wrong},").repeat(15);
    vec![
        format!("t={at},v1={own}"),
        format!("v1={own},t={at}"),
        format!("t={at}, v1={own}"),
        format!("t={at},v1={wrong},v1={own}"),
        format!("t={at},v1={own},v1={wrong}"),
        format!("t={at},v1={},v1={}", mac(CURRENT, at, body), mac(PREVIOUS, at, body)),
        format!("t={at},v1={own},v0={wrong}"),
        format!("v0={wrong},t={at},v9=zz,v1={own}"),
        format!("t={at},{many}v1={own}"),
        format!("t={at},v1=zz,v1={own}"),
        format!("t={at},v1={}", own.to_uppercase()),
    ]
}

#[expect(clippy::print_stdout, reason = "the figures of a proof are its result")]
#[tokio::test]
async fn every_way_in_which_stripe_may_sign_is_taken() {
    let porch = Porch::of(GatewayName::Stripe).await;
    let now = porch.world.context().await.now.as_second();
    let mut taken = 0u32;
    for secret in [CURRENT, PREVIOUS] {
        for at in [now, now - 300, now + 300] {
            for form in 0..4 {
                for shape in 0..headers("", 0, b"").len() {
                    for path in ["/stripe", "/stripe/", "", "/"] {
                        for kind in [
                            Some("application/json"),
                            Some("application/json; charset=utf-8"),
                            Some("Application/JSON"),
                            None,
                        ] {
                            taken += 1;
                            let whole = event(
                                &format!("evt_{taken}"),
                                "setup_intent.succeeded",
                                json!({ "id": "seti_1", "한글": "값" }),
                            );
                            let body = match form {
                                0 => whole.to_string(),
                                1 => serde_json::to_string_pretty(&whole).unwrap(),
                                2 => format!("\r\n {whole} \n"),
                                _ => whole.to_string().replace('값', "\\uac12"),
                            };
                            let header = headers(secret, at, body.as_bytes())[shape].clone();
                            let mut request = delivery("stripe", &[("stripe-signature", &header)], body);
                            request.path = format!("{PATH}{path}");
                            request.headers.remove("content-type");
                            if let Some(kind) = kind {
                                request.headers.insert("content-type", kind.parse().unwrap());
                            }
                            assert_eq!(porch.send(&request).await, (200, ""), "{header} {path} {kind:?}");
                        }
                    }
                }
            }
        }
    }
    let kept = porch.world.store.dump().iter().filter(|(table, _)| *table == "webhook_inbox").count();
    assert_eq!(kept, usize::try_from(taken).unwrap());
    println!("{taken} ways to sign: all taken");
}

/// Nothing about Toss's events can be verified; what cannot even be one is refused before the store is asked.
#[tokio::test]
async fn what_cannot_be_an_event_of_toss_costs_no_call_to_the_store() {
    let porch = Porch::of(GatewayName::Toss).await;
    let billable = Billable { subscription: porch.id.clone(), index: 0, seq: 0 };
    let whole = json!({ "eventType": "PAYMENT_STATUS_CHANGED", "data": { "status": "CANCELED",
        "orderId": billable.order_id(GatewayName::Toss, 1), "orderName": "봄날" } });
    let whole = whole.to_string().into_bytes();
    let mut bodies: Vec<Vec<u8>> = (0..whole.len()).map(|at| whole[..at].to_vec()).collect();
    bodies.extend((0..=whole.len()).map(|at| [&whole[..at], b"\xff", &whole[at..]].concat()));
    bodies.extend(["[]", "null", "5", "\"x\"", "{}{}"].map(|text| text.as_bytes().to_vec()));
    porch.touched();
    for body in bodies {
        let shown = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(porch.send(&delivery("toss", &[], body)).await.0, 400, "{shown}");
    }
    let mut typed = delivery("toss", &[], whole.clone());
    typed.headers.insert("content-type", "text/html".parse().unwrap());
    assert_eq!(porch.send(&typed).await.0, 415);
    let huge = [whole.clone(), vec![b' '; EVENT_MAX]].concat();
    assert_eq!(porch.send(&delivery("toss", &[], huge)).await.0, 413);
    assert_eq!(porch.touched(), 0);
    assert_eq!(porch.send(&delivery("toss", &[], whole)).await.0, 200);
}
