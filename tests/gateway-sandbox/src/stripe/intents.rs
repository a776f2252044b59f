//! PaymentIntents: create, confirm, update, cancel, read.
//!
//! Invariants: an intent is confirmed only in `requires_payment_method`, `requires_confirmation` or `requires_action`, so it
//! succeeds at most once; a wrong-state call answers `payment_intent_unexpected_state` with the intent inside.

use super::{
    attempt::attempt,
    call::Call,
    cards::Terms,
    customers,
    expand::found,
    failure::Failure,
    form::Form,
    lists, methods, render,
    state::{Intent, Metadata, Method},
};
use serde_json::Value;

/// Parameters of create.
pub const CREATE: &[&str] = &[
    "amount",
    "currency",
    "customer",
    "payment_method",
    "confirm",
    "off_session",
    "error_on_requires_action",
    "automatic_payment_methods[enabled]",
    "automatic_payment_methods[allow_redirects]",
    "payment_method_types[]",
    "allowed_payment_method_types[]",
    "excluded_payment_method_types[]",
    "payment_method_options[*]",
    "mandate_data[*]",
    "capture_method",
    "setup_future_usage",
    "return_url",
    "description",
    "receipt_email",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "metadata[*]",
    "use_stripe_sdk",
    "expand[]",
];
/// Parameters of confirm: no metadata.
pub const CONFIRM: &[&str] = &[
    "payment_method",
    "off_session",
    "error_on_requires_action",
    "payment_method_types[]",
    "allowed_payment_method_types[]",
    "excluded_payment_method_types[]",
    "payment_method_options[*]",
    "mandate_data[*]",
    "setup_future_usage",
    "return_url",
    "receipt_email",
    "use_stripe_sdk",
    "expand[]",
];
/// Parameters of update.
pub const UPDATE: &[&str] = &[
    "amount",
    "currency",
    "customer",
    "payment_method",
    "payment_method_types[]",
    "setup_future_usage",
    "description",
    "receipt_email",
    "statement_descriptor_suffix",
    "metadata[*]",
    "expand[]",
];
/// Parameters of cancel.
pub const CANCEL: &[&str] = &["cancellation_reason", "expand[]"];

/// Where an intent can still be paid, changed or cancelled.
const OPEN: [&str; 3] = ["requires_payment_method", "requires_confirmation", "requires_action"];
const CURRENCIES: [&str; 8] = ["krw", "jpy", "usd", "eur", "gbp", "sgd", "aud", "inr"];
/// The documented minimum is the equivalent of $0.50; only the number for yen is known, so it stands for all.
const SMALLEST: i64 = 50;
/// Eight digits.
const LARGEST: i64 = 99_999_999;

fn amount(form: &Form) -> Result<Option<i64>, Failure> {
    match form.integer("amount")? {
        Some(amount) if amount < 1 => {
            Err(Failure::coded("parameter_invalid_integer", "amount", "This value must be greater than or equal to 1."))
        }
        Some(amount) if amount < SMALLEST => Err(Failure::coded(
            "amount_too_small",
            "amount",
            "The amount must be greater than or equal to the minimum charge amount allowed for your account.",
        )),
        Some(amount) if amount > LARGEST => {
            Err(Failure::coded("amount_too_large", "amount", "Amount must be no more than 99999999."))
        }
        other => Ok(other),
    }
}

fn currency(form: &Form) -> Result<Option<String>, Failure> {
    let Some(currency) = form.text("currency").map(str::to_lowercase) else { return Ok(None) };
    if CURRENCIES.contains(&currency.as_str()) {
        return Ok(Some(currency));
    }
    Err(Failure::invalid(
        "currency",
        &format!("Invalid currency: {currency}. The sandbox knows {}.", CURRENCIES.join(", ")),
    ))
}

/// `automatic_payment_methods`: how redirects are allowed; `None` is the default, `always`.
pub fn redirects(form: &Form) -> Result<Option<String>, Failure> {
    let automatic = form.nested("automatic_payment_methods");
    let redirects = automatic.choice("allow_redirects", &["always", "never"])?;
    if form.has("automatic_payment_methods") && automatic.boolean("enabled")? != Some(true) {
        let name = "automatic_payment_methods[enabled]";
        return Err(Failure::invalid(name, "The sandbox only knows automatic payment methods that are enabled."));
    }
    Ok(redirects.map(str::to_owned))
}

/// A confirm that might redirect needs somewhere to come back to.
pub fn needs_return_url(redirects: Option<&str>, return_url: Option<&str>) -> Result<(), Failure> {
    if redirects == Some("never") || return_url.is_some() {
        return Ok(());
    }
    Err(Failure::invalid(
        "return_url",
        "A `return_url` must be specified because this Intent is configured to automatically accept the payment methods \
         enabled in the Dashboard, some of which may require a full page redirect to succeed. If you do not want to accept \
         redirect-based payment methods, set `automatic_payment_methods[allow_redirects]` to `never`.",
    ))
}

