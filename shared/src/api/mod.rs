//! The bodies of the API (api.md), made from domain values and nothing else. Wire names live here; a field that is
//! here keeps its name, type and meaning.
//!
//! Invariants: no token, key or ciphertext of a gateway has a field here; amounts are integer minor units beside one
//! currency; a field without a value is left out, never null. With the feature `openapi` each body also says its schema.

pub mod audit;
mod cycles;
pub mod documents;
pub mod metrics;
pub mod operations;
pub mod refunds;
pub mod requests;
pub mod settlements;

use domain::calendar::{Period, seoul_midnight};
use domain::charge::DeclineClass;
use domain::method::PaymentMethod;
use domain::money::Money;
use domain::onboarding::{Application, Decision, NextAction};
use domain::plan::Plan;
use domain::subscription::{Status, Subscription};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use cycles::{AttemptBody, attempt_body, live_body};
pub use cycles::{CycleBody, cycle_bodies};
pub use operations::run_body;

/// A page of anything.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemsBody<T> {
    pub items: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// What an immediate charge brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Charged {
    Succeeded,
    Declined,
    /// Under way, or to be found out.
    Pending,
}

/// What is on sale.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Plans))]
pub struct PlansBody {
    pub plans: Vec<PlanBody>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Plan))]
pub struct PlanBody {
    code: String,
    version: u32,
    name: String,
    description: String,
    price: Money,
    interval: domain::calendar::Interval,
    addons: Vec<domain::plan::Addon>,
}

impl From<Plan> for PlanBody {
    fn from(p: Plan) -> Self {
        PlanBody {
            code: p.code,
            version: p.version,
            name: p.name,
            description: p.description,
            price: p.price,
            interval: p.interval,
            addons: p.addons,
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Application))]
#[serde(rename_all = "camelCase")]
pub struct ApplicationBody {
    id: String,
    status: domain::onboarding::Status,
    business_name: String,
    contact: domain::contact::Contact,
    plan_code: String,
    addon_codes: Vec<String>,
    tenant_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_method_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<DecisionBody>,
    next_action: NextAction,
    submitted_at: Timestamp,
}

/// The answer to an application: its id, and the token that acts for it.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = SubmittedApplication))]
#[serde(rename_all = "camelCase")]
pub struct SubmittedBody<'a> {
    pub id: &'a str,
    pub tenant_id: String,
    pub status: domain::onboarding::Status,
    /// Bearer token of the applicant; lives until the first payment or the end of the application.
    pub application_token: &'a str,
    /// Names the applicant in the gateway's card window.
    pub customer_key: &'a str,
    pub next_action: NextAction,
}

/// What the browser needs to open the gateway's card window.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = PaymentMethodSetup))]
#[serde(rename_all = "camelCase")]
pub struct SetupBody {
    pub gateway: domain::charge::GatewayName,
    /// The gateway's publishable key.
    pub client_key: String,
    /// Toss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_key: Option<String>,
    /// Stripe: of the SetupIntent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
}

/// An operator's session.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Session))]
#[serde(rename_all = "camelCase")]
pub struct SessionBody<'a> {
    pub token: &'a str,
    pub role: crate::auth::Role,
    pub expires_at: Timestamp,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Decision))]
struct DecisionBody {
    status: domain::onboarding::Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    by: String,
    at: Timestamp,
}

impl From<Decision> for DecisionBody {
    fn from(d: Decision) -> Self {
        DecisionBody { status: d.status, note: d.note, by: d.by, at: d.at }
    }
}

impl ApplicationBody {
    /// An application as its applicant and the operators see it; `subscription` decides what comes next.
    #[must_use]
    pub fn new(a: Application, subscription: Option<&Subscription>) -> Self {
        let next_action = a.next_action(subscription.map(|s| (s.status, s.live.is_some(), s.first_decline.is_some())));
        ApplicationBody {
            tenant_id: a.tenant_id().to_string(),
            id: a.id.to_string(),
            status: a.status,
            business_name: a.business_name,
            contact: a.contact,
            plan_code: a.plan_code,
            addon_codes: a.addon_codes,
            payment_method_id: a.method_id.map(String::from),
            subscription_id: a.subscription_id.map(String::from),
            decision: a.decision.map(Into::into),
            next_action,
            submitted_at: a.submitted_at,
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = PaymentMethod))]
#[serde(rename_all = "camelCase")]
pub struct MethodBody {
    id: String,
    gateway: domain::charge::GatewayName,
    #[serde(flatten)]
    card: CardBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder_name: Option<String>,
    status: domain::method::Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    charge: Option<Charged>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Card))]
#[serde(rename_all = "camelCase")]
struct CardBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    brand: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last4: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp_month: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp_year: Option<u16>,
}

impl MethodBody {
    #[must_use]
    pub fn new(m: PaymentMethod) -> Self {
        let card = CardBody {
            brand: m.card.brand,
            last4: m.card.last4,
            exp_month: m.card.exp_month,
            exp_year: m.card.exp_year,
        };
        MethodBody {
            id: m.id.into(),
            gateway: m.gateway,
            card,
            holder_name: None,
            status: m.status,
            subscription_id: None,
            charge: None,
        }
    }

    /// The answer to a registration.
    #[must_use]
    pub fn registered(
        self,
        holder_name: Option<String>,
        subscription_id: Option<String>,
        charge: Option<Charged>,
    ) -> Self {
        MethodBody { holder_name, subscription_id, charge, ..self }
    }
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Subscription))]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionBody {
    id: String,
    status: Status,
    tenant_id: String,
    plan: PlanRef,
    amount: i64,
    currency: domain::money::Currency,
    payment_method_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_period: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_billing_at: Option<Timestamp>,
    /// It ends then, with what is paid for; nothing more is charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dunning: Option<DunningBody>,
    /// Code of the declined first payment, while it is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_decline: Option<String>,
    parked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    charge: Option<Charged>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
struct PlanRef {
    code: String,
    version: u32,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Dunning))]
#[serde(rename_all = "camelCase")]
struct DunningBody {
    step: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_retry_at: Option<Timestamp>,
    deadline: Timestamp,
    last_decline: DeclineBody,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Decline))]
#[serde(rename_all = "camelCase")]
struct DeclineBody {
    decline_class: DeclineClass,
    code: String,
}

impl From<&Subscription> for SubscriptionBody {
    fn from(s: &Subscription) -> Self {
        let current_period = s.current_period().ok().flatten();
        let billed = matches!(s.status, Status::Active | Status::Suspended) && s.cancel_at.is_none();
        SubscriptionBody {
            id: s.id.to_string(),
            status: s.status,
            tenant_id: s.tenant_id.to_string(),
            plan: PlanRef { code: s.plan.code.clone(), version: s.plan.version },
            amount: s.amount.amount,
            currency: s.amount.currency,
            payment_method_id: s.method_id.to_string(),
            next_billing_at: current_period.filter(|_| billed).and_then(|p| seoul_midnight(p.end).ok()),
            current_period,
            cancel_at: s.cancel_at,
            dunning: s.dunning.as_ref().map(|d| DunningBody {
                step: d.step,
                next_retry_at: d.next_at.filter(|_| s.status == Status::Active),
                deadline: d.deadline,
                last_decline: DeclineBody { decline_class: d.class, code: d.code.clone() },
            }),
            first_decline: s.first_decline.clone(),
            parked: s.parked,
            charge: None,
        }
    }
}

impl SubscriptionBody {
    /// The answer to a change that may have charged at once.
    #[must_use]
    pub fn charged(self, charge: Option<Charged>) -> Self {
        SubscriptionBody { charge, ..self }
    }
}
