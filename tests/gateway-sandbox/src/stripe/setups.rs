//! SetupIntents: saving a card, from the server or by the browser's Stripe.js.
//!
//! Invariant: a SetupIntent with a customer attaches its method exactly when it succeeds.

use super::{
    call::Call,
    cards, customers,
    expand::found,
    failure::Failure,
    intents::{needs_return_url, redirects},
    methods, render,
    state::{Metadata, Method, Setup},
};
use serde_json::{Value, json};

/// Parameters of create.
pub const CREATE: &[&str] = &[
    "customer",
    "usage",
    "automatic_payment_methods[enabled]",
    "automatic_payment_methods[allow_redirects]",
    "payment_method",
    "confirm",
    "return_url",
    "description",
    "metadata[*]",
    "payment_method_types[]",
    "allowed_payment_method_types[]",
    "excluded_payment_method_types[]",
    "payment_method_options[*]",
    "mandate_data[*]",
    "use_stripe_sdk",
    "expand[]",
];
/// Parameters of confirm.
pub const CONFIRM: &[&str] = &[
    "payment_method",
    "return_url",
    "payment_method_types[]",
    "allowed_payment_method_types[]",
    "payment_method_options[*]",
    "mandate_data[*]",
    "use_stripe_sdk",
    "expand[]",
];
/// Parameters of cancel.
pub const CANCEL: &[&str] = &["cancellation_reason", "expand[]"];

/// `POST /v1/setup_intents`
pub fn create(call: &mut Call<'_>, _: &str) -> Result<Value, Failure> {
    let form = call.form;
    let customer = form.text("customer").map(str::to_owned);
    if let Some(id) = &customer {
        customers::usable(call, id, "customer")?;
    }
    let confirm = form.boolean("confirm")?.unwrap_or(false);
    let redirects = redirects(form)?;
    if confirm {
        needs_return_url(redirects.as_deref(), form.text("return_url"))?;
    }
    let id = call.id("seti");
    let setup = Setup {
        secret: format!("{id}_secret_{}", call.core.token(24)),
        id,
        created: call.now(),
        status: "requires_payment_method".to_owned(),
        customer,
        usage: form.choice("usage", &["off_session", "on_session"])?.unwrap_or("off_session").to_owned(),
        redirects,
        description: form.text("description").map(str::to_owned),
        metadata: form.metadata(&Metadata::new())?,
        ..Setup::default()
    };
    let method = match form.text("payment_method") {
        Some(method) => Some(fitting(call, &setup, method)?),
        None if confirm => return Err(Failure::missing_parameter("payment_method")),
        None => None,
    };
    let id = setup.id.clone();
    call.state.setups.insert(setup);
    if let (Some(method), Some(it)) = (&method, call.state.setups.get_mut(&id)) {
        it.method = Some(method.id.clone());
        it.status = "requires_confirmation".to_owned();
    }
    call.emit_setup("setup_intent.created", &id);
    match method {
        Some(method) if confirm => proceed(call, &id, &method, false),
        _ => get(call, &id),
    }
}

/// `GET /v1/setup_intents/{id}`
pub fn get(call: &mut Call<'_>, id: &str) -> Result<Value, Failure> {
    found(call.state.setups.get(id), id).map(render::setup)
}

/// `POST /v1/setup_intents/{id}/confirm`
pub fn confirm(call: &mut Call<'_>, id: &str) -> Result<Value, Failure> {
    let setup = found(call.state.setups.get(id), id)?;
    needs_return_url(setup.redirects.as_deref(), call.form.text("return_url"))?;
    let method = call.form.text("payment_method").map(str::to_owned);
    confirm_with(call, id, method.as_deref(), false)
}

