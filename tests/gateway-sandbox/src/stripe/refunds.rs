//! Refunds.
//!
//! Invariants: what is refunded of a charge and has not failed never exceeds what was paid; every refund is one ledger
//! entry when it is made.

use super::{
    attempt::{Movement, book},
    call::Call,
    cards::{self, Aftermath},
    expand::found,
    failure::Failure,
    lists, render,
    state::{Charge, Metadata, Refund, Turning},
};
use crate::core::Kind;
use serde_json::{Value, json};

/// Parameters of create.
pub const CREATE: &[&str] = &["payment_intent", "charge", "amount", "currency", "reason", "metadata[*]", "expand[]"];

/// The charge a refund is for.
fn charge_for(call: &Call<'_>) -> Result<Charge, Failure> {
    let (intent, charge) = (call.form.text("payment_intent"), call.form.text("charge"));
    let id = match (intent, charge) {
        (_, Some(id)) => id.to_owned(),
        (Some(id), None) => {
            let intent =
                call.state.intents.get(id).ok_or_else(|| Failure::missing("payment_intent", id, "payment_intent"))?;
            let latest = intent.latest_charge.clone().filter(|_| intent.status == "succeeded");
            latest.ok_or_else(|| {
                let message = format!("This PaymentIntent ({id}) does not have a successful charge to refund.");
                Failure::state("charge_not_refundable", &message)
            })?
        }
        (None, None) => {
            let message = "One of the following params should be provided for this request: payment_intent or charge.";
            return Err(Failure::request(message));
        }
    };
    let charge = call.state.charges.get(&id).ok_or_else(|| Failure::missing("charge", &id, "charge"))?;
    if charge.refused.is_some() {
        return Err(Failure::state("charge_not_refundable", &format!("Charge {id} was not paid.")));
    }
    Ok(charge.clone())
}

/// `¥2,500`; two decimals where the currency has them.
fn money(amount: i64, currency: &str) -> String {
    let (sign, cents) = match currency {
        "jpy" => ("¥", false),
        "krw" => ("₩", false),
        "usd" => ("$", true),
        "eur" => ("€", true),
        "gbp" => ("£", true),
        _ => ("", true),
    };
    let whole = if cents { amount / 100 } else { amount }.to_string();
    let grouped: Vec<&str> =
        whole.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    let grouped = grouped.join(",");
    if cents { format!("{sign}{grouped}.{:02}", amount % 100) } else { format!("{sign}{grouped}") }
}

/// How much to refund, if that much is left.
fn amount_of(call: &Call<'_>, charge: &Charge) -> Result<i64, Failure> {
    let left = charge.amount - charge.refunded;
    if charge.disputed
        && call.state.disputes.newest().any(|it| it.charge == charge.id && !it.inquiry && it.status != "won")
    {
        return Err(Failure::state(
            "charge_disputed",
            &format!("Charge {} has been charged back; cannot issue a refund.", charge.id),
        ));
    }
    if left == 0 {
        return Err(Failure::state(
            "charge_already_refunded",
            &format!("Charge {} has already been refunded.", charge.id),
        ));
    }
    let amount = call.form.integer("amount")?.unwrap_or(left);
    if amount < 1 {
        return Err(Failure::coded("parameter_invalid_integer", "amount", "Invalid positive integer"));
    }
    if amount > left {
        let (asked, left) = (money(amount, &charge.currency), money(left, &charge.currency));
        let message = format!("Refund amount ({asked}) is greater than unrefunded amount on charge ({left})");
        return Err(Failure::invalid("amount", &message).keep());
    }
    Ok(amount)
}

