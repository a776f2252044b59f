//! Requests and capacity units per ordinary renewal, counted at the wire, and what they cost at list prices.

use serde_json::{Value, json};

use super::{Scale, cost, planted, strain};
use crate::aws::Stand;
use crate::process::Process;
use crate::report::Row;
use crate::roles::emulator::Counts;

/// What one run did, as seen from outside.
pub struct Counted {
    pub renewals: f64,
    pub counts: Counts,
    pub log_bytes: f64,
}

impl Counted {
    pub fn per_renewal(&self, total: f64) -> f64 {
        total / self.renewals
    }
}

/// Runs `renewals` ordinary renewals through the counting front.
pub async fn measure(stand: &Stand, stage: &str, renewals: u32) -> Counted {
    planted(stand, stage, 0..renewals).await;
    let _ = (stand.counts().await, stand.seen().await);
    let spec = json!({ "rate": 400, "charges": renewals, "slice": null, "store": null });
    let mut runner = Process::role("renewals", &spec, &stand.environment(stage));
    let said = runner.said().await;
    assert_eq!(said["settled"], json!(renewals), "every customer was charged");
    let seen = stand.seen().await;
    assert!(seen.each_once(renewals), "the gateway's ledger has every customer once");
    let log_bytes = f64::from(u32::try_from(runner.logged.0).unwrap_or(u32::MAX));
    Counted { renewals: f64::from(renewals), counts: stand.counts().await, log_bytes }
}

/// Tables a charge touches; the run's own rows (its lease, its progress) cost the same for one renewal or a million.
const CHARGE_PATH: [&str; 4] = ["subscription", "subscription_cycle", "ops_audit_log", "ops_payment_method"];

pub async fn rows(scale: Scale, about: &mut Value) -> Vec<Row> {
    let stand = Stand::start(Value::Null).await;
    let counted = measure(&stand, "counts", scale.of(8_000, 800)).await;
    let again = strain::again(&stand, "counts", counted.renewals).await;
    let idle = measure(&stand, "idle", 0).await;
    about["counts"] = json!({ "renewals": counted.renewals, "wire": counted.counts, "logBytes": counted.log_bytes });
    about["idleTick"] = json!({ "wire": idle.counts, "logBytes": idle.log_bytes });
    let mut rows = vec![requests(&counted), write_units(&counted), read_units(&counted)];
    rows.extend(cost::rows(&counted, &idle));
    rows.extend(again);
    rows
}

fn requests(counted: &Counted) -> Row {
    let kind = |name: &String| name.rsplit('.').next().unwrap_or_default().to_owned();
    let kinds: Vec<String> = counted.counts.requests.iter().map(|(name, n)| format!("{} {n}", kind(name))).collect();
    let requests = f64::from(counted.counts.to_store());
    Row::one("requests", "requests to the store per ordinary renewal", counted.per_renewal(requests), "")
        .at_most(3.05)
        .note(format!(
            "{} renewals, everything from the tick to the end of the run: {}",
            counted.renewals,
            kinds.join(", ")
        ))
}

fn write_units(counted: &Counted) -> Row {
    let on_path = |name: &str| CHARGE_PATH.contains(&name.split('#').next().unwrap_or(name));
    let writes = &counted.counts.writes;
    let sum =
        |wanted: &dyn Fn(&str) -> bool| writes.iter().filter(|(n, _)| wanted(n)).map(|(_, units)| units).sum::<f64>();
    let units: Vec<String> = writes
        .iter()
        .filter(|(name, _)| on_path(name))
        .map(|(name, n)| format!("{name} {:.2}", counted.per_renewal(*n)))
        .collect();
    let indexes = counted.per_renewal(sum(&|name| on_path(name) && name.contains('#')));
    let value = counted.per_renewal(sum(&on_path));
    Row::one("write-units", "write units per ordinary renewal, indexes included", value, "").at_most(10.0).note(format!(
        "ConsumedCapacity at the wire: {}; the run's own rows {} in all. The emulator charges a transaction twice for its \
         tables and once for their indexes; were indexes doubled too, it would be {indexes:.2} more",
        units.join(", "),
        sum(&|name| !on_path(name)),
    ))
}

fn read_units(counted: &Counted) -> Row {
    Row::one("read-units", "read units per ordinary renewal", counted.per_renewal(counted.counts.read()), "")
}
