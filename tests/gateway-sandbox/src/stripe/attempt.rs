//! One attempt to take the money of a PaymentIntent: a new charge each time, at most one of them paid.
//!
//! Invariants: only called on an intent that may be confirmed; a decline leaves `payment_method: null`,
//! `last_payment_error` and a failed charge; every outcome that concerns money is in the ledger.

use super::{
    call::{Call, refusal},
    cards::{self, Aftermath, Card, Terms, Verdict},
    declines::Decline,
    failure::Failure,
    render,
    state::{Balance, Charge, Dispute, Intent, Method},
};
use crate::core::Kind;
use serde_json::{Value, json};

/// Days until ordinary money is available.
const AVAILABLE_AFTER: i64 = 4 * 86_400;

/// Tries to charge `method` for `intent`, both known to exist and to fit each other.
pub fn attempt(call: &mut Call<'_>, intent: &Intent, method: &Method, terms: Terms) -> Result<(), Failure> {
    let card = card_in_play(call, method)?;
    match card.charge(Terms { set_up: method.set_up, ..terms }) {
        Verdict::Approved => {
            approve(call, intent, method, &card);
            Ok(())
        }
        Verdict::Declined(decline) => Err(refuse(call, intent, method, &card, &decline)),
        Verdict::Authenticate => {
            if let Some(it) = call.state.intents.get_mut(&intent.id) {
                it.status = "requires_action".to_owned();
                it.method = Some(method.id.clone());
                it.last_error = None;
            }
            call.emit_intent("payment_intent.requires_action", &intent.id);
            Ok(())
        }
    }
}

/// The card this charge is played with: the override for the method, else for its customer, else the card itself.
fn card_in_play(call: &Call<'_>, method: &Method) -> Result<Card, Failure> {
    let overridden =
        call.core.behaviour(&method.id).or_else(|| method.customer.as_deref().and_then(|id| call.core.behaviour(id)));
    let (card, name) = match &overridden {
        Some(name) => (cards::by_behaviour(name), name),
        None => (cards::by_name(&method.card), &method.card),
    };
    card.ok_or_else(|| Failure::request(&format!("Sandbox: `{name}` is neither a test card nor a decline code.")))
}

fn charge_for(call: &Call<'_>, intent: &Intent, method: &Method, card: &Card) -> Charge {
    Charge {
        id: call.id("ch"),
        created: call.now(),
        intent: intent.id.clone(),
        customer: intent.customer.clone(),
        method: method.id.clone(),
        card: card.name.to_owned(),
        brand: method.brand.clone(),
        last4: method.last4.clone(),
        exp_month: method.exp_month,
        exp_year: method.exp_year,
        fingerprint: method.fingerprint.clone(),
        amount: intent.amount,
        currency: intent.currency.clone(),
        description: intent.description.clone(),
        metadata: intent.metadata.clone(),
        ..Charge::default()
    }
}

fn approve(call: &mut Call<'_>, intent: &Intent, method: &Method, card: &Card) {
    let mut charge = charge_for(call, intent, method, card);
    let available_on = if card.aftermath == Aftermath::Available { call.now() } else { call.now() + AVAILABLE_AFTER };
    let charge_id = charge.id.clone();
    let what = Movement("charge", "charge", &charge_id);
    charge.balance = Some(book(call, &what, &charge, charge.amount, available_on));
    charge.balance_at = call.now() + call.state.settings.balance_lag_seconds;
    call.state.charges.insert(charge);
    if let Some(it) = call.state.intents.get_mut(&intent.id) {
        it.status = "succeeded".to_owned();
        it.received = it.amount;
        it.method = Some(method.id.clone());
        it.latest_charge = Some(charge_id.clone());
        it.last_error = None;
    }
    keep_or_spend(call, intent, method);
    call.enter(Kind::Capture, intent, intent.amount);
    call.emit_charge("charge.succeeded", &charge_id, None);
    call.emit_intent("payment_intent.succeeded", &intent.id);
    match card.aftermath {
        Aftermath::Dispute(reason) => dispute(call, &charge_id, reason, false),
        Aftermath::Inquiry => dispute(call, &charge_id, "fraudulent", true),
        _ => {}
    }
}

/// A method without a customer is saved if the intent says so, and otherwise used up.
fn keep_or_spend(call: &mut Call<'_>, intent: &Intent, method: &Method) {
    if method.customer.is_some() {
        return;
    }
    let saved = intent.setup_future_usage.as_ref().and(intent.customer.clone());
    if let Some(it) = call.state.methods.get_mut(&method.id) {
        it.dead = saved.is_none();
        it.set_up = saved.is_some();
        it.customer = saved.clone();
    }
    if saved.is_some() {
        call.emit_method("payment_method.attached", &method.id, None);
    }
}