/// `POST /v1/refunds`
pub fn create(call: &mut Call<'_>, _: &str) -> Result<Value, Failure> {
    let reason = call.form.choice("reason", &["duplicate", "fraudulent", "requested_by_customer"])?;
    let reason = reason.map(str::to_owned);
    let metadata = call.form.metadata(&Metadata::new())?;
    let charge = charge_for(call)?;
    let amount = amount_of(call, &charge)?;
    let aftermath = cards::by_behaviour(&charge.card).map_or(Aftermath::Ordinary, |card| card.aftermath);
    let id = call.id("re");
    let now = call.now();
    let balance = book(call, &Movement("refund", "refund", &id), &charge, -amount, now);
    call.state.refunds.insert(Refund {
        id: id.clone(),
        created: now,
        charge: charge.id.clone(),
        intent: charge.intent.clone(),
        amount,
        currency: charge.currency.clone(),
        status: if aftermath == Aftermath::RefundPends { "pending" } else { "succeeded" }.to_owned(),
        reason,
        balance: Some(balance),
        metadata,
        ..Refund::default()
    });
    if let Some(it) = call.state.charges.get_mut(&charge.id) {
        it.refunded += amount;
    }
    if matches!(aftermath, Aftermath::RefundPends | Aftermath::RefundFails) {
        let at = now + call.state.settings.refund_lag_seconds;
        call.state.turning.push_back(Turning { refund: id.clone(), at });
    }
    if let Some(intent) = call.state.intents.get(&charge.intent).cloned() {
        call.enter(Kind::Refund, &intent, amount);
    }
    call.emit_refund("refund.created", &id, None);
    call.emit_charge("charge.refunded", &charge.id, Some(json!({ "amount_refunded": charge.refunded })));
    get(call, &id)
}

/// Turns the refunds whose time has come: pending ones succeed, failing ones fail and bring the money back.
pub fn turn(call: &mut Call<'_>, everything: bool) {
    let now = call.now();
    let ripe = |it: &Turning| everything || it.at <= now;
    let (ripe, waiting): (Vec<Turning>, Vec<Turning>) =
        std::mem::take(&mut call.state.turning).into_iter().partition(ripe);
    call.state.turning = waiting.into();
    for Turning { refund, .. } in ripe {
        let Some(it) = call.state.refunds.get_mut(&refund) else { continue };
        if it.status == "pending" {
            it.status = "succeeded".to_owned();
            call.emit_refund("refund.updated", &refund, Some(json!({ "status": "pending" })));
        } else {
            fail(call, &refund);
        }
    }
}

fn fail(call: &mut Call<'_>, id: &str) {
    let Some(refund) = call.state.refunds.get(id).cloned() else { return };
    let Some(charge) = call.state.charges.get(&refund.charge).cloned() else { return };
    let now = call.now();
    let back = book(call, &Movement("refund_failure", "refund_failure", id), &charge, refund.amount, now);
    if let Some(it) = call.state.refunds.get_mut(id) {
        it.status = "failed".to_owned();
        it.failure_reason = Some("expired_or_canceled_card".to_owned());
        it.failure_balance = Some(back);
    }
    if let Some(it) = call.state.charges.get_mut(&refund.charge) {
        it.refunded -= refund.amount;
    }
    call.emit_refund("refund.updated", id, Some(json!({ "status": "succeeded" })));
    call.emit_refund("refund.failed", id, Some(json!({ "status": "succeeded" })));
}

/// `GET /v1/refunds/{id}`
pub fn get(call: &mut Call<'_>, id: &str) -> Result<Value, Failure> {
    found(call.state.refunds.get(id), id).map(render::refund)
}

/// `GET /v1/refunds`
pub fn list(call: &mut Call<'_>, _: &str) -> Result<Value, Failure> {
    let (intent, charge) = (call.form.text("payment_intent"), call.form.text("charge"));
    let rows = call.state.refunds.newest();
    let rows = rows.filter(|it| intent.is_none_or(|id| it.intent == id) && charge.is_none_or(|id| it.charge == id));
    lists::page(call.form, call.path, rows, render::refund)
}

#[cfg(test)]
mod tests {
    #[test]
    fn amounts_read_as_stripe_writes_them() {
        assert_eq!(super::money(2500, "jpy"), "¥2,500");
        assert_eq!(super::money(1_234_567, "krw"), "₩1,234,567");
        assert_eq!(super::money(1005, "usd"), "$10.05");
    }
}