/// The circumstances a confirm states.
fn terms(form: &Form) -> Result<Terms, Failure> {
    let off_session = form.choice("off_session", &["true", "false", "one_off", "recurring"])?;
    let error_on_action = form.boolean("error_on_requires_action")?.unwrap_or(false);
    Ok(Terms { off_session: off_session.is_some_and(|value| value != "false"), error_on_action, ..Terms::default() })
}

fn refuse_unsupported(form: &Form) -> Result<(), Failure> {
    if form.has("statement_descriptor") {
        let message = "The `statement_descriptor` parameter is not supported for the payment method type `card`. Use \
                       `statement_descriptor_suffix` instead.";
        return Err(Failure::invalid("statement_descriptor", message));
    }
    if form.text("capture_method") == Some("manual") {
        return Err(Failure::invalid("capture_method", "The sandbox captures automatically only."));
    }
    Ok(())
}

fn drafted(call: &Call<'_>) -> Result<Intent, Failure> {
    let form = call.form;
    let id = call.id("pi");
    let usage = form.choice("setup_future_usage", &["off_session", "on_session"])?;
    let capture = form.choice("capture_method", &["automatic", "automatic_async"])?;
    Ok(Intent {
        secret: format!("{id}_secret_{}", call.core.token(24)),
        id,
        created: call.now(),
        amount: amount(form)?.ok_or_else(|| Failure::missing_parameter("amount"))?,
        currency: currency(form)?.ok_or_else(|| Failure::missing_parameter("currency"))?,
        status: "requires_payment_method".to_owned(),
        customer: form.text("customer").map(str::to_owned),
        capture_method: capture.unwrap_or("automatic_async").to_owned(),
        setup_future_usage: usage.map(str::to_owned),
        redirects: redirects(form)?,
        return_url: form.text("return_url").map(str::to_owned),
        description: form.text("description").map(str::to_owned),
        receipt_email: form.text("receipt_email").map(str::to_owned),
        suffix: form.text("statement_descriptor_suffix").map(str::to_owned),
        metadata: form.metadata(&Metadata::new())?,
        ..Intent::default()
    })
}

/// `POST /v1/payment_intents`
pub fn create(call: &mut Call<'_>, _: &str) -> Result<Value, Failure> {
    refuse_unsupported(call.form)?;
    let mut intent = drafted(call)?;
    if let Some(id) = &intent.customer {
        customers::usable(call, id, "customer")?;
    }
    let confirm = call.form.boolean("confirm")?.unwrap_or(false);
    let terms = terms(call.form)?;
    for flag in ["off_session", "error_on_requires_action"] {
        if call.form.has(flag) && !confirm {
            return Err(Failure::invalid(flag, &format!("`{flag}` can only be used when `confirm` is true.")));
        }
    }
    if confirm && !terms.off_session {
        needs_return_url(intent.redirects.as_deref(), call.form.text("return_url"))?;
    }
    let method = match call.form.text("payment_method") {
        Some(id) => Some(fitting(call, &intent, id)?),
        None if confirm => return Err(without_method(&intent).unkept()),
        None => None,
    };
    if let Some(method) = &method {
        intent.method = Some(method.id.clone());
        intent.status = "requires_confirmation".to_owned();
    }
    let id = intent.id.clone();
    call.state.intents.insert(intent.clone());
    call.emit_intent("payment_intent.created", &id);
    if let (true, Some(method)) = (confirm, &method) {
        attempt(call, &intent, method, terms)?;
    }
    get(call, &id)
}

/// The method, if this intent may use it.
fn fitting(call: &mut Call<'_>, intent: &Intent, id: &str) -> Result<Method, Failure> {
    let method = methods::resolve(call, id)?;
    match (&method.customer, &intent.customer) {
        (Some(theirs), Some(ours)) if theirs != ours => Err(Failure::invalid(
            "payment_method",
            "The provided PaymentMethod cannot be used because it belongs to another Customer.",
        )),
        (Some(_), None) => Err(Failure::invalid(
            "payment_method",
            "The payment method you provided is attached to a customer so for security purposes you must provide the \
             customer in the request.",
        )),
        _ => Ok(method),
    }
}

fn without_method(intent: &Intent) -> Failure {
    let message = "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the \
                   PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a \
                   payment method or ConfirmationToken.";
    unexpected(intent, message)
}

fn unexpected(intent: &Intent, message: &str) -> Failure {
    Failure::state("payment_intent_unexpected_state", message).with("payment_intent", render::intent(intent))
}

/// `GET /v1/payment_intents/{id}`
pub fn get(call: &mut Call<'_>, id: &str) -> Result<Value, Failure> {
    found(call.state.intents.get(id), id).map(render::intent)
}