fn refuse(call: &mut Call<'_>, intent: &Intent, method: &Method, card: &Card, decline: &Decline) -> Failure {
    let mut charge = charge_for(call, intent, method, card);
    charge.refused = Some(decline.refused());
    let charge_id = charge.id.clone();
    call.state.charges.insert(charge);
    let failure = refusal(decline, render::method(method)).with("charge", charge_id.as_str());
    let mut shown = Value::Null;
    if let Some(it) = call.state.intents.get_mut(&intent.id) {
        it.status = "requires_payment_method".to_owned();
        it.method = None;
        it.latest_charge = Some(charge_id.clone());
        it.last_error = Some(Value::Object(failure.fields().clone()));
        shown = render::intent(it);
    }
    call.enter(Kind::Decline, intent, intent.amount);
    call.emit_charge("charge.failed", &charge_id, None);
    call.emit_intent("payment_intent.payment_failed", &intent.id);
    failure.with("payment_intent", shown)
}

/// Stripe's fee: 3.6 % of a charge, halves rounded up; nothing is charged for or returned with other movements.
pub fn fee(amount: i64) -> i64 {
    (amount * 36 + 500) / 1000
}

/// What moved the balance: type, reporting category, and the object it came from.
pub struct Movement<'a>(pub &'static str, pub &'static str, pub &'a str);

/// Writes a movement of the balance on account of `charge` and returns its id. `amount` is signed.
pub fn book(call: &mut Call<'_>, what: &Movement<'_>, charge: &Charge, amount: i64, available_on: i64) -> String {
    let Movement(kind, category, source) = *what;
    let id = call.id("txn");
    call.state.balances.insert(Balance {
        id: id.clone(),
        created: call.now(),
        kind: kind.to_owned(),
        category: category.to_owned(),
        amount,
        fee: if kind == "charge" { fee(amount) } else { 0 },
        currency: charge.currency.clone(),
        source: source.to_owned(),
        available_on,
        description: charge.description.clone(),
    });
    id
}

/// The holder disputes a paid charge; the money goes at once, unless it is only an inquiry.
pub fn dispute(call: &mut Call<'_>, charge_id: &str, reason: &str, inquiry: bool) {
    let Some(charge) = call.state.charges.get(charge_id).cloned() else { return };
    let now = call.now();
    let id = call.id("dp");
    let what = Movement("adjustment", "dispute", &id);
    let balances = if inquiry { Vec::new() } else { vec![book(call, &what, &charge, -charge.amount, now)] };
    call.state.disputes.insert(Dispute {
        id: id.clone(),
        created: now,
        charge: charge.id.clone(),
        intent: charge.intent.clone(),
        amount: charge.amount,
        currency: charge.currency.clone(),
        reason: reason.to_owned(),
        status: if inquiry { "warning_needs_response" } else { "needs_response" }.to_owned(),
        inquiry,
        balances,
    });
    if let Some(it) = call.state.charges.get_mut(charge_id) {
        it.disputed = true;
    }
    emit_dispute(call, "charge.dispute.created", &id);
    if !inquiry {
        emit_dispute(call, "charge.dispute.funds_withdrawn", &id);
    }
}

/// Ends a dispute: `won` brings the money back, `lost` does not; an inquiry ends as `warning_closed`.
pub fn close_dispute(call: &mut Call<'_>, id: &str, won: bool) -> Result<Value, Failure> {
    let Some(dispute) = call.state.disputes.get(id).cloned() else { return Err(Failure::not_found("dispute", id)) };
    if !dispute.status.ends_with("needs_response") {
        return Err(Failure::request("This dispute is already closed."));
    }
    let now = call.now();
    let back = match call.state.charges.get(&dispute.charge).cloned() {
        Some(charge) if won && !dispute.inquiry => {
            Some(book(call, &Movement("adjustment", "dispute_reversal", id), &charge, dispute.amount, now))
        }
        _ => None,
    };
    let reinstated = back.is_some();
    if let Some(it) = call.state.disputes.get_mut(id) {
        it.status = if it.inquiry {
            "warning_closed"
        } else if won {
            "won"
        } else {
            "lost"
        }
        .to_owned();
        it.balances.extend(back);
    }
    emit_dispute(call, "charge.dispute.closed", id);
    if reinstated {
        emit_dispute(call, "charge.dispute.funds_reinstated", id);
    }
    Ok(shown_dispute(call, id))
}

/// The dispute with its movements.
pub fn shown_dispute(call: &Call<'_>, id: &str) -> Value {
    let Some(dispute) = call.state.disputes.get(id) else { return json!(null) };
    let moves = dispute.balances.iter().filter_map(|id| call.state.balances.get(id));
    let moves: Vec<Value> = moves.map(|it| render::balance(it, call.now())).collect();
    render::dispute(dispute, &moves)
}

fn emit_dispute(call: &mut Call<'_>, kind: &str, id: &str) {
    let object = shown_dispute(call, id);
    let charge = call.state.disputes.get(id).and_then(|it| call.state.charges.get(&it.charge));
    let order_id = charge.and_then(|it| super::call::order_id(&it.metadata));
    call.emit(kind, object, None, order_id);
}
