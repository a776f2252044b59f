//! Signed events through the steps of `payment_webhook`, as fast as two threads take them.

use std::sync::Arc;
use std::time::Instant;

use functions::{SystemRandom, wall};
use futures::StreamExt;
use serde_json::{Value, json};
use shared::config::Env;
use shared::gateway::webhook::{parse_stripe, verify_signature, within_tolerance};
use shared::secrets::formats::webhook_secrets;
use shared::secrets::{SecretName, Secrets};
use shared::store::DynamoStore;
use shared::usecase::Charging;
use shared::usecase::receive_webhook::receive_signed;
use shared::web::webhook::in_our_words;

use crate::bent::{Bent, Lag};
use crate::process::{cpu, say};
use crate::stripe::delivery;

/// Deliveries in work at the same time.
const AT_ONCE: usize = 32;

/// `spec`: `{"events": n, "customers": n, "store": endpoint, "name": distinct per run}`.
pub async fn run(spec: &Value) {
    let env = Env::init(wall, Arc::new(SystemRandom)).expect("the template's environment");
    let number = |name: &str| spec[name].as_u64().and_then(|n| u32::try_from(n).ok()).expect("a number");
    let (events, customers) = (number("events"), number("customers"));
    let (store, name) = (spec["store"].as_str().expect("an endpoint"), spec["name"].as_str().expect("a name"));
    let inner = Arc::new(DynamoStore::new(crate::aws::client(store), env.settings.stage.as_str()));
    let charging = Charging { store: Bent::new(inner, Lag::default()), ..env.charging().expect("clients") };
    let secrets = env.secrets();
    let now = wall();
    let deliveries: Vec<_> = (0..events).map(|n| delivery(n % customers, &format!("evt_{name}_{n:08}"), now)).collect();
    // The first one fetches the secret.
    let (body, signature) = delivery(0, &format!("evt_{name}_first"), now);
    receive(&charging, secrets.as_ref(), body.as_bytes(), &signature).await;
    let (began, before) = (Instant::now(), cpu(None));
    futures::stream::iter(deliveries)
        .for_each_concurrent(AT_ONCE, |(body, signature)| {
            let (charging, secrets) = (charging.clone(), Arc::clone(&secrets));
            async move {
                let work = async move { receive(&charging, secrets.as_ref(), body.as_bytes(), &signature).await };
                tokio::spawn(work).await.expect("received");
            }
        })
        .await;
    let (took, spent) = (began.elapsed(), cpu(None) - before);
    say(
        &json!({ "perSecond": f64::from(events) / took.as_secs_f64(), "cpuMicros": spent.as_secs_f64() * 1e6 / f64::from(events) }),
    );
}

/// What the function does with a delivery.
async fn receive(charging: &Charging, secrets: &dyn Secrets, raw: &[u8], signature: &str) {
    let versions = secrets.get(SecretName::StripeWebhook).await.expect("the secret");
    let keys = webhook_secrets(&versions).expect("its shape");
    let signed_at = verify_signature(raw, signature, &keys).expect("it is signed");
    let now = charging.clock.now().await;
    assert!(within_tolerance(signed_at, now), "it is fresh");
    let Ok(event) = parse_stripe(raw) else { panic!("it reads") };
    receive_signed(charging, now, in_our_words(event)).await.expect("it is taken");
}