/// `GET /v1/payment_intents`
pub fn list(call: &mut Call<'_>, _: &str) -> Result<Value, Failure> {
    let customer = call.form.text("customer");
    let rows = call.state.intents.newest();
    let rows = rows.filter(|it| customer.is_none_or(|customer| it.customer.as_deref() == Some(customer)));
    lists::page(call.form, call.path, rows, render::intent)
}

/// `POST /v1/payment_intents/{id}/confirm`
pub fn confirm(call: &mut Call<'_>, id: &str) -> Result<Value, Failure> {
    let intent = found(call.state.intents.get(id), id)?;
    let terms = terms(call.form)?;
    if OPEN.contains(&intent.status.as_str()) && !terms.off_session {
        let return_url = call.form.text("return_url").or(intent.return_url.as_deref());
        needs_return_url(intent.redirects.as_deref(), return_url)?;
    }
    let method = call.form.text("payment_method").map(str::to_owned);
    confirm_with(call, id, method.as_deref(), terms)
}

/// Confirms under `terms`, with the intent's own method if none is given.
pub fn confirm_with(call: &mut Call<'_>, id: &str, method: Option<&str>, terms: Terms) -> Result<Value, Failure> {
    let intent = found(call.state.intents.get(id), id)?.clone();
    if !OPEN.contains(&intent.status.as_str()) {
        let message = match intent.status.as_str() {
            "succeeded" => {
                "You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed."
                    .to_owned()
            }
            status => format!("You cannot confirm this PaymentIntent because it has a status of {status}."),
        };
        return Err(unexpected(&intent, &message));
    }
    let Some(method) = method.or(intent.method.as_deref()) else { return Err(without_method(&intent)) };
    let method = fitting(call, &intent, method)?;
    if let Some(usage) = call.form.choice("setup_future_usage", &["off_session", "on_session"])? {
        let usage = usage.to_owned();
        if let Some(it) = call.state.intents.get_mut(id) {
            it.setup_future_usage = Some(usage);
        }
    }
    let intent = found(call.state.intents.get(id), id)?.clone();
    attempt(call, &intent, &method, terms)?;
    get(call, id)
}

/// `POST /v1/payment_intents/{id}`
pub fn update(call: &mut Call<'_>, id: &str) -> Result<Value, Failure> {
    let old = found(call.state.intents.get(id), id)?.clone();
    let form = call.form;
    let open = OPEN.contains(&old.status.as_str());
    let frozen = ["amount", "currency", "customer", "payment_method", "setup_future_usage"];
    if let Some(name) = frozen.into_iter().find(|name| !open && form.has(name)) {
        let message = format!(
            "This PaymentIntent's {name} could not be updated because it has a status of {}. You may only update the {name} \
             of a PaymentIntent with one of the following statuses: {}.",
            old.status,
            OPEN.join(", ")
        );
        return Err(unexpected(&old, &message));
    }
    let mut new = old.clone();
    new.amount = amount(form)?.unwrap_or(old.amount);
    new.currency = currency(form)?.unwrap_or(old.currency);
    new.metadata = form.metadata(&old.metadata)?;
    new.description = form.text("description").map(str::to_owned).or(old.description);
    new.receipt_email = form.text("receipt_email").map(str::to_owned).or(old.receipt_email);
    new.suffix = form.text("statement_descriptor_suffix").map(str::to_owned).or(old.suffix);
    let usage = form.choice("setup_future_usage", &["off_session", "on_session"])?;
    new.setup_future_usage = usage.map(str::to_owned).or(old.setup_future_usage);
    if let Some(customer) = form.text("customer") {
        customers::usable(call, customer, "customer")?;
        new.customer = Some(customer.to_owned());
    }
    if let Some(method) = form.text("payment_method") {
        new.method = Some(fitting(call, &new, method)?.id);
        new.status = "requires_confirmation".to_owned();
    }
    if open {
        new.last_error = None;
    }
    if let Some(slot) = call.state.intents.get_mut(id) {
        *slot = new;
    }
    get(call, id)
}

/// `POST /v1/payment_intents/{id}/cancel`
pub fn cancel(call: &mut Call<'_>, id: &str) -> Result<Value, Failure> {
    let intent = found(call.state.intents.get(id), id)?;
    let reasons = ["duplicate", "fraudulent", "requested_by_customer", "abandoned"];
    let reason = call.form.choice("cancellation_reason", &reasons)?.map(str::to_owned);
    if !OPEN.contains(&intent.status.as_str()) {
        let message = format!(
            "You cannot cancel this PaymentIntent because it has a status of {}. Only a PaymentIntent with one of the \
             following statuses may be canceled: requires_payment_method, requires_capture, requires_confirmation, \
             requires_action.",
            intent.status
        );
        return Err(unexpected(intent, &message));
    }
    let now = call.now();
    if let Some(it) = call.state.intents.get_mut(id) {
        it.status = "canceled".to_owned();
        it.canceled_at = Some(now);
        it.cancellation_reason = reason;
    }
    call.emit_intent("payment_intent.canceled", id);
    get(call, id)
}