/// Confirms; `authenticated`: the holder is at the browser and passes what is asked.
pub fn confirm_with(
    call: &mut Call<'_>,
    id: &str,
    method: Option<&str>,
    authenticated: bool,
) -> Result<Value, Failure> {
    let setup = found(call.state.setups.get(id), id)?.clone();
    let open = ["requires_payment_method", "requires_confirmation", "requires_action"];
    if !open.contains(&setup.status.as_str()) {
        return Err(unexpected(&setup, "confirm"));
    }
    let Some(method) = method.or(setup.method.as_deref()) else {
        return Err(unexpected(&setup, "confirm without a payment method"));
    };
    let method = fitting(call, &setup, method)?;
    proceed(call, id, &method, authenticated)
}

/// The browser's holder fails the authentication that a SetupIntent asks for.
pub fn fail_authentication(call: &mut Call<'_>, id: &str, method: &str) -> Result<Value, Failure> {
    let setup = found(call.state.setups.get(id), id)?.clone();
    let method = fitting(call, &setup, method)?;
    let message =
        "We are unable to authenticate your payment method. Please choose a different payment method and try again.";
    let failure = Failure::state("setup_intent_authentication_failure", message);
    Err(failed(call, id, &method, failure))
}

fn unexpected(setup: &Setup, verb: &str) -> Failure {
    let message = format!("You cannot {verb} this SetupIntent because it has a status of {}.", setup.status);
    Failure::state("setup_intent_unexpected_state", &message).with("setup_intent", render::setup(setup))
}

/// The method, if this SetupIntent may use it.
fn fitting(call: &mut Call<'_>, setup: &Setup, id: &str) -> Result<Method, Failure> {
    let method = methods::resolve(call, id)?;
    match &method.customer {
        Some(theirs) if Some(theirs) != setup.customer.as_ref() => Err(Failure::invalid(
            "payment_method",
            "The payment method supplied belongs to a Customer that is not the SetupIntent's.",
        )),
        _ => Ok(method),
    }
}

fn proceed(call: &mut Call<'_>, id: &str, method: &Method, authenticated: bool) -> Result<Value, Failure> {
    if let Some(failure) = methods::refused_at_attach(method) {
        return Err(failed(call, id, method, failure));
    }
    let asks = cards::by_name(&method.card).is_some_and(|card| card.setup_asks());
    let waits = asks && !authenticated;
    let customer = call.state.setups.get(id).and_then(|it| it.customer.clone());
    if let Some(it) = call.state.setups.get_mut(id) {
        it.method = Some(method.id.clone());
        it.status = if waits { "requires_action" } else { "succeeded" }.to_owned();
        it.last_error = None;
    }
    if waits {
        call.emit_setup("setup_intent.requires_action", id);
        return get(call, id);
    }
    if let Some(it) = call.state.methods.get_mut(&method.id) {
        it.set_up = true;
    }
    if let (Some(customer), None) = (customer, &method.customer) {
        methods::attach_to(call, method, &customer);
    }
    call.emit_setup("setup_intent.succeeded", id);
    get(call, id)
}

fn failed(call: &mut Call<'_>, id: &str, method: &Method, failure: Failure) -> Failure {
    let failure = failure.with("payment_method", render::method(method));
    let mut shown = json!(null);
    if let Some(it) = call.state.setups.get_mut(id) {
        it.status = "requires_payment_method".to_owned();
        it.method = None;
        it.last_error = Some(Value::Object(failure.fields().clone()));
        shown = render::setup(it);
    }
    call.emit_setup("setup_intent.setup_failed", id);
    failure.with("setup_intent", shown)
}

/// `POST /v1/setup_intents/{id}/cancel`
pub fn cancel(call: &mut Call<'_>, id: &str) -> Result<Value, Failure> {
    let setup = found(call.state.setups.get(id), id)?;
    let reasons = ["abandoned", "duplicate", "requested_by_customer"];
    let reason = call.form.choice("cancellation_reason", &reasons)?.map(str::to_owned);
    if setup.status == "succeeded" || setup.status == "canceled" {
        return Err(unexpected(setup, "cancel"));
    }
    if let Some(it) = call.state.setups.get_mut(id) {
        it.status = "canceled".to_owned();
        it.cancellation_reason = reason;
    }
    call.emit_setup("setup_intent.canceled", id);
    get(call, id)
}
